/**
 * A file that is read from its front to its back past the page cache, a little at a time: the disk is asked for larger
 * pieces, as the kernel would by itself. One thread; the file is the caller's.
 */
import { EMPTY_BYTES } from "../core/bytes.ts";
import type { DiskFile } from "../env/disk.ts";
import { PIECE_BYTES_MAX } from "./read-ahead.ts";

/** What a reader of a file needs of it. */
export type ReadableFile = Pick<DiskFile, "path" | "size" | "read">;

export class PiecewiseFile implements ReadableFile {
  readonly path: string;
  readonly #file: DiskFile;
  readonly #buffer = new Uint8Array(PIECE_BYTES_MAX);
  /** What was read last, and where it lies in the file. */
  #piece: Uint8Array = EMPTY_BYTES;
  #start = 0;

  constructor(file: DiskFile) {
    this.path = file.path;
    this.#file = file;
  }

  size(): number {
    return this.#file.size();
  }

  read(into: Uint8Array, position: number): number {
    if (into.length > PIECE_BYTES_MAX) return this.#file.read(into, position);
    if (position < this.#start || position + into.length > this.#start + this.#piece.length) {
      this.#piece = EMPTY_BYTES;
      const byteCount = this.#file.read(this.#buffer, position);
      this.#piece = this.#buffer.subarray(0, byteCount);
      this.#start = position;
    }
    const offset = position - this.#start;
    const found = this.#piece.subarray(offset, offset + into.length);
    into.set(found);
    return found.length;
  }
}
