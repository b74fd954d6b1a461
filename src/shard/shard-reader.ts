/**
 * The reads of a shard for whoever shares its thread: no request, no reply, no ring. They see what is applied, now or at
 * a moment of the past that is still kept. Between two calls the shard may do anything; what is returned is a copy.
 * Shard thread.
 */
import { murmur3 } from "../core/murmur3.ts";
import { MAX_STAMP, type Stamp, stampMilliseconds } from "../core/stamp.ts";
import type { Clock } from "../env/clock.ts";
import { isVisible, VersionKind } from "../record/version.ts";
import { LookUpBatch } from "../storage/look-up-batch.ts";
import type { KeyRange } from "./key-range.ts";
import { ShardIterator } from "./shard-iterator.ts";
import type { ReadPoint, Snapshot } from "./snapshots.ts";
import type { VersionStore } from "./version-store.ts";

/** Keys that go through the tables together. */
const BATCH_COUNT = 64;

export interface ReadValue {
  readonly value: Uint8Array;
  /** Milliseconds since 1970, 0: never. */
  readonly expiryMs: number;
}

export class ShardReader {
  #store: VersionStore;
  readonly #clock: Clock;
  readonly #batch = new LookUpBatch(BATCH_COUNT);

  constructor(store: VersionStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** What the shard holds has been replaced as a whole: snapshots and iterators of before are gone. */
  continueOn(store: VersionStore): void {
    this.#store = store;
  }

  /** What is visible now, to be read later. Throws OVERLOADED when there are too many. */
  snapshot(): Snapshot {
    return this.#store.snapshot();
  }

  /** The stamp of the last version applied: the present. */
  get lastStamp(): Stamp {
    return this.#store.lastStamp;
  }

  /**
   * Keeps every moment from the stamp on readable, as far as it lies ahead of what was applied when this was first asked
   * for; null ends that.
   */
  retainFrom(stamp: Stamp | null): void {
    this.#store.snapshots.retainFrom(stamp, this.#store.lastStamp);
  }

  /** The moment of a stamp, with expiry as it was then. Throws HISTORY_GONE when it is no longer kept. */
  asOf(stamp: Stamp): ReadPoint {
    const point = { stamp, nowMs: stampMilliseconds(stamp.high, stamp.low) };
    this.#check(point);
    return point;
  }

  /** One key at a moment (null: now), or null. Throws HISTORY_GONE; CORRUPTION at damage. */
  get(bucket: number, key: Uint8Array, at: ReadPoint | null): ReadValue | null {
    const store = this.#store;
    const { stamp, nowMs } = this.#check(at);
    if (!store.findAsOf(bucket, key, murmur3(key, 0, key.length, bucket), stamp)) return null;
    if (!isVisible(store.kind, store.expiryMs, nowMs)) return null;
    return { value: store.valueBytes.slice(store.valueStart, store.valueEnd), expiryMs: store.expiryMs };
  }

  /** `get` for each key, in their order; those that lie in tables are looked up together. */
  multiGet(bucket: number, keys: readonly Uint8Array[], at: ReadPoint | null): (ReadValue | null)[] {
    const store = this.#store;
    const { stamp, nowMs } = this.#check(at);
    const values = new Array<ReadValue | null>(keys.length).fill(null);
    const batch = this.#batch;
    let positions: number[] = [];
    const lookUp = (): void => {
      store.tree.findMany(batch, stamp);
      for (const [i, position] of positions.entries()) values[position] = valueIn(batch, i, nowMs);
      batch.clear();
      positions = [];
    };
    for (const [position, key] of keys.entries()) {
      store.undecided.check(bucket, key);
      const hash = murmur3(key, 0, key.length, bucket);
      const hit = store.memtables.findAsOf(bucket, key, 0, key.length, hash, stamp.high, stamp.low);
      if (hit !== null) {
        if (!isVisible(hit.kind, hit.expiryMs, nowMs)) continue;
        values[position] = { value: hit.valueBytes.slice(hit.valueStart, hit.valueEnd), expiryMs: hit.expiryMs };
        continue;
      }
      batch.add(bucket, key, hash);
      positions.push(position);
      if (positions.length === BATCH_COUNT) lookUp();
    }
    lookUp();
    return values;
  }

  /**
   * A walk over the keys of a range, which the caller positions and disposes of. At null it takes a snapshot of its own and
   * goes on seeing what is visible now. Throws OVERLOADED, HISTORY_GONE, INVALID_ARGUMENT.
   */
  iterate(range: KeyRange, at: ReadPoint | null): ShardIterator {
    if (at !== null) return new ShardIterator(this.#store, range, this.#check(at), () => undefined);
    const snapshot = this.#store.snapshot();
    return new ShardIterator(this.#store, range, snapshot, () => snapshot.release());
  }

  #check(at: ReadPoint | null): ReadPoint {
    if (at === null) return { stamp: MAX_STAMP, nowMs: this.#clock.wallMs() };
    this.#store.snapshots.check(at.stamp, this.#store.lastStamp);
    return at;
  }
}

function valueIn(batch: LookUpBatch, i: number, nowMs: number): ReadValue | null {
  if (batch.isFound[i] === 0 || batch.kind[i] !== VersionKind.value) return null;
  const expiryMs = batch.expiryMs[i]!;
  if (!isVisible(VersionKind.value, expiryMs, nowMs)) return null;
  return { value: batch.valueBytes[i]!.slice(batch.valueStart[i], batch.valueEnd[i]), expiryMs };
}
