/**
 * A walk over a run of which some tables are quarantined. Between the smallest and the largest key of such a table nobody
 * knows what there is, so the walk stops at a *barrier* there, whichever way it goes: a place with a key, before every
 * version of that key or behind all of them, at which looking at the version or going on throws the table's CORRUPTION. A
 * walk that ends before it goes well.
 *
 * The shard's own buckets are excepted: without its system bucket a shard cannot even be opened, and without what it remembers
 * of sessions it can decide nothing for them. Their versions are read from a quarantined table as long as the very blocks they
 * lie in pass their checks, the sessions' in walks that begin among them. One thread.
 */
import { compareBytes, EMPTY_BYTES } from "../core/bytes.ts";
import { SESSION_BUCKET, SYSTEM_BUCKET } from "../core/ids.ts";
import { MAX_STAMP } from "../core/stamp.ts";
import type { TwoWayCursor, VersionKind } from "../record/version.ts";
import { BlockCursor } from "./block-cursor.ts";
import { BlockPlace, BUCKET_BYTES, tableKeyBucket, writeTableKey } from "./block-format.ts";
import { ReadAhead } from "./read-ahead.ts";
import { RunCursor } from "./run-cursor.ts";
import { firstTableEndingAt, type Table } from "./table.ts";

/** A place that is no version: before every version of its key, or behind all of them. */
interface Barrier {
  readonly table: Table;
  readonly bucket: number;
  readonly key: Uint8Array;
  readonly isBehind: boolean;
}

const ORIGIN_MAX = 0xffff;

export class DamagedRunCursor implements TwoWayCursor {
  readonly #run: readonly Table[];
  #index = 0;
  #sound: RunCursor | null = null;
  #own: OwnCursor | null = null;
  #barrier: Barrier | null = null;

  constructor(run: readonly Table[]) {
    this.#run = run;
  }

  get valid(): boolean {
    return this.#barrier !== null || this.#sound?.valid === true || this.#own?.valid === true;
  }
  get bucket(): number {
    return this.#barrier === null ? this.#version.bucket : this.#barrier.bucket;
  }
  get key(): Uint8Array {
    return this.#barrier === null ? this.#version.key : this.#barrier.key;
  }
  get stampHigh(): number {
    return this.#barrier === null ? this.#version.stampHigh : this.#barrier.isBehind ? 0 : MAX_STAMP.high;
  }
  get stampLow(): number {
    return this.#barrier === null ? this.#version.stampLow : this.#barrier.isBehind ? 0 : MAX_STAMP.low;
  }
  get origin(): number {
    return this.#barrier === null ? this.#version.origin : this.#barrier.isBehind ? 0 : ORIGIN_MAX;
  }
  get kind(): VersionKind {
    return this.#version.kind;
  }
  get expiryMs(): number {
    return this.#version.expiryMs;
  }
  get value(): Uint8Array {
    return this.#version.value;
  }

  seek(bucket: number, key: Uint8Array): void {
    const target = new Uint8Array(key.length + BUCKET_BYTES);
    writeTableKey(target, bucket, key);
    this.#enter(firstTableEndingAt(this.#run, target, target.length), bucket, key);
  }

  seekBefore(bucket: number, key: Uint8Array): void {
    const target = new Uint8Array(key.length + BUCKET_BYTES);
    writeTableKey(target, bucket, key);
    this.#enterBefore(firstTableEndingAt(this.#run, target, target.length), target);
  }

  previous(): void {
    const cursor = this.#version;
    if (cursor === this.#own) this.#enterBefore(this.#index, this.#tableKey());
    else if (cursor === this.#sound) {
      cursor.previous();
      if (!cursor.valid) this.#enterBefore(this.#index - 1, this.#run[this.#index]!.footer.smallest);
    }
  }

  next(): void {
    const cursor = this.#version;
    const { bucket } = cursor;
    cursor.next();
    if (cursor.valid) return;
    const isBehindSystem = cursor === this.#own && this.#own.bucket === SYSTEM_BUCKET;
    if (isBehindSystem && this.#table !== undefined) this.#stopAt(this.#table, SYSTEM_BUCKET + 1, EMPTY_BYTES);
    else this.#enter(this.#index + 1, bucket === SESSION_BUCKET ? bucket : SYSTEM_BUCKET, EMPTY_BYTES);
  }

  get #table(): Table | undefined {
    return this.#run[this.#index];
  }

  /** The cursor that stands on a version. Throws the damage where nothing is known. */
  get #version(): RunCursor | OwnCursor {
    const damage = this.#barrier?.table.damage ?? null;
    if (damage !== null) throw damage;
    return (this.#sound ?? this.#own)!;
  }

  /** To the first version of table `index`, or of those behind it, at or behind the key. */
  #enter(index: number, bucket: number, key: Uint8Array): void {
    this.#sound = null;
    this.#own = null;
    this.#barrier = null;
    for (this.#index = index; this.#table !== undefined; this.#index += 1) {
      if (this.#table.damage !== null) {
        this.#enterDamaged(this.#table, bucket, key);
        return;
      }
      this.#sound = new RunCursor([this.#table]);
      this.#sound.seek(bucket, key);
      if (this.#sound.valid) return;
      this.#sound = null;
    }
  }

  #tableKey(): Uint8Array {
    const target = new Uint8Array(this.key.length + BUCKET_BYTES);
    writeTableKey(target, this.bucket, this.key);
    return target;
  }

