/**
 * `verify`: checks a data directory that no process uses, and prints a line for each finding and one for the sum. Exit
 * codes: 0 sound, 1 there is damage, 2 it could not be checked (in use, not there, none of ours).
 */
import { dirname, resolve } from "node:path";
import { EnvelopeError } from "../core/errors.ts";
import type { Finding } from "../core/file-report.ts";
import { lockForReading } from "../env/directory-lock.ts";
import { RealDisk } from "../env/real-disk.ts";
import { isShardDirectory, verifyDirectory } from "../verify.ts";
import { LineOutput } from "./line-output.ts";

export interface VerifyFlags {
  readonly json: boolean;
  readonly shallow: boolean;
}

const EXIT_DAMAGE = 1;
const EXIT_CANNOT = 2;

export function runVerify(path: string, flags: VerifyFlags): number {
  const directory = resolve(path);
  const output = new LineOutput();
  const print = (finding: Finding): void => output.line(flags.json ? JSON.stringify(finding) : asText(finding));
  try {
    const disk = new RealDisk();
    // The lock is the node's: a shard is locked with the directory it lies in.
    const lock = lockForReading(isShardDirectory(disk, directory) ? dirname(directory) : directory);
    try {
      const summary = verifyDirectory(disk, directory, flags.shallow, print);
      const { shardCount, fileCount, byteCount, damageCount, noteCount } = summary;
      if (flags.json) output.line(JSON.stringify({ severity: "summary", ...summary }));
      else {
        const seen = `${shardCount} shards, ${fileCount} files, ${byteCount} bytes`;
        output.line(`${damageCount === 0 ? "sound" : "damaged"}: ${seen}; ${damageCount} damaged, ${noteCount} notes`);
      }
      return damageCount === 0 ? 0 : EXIT_DAMAGE;
    } finally {
      lock.release();
    }
  } catch (cause) {
    if (!(cause instanceof EnvelopeError)) throw cause;
    process.stderr.write(`envelopedb: ${cause.code}: ${cause.message}\n`);
    return EXIT_CANNOT;
  } finally {
    output.flush();
  }
}

function asText({ severity, file, offset, what }: Finding): string {
  return `${severity} ${file}${offset === null ? "" : ` at offset ${offset}`}: ${what}`;
}
