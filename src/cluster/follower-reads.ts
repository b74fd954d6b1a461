/**
 * Reads that a follower answers itself. All reads of a turn ask the leader together, by one operation on the forwarder's
 * way, for the index from which on a replica shows everything that was acknowledged by then (Raft, Ongaro's thesis §6.4);
 * once that index is applied here they are read here. That is linearizable, and takes no clock for granted.
 *
 *   gathering ──pump──► asked ──the leader's answer──► index known ──applied──► read here
 *
 * What was learned so is remembered: whatever had been acknowledged when the question was *made* is applied here. So a read
 * that may show the past is answered at once while that moment is recent enough. Neither a leader's word nor when it came
 * says how old a state is: a message may have been held up for long, and its sender deposed. Only what a leader was
 * asked, and a majority stands behind, is later than the question.
 *
 * A connection's commands keep their order. A read that follows a write of its own, still on its way, goes that same
 * way. Whatever a connection sends behind reads that wait here waits behind them: on its way to the leader it might be
 * applied here before they are read. Batches are read in the order in which they were asked.
 *
 * A replica that does not apply what it has learned of within an election timeout gives its reads to the leader, and takes
 * none until it has. Main thread only.
 */
import { assert } from "../core/assert.ts";
import type { Clock } from "../env/clock.ts";
import type { ByteRange } from "../record/command-format.ts";
import { errorResult, type Result } from "../record/result.ts";
import type { Waiter } from "./coordinator.ts";
import { ABANDONED, type ConnectionOrdering, isAbandoned, type Operation } from "./operation.ts";
import type { ShardGroup } from "./shard-group.ts";

const FENCED = errorResult("FENCED", "the bucket was dropped or emptied under this id");

/** What is needed of the group. */
export type FollowingGroup = Pick<
  ShardGroup,
  "shard" | "isWhole" | "isFollowing" | "commitIndex" | "appliedIndex" | "isFenced" | "getApplied"
>;

export interface FollowerReadEvents {
  /** An operation that is to go to the leader, or be carried out here if that is this node. */
  forward(operation: Operation): void;
  /** What has waited behind reads of its connection goes its way now. */
  resume(operation: Operation): void;
  settled(operation: Operation, result: Result): void;
  /** There is work for the next turn. */
  wake(): void;
}

/** Reads that share a question. */
interface Batch {
  readonly reads: Operation[];
  /** The question was made: whatever was acknowledged before shows at `index`. On the monotonic clock. */
  readonly madeMs: number;
  /** 0 until it is known, and when that was. */
  index: number;
  knownMs: number;
  /** Its reads are somebody else's by now. */
  isOver: boolean;
}

export class FollowerReads {
  readonly #group: FollowingGroup;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #events: FollowerReadEvents;
  #gathering: Batch | null = null;
  /** In the order of their questions. */
  #asked: Batch[] = [];
  readonly #behind = new Map<ConnectionOrdering, Operation[]>();
  #count = 0;
  /** Of what has come last. */
  #lastSequence = 0;
  /** Everything acknowledged at that time is applied here at that index. */
  #freshMs = Number.NEGATIVE_INFINITY;
  #freshIndex = 0;
  /** Until this is applied nothing is asked for. */
  #missedIndex = 0;
  /** Reads answered here: after a question of their own, and without. */
  followerCount = 0;
  staleCount = 0;

  /** `timeoutMs`: how long a question may wait for its answer. */
  constructor(group: FollowingGroup, clock: Clock, timeoutMs: number, events: FollowerReadEvents) {
    this.#group = group;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#events = events;
  }

  /** Whether anything waits here: then nothing may take a shorter way. */
  get busy(): boolean {
    return this.#gathering !== null || this.#asked.length > 0 || this.#behind.size > 0;
  }

  /** Operations that wait here. */
  get count(): number {
    return this.#count;
  }

  /** True: the operation is taken, or waits behind others of its connection. */
  take(operation: Operation): boolean {
    const { ordering, work, readMode } = operation;
    if (ordering === null) return false;
    const { shard } = this.#group;
    const queue = this.#behind.get(ordering);
    if (queue !== undefined) {
      queue.push(operation);
      this.#count += 1;
      return true;
    }
    const isOwn = (readMode === "follower" || readMode === "stale") && work.kind === "read" && work.read.type === "get";
    if (isOwn && !ordering.hasUnderway(shard) && this.#mayAsk) {
      this.#lastSequence = operation.sequence;
      this.#gather().reads.push(operation);
      ordering.followerRead(shard, 1);
      this.#count += 1;
      return true;
    }
    if (!ordering.hasFollowerReads(shard)) return false;
    this.#behind.set(ordering, [operation]);
    this.#count += 1;
    return true;
  }

