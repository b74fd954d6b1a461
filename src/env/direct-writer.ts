/**
 * Writes past the page cache (O_DIRECT), each durable when it returns (O_DSYNC). Linux wants position, length and memory
 * to be multiples of the device's block; 4096 serves all of them. So bytes go through one buffer here that lies right: a
 * copy costs microseconds, a sync a hundred. Where in the buffer is found by trying, once for each process and file system,
 * because JavaScript does not tell where memory lies. Not every file system can do it (tmpfs, some overlays): `probe`
 * says why. Any thread; objects are not shared.
 */
import { closeSync, constants, openSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { EnvelopeError } from "../core/errors.ts";

const DIRECT_ALIGNMENT_BYTES = 4096;
const BUFFER_BYTES = 1024 * 1024;
/** Every memory a process can get is aligned to this. */
const MEMORY_STEP_BYTES = 8;
const FLAGS = constants.O_RDWR | constants.O_DIRECT | constants.O_DSYNC;
const PROBE_NAME = "direct-write.probe";

export class DirectWriter {
  readonly #buffer: Uint8Array;

  private constructor(buffer: Uint8Array) {
    this.#buffer = buffer;
  }

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
      return DirectWriter.#align(fd);
    } finally {
      closeSync(fd);
      unlinkSync(path);
    }
  }

  static #align(fd: number): DirectWriter | string {
    const memory = new Uint8Array(new ArrayBuffer(BUFFER_BYTES + DIRECT_ALIGNMENT_BYTES));
    for (let offset = 0; offset < DIRECT_ALIGNMENT_BYTES; offset += MEMORY_STEP_BYTES) {
      try {
        writeSync(fd, memory, offset, DIRECT_ALIGNMENT_BYTES, 0);
      } catch (cause) {
        if (errno(cause) === "EINVAL") continue;
        return `cannot write with O_DIRECT: ${errno(cause)}`;
      }
      // It may be content with less than a page: what it took is what it needs.
      return new DirectWriter(memory.subarray(offset, offset + BUFFER_BYTES));
    }
    return "cannot write with O_DIRECT: EINVAL";
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
