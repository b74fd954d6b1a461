/**
 * A walk over the visible keys of one bucket, forward or back, at one moment: the newest version of each key not above
 * the moment's stamp, unless it is a tombstone or had expired by then.
 *
 * The iterator lives on while the shard works. Between two of its moves versions may come and memtables become tables;
 * it notices that (VersionStore.isAsOf) and begins anew at the key it stands on, among what there is now. That gives the same
 * walk, because what its moment needs is kept by the snapshot that it reads through. So it holds the tables it reads
 * (their layout) and nothing that a writer waits for; `dispose` lets go of them.
 *
 * `key` is a view of the iterator's own memory, good until its next move. `value` is a view into a table or memtable, good
 * until the next move or until the shard does other work, whichever is first. A step forward allocates nothing. Shard thread.
 */
import { assert } from "../core/assert.ts";
import { compareBytes, EMPTY_BYTES } from "../core/bytes.ts";
import { compareStamps } from "../core/stamp.ts";
import { isVisible, type TwoWayCursor } from "../record/version.ts";
import { type KeyRange, successorOf } from "./key-range.ts";
import type { ReadPoint } from "./snapshots.ts";
import type { StoreState, VersionStore } from "./version-store.ts";

/** Versions of one key stepped over one by one before the walk seeks past them. */
const NEIGHBOURS_MAX = 8;
const KEY_BYTES_AT_FIRST = 64;

export class ShardIterator implements Disposable {
  /** Whether it stands on a key. */
  valid = false;
  expiryMs = 0;
  readonly #store: VersionStore;
  readonly #range: KeyRange;
  readonly #at: ReadPoint;
  readonly #ended: () => void;
  #cursor: TwoWayCursor & Disposable;
  #state: StoreState;
  #isForward = true;
  #isDisposed = false;
  /** The key it stands on, or the one passed last. */
  #keyBuffer = new Uint8Array(KEY_BYTES_AT_FIRST);
  #key: Uint8Array = EMPTY_BYTES;
  /** On the way back the cursor has gone on already, and this is the value it has left; null: under the cursor. */
  #value: Uint8Array | null = null;

  /** `ended` is called once, when it is disposed. */
  constructor(store: VersionStore, range: KeyRange, at: ReadPoint, ended: () => void) {
    this.#store = store;
    this.#range = range;
    this.#at = at;
    this.#ended = ended;
    store.undecided.checkBucket(range.bucket);
    this.#cursor = store.cursor(range);
    this.#state = store.state();
  }

  get key(): Uint8Array {
    return this.#key;
  }

  get value(): Uint8Array {
    return this.#value ?? this.#cursor.value;
  }

  /** To the first key of the range. */
  first(): void {
    this.#refresh();
    this.#isForward = true;
    this.#cursor.seek(this.#range.bucket, this.#range.low);
    this.#settleForward();
  }

  /** To the last key of the range. */
  last(): void {
    this.#refresh();
    this.#isForward = false;
    const { bucket, high } = this.#range;
    if (high === null) this.#cursor.seekBefore(bucket + 1, EMPTY_BYTES);
    else this.#cursor.seekBefore(bucket, high);
    this.#settleBack();
  }

  /** To the first key of the range at or behind the given one. */
  seek(key: Uint8Array): void {
    this.#refresh();
    this.#isForward = true;
    this.#cursor.seek(this.#range.bucket, compareBytes(key, this.#range.low) > 0 ? key : this.#range.low);
    this.#settleForward();
  }

