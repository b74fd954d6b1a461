/**
 * The keys that a client watches, each with the version that was there when it began to: the conditions of its next
 * transaction. A key that was not there has to be absent again: one that was set and removed between is not noticed, for
 * whether a removal leaves a trace is a compaction's affair. Main thread only.
 */
import type { BucketRef } from "../cluster/coordinator.ts";
import type { Result } from "../record/result.ts";
import { type Condition, TRANSACTION_OPERATIONS_MAX } from "../record/transaction-format.ts";

/** What a key takes beside its bytes, of which there are two copies. */
const KEY_BYTES = 256;

export class WatchList {
  /** All keys are in this one. */
  readonly bucket: BucketRef;
  /** By the key's bytes, each a character; null until its version is known. */
  readonly #conditions = new Map<string, Condition | null>();
  /** Bytes of memory that all of it takes. */
  heldBytes = 0;
  /** A version could not be read: nothing is known to be as it was. */
  #isBroken = false;

  constructor(bucket: BucketRef) {
    this.bucket = bucket;
  }

  /** Whether so many more keys are too many. */
  isFullWith(moreKeys: number): boolean {
    return this.#conditions.size + moreKeys > TRANSACTION_OPERATIONS_MAX;
  }

  /** Null: the version of some key is not known, so it has to be taken for another one. */
  get conditions(): readonly Condition[] | null {
    const known = [...this.#conditions.values()].filter((condition) => condition !== null);
    return this.#isBroken || known.length < this.#conditions.size ? null : known;
  }

  /** False: it is watched already. */
  add(key: Uint8Array): boolean {
    const name = nameOf(key);
    if (this.#conditions.has(name)) return false;
    this.#conditions.set(name, null);
    this.heldBytes += KEY_BYTES + 2 * key.length;
    return true;
  }

  /** What was found at a key that has been added. */
  found(key: Uint8Array, result: Result): void {
    if (result.kind === "stamped")
      this.#conditions.set(nameOf(key), { kind: "stamp", key, high: result.stampHigh, low: result.stampLow });
    else if (result.kind === "nil") this.#conditions.set(nameOf(key), { kind: "absent", key });
    else this.#isBroken = true;
  }
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}
