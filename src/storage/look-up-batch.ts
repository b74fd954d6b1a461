/**
 * Many keys looked up in tables at once. One look-up waits for memory again and again: for a line of the filter, the
 * end of a block, a restart, the entries behind it. The waits of different keys do not depend on each other, so all keys
 * of a batch go through one stage before any goes on to the next, and each stage looks at what the next one needs.
 *
 * The owner writes keys (`add`), has the tree look (`Tree.findMany`) and reads the fields of each position. Arrays are
 * reused: a batch that has been through its largest keys once allocates nothing. One thread.
 */
import { assert } from "../core/assert.ts";
import { EMPTY_BYTES } from "../core/bytes.ts";
import { compareStamps, type Stamp } from "../core/stamp.ts";
import { VersionKind } from "../record/version.ts";
import { findFromRestart, lastRestartBefore } from "./block-cursor.ts";
import {
  BlockPlace,
  BUCKET_BYTES,
  EntryReader,
  readU32,
  restartArray,
  restartCount,
  writeTableKey,
} from "./block-format.ts";
import type { RunSearch } from "./run-search.ts";
import type { Table } from "./table.ts";
import type { ValueFiles } from "./value-files.ts";
import { ValuePointer } from "./value-pointer-format.ts";

const TARGET_BYTES_AT_FIRST = 64;
const CACHE_LINE_BYTES = 64;
/** Of the entries behind a restart at most this much is looked at ahead: half of sixteen entries of middling size. */
const WARM_BYTES_MAX = 1024;

export class LookUpBatch {
  readonly capacity: number;
  /** Keys in the batch. */
  count = 0;
  /** 1: the tree has a version of this key; then the fields below are those of the newest one. */
  readonly isFound: Uint8Array;
  readonly stampHigh: Uint32Array;
  readonly stampLow: Uint32Array;
  readonly origin: Uint16Array;
  readonly kind: Uint8Array;
  readonly expiryMs: Float64Array;
  /** Views of a table or a value file, good until the next step of a job: the value lies at [valueStart, valueEnd) of its bytes. */
  readonly valueBytes: Uint8Array[];
  readonly valueStart: Uint32Array;
  readonly valueEnd: Uint32Array;
  readonly #hashes: Uint32Array;
  readonly #targets: Uint8Array[];
  readonly #targetBytes: Uint32Array;
  /** The table of the run under search that may have the key. */
  readonly #tables: (Table | null)[];
  readonly #places: readonly BlockPlace[];
  readonly #restarts: Uint32Array;
  /** Where the entries of that restart begin. */
  readonly #offsets: Uint32Array;
  readonly #entry = new EntryReader();
  readonly #pointer = new ValuePointer();
  /** Keeps what is looked at ahead from being optimized away. */
  readonly #warmth = new Int32Array(1);

  constructor(capacity: number) {
    this.capacity = capacity;
    this.isFound = new Uint8Array(capacity);
    this.stampHigh = new Uint32Array(capacity);
    this.stampLow = new Uint32Array(capacity);
    this.origin = new Uint16Array(capacity);
    this.kind = new Uint8Array(capacity);
    this.expiryMs = new Float64Array(capacity);
    this.valueBytes = new Array<Uint8Array>(capacity).fill(EMPTY_BYTES);
    this.valueStart = new Uint32Array(capacity);
    this.valueEnd = new Uint32Array(capacity);
    this.#hashes = new Uint32Array(capacity);
    this.#targets = Array.from({ length: capacity }, () => new Uint8Array(TARGET_BYTES_AT_FIRST));
    this.#targetBytes = new Uint32Array(capacity);
    this.#tables = new Array<Table | null>(capacity).fill(null);
    this.#places = Array.from({ length: capacity }, () => new BlockPlace());
    this.#restarts = new Uint32Array(capacity);
    this.#offsets = new Uint32Array(capacity);
  }

