/**
 * Segments that nobody needs any more, kept to be written again: their blocks hold data already, so that neither zeros
 * have to be written nor blocks given back and asked for anew. A spare has an unfinished name, does not count, and is
 * removed by the next start like anything unfinished.
 *
 * Old bytes never pass for new ones, because the segment's header is the seed of every checksum in it (group-format.ts).
 * Only a segment of the usual length that this very object saw made and filled is kept; one that a recovery read or made
 * goes back to the disk. The shard's thread only.
 */
import type { Disk } from "../env/disk.ts";
import { unfinishedPath } from "./log-files.ts";
import type { Segment } from "./segment.ts";
import { SegmentPreparation } from "./segment-preparation.ts";

/** A flush releases several segments at once, and the log goes through as many before the next. */
const SPARES_MAX = 8;

export class SpareSegments {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #paths: string[] = [];

  constructor(disk: Disk, directory: string, segmentBytes: number) {
    this.#disk = disk;
    this.#directory = directory;
    this.#segmentBytes = segmentBytes;
  }

  get count(): number {
    return this.#paths.length;
  }

  /** Takes the segment's file away from under its name, as deleting it would. False: it is not kept. */
  keep(segment: Segment): boolean {
    const isUsual = segment.header.segmentBytes === this.#segmentBytes;
    if (!segment.isRecyclable || !isUsual || this.#paths.length === SPARES_MAX) return false;
    const path = unfinishedPath(segment.path);
    this.#disk.rename(segment.path, path);
    this.#paths.push(path);
    return true;
  }

  /** A spare as the beginning of segment `id`, or null. */
  take(id: number): SegmentPreparation | null {
    const path = this.#paths.pop();
    return path === undefined
      ? null
      : SegmentPreparation.recycle(this.#disk, this.#directory, path, id, this.#segmentBytes);
  }

  /** Gives the room of one back to the disk; false when there is none. */
  giveBack(): boolean {
    const path = this.#paths.pop();
    if (path !== undefined) this.#disk.remove(path);
    return path !== undefined;
  }
}
