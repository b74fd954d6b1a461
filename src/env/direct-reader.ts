/**
 * Reads past the page cache (O_DIRECT), of any range into any memory: what is read is the aligned blocks that the range
 * lies in, through one buffer here, and a copy. That costs a microsecond for each 10 KiB, a read of the disk fifty or more.
 * Not every file system can do it: `probe` says why. Any thread; objects are not shared.
 */
import { closeSync, constants, openSync, readSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { alignedMemory, DIRECT_ALIGNMENT_BYTES } from "./aligned-memory.ts";

/** One read; a longer range takes several. */
const BUFFER_BYTES = 512 * 1024;
const FLAGS = constants.O_RDONLY | constants.O_DIRECT;
const PROBE_NAME = "direct-read.probe";

export class DirectReader {
  readonly #buffer = alignedMemory(BUFFER_BYTES);

  /** Why files of this directory cannot be read so; null: they can. */
  probe(directory: string): string | null {
    if (FLAGS === constants.O_RDONLY) return "this system has no O_DIRECT";
    const path = join(directory, PROBE_NAME);
    try {
      writeFileSync(path, new Uint8Array(DIRECT_ALIGNMENT_BYTES).fill(1));
      const fd = this.open(path);
      try {
        const count = this.read(fd, new Uint8Array(DIRECT_ALIGNMENT_BYTES), 0);
        return count === DIRECT_ALIGNMENT_BYTES ? null : `a read with O_DIRECT brought ${count} bytes`;
      } finally {
        closeSync(fd);
      }
    } catch (cause) {
      return `cannot read with O_DIRECT: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`;
    } finally {
      removeProbe(path);
    }
  }

  open(path: string): number {
    return openSync(path, FLAGS);
  }

  /** Fills `into` from `position`; returns the bytes read, fewer only at the end of the file. Throws what the system says. */
  read(fd: number, into: Uint8Array, position: number): number {
    let done = 0;
    while (done < into.length) {
      const skipped = (position + done) % DIRECT_ALIGNMENT_BYTES;
      const wanted = skipped + into.length - done;
      const byteCount = Math.min(BUFFER_BYTES, Math.ceil(wanted / DIRECT_ALIGNMENT_BYTES) * DIRECT_ALIGNMENT_BYTES);
      const count = readSync(fd, this.#buffer, 0, byteCount, position + done - skipped);
      const taken = Math.min(count, wanted) - skipped;
      if (taken <= 0) break;
      into.set(this.#buffer.subarray(skipped, skipped + taken), done);
      done += taken;
    }
    return done;
  }
}

/** It was never made where the directory cannot be written. */
function removeProbe(path: string): void {
  try {
    unlinkSync(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
  }
}
