/**
 * `inspect`: prints one file of a data directory part by part, as text or as lines of JSON. Exit codes: 0 sound, 1 there
 * is damage, 2 it cannot be said (no file of ours, unreadable).
 */
import { EnvelopeError } from "../core/errors.ts";
import type { FilePart } from "../core/file-report.ts";
import { RealDisk } from "../env/real-disk.ts";
import { inspectFile } from "../inspect.ts";
import { LineOutput } from "./line-output.ts";

export interface InspectFlags {
  readonly json: boolean;
  readonly entries: boolean;
  /** So many parts are printed; the rest are read and counted. */
  readonly limit: number;
}

const EXIT_DAMAGE = 1;
const EXIT_CANNOT = 2;

export function runInspect(path: string, flags: InspectFlags): number {
  const output = new LineOutput();
  let partCount = 0;
  const print = (part: FilePart): void => {
    partCount += 1;
    if (partCount <= flags.limit) output.line(flags.json ? asJson(part) : asText(part));
  };
  try {
    const damage = inspectFile(new RealDisk(), path, { withEntries: flags.entries }, print);
    const hiddenCount = Math.max(0, partCount - flags.limit);
    const message = damage?.message ?? null;
    if (flags.json)
      output.line(JSON.stringify({ part: "result", sound: message === null, damage: message, hiddenCount }));
    else
      output.line(
        `${message === null ? "sound" : `damage: ${message}`}${hiddenCount > 0 ? `, ${hiddenCount} parts not shown` : ""}`,
      );
    return message === null ? 0 : EXIT_DAMAGE;
  } catch (cause) {
    if (!(cause instanceof EnvelopeError)) throw cause;
    process.stderr.write(`envelopedb: ${cause.code}: ${cause.message}\n`);
    return EXIT_CANNOT;
  } finally {
    output.flush();
  }
}

function asJson({ kind, depth, offset, fields }: FilePart): string {
  return JSON.stringify({ part: kind, depth, offset, ...fields });
}

/** Two blanks a depth, the kind, then `name=value`. */
function asText({ kind, depth, offset, fields }: FilePart): string {
  const said = Object.entries({ offset, ...fields }).map(([name, value]) => `${name}=${value}`);
  return `${"  ".repeat(depth)}${kind} ${said.join(" ")}`;
}
