/**
 * Keys of which nothing can be said, though no file that holds them is damaged: a transaction that would have to read a
 * quarantined file is refused as a whole (quarantine.ts), and so are its writes to keys that lie elsewhere, where nothing
 * would stand in the way of their older versions. One range of keys for each bucket, from the smallest to the largest that
 * such a transaction names. Who looks a key of it up gets the damage for an answer, until another member has said what is there.
 *
 * While there are any, main reads no memtable: it would not ask here. The word that says so is stored before an index is
 * published that was applied in this knowledge. Shard thread.
 */
import type { SharedState } from "../bridge/shared-state.ts";
import { compareBytes } from "../core/bytes.ts";
import type { EnvelopeError } from "../core/errors.ts";
import { tableKeyOf } from "../storage/key-ranges.ts";
import type { KeyRange } from "../storage/older-ranges.ts";

interface Undecided {
  readonly range: KeyRange;
  readonly cause: EnvelopeError;
}

export class UndecidedKeys {
  /** Whether there are any. */
  any = false;
  readonly #state: SharedState;
  readonly #ofBuckets = new Map<number, Undecided>();

  constructor(state: SharedState) {
    this.#state = state;
    this.#publish();
  }

  /** In table keys. */
  get ranges(): readonly KeyRange[] {
    return [...this.#ofBuckets.values()].map(({ range }) => range);
  }

  /** `range` takes the place of what was said of the bucket; `cause` is what its readers are told. */
  set(bucket: number, range: KeyRange, cause: EnvelopeError): void {
    this.#ofBuckets.set(bucket, { range, cause });
    this.#publish();
  }

  forget(bucket: number): void {
    this.#ofBuckets.delete(bucket);
    this.#publish();
  }

  /** Throws the cause if nothing can be said of the key. */
  check(bucket: number, key: Uint8Array): void {
    const undecided = this.any ? this.#ofBuckets.get(bucket) : undefined;
    if (undecided === undefined) return;
    const { range, cause } = undecided;
    const tableKey = tableKeyOf(bucket, key);
    if (compareBytes(range.smallest, tableKey) <= 0 && compareBytes(tableKey, range.largest) <= 0) throw cause;
  }

  /** The same for whoever walks over a bucket. */
  checkBucket(bucket: number): void {
    const undecided = this.#ofBuckets.get(bucket);
    if (undecided !== undefined) throw undecided.cause;
  }

  /** The same for whoever takes everything. */
  checkAll(): void {
    for (const { cause } of this.#ofBuckets.values()) throw cause;
  }

  #publish(): void {
    this.any = this.#ofBuckets.size > 0;
    this.#state.setUndecided(this.any);
  }
}
