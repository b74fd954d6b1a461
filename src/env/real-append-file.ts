/**
 * A file of lines that only grows, on the file system. What a crash left of a line at its end was never reported as durable
 * and is cut off when the file is opened. A failed write is taken back; where that fails too, so does all that follows.
 * One caller at a time: each call waits for the one before it.
 */
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { EnvelopeError } from "../core/errors.ts";
import type { AppendFile } from "./append-file.ts";

const LINE_FEED = 0x0a;
/** A line at the end of a file lies in so many bytes. */
const TAIL_BYTES = 64 * 1024;
const MODE = 0o600;

/** Opens or creates; `lastLine` is the last whole line in it, or in the one before it, without its line feed. Throws IO. */
export async function openAppendFile(path: string): Promise<{ file: AppendFile; lastLine: Uint8Array | null }> {
  try {
    const handle = await open(path, "a+", MODE);
    const { size } = await handle.stat();
    const tail = await readTail(handle, size);
    const lineEnd = tail.lastIndexOf(LINE_FEED) + 1;
    const kept = size - (tail.length - lineEnd);
    if (kept < size) await handle.truncate(kept);
    await handle.sync();
    await syncDirectory(path);
    const lastLine = lineOf(tail.subarray(0, lineEnd)) ?? (await lastLineBefore(path));
    return { file: new RealAppendFile(path, handle, kept), lastLine };
  } catch (cause) {
    throw new EnvelopeError("IO", `cannot open ${path}: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

class RealAppendFile implements AppendFile {
  readonly #path: string;
  #handle: FileHandle;
  size: number;
  #isBroken = false;

  constructor(path: string, handle: FileHandle, size: number) {
    this.#path = path;
    this.#handle = handle;
    this.size = size;
  }

  async append(bytes: Uint8Array): Promise<void> {
    if (this.#isBroken) throw new EnvelopeError("IO", `${this.#path} cannot be trusted after a failed write`);
    try {
      for (let written = 0; written < bytes.length; ) {
        written += (await this.#handle.write(bytes, written, bytes.length - written)).bytesWritten;
      }
      await this.#handle.datasync();
      this.size += bytes.length;
    } catch (cause) {
      await this.#takeBack();
      throw new EnvelopeError(
        "IO",
        `cannot write ${this.#path}: ${cause instanceof Error ? cause.message : String(cause)}`,
      );
    }
  }

  async rotate(keep: number): Promise<void> {
    for (let number = keep; number > 0; number--) {
      const from = number === 1 ? this.#path : `${this.#path}.${number - 1}`;
      if (await exists(from)) await rename(from, `${this.#path}.${number}`);
    }
    if (keep === 0) await rm(this.#path);
    const handle = await open(this.#path, "a", MODE);
    await syncDirectory(this.#path);
    await this.#handle.close();
    this.#handle = handle;
    this.size = 0;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #takeBack(): Promise<void> {
    try {
      await this.#handle.truncate(this.size);
      await this.#handle.datasync();
    } catch {
      this.#isBroken = true;
    }
  }
}

async function readTail(handle: FileHandle, size: number): Promise<Uint8Array> {
  const tail = new Uint8Array(Math.min(size, TAIL_BYTES));
  let filled = 0;
  while (filled < tail.length) {
    const { bytesRead } = await handle.read(tail, filled, tail.length - filled, size - tail.length + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return tail.subarray(0, filled);
}

/** The last of whole lines, without its line feed. */
function lineOf(lines: Uint8Array): Uint8Array | null {
  if (lines.length === 0) return null;
  return lines.slice(lines.lastIndexOf(LINE_FEED, lines.length - 2) + 1, lines.length - 1);
}

/** A crash may have come between putting a file aside and the first line of the next. */
async function lastLineBefore(path: string): Promise<Uint8Array | null> {
  if (!(await exists(`${path}.1`))) return null;
  const handle = await open(`${path}.1`, "r");
  try {
    const tail = await readTail(handle, (await handle.stat()).size);
    return lineOf(tail.subarray(0, tail.lastIndexOf(LINE_FEED) + 1));
  } finally {
    await handle.close();
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw cause;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(dirname(path), "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
