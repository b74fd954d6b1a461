/**
 * Writes past the page cache (O_DIRECT), each durable when it returns (O_DSYNC). Position and length have to be multiples
 * of 4096; the bytes may lie anywhere: they go through one buffer here that lies right. A copy costs microseconds, a sync
 * a hundred. Not every file system can do it (tmpfs, some overlays): `probe` says why. Any thread; objects are not shared.
 */
import { closeSync, constants, openSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { EnvelopeError } from "../core/errors.ts";
import { alignedMemory, DIRECT_ALIGNMENT_BYTES } from "./aligned-memory.ts";

const BUFFER_BYTES = 1024 * 1024;
const FLAGS = constants.O_RDWR | constants.O_DIRECT | constants.O_DSYNC;
const PROBE_NAME = "direct-write.probe";

export class DirectWriter {
  readonly #buffer = alignedMemory(BUFFER_BYTES);

  /** A writer for files of this directory, or the reason why there is none. */
  static probe(directory: string): DirectWriter | string {
    const path = join(directory, PROBE_NAME);
    let fd: number;
    try {
      fd = openSync(path, FLAGS | constants.O_CREAT, 0o600);
    } catch (cause) {
      return `cannot open files with O_DIRECT: ${errno(cause)}`;
    }
    try {
      const writer = new DirectWriter();
      writeSync(fd, writer.#buffer, 0, DIRECT_ALIGNMENT_BYTES, 0);
      return writer;
    } catch (cause) {
      return `cannot write with O_DIRECT: ${errno(cause)}`;
    } finally {
      closeSync(fd);
      unlinkSync(path);
    }
  }

  open(path: string): number {
    return openSync(path, FLAGS);
  }

  /** Writes all of `bytes`, durable on return. Throws what the system says. */
  write(fd: number, path: string, bytes: Uint8Array, position: number): void {
    if (position % DIRECT_ALIGNMENT_BYTES !== 0 || bytes.length % DIRECT_ALIGNMENT_BYTES !== 0) {
      throw new EnvelopeError("IO", `a direct write of ${bytes.length} bytes at ${position} of ${path} is not aligned`);
    }
    for (let done = 0; done < bytes.length; ) {
      const byteCount = Math.min(BUFFER_BYTES, bytes.length - done);
      this.#buffer.set(bytes.subarray(done, done + byteCount));
      const count = writeSync(fd, this.#buffer, 0, byteCount, position + done);
      if (count === 0 || count % DIRECT_ALIGNMENT_BYTES !== 0) {
        throw new EnvelopeError("IO", `a direct write took ${count} bytes of ${path} at ${position + done}`);
      }
      done += count;
    }
  }
}

function errno(cause: unknown): string {
  return (cause as NodeJS.ErrnoException).code ?? String(cause);
}
