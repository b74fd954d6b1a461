/**
 * Operations that may not leave yet because it is in question which id their bucket has: nobody here has heard of the
 * name, or a shard has refused the id as fenced, or a newer one has just become known. Shard 0 is asked where no newer id
 * is known, and then they are submitted again in the order in which they came to this node.
 *
 * When the id behind a name changes, a connection's operations on it must not overtake each other: one under the former
 * id may come back refused, to be sent again, when one that the connection sent later has long been carried out under the
 * new id. So operations that take the long way are counted while they are *under way*, and from the moment in which an id
 * is refused, or a newer one is known, whatever comes for that bucket waits until all that is under way has come back.
 * Those who come back refused wait with them. While a bucket is in question nothing of it gets under way, which is why
 * that ends. What takes the short way need not be counted: it is in its shard's log, and is never submitted again.
 *
 * Main thread only.
 */
import { errorResult, type Result } from "../record/result.ts";
import type { BucketRef } from "./coordinator.ts";
import { ABANDONED, isAbandoned, type Operation, workBytes } from "./operation.ts";

/** Bytes of operations that may wait for the id of their bucket. */
const WAITING_BYTES_MAX = 32 * 1024 * 1024;

const TOO_MANY = errorResult("OVERLOADED", "too many operations wait for the catalog; it is safe to retry");

export interface LookUpEvents {
  /** Asks shard 0 for the id behind a name and tells the catalog; ok, or NO_BUCKET, or why it could not be known. */
  ask(name: string, done: (result: Result) => void): void;
  /** The id is known: submit this again under it. */
  resubmit(operation: Operation): void;
}

interface LookUp {
  readonly bucket: BucketRef;
  readonly waiting: Operation[];
  /** The newest id that was refused, or 0: a newer one need not be asked for. */
  refusedId: number;
  /** For how many of the waiting ones the question was put that is on its way; 0: none is. */
  askedCount: number;
}

export class BucketLookUps {
  readonly #events: LookUpEvents;
  readonly #lookUps = new Map<BucketRef, LookUp>();
  /** How many operations of connections are under way, by bucket; none of a bucket that is not in here. */
  readonly #underway = new Map<BucketRef, number>();
  #waitingBytes = 0;

  constructor(events: LookUpEvents) {
    this.#events = events;
  }

  /** Whether any bucket's id is in question. */
  get any(): boolean {
    return this.#lookUps.size > 0;
  }

  /** Whether operations on this bucket have to wait. */
  holds(bucket: BucketRef): boolean {
    return bucket.id === 0 || this.#lookUps.has(bucket);
  }

  /**
   * Lets an operation wait; `bucket` is its own. `refusedId`: the fenced id under which it has come back (`ended` is
   * still to be told), or 0.
   */
  add(operation: Operation, bucket: BucketRef, refusedId: number): void {
    if (this.#waitingBytes > WAITING_BYTES_MAX) {
      operation.waiter.resolve(operation.tag, TOO_MANY);
      return;
    }
    this.#waitingBytes += workBytes(operation.work);
    const lookUp = this.#lookUpOf(bucket);
    lookUp.waiting.push(operation);
    lookUp.refusedId = Math.max(lookUp.refusedId, refusedId);
    this.#proceed(lookUp);
  }

  /** It gets under way, under the present id of its bucket. */
  begun({ bucket, ordering }: Operation): void {
    if (bucket === null || ordering === null) return;
    this.#underway.set(bucket, (this.#underway.get(bucket) ?? 0) + 1);
  }

  /** It has come back, whatever became of it. */
  ended({ bucket, ordering }: Operation): void {
    if (bucket === null || ordering === null) return;
    const count = (this.#underway.get(bucket) ?? 0) - 1;
    if (count > 0) {
      this.#underway.set(bucket, count);
      return;
    }
    this.#underway.delete(bucket);
    const lookUp = this.#lookUps.get(bucket);
    if (lookUp !== undefined) this.#proceed(lookUp);
  }

  /** The catalog has learned a new id for the name. */
  renewed(bucket: BucketRef): void {
    if (this.#underway.has(bucket)) this.#lookUpOf(bucket);
  }

  #lookUpOf(bucket: BucketRef): LookUp {
    const known = this.#lookUps.get(bucket);
    if (known !== undefined) return known;
    const lookUp: LookUp = { bucket, waiting: [], refusedId: 0, askedCount: 0 };
    this.#lookUps.set(bucket, lookUp);
    return lookUp;
  }

  /** Does the next thing, once everything that was under way has come back. */
  #proceed(lookUp: LookUp): void {
    const { bucket, waiting } = lookUp;
    if (lookUp.askedCount > 0 || this.#underway.has(bucket)) return;
    if (bucket.id > lookUp.refusedId || waiting.length === 0) {
      this.#release(lookUp);
      return;
    }
    lookUp.askedCount = waiting.length;
    this.#events.ask(bucket.name, (result) => this.#answered(lookUp, result));
  }

  #answered(lookUp: LookUp, result: Result): void {
    const { waiting, askedCount } = lookUp;
    lookUp.askedCount = 0;
    if (result.kind !== "error") {
      this.#release(lookUp);
      return;
    }
    // Who came meanwhile may have heard that the bucket has been created since the question was put.
    const told = waiting.splice(0, result.code === "NO_BUCKET" ? askedCount : waiting.length);
    this.#forget(told);
    this.#proceed(lookUp);
    for (const { waiter, tag } of told) waiter.resolve(tag, result);
  }

  #release({ bucket, waiting }: LookUp): void {
    this.#lookUps.delete(bucket);
    this.#forget(waiting);
    for (const operation of waiting.sort((a, b) => a.sequence - b.sequence)) {
      if (isAbandoned(operation)) operation.waiter.resolve(operation.tag, ABANDONED);
      else this.#events.resubmit(operation);
    }
  }

  #forget(operations: readonly Operation[]): void {
    for (const { work } of operations) this.#waitingBytes -= workBytes(work);
  }
}
