/**
 * Makes a segment ahead of its use: real zeros, because a sync over blocks that already hold data costs half of one
 * that has to allocate them. The file grows under an unfinished name, in bounded pieces, each synced so that no sync
 * is long; header and name come last, so a segment is either whole or not there. A file that was a segment before needs
 * no zeros. The shard's thread only.
 */
import { EnvelopeError } from "../core/errors.ts";
import type { Disk, DiskFile } from "../env/disk.ts";
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES, type SegmentHeader } from "../record/segment-format.ts";
import { segmentPath, unfinishedPath } from "./log-files.ts";

/** What is synced at once. */
const ZERO_PIECE_BYTES = 128 * 1024;
/**
 * What is written at once. Linux 6.18 gives ext4 page cache folios as large as the write, and goes over all blocks of a
 * folio at each later write into it: after writes of 1 MiB a group of 320 bytes takes 2.1 µs, after these 0.9.
 */
const ZEROS = new Uint8Array(64 * 1024);

/** A segment that has just got its name: its header block and its file, open for writing. */
export interface MadeSegment {
  readonly header: SegmentHeader;
  readonly block: Uint8Array;
  readonly file: DiskFile;
}

export class SegmentPreparation {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #path: string;
  readonly #file: DiskFile;
  #filledBytes: number;
  #isOpen = true;
  readonly segmentBytes: number;
  /** Whether the file may hold groups of a former life instead of zeros. */
  readonly isRecycled: boolean;

  private constructor(
    disk: Disk,
    directory: string,
    path: string,
    file: DiskFile,
    filled: number,
    bytes: number,
    isRecycled: boolean,
  ) {
    this.#disk = disk;
    this.#directory = directory;
    this.#path = path;
    this.#file = file;
    this.#filledBytes = filled;
    this.segmentBytes = bytes;
    this.isRecycled = isRecycled;
  }

  /** Begins the segment `id` of `segmentBytes`. */
  static begin(disk: Disk, directory: string, id: number, segmentBytes: number): SegmentPreparation {
    const path = segmentPath(directory, id);
    const unfinished = unfinishedPath(path);
    if (disk.exists(unfinished)) disk.remove(unfinished);
    const file = disk.open(unfinished, "create");
    return new SegmentPreparation(disk, directory, path, file, 0, segmentBytes, false);
  }

  /** Takes a segment that was made ahead and never used back to become segment `id`. */
  static reuse(disk: Disk, directory: string, unused: SegmentHeader, id: number): SegmentPreparation {
    const { segmentId, segmentBytes, isRecycled } = unused;
    const path = segmentPath(directory, id);
    const unfinished = unfinishedPath(path);
    disk.rename(segmentPath(directory, segmentId), unfinished);
    // Nothing may be written into it while the disk could still know it by its old name.
    disk.syncDirectory(directory);
    const file = disk.open(unfinished, "write");
    return new SegmentPreparation(disk, directory, path, file, segmentBytes, segmentBytes, isRecycled);
  }

  /** Takes a file of this many bytes, all of which a former segment has written, under its unfinished name. */
  static recycle(disk: Disk, directory: string, spare: string, id: number, segmentBytes: number): SegmentPreparation {
    const path = segmentPath(directory, id);
    disk.rename(spare, unfinishedPath(path));
    const file = disk.open(unfinishedPath(path), "write");
    return new SegmentPreparation(disk, directory, path, file, segmentBytes, segmentBytes, true);
  }

  get isFilled(): boolean {
    return this.#filledBytes === this.segmentBytes;
  }

  /** Writes one piece of zeros and, for work in the background, syncs it. */
  fillPiece(sync: boolean): void {
    const byteCount = Math.min(ZERO_PIECE_BYTES, this.segmentBytes - this.#filledBytes);
    for (const end = this.#filledBytes + byteCount; this.#filledBytes < end; ) {
      const zeros = ZEROS.subarray(0, Math.min(ZEROS.length, end - this.#filledBytes));
      this.#file.write(zeros, this.#filledBytes);
      this.#filledBytes += zeros.length;
    }
    if (sync) this.#file.sync();
  }

  /** Fills whatever is left at once. */
  fill(): void {
    while (!this.isFilled) this.fillPiece(false);
  }

  /** Writes bytes behind the header block, before the segment has its name. */
  write(bytes: Uint8Array, offset: number): void {
    this.#file.write(bytes, offset);
  }

  /**
   * Completes the file with its header, makes all of it durable and gives it its name. Throws DISKFULL only as long as
   * it has not got it.
   */
  finish(header: SegmentHeader, isDirect: boolean): MadeSegment {
    const block = encodeSegmentHeader(header);
    this.#file.write(block, 0);
    this.#file.sync();
    this.close();
    this.#disk.rename(unfinishedPath(this.#path), this.#path);
    try {
      this.#disk.syncDirectory(this.#directory);
      return { header, block, file: this.#disk.open(this.#path, isDirect ? "writeDirect" : "write") };
    } catch (failure) {
      // The name is there, perhaps for good: there is nothing left to give back, and no beginning anew.
      if (!(failure instanceof EnvelopeError) || failure.code !== "DISKFULL") throw failure;
      throw new EnvelopeError("IO", failure.message);
    }
  }

  /** Leaves it as it is, to be removed by the next start. */
  close(): void {
    if (this.#isOpen) this.#file.close();
    this.#isOpen = false;
  }

  /** Gives back the room of a segment that could not be completed. */
  abandon(): void {
    this.close();
    this.#disk.remove(unfinishedPath(this.#path));
  }
}

/** Bytes of a segment that has to hold a group of `groupBytes`. */
export function segmentBytesFor(groupBytes: number, segmentBytes: number): number {
  return Math.max(segmentBytes, SEGMENT_HEADER_BYTES + groupBytes);
}
