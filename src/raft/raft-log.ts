/**
 * The log as the core knows it: the terms of everything that is retained, as runs, its configurations, and the newest
 * entries themselves.
 *
 *     firstIndex          tail.firstIndex      persistedIndex   handedIndex    lastIndex
 *     |  terms only, entries on disk  |  in memory, on disk  |  being written  |  not yet handed out  |
 *
 * commitIndex lies anywhere from firstIndex − 1 to lastIndex. Invariants: commitIndex never falls; nothing at or below
 * it is truncated; entries beyond min(commitIndex, persistedIndex) are never evicted from memory.
 *
 * The disk reports what it has by (index, term) alone. That is unambiguous only while no two writes under way disagree:
 * a leader of term 3 may bring back an entry of term 1 that a leader of term 2 had superseded, and a late report of the
 * first write would then be taken for the third. So entries that supersede ones still being written wait until the disk
 * has reported those.
 */
import { assert } from "../core/assert.ts";
import type { LogIndex, Term } from "../core/ids.ts";
import { Configurations } from "./configuration.ts";
import { EntryTail } from "./entry-tail.ts";
import type { RaftEntry } from "./messages.ts";
import type { RaftBoot, TermRun } from "./ready.ts";

const NO_ENTRIES: readonly RaftEntry[] = [];

export class RaftLog {
  readonly #tailBytesMax: number;
  #configurations = new Configurations([]);
  #firstIndex = 1;
  #previousTerm = 0 as Term;
  #runs: TermRun[] = [];
  #tail = new EntryTail(1);
  #lastIndex = 0;
  #commitIndex = 0;
  #persistedIndex = 0;
  #handedIndex = 0;
  #votesFrom = 0;
  #aloneThrough = 0;
  /** The end of the last write handed to the disk and not yet reported, index 0 when all are. */
  #writingIndex = 0;
  #writingTerm = 0;
  /** Part of what is being written has been superseded meanwhile. */
  #mustDrain = false;

  constructor(boot: RaftBoot, tailBytesMax: number) {
    this.#tailBytesMax = tailBytesMax;
    this.restart(boot);
  }