  /** To the next key; from the last one, to nowhere. */
  next(): void {
    assert(this.valid, "an iterator moves on from a key");
    if (this.#refresh() || !this.#isForward) this.#cursor.seek(this.#range.bucket, this.#key);
    this.#isForward = true;
    this.#passKey();
    this.#settleForward();
  }

  /** To the key before; from the first one, to nowhere. */
  previous(): void {
    assert(this.valid, "an iterator moves on from a key");
    if (this.#refresh() || this.#isForward) this.#cursor.seekBefore(this.#range.bucket, this.#key);
    this.#isForward = false;
    this.#settleBack();
  }

  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.valid = false;
    this.#cursor[Symbol.dispose]();
    this.#ended();
  }

  /** True: the store has changed, and there is a new cursor, which stands nowhere. Throws HISTORY_GONE. */
  #refresh(): boolean {
    assert(!this.#isDisposed, "an iterator is moved until it is disposed");
    if (this.#store.isAsOf(this.#state)) return false;
    this.#store.snapshots.check(this.#at.stamp, this.#store.lastStamp);
    this.#cursor[Symbol.dispose]();
    this.#store.undecided.checkBucket(this.#range.bucket);
    this.#cursor = this.#store.cursor(this.#range);
    this.#state = this.#store.state();
    return true;
  }

  /** From the first version of a key that is still to be judged to the first visible key. */
  #settleForward(): void {
    const cursor = this.#cursor;
    const { stamp, nowMs } = this.#at;
    const { bucket, high } = this.#range;
    this.#value = null;
    while (cursor.valid && cursor.bucket === bucket && (high === null || compareBytes(cursor.key, high) < 0)) {
      this.#keepKey(cursor.key);
      if (this.#toMoment(stamp.high, stamp.low) && isVisible(cursor.kind, cursor.expiryMs, nowMs)) {
        this.expiryMs = cursor.expiryMs;
        this.valid = true;
        return;
      }
      this.#passKey();
    }
    this.valid = false;
  }

  /** To the newest version of the key kept last that is not above the stamp; false when there is none. */
  #toMoment(stampHigh: number, stampLow: number): boolean {
    const cursor = this.#cursor;
    while (compareStamps(cursor.stampHigh, cursor.stampLow, stampHigh, stampLow) > 0) {
      cursor.next();
      if (!this.#isOnKey()) return false;
    }
    return true;
  }

  /** To the first version of the key behind the one kept last, which is where the cursor may already be. */
  #passKey(): void {
    const cursor = this.#cursor;
    for (let i = 0; i < NEIGHBOURS_MAX; i++) {
      if (!this.#isOnKey()) return;
      cursor.next();
    }
    if (!this.#isOnKey()) return;
    cursor.seek(this.#range.bucket, successorOf(this.#key));
  }

  /** From the oldest version of a key that is still to be judged back to the last visible key. */
  #settleBack(): void {
    const cursor = this.#cursor;
    const { stamp, nowMs } = this.#at;
    const { bucket, low } = this.#range;
    while (cursor.valid && cursor.bucket === bucket && compareBytes(cursor.key, low) >= 0) {
      this.#keepKey(cursor.key);
      let isSeen = false;
      // Each further version is newer than the one before: the last that is not above the stamp is the one.
      for (; this.#isOnKey(); cursor.previous()) {
        if (compareStamps(cursor.stampHigh, cursor.stampLow, stamp.high, stamp.low) > 0) continue;
        isSeen = isVisible(cursor.kind, cursor.expiryMs, nowMs);
        if (!isSeen) continue;
        this.expiryMs = cursor.expiryMs;
        this.#value = cursor.value;
      }
      if (!isSeen) continue;
      this.valid = true;
      return;
    }
    this.valid = false;
  }

  #isOnKey(): boolean {
    const cursor = this.#cursor;
    if (!cursor.valid || cursor.bucket !== this.#range.bucket) return false;
    const key = cursor.key;
    const kept = this.#key;
    // From the end, where neighbours differ.
    let i = key.length;
    if (i !== kept.length) return false;
    while (i > 0 && key[i - 1] === kept[i - 1]) i--;
    return i === 0;
  }

  #keepKey(key: Uint8Array): void {
    if (this.#keyBuffer.length < key.length) this.#keyBuffer = new Uint8Array(key.length * 2);
    const buffer = this.#keyBuffer;
    for (let i = 0; i < key.length; i++) buffer[i] = key[i]!;
    if (this.#key.length !== key.length || this.#key.buffer !== buffer.buffer)
      this.#key = buffer.subarray(0, key.length);
  }
}
