/**
 * `import FILE`: loads JSON lines, one record a line, the line itself as the value. Records go through a
 * ReliablePipeline, which sends each again until a server has acknowledged it; the checkpoint follows behind the
 * acknowledgements, so that an import that was cut off goes on where it was. Nothing but the window is in memory.
 *
 * Every line ends in one of four counts: acknowledged, skipped (blank), failed (no key, or refused for good), or — when
 * the import was cut off — not reached. The exit code is 0 only when all lines were acknowledged or blank.
 */
import { crc32 } from "../core/crc32.ts";
import { EnvelopeError } from "../core/errors.ts";
import { text as textOf, utf8 } from "../core/bytes.ts";
import { ReliablePipeline } from "../client/reliable-pipeline.ts";
import type { Reply } from "../client/reply.ts";
import { encodeRequest } from "../client/request.ts";
import { type Checkpoint, readCheckpoint, removeCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import type { ImportOptions } from "./import-options.ts";
import { type InputLines, openInput } from "./input-lines.ts";
import { Progress } from "./progress.ts";
import { type KeyOf, keyTemplate } from "./record-key.ts";
import { whenAborted } from "./stop-signals.ts";
import { verifyImport } from "./verify-import.ts";

const CHECKPOINT_EVERY_MS = 1_000;
const FAILURES_KEPT = 100;
const FAILURES_SHOWN = 20;
const NEWLINE = utf8("\n");

interface Line {
  readonly request: Uint8Array;
  /** From 1. */
  readonly line: number;
  /** CRC-32 of all lines up to this one. */
  readonly crc: number;
  readonly before: Unsent;
}

/** Lines between two records that never go to a server. They are counted with the record behind them. */
interface Unsent {
  skipped: number;
  failedCount: number;
  readonly failed: { line: number; reason: string }[];
}

/** Runs the command; returns the exit code. Throws INVALID_ARGUMENT, MISSING_FILE, CORRUPTION. */
export async function runImport(options: ImportOptions, interrupted: AbortSignal): Promise<number> {
  const keyOf = keyTemplate(options.key);
  if (options.verify && options.file === "-") {
    throw new EnvelopeError("INVALID_ARGUMENT", "--verify reads the input again, which standard input cannot do");
  }
  if (!options.verifyOnly) {
    const code = await new Import(options, keyOf).run(interrupted);
    if (code !== 0 || !options.verify) return code;
  }
  return verifyImport(options, keyOf, interrupted);
}

class Import {
  readonly #options: ImportOptions;
  readonly #keyOf: KeyOf;
  #checkpointPath: string | null;
  readonly #progress = new Progress("import", "records", process.stderr);
  readonly #pipeline: ReliablePipeline<Line>;
  /** Changed only in step with the acknowledgements, so it may be saved at any moment. */
  readonly #state: Checkpoint;
  #readLines = 0;
  #crc = 0;
  #unsent: Unsent = { skipped: 0, failedCount: 0, failed: [] };
  #retries = 0;
  #savedLines = 0;
  /** Never resolves; rejects when a checkpoint that was asked for cannot be written. */
  readonly #saveFailure = Promise.withResolvers<never>();
  #noticedAt = Number.NEGATIVE_INFINITY;

  constructor(options: ImportOptions, keyOf: KeyOf) {
    this.#options = options;
    this.#keyOf = keyOf;
    this.#checkpointPath = options.checkpoint ?? (options.file === "-" ? null : `${options.file}.checkpoint`);
    this.#state = this.#firstState();
    this.#pipeline = new ReliablePipeline({
      targets: options.targets,
      windowMax: options.pipeline,
      bucket: options.bucket,
      connectTimeoutMs: options.connectTimeoutMs,
      replyTimeoutMs: options.replyTimeoutMs,
      giveUpAfterMs: options.giveUpAfterMs,
      onAnswer: (line, reply) => this.#answer(line, reply),
      onRetry: (reason) => this.#noticeRetry(reason),
    });
  }

  async run(interrupted: AbortSignal): Promise<number> {
    const startedAt = performance.now();
    const resumedAt = this.#state.lines;
    if (resumedAt > 0) this.#progress.note(`resuming behind line ${resumedAt}`);
    const input = await openInput(this.#options.file);
    const stop = whenAborted(interrupted).then(() => "interrupted" as const);
    const saving = setInterval(() => this.#save(), CHECKPOINT_EVERY_MS);
    try {
      const load = this.#load(input, resumedAt);
      // When the interruption wins, the load still fails or ends by itself, and nobody waits for it.
      load.catch(() => undefined);
      const outcome = await Promise.race([load, stop, this.#saveFailure.promise]);
      this.#progress.finish(this.#state.acknowledged);
      if (outcome === "interrupted") return this.#cutOff("interrupted");
    } catch (cause) {
      this.#progress.finish(this.#state.acknowledged);
      if (!(cause instanceof EnvelopeError)) throw cause;
      return this.#cutOff(cause.message);
    } finally {
      clearInterval(saving);
      this.#pipeline.close();
    }
    if (this.#checkpointPath !== null) removeCheckpoint(this.#checkpointPath);
    this.#report((performance.now() - startedAt) / 1000);
    return this.#state.failedCount === 0 ? 0 : 1;
  }

  #firstState(): Checkpoint {
    const { bucket, key, resume, file } = this.#options;
    const fresh: Checkpoint = {
      format: "envelopedb-import/1",
      bucket,
      key,
      lines: 0,
      crc: 0,
      acknowledged: 0,
      skipped: 0,
      failedCount: 0,
      failed: [],
    };
    if (!resume) return fresh;
    if (this.#checkpointPath === null) {
      throw new EnvelopeError("INVALID_ARGUMENT", "--resume of standard input needs --checkpoint FILE");
    }
    const found = readCheckpoint(this.#checkpointPath);
    if (found === null) return fresh;
    if (found.bucket === bucket && found.key === key) return found;
    const was = `bucket ${found.bucket ?? "(default)"}, key ${found.key}`;
    throw new EnvelopeError("INVALID_ARGUMENT", `${this.#checkpointPath} is of another import of ${file} (${was})`);
  }

  async #load(input: InputLines, resumedAt: number): Promise<"done"> {
    for await (const batch of input.batches()) {
      for (const line of batch) {
        if (!this.#pipeline.hasRoom) await this.#pipeline.room();
        this.#take(line, resumedAt);
      }
      const fraction = input.totalBytes === null ? null : input.bytesRead() / Math.max(1, input.totalBytes);
      this.#progress.update(this.#state.acknowledged, fraction);
    }
    await this.#pipeline.drained();
    if (this.#readLines < resumedAt) throw otherInput(this.#checkpointPath);
    this.#advance(this.#readLines, this.#crc, this.#unsent);
    return "done";
  }

  #take(line: Uint8Array, resumedAt: number): void {
    this.#readLines += 1;
    this.#crc = crc32(NEWLINE, crc32(line, this.#crc));
    if (this.#readLines <= resumedAt) {
      if (this.#readLines === resumedAt && this.#crc !== this.#state.crc) throw otherInput(this.#checkpointPath);
      return;
    }
    const content = textOf(line);
    if (content.trim() === "") {
      this.#unsent.skipped += 1;
      return;
    }
    const key = this.#keyOf(content);
    if (typeof key !== "string") {
      this.#unsent.failedCount += 1;
      if (this.#unsent.failed.length < FAILURES_KEPT) {
        this.#unsent.failed.push({ line: this.#readLines, reason: key.problem });
      }
      return;
    }
    const before = this.#unsent;
    this.#unsent = { skipped: 0, failedCount: 0, failed: [] };
    const request = encodeRequest(["SET", key, line]);
    this.#pipeline.push({ request, line: this.#readLines, crc: this.#crc, before });
  }

  #answer(line: Line, reply: Reply): void {
    this.#advance(line.line, line.crc, line.before);
    if (reply.kind !== "error") {
      this.#state.acknowledged += 1;
      return;
    }
    this.#state.failedCount += 1;
    this.#keepFailures([{ line: line.line, reason: `${reply.code} ${reply.message}` }]);
  }

  #advance(lines: number, crc: number, before: Unsent): void {
    this.#state.lines = lines;
    this.#state.crc = crc;
    this.#state.skipped += before.skipped;
    this.#state.failedCount += before.failedCount;
    this.#keepFailures(before.failed);
  }

  #keepFailures(failures: readonly { line: number; reason: string }[]): void {
    this.#state.failed.push(...failures.slice(0, FAILURES_KEPT - this.#state.failed.length));
  }

  #save(): void {
    if (this.#checkpointPath === null || this.#state.lines === this.#savedLines) return;
    try {
      writeCheckpoint(this.#checkpointPath, this.#state);
      this.#savedLines = this.#state.lines;
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
      this.#checkpointPath = null;
      if (this.#options.checkpoint !== null || this.#options.resume) this.#saveFailure.reject(cause);
      else this.#progress.note(`going on without a checkpoint: ${cause.message}`);
    }
  }

  #noticeRetry(reason: string): void {
    this.#retries += 1;
    const now = performance.now();
    if (now - this.#noticedAt < 1_000) return;
    this.#noticedAt = now;
    this.#progress.note(`trying again: ${reason}`);
  }

  #cutOff(why: string): number {
    this.#save();
    process.stderr.write(`import stopped: ${why}\n`);
    this.#report(null);
    if (this.#checkpointPath !== null && this.#state.lines > 0) {
      process.stderr.write(`go on with the same command and --resume (checkpoint: ${this.#checkpointPath})\n`);
    }
    return 1;
  }

  #report(seconds: number | null): void {
    const { acknowledged, skipped, failedCount, failed } = this.#state;
    const rate = seconds === null ? "" : ` in ${seconds.toFixed(1)} s`;
    process.stdout.write(
      `${this.#readLines} lines read, ${acknowledged} acknowledged, ${skipped} blank, ${failedCount} failed${rate}` +
        `${this.#retries > 0 ? `, ${this.#retries} retries` : ""}\n`,
    );
    for (const { line, reason } of failed.slice(0, FAILURES_SHOWN)) process.stdout.write(`  line ${line}: ${reason}\n`);
    if (failedCount > FAILURES_SHOWN) process.stdout.write(`  and ${failedCount - FAILURES_SHOWN} more\n`);
  }
}

function otherInput(checkpoint: string | null): EnvelopeError {
  const why = "the input is not the one it was written for (its acknowledged lines differ)";
  return new EnvelopeError("INVALID_ARGUMENT", `${checkpoint ?? "the checkpoint"}: ${why}`);
}
