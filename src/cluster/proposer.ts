/**
 * The writing half of a group: the entry being filled, its way into Raft, and the answers to those who wrote. Used only
 * while the group accepts; the group says when that ends. Main thread only.
 */
import type { NodeId } from "../core/ids.ts";
import { HybridClock } from "../core/stamp.ts";
import type { Raft } from "../raft/raft.ts";
import { type ByteRange, CommandType, hasSession } from "../record/command-format.ts";
import { SYNC } from "../record/durability.ts";
import { errorResult, okAt, type Result } from "../record/result.ts";
import type { LogIndex } from "../core/ids.ts";
import type { Waiter } from "./coordinator.ts";
import type { Gathering } from "./gathering.ts";
import { answerAll, newPendingEntry, type PendingEntry, PendingWrites, UNKNOWN } from "./pending-writes.ts";
import { ProposalBatch } from "./proposal-batch.ts";
import type { WritePace } from "./write-pace.ts";

/** An entry is cut here, so that one frame of the peer link never holds a heartbeat back for long. */
const ENTRY_BYTES_MAX = 256 * 1024;
const NOT_PROPOSED = errorResult(
  "UNAVAILABLE",
  "the leader changed before the write was proposed; it was not executed",
);

export class Proposer {
  /** Above every stamp of the log before the first write is taken. */
  readonly clock = new HybridClock();
  readonly #raft: Raft;
  readonly #batch: ProposalBatch;
  readonly #writes = new PendingWrites();
  readonly #gathering: Gathering;
  #entry: PendingEntry = newPendingEntry();
  /** When somebody first looked how old the open entry is; null: nobody has, or nothing is open. */
  #openSinceMs: number | null = null;
  readonly #turnWallMs: () => number;
  readonly #pace: WritePace;
  #full = false;

  /** `turnWallMs`: when this turn's first event came; everything the turn brings is stamped with it. */
  constructor(raft: Raft, origin: NodeId, gathering: Gathering, pace: WritePace, turnWallMs: () => number) {
    this.#raft = raft;
    this.#gathering = gathering;
    this.#pace = pace;
    this.#turnWallMs = turnWallMs;
    this.#batch = new ProposalBatch(this.clock, origin);
  }

  /** The open entry takes no more: Raft wants something committed or handed over first, or compactions are behind. */
  get full(): boolean {
    return this.#full || (this.entryIsFull && this.#pace.isHolding);
  }

  get pendingCount(): number {
    return this.#writes.count;
  }

  /** The index of the open entry, or of the log's last one when nothing is open: everything proposed so far. */
  get openIndex(): number {
    return this.#batch.commandCount > 0 ? this.#raft.lastIndex + 1 : this.#raft.lastIndex;
  }

  /** Bytes waiting in the open entry: more than an entry's worth only while Raft refuses to take it. */
  get openBytes(): number {
    return this.#batch.byteCount;
  }

  /** Adds a write to the open entry; returns the index at which it will stand. `durability`: see record/durability.ts. */
  write(
    type: CommandType,
    modifiers: number,
    bucket: number,
    key: ByteRange,
    value: ByteRange,
    expiryMs: number,
    durability: number,
    waiter: Waiter,
    tag: number,
  ): number {
    const ordinal = this.#batch.add(type, modifiers, bucket, key, value, expiryMs, durability, this.#turnWallMs());
    return this.#added(type === CommandType.put, ordinal, waiter, tag);
  }

  /** The same for a command that is encoded already, on disk before it is answered. */
  writeEncoded(type: CommandType, command: Uint8Array, waiter: Waiter, tag: number): number {
    const isKnown = type === CommandType.put && !hasSession(command);
    return this.#added(isKnown, this.#batch.addEncoded(command, SYNC, this.#turnWallMs()), waiter, tag);
  }

  /** Whether the open entry had better gather more before it is proposed, where others have to answer it. */
  get gathers(): boolean {
    return !this.entryIsFull && this.#gathering.waits(this.#batch.commandCount, this.#writes.uncommittedCount);
  }

  /** Whether the open entry had better wait because the shard is behind. A read of one's own write need not. */
  get isHeld(): boolean {
    return this.#batch.commandCount > 0 && this.#pace.isHolding;
  }

  /** Gives the open entry to Raft, if there is one and Raft takes it. */
  propose(proposedMs: number): void {
    if (this.#batch.commandCount === 0) return;
    this.#entry.answer = okAt(this.#batch.durability);
    const byteCount = this.#batch.byteCount;
    const proposed = this.#raft.propose(byteCount, (index, term) => this.#batch.seal(index, term));
    if (proposed === "notLeader") return this.abandon();
    this.#full = typeof proposed === "string";
    if (typeof proposed === "string") return;
    this.#gathering.proposed();
    this.#pace.proposed(byteCount);
    this.#entry.index = proposed.index;
    this.#entry.term = proposed.term;
    this.#entry.proposedMs = proposedMs;
    this.#writes.add(this.#entry);
    this.#beginEntry();
  }

  /** Leadership is lost: what was not proposed was not executed. */
  abandon(): void {
    this.#full = false;
    if (this.#batch.commandCount === 0) return;
    this.#batch.discard();
    answerAll(this.#beginEntry(), NOT_PROPOSED);
  }

  /** Answers what has been decided by now. */
  settle(): void {
    const writes = this.#writes;
    const before = writes.decidedCount;
    writes.committed(this.#raft.commitIndex, (index) => this.#raft.termAt(index));
    const answered = writes.decidedCount - before;
    if (answered > 0) this.#gathering.committed(answered, this.#batch.commandCount, writes.decidedMs);
  }

  /** A result of a committed entry. */
  applied(index: LogIndex, ordinal: number, result: Result): void {
    this.#writes.applied(index, ordinal, result);
  }

  /**
   * Answers "unknown" to what was proposed at or before `longAgoMs`, and to those who wait since then in an open entry that
   * Raft does not take. That entry goes on: the places of later writes in the log have been told already.
   */
  expire(nowMs: number, longAgoMs: number): void {
    this.#writes.expire(longAgoMs);
    if (this.#batch.commandCount === 0) return;
    this.#openSinceMs ??= nowMs;
    if (this.#openSinceMs <= longAgoMs) answerAll(this.#beginEntry(), UNKNOWN);
  }

  /** Nothing will be heard of the log any more: what was not proposed was not executed, the rest is unknown. */
  giveUp(): void {
    this.abandon();
    this.#writes.expire(Number.POSITIVE_INFINITY);
  }

  /** From here on writers wait for another entry; returns those of the one before. */
  #beginEntry(): PendingEntry {
    const entry = this.#entry;
    this.#entry = newPendingEntry();
    this.#openSinceMs = null;
    return entry;
  }

  /** `isKnown`: what it comes to is known before it is applied. */
  #added(isKnown: boolean, ordinal: number, waiter: Waiter, tag: number): number {
    const entry = this.#entry;
    if (isKnown) {
      entry.commitWaiters.push(waiter);
      entry.commitTags.push(tag);
    } else {
      entry.applyWaiters.push(waiter);
      entry.applyTags.push(tag);
      entry.applyOrdinals.push(ordinal);
    }
    return this.#raft.lastIndex + 1;
  }

  /** Whether the open entry should be proposed before the end of the turn. */
  get entryIsFull(): boolean {
    return this.#batch.byteCount >= ENTRY_BYTES_MAX;
  }
}
