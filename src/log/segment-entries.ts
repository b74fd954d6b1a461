/**
 * Where the live entries of one segment lie. Entries are appended in log order and superseded only from the end, so
 * those of a segment are always consecutive indexes at ascending offsets: three columns of u32, no object per entry.
 * A sealed segment may leave its columns in the hint until somebody reads (`load`). The shard's thread only.
 */
import { assert } from "../core/assert.ts";

const ENTRIES_MIN = 64;

export class SegmentEntries {
  /** Index of the first live entry; meaningless while `count` is 0. */
  firstIndex = 0;
  count = 0;
  offsets: Uint32Array;
  byteCounts: Uint32Array;
  checksums: Uint32Array;
  /** The later segment that superseded entries of this one last. */
  supersededBy: SegmentEntries | null = null;
  #load: ((into: SegmentEntries) => void) | null;

  /** With `load`, the columns stay away until the first `ensureLoaded`, which calls it to `replace` them. */
  constructor(load: ((into: SegmentEntries) => void) | null = null) {
    this.#load = load;
    const room = load === null ? ENTRIES_MIN : 0;
    this.offsets = new Uint32Array(room);
    this.byteCounts = new Uint32Array(room);
    this.checksums = new Uint32Array(room);
  }

  get lastIndex(): number {
    return this.firstIndex + this.count - 1;
  }

  ensureLoaded(): void {
    if (this.#load === null) return;
    this.#load(this);
    this.#load = null;
    assert(this.offsets.length >= this.count, "a hint holds every live entry");
  }

  /** The columns of a segment whose entries were left in its hint. They begin with entry `firstIndex`. */
  replace(offsets: Uint32Array, byteCounts: Uint32Array, checksums: Uint32Array): void {
    this.offsets = offsets;
    this.byteCounts = byteCounts;
    this.checksums = checksums;
  }

  append(index: number, offset: number, byteCount: number, checksum: number): void {
    if (this.count === 0) this.firstIndex = index;
    if (this.count === this.offsets.length) this.#grow();
    this.offsets[this.count] = offset;
    this.byteCounts[this.count] = byteCount;
    this.checksums[this.count] = checksum;
    this.count += 1;
  }

  /** Forgets every entry at or behind `index`. */
  truncateFrom(index: number): void {
    if (index <= this.firstIndex) this.count = 0;
    else this.count = Math.min(this.count, index - this.firstIndex);
  }

  #grow(): void {
    assert(this.#load === null, "only a segment being written grows");
    const room = Math.max(ENTRIES_MIN, this.offsets.length * 2);
    this.offsets = grown(this.offsets, room);
    this.byteCounts = grown(this.byteCounts, room);
    this.checksums = grown(this.checksums, room);
  }
}

function grown(column: Uint32Array, room: number): Uint32Array {
  const larger = new Uint32Array(room);
  larger.set(column);
  return larger;
}