  /** The log is what the disk holds now, and nothing that was under way to the disk counts any more. */
  restart(boot: RaftBoot): void {
    const commitIndex = Math.max(boot.commitIndex, boot.appliedIndex, boot.firstIndex - 1);
    assert(boot.firstIndex >= 1 && boot.lastIndex >= boot.firstIndex - 1, "a log starts before it ends");
    assert(commitIndex <= boot.lastIndex, "what was committed is in the log");
    assert(commitIndex >= this.#commitIndex, "the commit index never falls");
    this.#votesFrom = boot.votesFrom;
    this.#configurations = new Configurations(boot.configurations);
    this.#firstIndex = boot.firstIndex;
    this.#previousTerm = boot.previousTerm;
    this.#runs = [...boot.termRuns];
    this.#tail = new EntryTail(boot.lastIndex + 1);
    this.#lastIndex = boot.lastIndex;
    this.#persistedIndex = boot.lastIndex;
    this.#handedIndex = boot.lastIndex;
    this.#commitIndex = commitIndex;
    this.#aloneThrough = 0;
    this.#writingIndex = 0;
    this.#writingTerm = 0;
    this.#mustDrain = false;
    assert(this.lastTerm === boot.lastTerm, "the term runs end with the last term");
  }

  /** The log has been given up: what was committed in it is not this member's business any more. */
  giveUp(boot: RaftBoot): void {
    this.#commitIndex = 0;
    this.restart(boot);
  }

  /** Whether it has everything that this member has ever acknowledged, so that it may be held against a candidate's. */
  get isWhole(): boolean {
    return this.#lastIndex >= this.#votesFrom;
  }

  get configurations(): Configurations {
    return this.#configurations;
  }
  get firstIndex(): LogIndex {
    return this.#firstIndex as LogIndex;
  }
  get lastIndex(): LogIndex {
    return this.#lastIndex as LogIndex;
  }
  get commitIndex(): LogIndex {
    return this.#commitIndex as LogIndex;
  }
  /** How far what is committed has been given to the disk: its driver must not hear of more. */
  get tellableCommit(): LogIndex {
    return Math.min(this.#commitIndex, this.#handedIndex) as LogIndex;
  }
  get persistedIndex(): LogIndex {
    return this.#persistedIndex as LogIndex;
  }
  /**
   * What was appended while this node was the only voter is committed by its own disk, even when others have come since and
   * whoever leads by then: none of them does so without this node's vote. The driver may have carried it out already.
   */
  decideAlone(through: number): void {
    this.#aloneThrough = through;
  }
  get decidedAlone(): number {
    return Math.min(this.#persistedIndex, this.#aloneThrough);
  }
  /** Entries below this one must be read from disk. */
  get tailFirstIndex(): LogIndex {
    return this.#tail.firstIndex as LogIndex;
  }
  get lastTerm(): Term {
    const last = this.#runs[this.#runs.length - 1];
    return last === undefined ? this.#previousTerm : last.term;
  }

  /** The term of an entry, of the one before the first too; undefined where the log does not reach. */
  termAt(index: number): Term | undefined {
    if (index > this.#lastIndex || index < this.#firstIndex - 1) return undefined;
    const run = this.#runAt(index);
    return run < 0 ? this.#previousTerm : this.#runs[run]!.term;
  }

  /**
   * The largest index ≤ `index` whose term is ≤ `term`: no entry above it can match a log that has `term` at `index`.
   * Never below firstIndex − 1. (Ongaro's thesis, end of §5.3, in the form etcd-io/raft gives it.)
   */
  lastAtOrBelow(index: number, term: number): LogIndex {
    let candidate = Math.min(index, this.#lastIndex);
    for (let run = this.#runAt(candidate); run >= 0; run--) {
      const { firstIndex, term: runTerm } = this.#runs[run]!;
      if (runTerm <= term) break;
      candidate = firstIndex - 1;
    }
    return Math.max(candidate, this.#firstIndex - 1) as LogIndex;
  }

  /** Whether a log that ends so has everything that ours has (Raft §5.4.1). */
  isUpToDate(lastIndex: number, lastTerm: number): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.#lastIndex);
  }

  append(entry: RaftEntry): void {
    assert(entry.index === this.#lastIndex + 1, "the log has no gaps");
    const lastTerm = this.lastTerm;
    assert(entry.term >= lastTerm, "terms never fall along the log");
    if (entry.term > lastTerm || this.#runs.length === 0)
      this.#runs.push({ firstIndex: entry.index, term: entry.term });
    this.#tail.push(entry);
    this.#lastIndex = entry.index;
    if (entry.configuration !== null) this.#configurations.push(entry.index, entry.configuration);
  }

  /**
   * Takes over a leader's entries behind an index that matches; everything up to `matching` is known to match. What is
   * there already stays, whatever lies behind it: an old append must not cut off what a later one brought. Only a
   * conflicting term truncates.
   */
  merge(entries: readonly RaftEntry[], matching: number): void {
    for (const entry of entries) {
      if (entry.index <= matching) continue;
      if (entry.index <= this.#lastIndex) {
        if (this.termAt(entry.index) === entry.term) continue;
        this.#truncateFrom(entry.index);
      }
      this.append(entry);
    }
  }

  commitTo(index: number): void {
    if (index <= this.#commitIndex) return;
    assert(index <= this.#lastIndex, "what is committed is in the log");
    this.#commitIndex = index;
    this.#evict();
  }

  /** The disk's word for everything up to an entry. Worthless if that entry has been superseded since. */
  persisted(index: number, term: number): void {
    if (index === this.#writingIndex && term === this.#writingTerm) {
      this.#writingIndex = 0;
      this.#mustDrain = false;
    }
    if (index <= this.#persistedIndex || this.termAt(index) !== term) return;
    this.#persistedIndex = index;
    this.#handedIndex = Math.max(this.#handedIndex, index);
    this.#evict();
  }

  /** The disk has let go of the entries below `firstIndex`, all of them committed; the one before it has `previousTerm`. */
  release(firstIndex: number, previousTerm: Term): void {
    if (firstIndex <= this.#firstIndex) return;
    assert(firstIndex <= this.#commitIndex + 1, "only what is committed is released");
    assert(this.termAt(firstIndex - 1) === previousTerm, "what is released is what was in the log");
    const run = this.#runAt(firstIndex);
    if (firstIndex > this.#lastIndex) this.#runs = [];
    else if (run >= 0)
      this.#runs.splice(0, run + 1, { firstIndex: firstIndex as LogIndex, term: this.#runs[run]!.term });
    this.#firstIndex = firstIndex;
    this.#previousTerm = previousTerm;
    // The report of it may have been about an entry that has been superseded since.
    this.#handedIndex = Math.max(this.#handedIndex, firstIndex - 1);
    this.#persistedIndex = Math.max(this.#persistedIndex, firstIndex - 1);
    while (this.#tail.firstIndex < firstIndex && this.#tail.firstIndex <= this.#lastIndex) this.#tail.dropFirst();
    this.#configurations.releaseBelow(firstIndex);
  }

  /** Entries for the disk that it has not been given yet. */
  takeUnwritten(): readonly RaftEntry[] {
    if (this.#handedIndex === this.#lastIndex || this.#mustDrain) return NO_ENTRIES;
    const entries = this.#tail.take(this.#handedIndex + 1, this.#lastIndex, Infinity);
    this.#handedIndex = this.#lastIndex;
    this.#writingIndex = this.#lastIndex;
    this.#writingTerm = this.lastTerm;
    return entries;
  }

  /** Entries in memory from `from`, at most `bytesMax` bytes of them but at least one. */
  entriesFrom(from: number, bytesMax: number): RaftEntry[] {
    return this.#tail.take(from, this.#lastIndex, bytesMax);
  }

  /** Bytes of the entries in a range that is still in memory. */
  bytesOf(from: number, through: number): number {
    let bytes = 0;
    for (let index = from; index <= through; index++) bytes += this.#tail.get(index).bytes.length;
    return bytes;
  }

  #truncateFrom(index: number): void {
    assert(index > this.#commitIndex, "a committed entry is never removed");
    this.#tail.truncateFrom(index);
    this.#configurations.truncateFrom(index);
    while (this.#runs.length > 0 && this.#runs[this.#runs.length - 1]!.firstIndex >= index) this.#runs.pop();
    this.#lastIndex = index - 1;
    this.#persistedIndex = Math.min(this.#persistedIndex, index - 1);
    this.#handedIndex = Math.min(this.#handedIndex, index - 1);
    if (this.#writingIndex >= index) this.#mustDrain = true;
  }

  #evict(): void {
    const evictable = Math.min(this.#commitIndex, this.#persistedIndex);
    const bytesMax = this.#configurations.hasSeveral ? this.#tailBytesMax : 0;
    while (this.#tail.bytes > bytesMax && this.#tail.firstIndex <= evictable) this.#tail.dropFirst();
  }

  /** Position of the run that holds an index, −1 for the one before the first. Mostly the last run. */
  #runAt(index: number): number {
    let low = 0;
    let high = this.#runs.length - 1;
    if (high >= 0 && this.#runs[high]!.firstIndex <= index) return high;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (this.#runs[middle]!.firstIndex <= index) low = middle + 1;
      else high = middle - 1;
    }
    return high;
  }
}
