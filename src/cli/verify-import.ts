/**
 * Reads every record of an import back and compares it with its line, byte for byte, at each target in turn. Where
 * several lines have the same key, the last one counts: whether a key is right is decided anew by each line that names
 * it, and only keys that are wrong so far are kept in memory.
 */
import { equalBytes, text as textOf } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import { ReliablePipeline } from "../client/reliable-pipeline.ts";
import type { Reply } from "../client/reply.ts";
import { encodeRequest } from "../client/request.ts";
import type { Target } from "../client/target.ts";
import type { ImportOptions } from "./import-options.ts";
import { openInput } from "./input-lines.ts";
import { Progress } from "./progress.ts";
import type { KeyOf } from "./record-key.ts";

const WRONG_KEYS_MAX = 1_000_000;
const WRONG_SHOWN = 20;

interface Expected {
  readonly request: Uint8Array;
  readonly line: number;
  readonly key: string;
  readonly value: Uint8Array;
}

interface Wrong {
  readonly line: number;
  readonly what: string;
}

/** Returns the exit code: 0 when every record is there, unchanged, at every target. */
export async function verifyImport(options: ImportOptions, keyOf: KeyOf, interrupted: AbortSignal): Promise<number> {
  if (options.file === "-" && options.targets.length > 1) {
    throw new EnvelopeError("INVALID_ARGUMENT", "standard input can be compared with one target only");
  }
  let code = 0;
  for (const target of options.targets) {
    const checked = await verifyAt(target, options, keyOf, interrupted);
    const { readCount, unreadable, wrong } = checked;
    const missing = [...wrong.values()].filter((found) => found.what === "missing").length;
    const right = wrong.size === 0 ? "all as in the input" : `${missing} missing, ${wrong.size - missing} different`;
    process.stdout.write(`${target.address}: ${readCount} records read back, ${right}\n`);
    if (unreadable > 0) process.stdout.write(`  ${unreadable} lines have no key and were not looked up\n`);
    for (const [key, { line, what }] of [...wrong].slice(0, WRONG_SHOWN)) {
      process.stdout.write(`  line ${line}, key ${key}: ${what}\n`);
    }
    if (wrong.size > WRONG_SHOWN) process.stdout.write(`  and ${wrong.size - WRONG_SHOWN} more\n`);
    if (wrong.size > 0 || unreadable > 0) code = 1;
  }
  return code;
}

async function verifyAt(
  target: Target,
  options: ImportOptions,
  keyOf: KeyOf,
  interrupted: AbortSignal,
): Promise<{ readCount: number; unreadable: number; wrong: Map<string, Wrong> }> {
  const wrong = new Map<string, Wrong>();
  const progress = new Progress(`verify ${target.address}`, "records", process.stderr);
  let readCount = 0;
  let unreadable = 0;
  let lineNumber = 0;
  const pipeline = new ReliablePipeline<Expected>({
    targets: [target],
    windowMax: options.pipeline,
    bucket: options.bucket,
    connectTimeoutMs: options.connectTimeoutMs,
    replyTimeoutMs: options.replyTimeoutMs,
    giveUpAfterMs: options.giveUpAfterMs,
    onAnswer: (expected, reply) => {
      readCount += 1;
      const what = difference(expected.value, reply);
      if (what === null) wrong.delete(expected.key);
      else wrong.set(expected.key, { line: expected.line, what });
    },
    onRetry: () => undefined,
  });
  try {
    const input = await openInput(options.file);
    for await (const batch of input.batches()) {
      for (const value of batch) {
        lineNumber += 1;
        const content = textOf(value);
        if (content.trim() === "") continue;
        const key = keyOf(content);
        if (typeof key !== "string") {
          unreadable += 1;
          continue;
        }
        if (!pipeline.hasRoom) await pipeline.room();
        pipeline.push({ request: encodeRequest(["GET", key]), line: lineNumber, key, value });
      }
      if (interrupted.aborted) throw new EnvelopeError("SHUTTING_DOWN", "interrupted");
      if (wrong.size > WRONG_KEYS_MAX)
        throw new EnvelopeError("TOO_LARGE", `more than ${WRONG_KEYS_MAX} records are wrong`);
      progress.update(readCount, input.totalBytes === null ? null : input.bytesRead() / Math.max(1, input.totalBytes));
    }
    await pipeline.drained();
  } finally {
    progress.finish(readCount);
    pipeline.close();
  }
  return { readCount, unreadable, wrong };
}

function difference(value: Uint8Array, reply: Reply): string | null {
  if (reply.kind === "bytes") return equalBytes(reply.bytes, value) ? null : "different";
  if (reply.kind === "null") return "missing";
  return reply.kind === "error" ? `${reply.code} ${reply.message}` : `answered with ${reply.kind}`;
}
