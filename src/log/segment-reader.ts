/**
 * Reads entries back from segments, a span at a time, and checks each against the checksum it was written with: a
 * damaged entry is an error with file and offset, never an answer. A read that fails is tried once more; if it fails again, the
 * bytes count as damaged. One file is kept open. The shard's thread only.
 */
import { crc32 } from "../core/crc32.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import type { Disk, DiskFile } from "../env/disk.ts";
import type { Segment } from "./segment.ts";

/** Consecutive entries whose bytes lie within this are read at once. */
const SPAN_BYTES_MAX = 1024 * 1024;

export class SegmentReader {
  readonly #disk: Disk;
  #file: DiskFile | null = null;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /**
   * Adds entries of `segment` to `into`, from the live entry numbered `ordinal` (0: its first): as many as lie within
   * one span and keep the sum of bytes within `bytesMax`, but at least one. Returns how many.
   */
  readSpan(segment: Segment, ordinal: number, bytesMax: number, into: Uint8Array[]): number {
    segment.entries.ensureLoaded();
    const { offsets, byteCounts, checksums, count } = segment.entries;
    const start = offsets[ordinal]!;
    let end = start + byteCounts[ordinal]!;
    let next = ordinal + 1;
    for (let sum = byteCounts[ordinal]!; next < count; next++) {
      sum += byteCounts[next]!;
      const nextEnd = offsets[next]! + byteCounts[next]!;
      if (sum > bytesMax || nextEnd - start > SPAN_BYTES_MAX) break;
      end = nextEnd;
    }
    const span = this.#read(segment.path, start, end);
    for (let i = ordinal; i < next; i++) {
      const entryStart = offsets[i]! - start;
      const entry = span.subarray(entryStart, entryStart + byteCounts[i]!);
      if (crc32(entry) !== checksums[i]!) throw corruption(segment.path, offsets[i]!, "an entry with a wrong checksum");
      into.push(entry);
    }
    return next - ordinal;
  }

  /** Closes the file it holds, if it is this one or none is named. */
  release(path: string | null): void {
    if (this.#file === null || (path !== null && this.#file.path !== path)) return;
    this.#file.close();
    this.#file = null;
  }

  #read(path: string, start: number, end: number): Uint8Array {
    const span = new Uint8Array(end - start);
    for (let attempt = 1; ; attempt++) {
      try {
        if (this.#open(path).read(span, start) === span.length) return span;
        throw corruption(path, start, "a segment cut short");
      } catch (cause) {
        if (!(cause instanceof EnvelopeError) || cause.code !== "IO") throw cause;
        if (attempt === 2) throw corruption(path, start, cause.message);
        this.release(null);
      }
    }
  }

  #open(path: string): DiskFile {
    if (this.#file?.path === path) return this.#file;
    this.release(null);
    this.#file = this.#disk.open(path, "read");
    return this.#file;
  }
}
