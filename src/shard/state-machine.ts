/**
 * The replicated state machine of the shard: which entries may be applied, which are, and what that publishes. Entries of one
 * log are applied in their order to one store, a bounded amount at a time, and each read that waits for an index is answered
 * between the entry of that index and the next. With a snapshot that takes the place of log and store comes another one.
 *
 * Invariants: nothing is applied that is not persisted, or that may still be superseded; fences are published before the
 * index that has applied them. Shard thread.
 */
import { type LogIndex, logIndex, type Term } from "../core/ids.ts";
import type { ShardReply } from "../bridge/shard-protocol.ts";
import type { FlushedPosition } from "../storage/manifest-format.ts";
import type { Maintenance } from "./maintenance.ts";
import { memtableTooSmall, type Recovered } from "./recovery.ts";
import type { WaitingRead, WaitingReads } from "./waiting-reads.ts";

/** Entries applied before requests and the log get their turn again. */
const APPLY_BYTES_MAX = 8 * 1024 * 1024;

export interface StateMachineEvents {
  reply(reply: ShardReply): void;
  /** A read whose index is applied. */
  answer(read: WaitingRead): void;
}

type Parts = Pick<Recovered, "log" | "state" | "store" | "context" | "applier" | "pending">;

export class StateMachine {
  readonly #parts: Parts;
  readonly #maintenance: Maintenance;
  readonly #reads: WaitingReads;
  readonly #bytesMax: number;
  readonly #events: StateMachineEvents;
  #commitIndex: LogIndex;
  /** Up to here entries may be applied once they are persisted. */
  #applyThrough: LogIndex;
  #appliedIndex: LogIndex;
  #appliedTerm: Term;
  /** The applier has begun the next entry and found no room for the rest. */
  #isInsideEntry = false;
  #fenceCount: number;

  /** `pendingBytesMax`: entries that are kept in memory. */
  constructor(
    parts: Recovered,
    maintenance: Maintenance,
    reads: WaitingReads,
    pendingBytesMax: number,
    events: StateMachineEvents,
  ) {
    this.#parts = parts;
    this.#maintenance = maintenance;
    this.#reads = reads;
    this.#bytesMax = Math.min(APPLY_BYTES_MAX, pendingBytesMax);
    this.#events = events;
    this.#commitIndex = parts.commitIndex;
    this.#applyThrough = parts.commitIndex;
    this.#appliedIndex = parts.appliedIndex;
    this.#appliedTerm = parts.appliedTerm;
    this.#fenceCount = parts.context.fences.size;
  }

  /** The last entry of which everything is applied. */
  get appliedIndex(): LogIndex {
    return this.#appliedIndex;
  }

  /** Whether nothing of the next entry is applied. */
  get isBetweenEntries(): boolean {
    return !this.#isInsideEntry;
  }

  /** What is applied is committed too: a single voter applies before it is told. */
  get provenCommit(): LogIndex {
    return logIndex(Math.max(this.#appliedIndex, this.#commitIndex));
  }

  /** Where the active memtable ends. */
  get position(): FlushedPosition {
    const { stampHigh, stampLow, configuration } = this.#parts.applier;
    const applied = { index: this.#appliedIndex, term: this.#appliedTerm };
    return { sequence: 0, ...applied, stampHigh, stampLow, configuration };
  }

  committed(commitIndex: LogIndex): void {
    if (commitIndex > this.#commitIndex) this.#commitIndex = commitIndex;
    this.mayApply(commitIndex);
  }

  /** Entries up to this one may be applied once they are persisted. */
  mayApply(through: LogIndex): void {
    if (through > this.#applyThrough) this.#applyThrough = through;
  }

  /** Applies what may be applied, a bounded amount of it; `holdIndex`: and nothing behind it. */
  apply(persistedIndex: LogIndex, holdIndex: number): void {
    const { pending, applier, log, store, state } = this.#parts;
    const limit = logIndex(Math.min(persistedIndex, this.#applyThrough, holdIndex));
    if (this.#appliedIndex >= limit) return;
    const before = this.#appliedIndex;
    store.active.observe(state.readerTurn);
    let appliedBytes = 0;
    while (this.#appliedIndex < limit && appliedBytes < this.#bytesMax) {
      const entry = pending.peek(limit);
      if (!this.#isInsideEntry) applier.begin(entry, pending.wantResults);
      this.#isInsideEntry = !this.#runApplier();
      if (this.#isInsideEntry) break;
      appliedBytes += entry.length;
      this.#appliedIndex = pending.nextIndex;
      this.#appliedTerm = applier.entryTerm;
      pending.advance();
      if (this.#appliedIndex >= this.#reads.nextIndex) this.answerReads();
    }
    this.#maintenance.noteWritten(appliedBytes, log.endPosition);
    if (this.#appliedIndex === before) return;
    log.noteApplied(this.#appliedIndex);
    this.publish();
    this.#replyApplied();
  }

  /** Runs the applier to the end of the entry, over as many arenas as it takes; false when there is none just now. */
  #runApplier(): boolean {
    const { applier, store } = this.#parts;
    while (!applier.run()) {
      if (store.active.entryCount === 0) throw memtableTooSmall();
      if (this.#maintenance.freeze()) continue;
      this.#maintenance.pushFlush();
      if (!this.#maintenance.freeze()) return false;
    }
    return true;
  }

  /** Answers the reads whose index is applied. */
  answerReads(): void {
    for (let read = this.#reads.take(this.#appliedIndex); read !== null; read = this.#reads.take(this.#appliedIndex)) {
      this.#events.answer(read);
    }
  }

  /** Tells the other thread, fences before the index that has applied them. */
  publish(): void {
    const { state, context } = this.#parts;
    for (; this.#fenceCount < context.fences.size; this.#fenceCount++) state.countFence();
    state.publishApplied(this.#appliedIndex);
  }

  #replyApplied(): void {
    const { applier, context } = this.#parts;
    const { stampHigh, stampLow, results } = applier;
    const system = context.system;
    applier.results = [];
    context.system = [];
    this.#events.reply({ type: "applied", appliedIndex: this.#appliedIndex, stampHigh, stampLow, results, system });
  }
}