  /** Adds a key, `keyHash` being murmur3 of it seeded by the bucket; returns its position. */
  add(bucket: number, key: Uint8Array, keyHash: number): number {
    assert(this.count < this.capacity, "a batch is not overfilled");
    const position = this.count++;
    const needed = key.length + BUCKET_BYTES;
    if (this.#targets[position]!.length < needed) this.#targets[position] = new Uint8Array(needed * 2);
    this.#targetBytes[position] = writeTableKey(this.#targets[position]!, bucket, key);
    this.#hashes[position] = keyHash;
    this.isFound[position] = 0;
    return position;
  }

  /** Forgets the keys and lets go of what was found. */
  clear(): void {
    for (let i = 0; i < this.count; i++) {
      this.valueBytes[i] = EMPTY_BYTES;
      this.#places[i]!.leave();
    }
    this.count = 0;
  }

  /**
   * Looks for every key in one run and keeps what is newer than what it has. Keys of which a version above
   * `maxStamp` has been found are done: this run and all behind it are older. Throws CORRUPTION at damage.
   */
  searchRun(run: RunSearch, maxStamp: Stamp, asOf: Stamp): void {
    this.#warmFilters(run, maxStamp);
    this.#enterBlocks();
    this.#warmMiddles();
    this.#chooseRestarts();
    for (let i = 0; i < this.count; i++) if (this.#tables[i] !== null) this.#findInBlock(i, asOf);
  }

  /** Reads the values that the tables only point to. Throws CORRUPTION at damage. */
  readSeparateValues(files: ValueFiles): void {
    for (let i = 0; i < this.count; i++) {
      if (this.isFound[i] === 0 || this.kind[i] !== VersionKind.pointer) continue;
      const value = files.read(this.#pointer.read(this.valueBytes[i]!, this.valueStart[i]!));
      this.kind[i] = VersionKind.value;
      this.valueBytes[i] = value;
      this.valueStart[i] = 0;
      this.valueEnd[i] = value.length;
    }
  }

  /** Whether a found version is above the stamp. */
  #isAbove(i: number, stamp: Stamp): boolean {
    return this.isFound[i] === 1 && compareStamps(this.stampHigh[i]!, this.stampLow[i]!, stamp.high, stamp.low) > 0;
  }

  #warmFilters(run: RunSearch, maxStamp: Stamp): void {
    let sum = 0;
    for (let i = 0; i < this.count; i++) {
      this.#tables[i] = null;
      if (this.#isAbove(i, maxStamp)) continue;
      const table = run.tableFor(this.#targets[i]!, this.#targetBytes[i]!);
      if (table === null || this.#isAbove(i, table.footer.maxStamp)) continue;
      this.#tables[i] = table;
      sum ^= table.warmFilter(this.#hashes[i]!);
    }
    this.#warmth[0] = sum;
  }

  #enterBlocks(): void {
    for (let i = 0; i < this.count; i++) {
      const table = this.#tables[i]!;
      if (table === null) continue;
      if (table.mayHold(this.#hashes[i]!)) {
        table.requireSound(this.#targets[i]!);
        const place = this.#places[i]!;
        table.loadBlock(table.findBlock(this.#targets[i]!, this.#targetBytes[i]!), place, null);
        if (place.isLent) place.keep();
      } else {
        this.#tables[i] = null;
      }
    }
    // A loop of its own, with nothing between the loads that the processor could mispredict.
    let sum = 0;
    for (let i = 0; i < this.count; i++) {
      const { bytes, end } = this.#places[i]!;
      sum ^= bytes[end - 1]!;
    }
    this.#warmth[0] = sum;
  }

  /** The restart that the search within each block begins with. */
  #warmMiddles(): void {
    let sum = 0;
    for (let i = 0; i < this.count; i++) {
      if (this.#tables[i] === null) continue;
      const { bytes, start, end } = this.#places[i]!;
      const middle = restartCount(bytes, end) >>> 1;
      sum ^= bytes[start + readU32(bytes, restartArray(bytes, end) + 4 * middle)]!;
    }
    this.#warmth[0] = sum;
  }

  #chooseRestarts(): void {
    for (let i = 0; i < this.count; i++) {
      if (this.#tables[i] === null) continue;
      const { bytes, start, end } = this.#places[i]!;
      const restart = lastRestartBefore(this.#entry, bytes, start, end, this.#targets[i]!, this.#targetBytes[i]!);
      this.#restarts[i] = restart;
      this.#offsets[i] = start + readU32(bytes, restartArray(bytes, end) + 4 * restart);
    }
    let sum = 0;
    for (let i = 0; i < this.count; i++) {
      const { bytes, end } = this.#places[i]!;
      const first = this.#offsets[i]!;
      const last = Math.min(end, first + WARM_BYTES_MAX);
      for (let offset = first; offset < last; offset += CACHE_LINE_BYTES) sum ^= bytes[offset]!;
    }
    this.#warmth[0] = sum;
  }

  #findInBlock(i: number, asOf: Stamp): void {
    const entry = this.#entry;
    const { bytes, start, end, isLent } = this.#places[i]!;
    const target = this.#targets[i]!;
    if (!findFromRestart(entry, bytes, start, end, this.#restarts[i]!, target, this.#targetBytes[i]!, asOf)) return;
    if (this.isFound[i] === 1) {
      const age = compareStamps(entry.stampHigh, entry.stampLow, this.stampHigh[i]!, this.stampLow[i]!);
      if (age < 0 || (age === 0 && entry.origin <= this.origin[i]!)) return;
    }
    this.isFound[i] = 1;
    this.stampHigh[i] = entry.stampHigh;
    this.stampLow[i] = entry.stampLow;
    this.origin[i] = entry.origin;
    this.kind[i] = entry.kind satisfies VersionKind;
    this.expiryMs[i] = entry.expiryMs;
    // The next run's block comes into the same place.
    this.valueBytes[i] = isLent ? bytes.slice(entry.suffixEnd, entry.valueEnd) : bytes;
    this.valueStart[i] = isLent ? 0 : entry.suffixEnd;
    this.valueEnd[i] = isLent ? entry.valueEnd - entry.suffixEnd : entry.valueEnd;
  }
}
