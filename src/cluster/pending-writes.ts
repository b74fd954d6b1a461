/**
 * The writes this node has proposed and not yet answered, in log order. A write whose answer is known in advance is
 * resolved when its entry commits, the others when it is applied. An entry of another term at the same index means
 * that ours was never committed: that is said, and is safe to retry. So does a committed entry of a later term before it:
 * terms never fall along a log, so no log that has the one can ever have the other. Where the log does not reach back to it
 * any more, because a snapshot has taken its place, it may have been committed or not. That, and what outlives the deadline,
 * is "unknown". Main thread only.
 */
import type { LogIndex, Term } from "../core/ids.ts";
import { errorResult, OK, type Result } from "../record/result.ts";
import type { Waiter } from "./coordinator.ts";

/** The waiters of one entry. */
export interface PendingEntry {
  index: number;
  term: number;
  proposedMs: number;
  /** What those hear who are answered at the commit. */
  answer: Result;
  readonly commitWaiters: Waiter[];
  readonly commitTags: number[];
  readonly applyWaiters: Waiter[];
  readonly applyTags: number[];
  readonly applyOrdinals: number[];
  /** How many of the results have come; they come in order. */
  appliedCount: number;
}

export function newPendingEntry(): PendingEntry {
  return {
    index: 0,
    term: 0,
    proposedMs: 0,
    answer: OK,
    commitWaiters: [],
    commitTags: [],
    applyWaiters: [],
    applyTags: [],
    applyOrdinals: [],
    appliedCount: 0,
  };
}

const SUPERSEDED: Result = errorResult(
  "UNAVAILABLE",
  "the leader changed before the write was committed; it was not executed",
);
export const UNKNOWN: Result = errorResult(
  "UNKNOWN_OUTCOME",
  "the write was not confirmed; it may or may not take effect",
);

export class PendingWrites {
  /** Commands of all entries that were decided, ever. */
  decidedCount = 0;
  /** When the last of these entries was proposed. */
  decidedMs = 0;
  /** Entries not yet committed, by index; a deque over an array. */
  #uncommitted: PendingEntry[] = [];
  #head = 0;
  /** Committed entries that still wait for results. */
  readonly #unapplied = new Map<number, PendingEntry>();

  get count(): number {
    return this.uncommittedCount + this.#unapplied.size;
  }

  /** Entries proposed and not decided. */
  get uncommittedCount(): number {
    return this.#uncommitted.length - this.#head;
  }

  add(entry: PendingEntry): void {
    this.#uncommitted.push(entry);
  }

  /** Everything up to `commitIndex` is decided; `termAt` tells which entries those are, as far as the log goes back. */
  committed(commitIndex: LogIndex, termAt: (index: LogIndex) => Term | undefined): void {
    const commitTerm = termAt(commitIndex) ?? 0;
    while (this.#head < this.#uncommitted.length) {
      const entry = this.#uncommitted[this.#head]!;
      const isBehind = entry.index > commitIndex;
      if (isBehind && entry.term >= commitTerm) break;
      this.#head += 1;
      this.decidedCount += entry.commitWaiters.length + entry.applyWaiters.length;
      this.decidedMs = entry.proposedMs;
      const term = isBehind ? commitTerm : termAt(entry.index as LogIndex);
      if (term === entry.term) this.#answerCommitted(entry);
      else answerAll(entry, term === undefined ? UNKNOWN : SUPERSEDED);
    }
    if (this.#head > 1024 || this.#head === this.#uncommitted.length) {
      this.#uncommitted = this.#head === this.#uncommitted.length ? [] : this.#uncommitted.slice(this.#head);
      this.#head = 0;
    }
  }

  /** The result of one command of a committed entry. */
  applied(index: LogIndex, ordinal: number, result: Result): void {
    const entry = this.#unapplied.get(index);
    if (entry === undefined) return;
    const position = entry.appliedCount;
    if (entry.applyOrdinals[position] !== ordinal) return;
    entry.appliedCount += 1;
    if (entry.appliedCount === entry.applyOrdinals.length) this.#unapplied.delete(index);
    entry.applyWaiters[position]!.resolve(entry.applyTags[position]!, result);
  }

  /** Answers "unknown" to what was proposed at or before `proposedMs`. */
  expire(proposedMs: number): void {
    while (this.#head < this.#uncommitted.length) {
      const entry = this.#uncommitted[this.#head]!;
      if (entry.proposedMs > proposedMs) break;
      this.#head += 1;
      answerAll(entry, UNKNOWN);
    }
    for (const [index, entry] of this.#unapplied) {
      if (entry.proposedMs > proposedMs) break;
      this.#unapplied.delete(index);
      answerAll(entry, UNKNOWN);
    }
  }

  #answerCommitted(entry: PendingEntry): void {
    if (entry.applyOrdinals.length > 0) this.#unapplied.set(entry.index, entry);
    const waiters = entry.commitWaiters;
    const tags = entry.commitTags;
    for (let i = 0; i < waiters.length; i++) waiters[i]!.resolve(tags[i]!, entry.answer);
    waiters.length = 0;
    tags.length = 0;
  }
}

/** Answers everything in an entry that has not been answered. */
export function answerAll(entry: PendingEntry, result: Result): void {
  for (const [position, waiter] of entry.commitWaiters.entries()) waiter.resolve(entry.commitTags[position]!, result);
  for (let i = entry.appliedCount; i < entry.applyWaiters.length; i++) {
    entry.applyWaiters[i]!.resolve(entry.applyTags[i]!, result);
  }
}