  /** Reads one key at once, if what is known here is no older than `staleMs`; false: it is not. */
  readStale(
    bucket: number,
    key: ByteRange,
    metadataOnly: boolean,
    staleMs: number,
    waiter: Waiter,
    tag: number,
  ): boolean {
    if (!this.#group.isWhole || this.#group.isFenced(bucket) || !this.#isFresh(staleMs)) return false;
    this.staleCount += 1;
    this.#group.getApplied(bucket, key, metadataOnly, this.#freshIndex, waiter, tag);
    return true;
  }

  /** Reads what may be read by now, and asks for those that have come since the last time. */
  pump(): void {
    const { appliedIndex } = this.#group;
    while (this.#asked.length > 0) {
      const batch = this.#asked[0]!;
      if (batch.index === 0 || batch.index > appliedIndex) break;
      this.#asked.shift();
      this.#readBatch(batch);
    }
    const batch = this.#gathering;
    if (batch === null) return;
    this.#gathering = null;
    this.#asked.push(batch);
    this.#events.forward(this.#question(batch));
  }

  /** Comes at every tick. `graceMs`: how long what is known to be committed may take to be applied here. */
  expire(graceMs: number): void {
    const batch = this.#asked[0];
    if (batch === undefined || batch.index === 0) return;
    const isLate = batch.knownMs + graceMs <= this.#clock.monotonicMs() || !this.#group.isFollowing;
    if (!isLate || batch.index <= this.#group.appliedIndex) return;
    this.#missedIndex = batch.index;
    this.#giveToLeader();
  }

  get #mayAsk(): boolean {
    return this.#group.isFollowing && this.#group.appliedIndex >= this.#missedIndex;
  }

  /** Whether what is known here is no older than that. It is renewed in time for those who go on asking. */
  #isFresh(staleMs: number): boolean {
    const ageMs = this.#clock.monotonicMs() - this.#freshMs;
    if (ageMs * 2 > staleMs && this.#asked.length === 0 && this.#mayAsk) this.#gather();
    // What was applied may be given away, with the replica.
    return ageMs <= staleMs && this.#group.appliedIndex >= this.#freshIndex;
  }

  #gather(): Batch {
    if (this.#gathering !== null) return this.#gathering;
    const madeMs = this.#clock.monotonicMs();
    this.#gathering = { reads: [], madeMs, index: 0, knownMs: 0, isOver: false };
    this.#events.wake();
    return this.#gathering;
  }

  #question(batch: Batch): Operation {
    return {
      sequence: this.#lastSequence,
      shard: this.#group.shard,
      work: { kind: "index" },
      bucket: null,
      ordering: null,
      afterOwnWrite: false,
      readMode: "linearizable",
      staleMs: 0,
      waiter: { resolve: (_, result) => this.#answered(batch, result) },
      tag: 0,
      deadlineMs: batch.madeMs + this.#timeoutMs,
    };
  }

  #answered(batch: Batch, result: Result): void {
    if (batch.isOver) return;
    if (result.kind === "integer") {
      batch.index = Number(result.value);
      batch.knownMs = this.#clock.monotonicMs();
      this.#events.wake();
      return;
    }
    this.#asked = this.#asked.filter((one) => one !== batch);
    for (const operation of batch.reads) this.#settle(operation, result);
  }

  #readBatch({ reads, index, madeMs }: Batch): void {
    this.#freshMs = madeMs;
    this.#freshIndex = index;
    this.followerCount += reads.length;
    for (const operation of reads) this.#read(operation, index);
  }

  #read(operation: Operation, index: number): void {
    const { work } = operation;
    assert(work.kind === "read" && work.read.type === "get", "single keys are read here");
    const { bucket, key, metadataOnly } = work.read;
    if (isAbandoned(operation)) return this.#settle(operation, ABANDONED);
    if (this.#group.isFenced(bucket)) return this.#settle(operation, FENCED);
    const waiter = { resolve: (_: number, result: Result) => this.#settle(operation, result) };
    // Not before what has been sent to the shard: or the next read of the connection, from memory, might see less.
    const minIndex = Math.max(index, this.#group.commitIndex);
    this.#group.getApplied(bucket, { bytes: key, start: 0, end: key.length }, metadataOnly, minIndex, waiter, 0);
  }

  #settle(operation: Operation, result: Result): void {
    this.#events.settled(operation, result);
    this.#leave(operation);
  }

  /** All of them: a read that stayed would be answered before those that were asked for earlier. */
  #giveToLeader(): void {
    const batches = this.#gathering === null ? this.#asked : [...this.#asked, this.#gathering];
    this.#gathering = null;
    this.#asked = [];
    for (const batch of batches) {
      batch.isOver = true;
      for (const operation of batch.reads) this.#events.forward(operation);
    }
    for (const { reads } of batches) for (const operation of reads) this.#leave(operation);
  }

  /** It waits here no longer. If it was the last of its connection, those behind it go on. */
  #leave({ ordering }: Operation): void {
    this.#count -= 1;
    if (ordering === null) return;
    const { shard } = this.#group;
    ordering.followerRead(shard, -1);
    if (ordering.hasFollowerReads(shard)) return;
    const waiting = this.#behind.get(ordering);
    if (waiting === undefined) return;
    this.#behind.delete(ordering);
    this.#count -= waiting.length;
    for (const operation of waiting) this.#events.resume(operation);
  }
}
