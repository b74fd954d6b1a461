/** The CRC-32 of a whole file, a bounded piece at a time. The thread that has made it. */
import { crc32 } from "../core/crc32.ts";
import type { Disk, DiskFile } from "../env/disk.ts";

const PIECE_BYTES = 256 * 1024;

export class FileChecksum {
  readonly #file: DiskFile;
  readonly #buffer: Uint8Array;
  /** Bytes read. */
  byteCount = 0;
  /** Of the bytes read. */
  checksum = 0;

  /** `pieceBytes`: what a step reads at most. Throws MISSING_FILE, IO. */
  constructor(disk: Disk, path: string, pieceBytes: number) {
    this.#file = disk.open(path, "read");
    this.#buffer = new Uint8Array(Math.min(pieceBytes, PIECE_BYTES));
  }

  /** Reads a piece; false: that was the end of the file. Throws IO. */
  step(): boolean {
    const count = this.#file.read(this.#buffer, this.byteCount);
    if (count > 0) this.checksum = crc32(this.#buffer.subarray(0, count), this.checksum);
    this.byteCount += count;
    return count === this.#buffer.length;
  }

  close(): void {
    this.#file.close();
  }
}
