/**
 * Which entries the log holds now: index → segment and place in it, and the terms of the whole retained log. A lower
 * index than the last supersedes everything from there on, whichever segments it lay in. The shard's thread only.
 */
import { assert, at } from "../core/assert.ts";
import { type LogIndex, logIndex, type Term, term } from "../core/ids.ts";
import type { SegmentEntries } from "./segment-entries.ts";

/** A term of the log and the first index that has it. */
export interface TermRun {
  readonly firstIndex: LogIndex;
  readonly term: Term;
}

export class LogEntries {
  #firstIndex: number;
  #lastIndex: number;
  #previousTerm: number;
  readonly #termRuns: TermRun[] = [];
  /** Segments with live entries, ascending. */
  readonly #segments: SegmentEntries[] = [];

  /** `originIndex`: the entry before the first, of term `originTerm`; 0 at the start of time. */
  constructor(originIndex = 0, originTerm = 0) {
    this.#firstIndex = originIndex + 1;
    this.#lastIndex = originIndex;
    this.#previousTerm = originTerm;
  }

  /** Whether it is known which entry comes next. */
  get isPlaced(): boolean {
    return !this.isEmpty || this.#lastIndex > 0;
  }

  get firstIndex(): LogIndex {
    return logIndex(this.#firstIndex);
  }

  get lastIndex(): LogIndex {
    return logIndex(this.#lastIndex);
  }

  /** Term of the last entry, or of the one before the first when there is none. */
  get lastTerm(): Term {
    return this.#termRuns.at(-1)?.term ?? term(this.#previousTerm);
  }

  get previousTerm(): Term {
    return term(this.#previousTerm);
  }

  get termRuns(): readonly TermRun[] {
    return this.#termRuns;
  }

  get isEmpty(): boolean {
    return this.#segments.length === 0;
  }

  /** The segment that holds the last entry. */
  get newest(): SegmentEntries | undefined {
    return this.#segments.at(-1);
  }

  /** Adds an entry of `segment`; `previousTerm` is the term of the entry before it, used when the log begins here. */
  append(
    segment: SegmentEntries,
    index: number,
    entryTerm: number,
    offset: number,
    byteCount: number,
    checksum: number,
    previousTerm: number,
  ): void {
    this.#makeRoomAt(segment, index, previousTerm);
    if (segment.count === 0) this.#segments.push(segment);
    segment.append(index, offset, byteCount, checksum);
    this.#lastIndex = index;
    if (this.lastTerm !== entryTerm || this.#termRuns.length === 0) {
      this.#termRuns.push({ firstIndex: logIndex(index), term: term(entryTerm) });
    }
  }

  /** Adds all live entries of a sealed segment at once; its columns may still be in its hint. */
  appendSegment(segment: SegmentEntries, termRuns: readonly TermRun[], previousTerm: number): void {
    if (segment.count === 0) return;
    this.#makeRoomAt(segment, segment.firstIndex, previousTerm);
    this.#segments.push(segment);
    this.#lastIndex = segment.lastIndex;
    for (const run of termRuns) {
      if (this.#termRuns.at(-1)?.term !== run.term) this.#termRuns.push(run);
    }
  }

  /** Term of an entry, or of the one before the first; undefined outside of that. */
  termAt(index: number): Term | undefined {
    if (index === this.#firstIndex - 1) return term(this.#previousTerm);
    if (index < this.#firstIndex || index > this.#lastIndex) return undefined;
    return at(this.#termRuns, this.#runOf(index)).term;
  }

  /** The segment that holds an entry of the log. */
  segmentOf(index: number): SegmentEntries {
    assert(index >= this.#firstIndex && index <= this.#lastIndex, "the entry is in the log");
    let low = 0;
    let high = this.#segments.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (at(this.#segments, middle).firstIndex <= index) low = middle;
      else high = middle - 1;
    }
    return at(this.#segments, low);
  }

  /** Forgets a segment's entries, which are the oldest of the log but not its newest. */
  dropOldest(segment: SegmentEntries): void {
    if (segment.count === 0) return;
    assert(this.#segments[0] === segment && this.#segments.length > 1, "only the oldest entries go, never the last");
    const first = segment.lastIndex + 1;
    this.#previousTerm = this.termAt(first - 1) ?? 0;
    this.#segments.shift();
    this.#firstIndex = first;
    const kept = this.#runOf(first);
    const runTerm = at(this.#termRuns, kept).term;
    this.#termRuns.splice(0, kept + 1, { firstIndex: logIndex(first), term: runTerm });
    segment.count = 0;
  }

  /** Position in `termRuns` of the run that covers an entry. */
  #runOf(index: number): number {
    let low = 0;
    let high = this.#termRuns.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (at(this.#termRuns, middle).firstIndex <= index) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #makeRoomAt(by: SegmentEntries, index: number, previousTerm: number): void {
    if (index <= this.#lastIndex) this.#truncateFrom(by, index);
    if (this.isEmpty) {
      this.#firstIndex = index;
      this.#previousTerm = previousTerm;
    } else {
      assert(index === this.#lastIndex + 1, "entries follow one another without a gap");
    }
  }

  #truncateFrom(by: SegmentEntries, index: number): void {
    for (let segment = this.#segments.at(-1); segment !== undefined; segment = this.#segments.at(-1)) {
      if (segment.lastIndex < index) break;
      segment.truncateFrom(index);
      if (segment !== by) segment.supersededBy = by;
      if (segment.count > 0) break;
      this.#segments.pop();
    }
    for (let run = this.#termRuns.at(-1); run !== undefined && run.firstIndex >= index; run = this.#termRuns.at(-1)) {
      this.#termRuns.pop();
    }
    this.#lastIndex = index - 1;
  }
}