  /** To the last version before the table key in table `index`, or in those before it. */
  #enterBefore(index: number, target: Uint8Array): void {
    this.#sound = null;
    this.#own = null;
    this.#barrier = null;
    for (this.#index = Math.min(index, this.#run.length - 1); this.#table !== undefined; this.#index -= 1) {
      const { smallest } = this.#table.footer;
      if (compareBytes(smallest, target) >= 0) continue;
      if (this.#table.damage !== null) {
        this.#stopBefore(this.#table, target);
        return;
      }
      this.#sound = new RunCursor([this.#table]);
      this.#sound.seekBefore(tableKeyBucket(target, 0), target.subarray(BUCKET_BYTES));
      if (this.#sound.valid) return;
      this.#sound = null;
    }
  }

  /** The barrier stands behind the table's last key, or before the target where that comes first. */
  #stopBefore(table: Table, target: Uint8Array): void {
    const { largest } = table.footer;
    const isBehind = compareBytes(largest, target) < 0;
    const place = isBehind ? largest : target;
    this.#barrier = { table, bucket: tableKeyBucket(place, 0), key: place.subarray(BUCKET_BYTES), isBehind };
  }

  #enterDamaged(table: Table, bucket: number, key: Uint8Array): void {
    const isSystem = bucket === SYSTEM_BUCKET && tableKeyBucket(table.footer.smallest, 0) === SYSTEM_BUCKET;
    const isSessions = bucket === SESSION_BUCKET;
    if (isSystem || isSessions) {
      this.#own = new OwnCursor(table, isSystem ? SYSTEM_BUCKET : SESSION_BUCKET);
      this.#own.seek(key);
      if (this.#own.valid) return;
      this.#own = null;
    }
    // There is no bucket behind the sessions'.
    if (isSessions) return this.#enter(this.#index + 1, bucket, key);
    this.#stopAt(table, isSystem ? SYSTEM_BUCKET + 1 : bucket, isSystem ? EMPTY_BYTES : key);
  }

  /** The barrier stands at the key, or at the table's first one where that comes later. */
  #stopAt(table: Table, bucket: number, key: Uint8Array): void {
    const target = new Uint8Array(key.length + BUCKET_BYTES);
    writeTableKey(target, bucket, key);
    const { smallest, largest } = table.footer;
    this.#own = null;
    if (compareBytes(largest, target) < 0) {
      this.#enter(this.#index + 1, SYSTEM_BUCKET, EMPTY_BYTES);
      return;
    }
    const start = compareBytes(smallest, target) > 0 ? smallest : target;
    this.#barrier = { table, bucket: tableKeyBucket(start, 0), key: start.subarray(BUCKET_BYTES), isBehind: false };
  }
}

/** The versions of one of the shard's own buckets in one table: only blocks that may hold some are read, each verified. */
class OwnCursor {
  readonly #table: Table;
  readonly bucket: number;
  readonly #block = new BlockCursor();
  readonly #place = new BlockPlace();
  readonly #ahead = new ReadAhead();
  #blockIndex = 0;

  constructor(table: Table, bucket: number) {
    this.#table = table;
    this.bucket = bucket;
  }

  get valid(): boolean {
    return this.#block.valid && this.#block.bucket === this.bucket;
  }
  get key(): Uint8Array {
    return this.#block.key;
  }
  get stampHigh(): number {
    return this.#block.entry.stampHigh;
  }
  get stampLow(): number {
    return this.#block.entry.stampLow;
  }
  get origin(): number {
    return this.#block.entry.origin;
  }
  get kind(): VersionKind {
    return this.#block.entry.kind;
  }
  get expiryMs(): number {
    return this.#block.entry.expiryMs;
  }
  get value(): Uint8Array {
    return this.#block.value;
  }

  seek(key: Uint8Array): void {
    const target = new Uint8Array(key.length + BUCKET_BYTES);
    writeTableKey(target, this.bucket, key);
    const isBefore = compareBytes(this.#table.footer.smallest, target) >= 0;
    this.#blockIndex = isBefore ? 0 : this.#table.findBlock(target, target.length);
    this.#table.loadBlock(this.#blockIndex, this.#place, this.#ahead);
    this.#block.seek(this.#place, target, target.length);
    if (!this.#block.valid) this.#enterNext();
  }

  next(): void {
    this.#block.next();
    if (!this.#block.valid) this.#enterNext();
  }

  /** A block whose anchor lies behind the bucket has nothing of it. */
  #enterNext(): void {
    const table = this.#table;
    this.#blockIndex += 1;
    if (this.#blockIndex >= table.blockCount || table.anchorBucket(this.#blockIndex) !== this.bucket) {
      this.#block.leave();
      return;
    }
    table.loadBlock(this.#blockIndex, this.#place, this.#ahead);
    this.#block.first(this.#place);
  }
}
