/**
 * The log of a shard: Raft's log, the write-ahead log and the data file of large values in one.
 *
 *   stage    entries are copied into the group being gathered
 *   write    the group goes to disk with one write and its sync begins; `synced` hears of it, in order
 *   read     old entries, checked against their checksums
 *   release  segments nobody needs are deleted, in the background
 *
 * Invariants: bytes in a segment are written once; a group lies within one segment; a group's header names only
 * positions whose sync has been reported; segments are deleted from the oldest on, one at a time, and never the one
 * with the newest entry. A failed write or sync is the end of this object: it can no longer tell what is on disk, so
 * every later call throws, and only a new `open` finds out. The shard's thread only.
 *
 * Length: reading, upkeep, syncs and recovery are in files of their own; what is left is the path of a group to the disk.
 */
import { assert, at } from "../core/assert.ts";
import { EnvelopeError } from "../core/errors.ts";
import { type LogIndex, type LogPosition, logIndex, logPosition, type Term, term } from "../core/ids.ts";
import type { Disk, DiskFile } from "../env/disk.ts";
import { blockBehind, GroupHeader, LOG_BLOCK_BYTES } from "../record/group-format.ts";
import { SEGMENT_HEADER_BYTES, segmentChecksum } from "../record/segment-format.ts";
import { GroupBuffer } from "./group-buffer.ts";
import type { LogEntries, TermRun } from "./log-entries.ts";
import type { LogOptions } from "./log-options.ts";
import type { LogStats } from "./log-stats.ts";
import { LogUpkeep } from "./log-upkeep.ts";
import { type RecoveredLog, type RecoveryReport, recoverLog } from "./recovery.ts";
import { Segment } from "./segment.ts";
import { NO_CLAIMS, type SegmentClaims } from "./segment-claims.ts";
import { SegmentEntries } from "./segment-entries.ts";
import { SegmentReader } from "./segment-reader.ts";
import { type SyncedCallback, SyncQueue, type SyncTicket } from "./sync-queue.ts";

/** Where an entry lies, in a reused object. */
export interface EntryPlace {
  segmentId: number;
  offset: number;
}

export class Log {
  /** What opening it found and did. */
  readonly recovery: RecoveryReport;
  readonly #directory: string;
  /** Whole blocks are written, past the page cache. */
  readonly #isDirect: boolean;
  readonly #segments: Segment[];
  readonly #entries: LogEntries;
  readonly #reader: SegmentReader;
  readonly #upkeep: LogUpkeep;
  readonly #buffer = new GroupBuffer();
  readonly #header = new GroupHeader();
  readonly #syncs: SyncQueue;
  #active: Segment;
  #file: DiskFile;
  /** Files of sealed segments whose last sync is still under way. */
  readonly #sealedFiles = new Map<Segment, DiskFile>();
  #nextGroup: number;
  /** Largest commit index written into a group header. */
  #commitIndex: number;
  /** With the staged entries. */
  #lastIndex: number;
  #lastTerm: number;
  /** Term of the entry before the first staged one. */
  #stagedPreviousTerm = 0;
  /** Every group that ends at or before this position is durable, as far as the disk has told: the end of one. */
  #syncedPosition: LogPosition;
  /** The same, as far as some header on disk says so. */
  #provenPosition: LogPosition;
  /** Behind the last group that has entries. */
  #entriesEnd: LogPosition;
  #syncCount = 0;
  #groupCount = 0;
  /** The last group was written without a sync. */
  #isInsecure = false;
  /** Behind the last group that was. */
  #weakPosition = 0;
  #writtenBytes = 0;
  #failure: EnvelopeError | null = null;
  #closed = false;

  private constructor(
    disk: Disk,
    directory: string,
    options: LogOptions,
    recovered: RecoveredLog,
    claims: SegmentClaims,
  ) {
    this.recovery = recovered.report;
    this.#directory = directory;
    this.#isDirect = options.isDirect;
    this.#segments = recovered.segments;
    this.#entries = recovered.entries;
    this.#reader = new SegmentReader(disk);
    this.#upkeep = new LogUpkeep(disk, directory, options, this.#segments, this.#entries, this.#reader, claims);
    this.#syncs = new SyncQueue((ticket) => this.#delivered(ticket));
    this.#active = at(recovered.segments, recovered.segments.length - 1);
    this.#file = recovered.active.file;
    this.#nextGroup = recovered.nextGroup;
    this.#commitIndex = recovered.commitIndex;
    this.#lastIndex = this.#entries.lastIndex;
    this.#lastTerm = this.#entries.lastTerm;
    const { groups, header } = this.#active;
    const start = groups.groupCount === 0 ? logPosition(header.cutPosition) : this.#writePosition;
    this.#syncedPosition = start;
    this.#provenPosition = start;
    this.#entriesEnd = start;
  }

  /**
   * Recovers the log in `directory`, or begins one in a directory that holds no data. `options.segmentBytes` is rounded
   * up to whole blocks; `claims` tells which segments are pointed into. With `mayCut` the log ends before the first damage
   * in it. Throws CORRUPTION, MISSING_FILE, FOREIGN_DIRECTORY, NEWER_FORMAT, DISKFULL, IO.
   */
  static open(
    disk: Disk,
    directory: string,
    options: LogOptions,
    claims: SegmentClaims = NO_CLAIMS,
    mayCut = false,
  ): Log {
    if (!disk.exists(directory)) disk.makeDirectory(directory);
    const rounded = { ...options, segmentBytes: blockBehind(Math.max(2 * LOG_BLOCK_BYTES, options.segmentBytes)) };
    return new Log(disk, directory, rounded, recoverLog(disk, directory, rounded, claims, mayCut), claims);
  }

  /** First entry still in the log; lastIndex + 1 when it is empty. */
  get firstIndex(): LogIndex {
    return this.#entries.firstIndex;
  }

  /** Last entry, staged ones included. */
  get lastIndex(): LogIndex {
    return logIndex(this.#lastIndex);
  }

  get lastTerm(): Term {
    return term(this.#lastTerm);
  }

  /** Term of the entry before `firstIndex`; 0 at the start of time. */
  get previousTerm(): Term {
    return this.#entries.previousTerm;
  }

  /** The terms of all entries that have been written, ascending: a copy. */
  get termRuns(): readonly TermRun[] {
    return this.#entries.termRuns.slice();
  }

  /** Term of a written entry, or of the one before the first; undefined outside of that. */
  termAt(index: LogIndex): Term | undefined {
    return this.#entries.termAt(index);
  }

  /** The newest commit index in a group header, never beyond the last entry at the time of opening. */
  get commitIndex(): LogIndex {
    return logIndex(this.#commitIndex);
  }

  /** Behind the last group, with its padding: how far the log has been written. */
  get endPosition(): LogPosition {
    return this.#writePosition;
  }

  get hasStaged(): boolean {
    return this.#buffer.entryCount > 0;
  }

  get unsyncedGroups(): number {
    return this.#syncs.length;
  }

  /** Whether entries are with the operating system, and no sync has been begun behind them. */
  get isInsecure(): boolean {
    return this.#isInsecure;
  }

  /** Makes durable what was written without a sync, if a later sync has not yet. Throws IO, which ends this log. */
  secure(): void {
    if (this.#weakPosition <= this.#syncedPosition) return;
    try {
      this.#file.sync();
    } catch (failure) {
      this.#fail(failure);
      throw failure;
    }
    this.#isInsecure = false;
    this.#weakPosition = 0;
    this.#syncCount += 1;
    if (this.#syncs.length === 0) this.#syncedPosition = this.#writePosition;
  }

  /** Entries are durable and no group behind them says so yet: a `write` with nothing staged would. */
  get idleProofDue(): boolean {
    return (
      this.#provenPosition < this.#entriesEnd &&
      this.#entriesEnd <= this.#syncedPosition &&
      !this.hasStaged &&
      this.#syncs.length === 0 &&
      this.#failure === null
    );
  }

  /** Whether proposals may be taken: there is room for the next segment, and the reserve is free. */
  get writable(): boolean {
    return this.#failure === null && this.#upkeep.hasRoom;
  }

  /** Copies whole, verified, consecutive entries into the next group. An index the log has already is superseded. */
  stage(entries: readonly Uint8Array[]): void {
    this.#check();
    for (const entry of entries) this.#stage(entry);
  }

  /**
   * Writes everything staged as one group, an empty one when nothing is, and begins its sync. `synced` is called once,
   * in this call or later, in the order of the writes: with null when the entries up to `lastIndex` are durable, or
   * with the failure that has ended this log. Throws DISKFULL when there is no room for the segment it needs; then
   * the entries stay staged and it may be called again. With `isSync` false nothing is synced, and it is called when
   * the group is with the operating system; a later group, or `secure`, makes it durable.
   */
  write(commitIndex: LogIndex, synced: SyncedCallback, isSync = true): void {
    this.#check();
    const isPadded = isSync || this.#isDirect;
    if (this.#startOffset + this.#buffer.groupBytesAt(this.#startOffset, isPadded) > this.#active.header.segmentBytes) {
      this.#rotate(this.#buffer.groupBytesAt(0, true));
    }
    const segment = this.#active;
    const start = this.#startOffset;
    const groupBytes = this.#buffer.groupBytesAt(start, isPadded);
    const bytes = this.#buffer.seal(this.#nextHeader(commitIndex), segment.checksum, groupBytes);
    const ticket: SyncTicket = {
      segment,
      endPosition: logPosition(segment.header.basePosition + start + groupBytes),
      lastIndex: logIndex(this.#lastIndex),
      lastTerm: term(this.#lastTerm),
      synced,
      isSync,
      done: false,
    };
    this.#syncs.add(ticket);
    try {
      this.#file.write(bytes, start);
    } catch (failure) {
      this.#fail(failure);
      return;
    }
    this.#noteWritten(segment, start, groupBytes, commitIndex, isSync);
    this.#isInsecure = !isSync;
    if (!isSync) this.#weakPosition = this.#writePosition;
    if (isSync) this.#file.beginSync((failure) => this.#syncEnded(ticket, failure));
    else this.#syncEnded(ticket, null);
  }

  /**
   * Written entries from index `from`: at most `bytesMax` bytes of them, but at least one. Empty when the log does not
   * hold `from`. Throws CORRUPTION when one does not match its checksum.
   */
  read(from: LogIndex, bytesMax: number): Uint8Array[] {
    this.#check();
    const found: Uint8Array[] = [];
    if (from < this.#entries.firstIndex) return found;
    let room = bytesMax;
    for (let index: number = from; index <= this.#entries.lastIndex; ) {
      const before = found.length;
      index += this.#readSpan(index, room, found);
      for (let i = before; i < found.length; i++) room -= at(found, i).length;
      if (room < 0 && found.length > 1) found.pop();
      if (room <= 0) break;
    }
    return found;
  }

  /** Where a written entry lies: tells `place`. */
  locate(index: LogIndex, place: EntryPlace): void {
    const entries = this.#entries.segmentOf(index);
    entries.ensureLoaded();
    place.segmentId = this.#segmentWith(entries).id;
    place.offset = entries.offsets[index - entries.firstIndex]!;
  }

  /** Visits the written entries `from` to `to` in order. Throws CORRUPTION. */
  forEachFrom(from: LogIndex, to: LogIndex, visit: (entry: Uint8Array) => void): void {
    this.#check();
    assert(from > to || (from >= this.firstIndex && to <= this.#entries.lastIndex), "the entries are in the log");
    for (let index: number = from; index <= to; ) {
      const span: Uint8Array[] = [];
      index += this.#readSpan(index, Number.POSITIVE_INFINITY, span);
      const surplus = Math.max(0, index - to - 1);
      for (let i = 0; i < span.length - surplus; i++) visit(at(span, i));
    }
  }

  /**
   * Nobody needs entries below the first index: segments wholly below it are deleted by `backgroundStep`. Those below the
   * second may be needed by others, and are deleted while the log has more than `retainedBytes`.
   */
  release(unneeded: LogIndex, dispensable = unneeded, retainedBytes = Number.POSITIVE_INFINITY): void {
    this.#check();
    this.#upkeep.release(unneeded, dispensable, retainedBytes);
  }

  /** From now on nothing is written to this segment: if it is the one being written, the log goes on in the next. Throws DISKFULL, IO. */
  seal(segmentId: number): void {
    this.#check();
    if (this.#active.id === segmentId) this.#rotate(0);
  }

  /** Every entry up to this one is applied: sealed segments below it may get their hints. */
  noteApplied(index: LogIndex): void {
    this.#upkeep.noteApplied(index);
  }

  /** One bounded piece of the work nobody waits for; true: there is more to do. `isBusy`: only what cannot wait. */
  backgroundStep(isBusy: boolean): boolean {
    this.#check();
    return this.#upkeep.step(this.#active, this.#syncedPosition, isBusy);
  }

  /** Whether `backgroundStep` has left something for a quiet moment. */
  get owesHint(): boolean {
    return this.#failure === null && this.#upkeep.owesHint(this.#active, this.#syncedPosition);
  }

  /** Segments that are written no more, and durable, oldest first. They may be gone after the next `backgroundStep`. */
  get sealedSegments(): readonly Segment[] {
    return this.#segments.filter(
      (segment) =>
        segment !== this.#active && segment.header.basePosition + segment.groups.endOffset <= this.#syncedPosition,
    );
  }

  /** The quarantined segments: what a repair would have to bring back is their live entries. */
  get damagedSegments(): readonly Segment[] {
    return this.#segments.filter(({ isDamaged }) => isDamaged);
  }

  /** The entry behind the last damaged segment of which all entries are below `limit`; 0: there is none. */
  behindDamage(limit: LogIndex): number {
    let behind = 0;
    for (const { entries, isDamaged } of this.#segments) {
      if (isDamaged && entries.count > 0 && entries.lastIndex < limit) behind = Math.max(behind, entries.lastIndex + 1);
    }
    return behind;
  }

  /** Notes that a sealed segment is damaged. Its entries are still read, each checked; it gets no hint any more. */
  quarantine(segment: Segment): void {
    segment.isDamaged = true;
    this.#upkeep.noteDamaged(segment);
  }

  stats(): LogStats {
    let segmentBytes = 0;
    for (const { header } of this.#segments) segmentBytes += header.segmentBytes;
    return {
      segmentCount: this.#segments.length,
      segmentBytes,
      syncCount: this.#syncCount,
      groupCount: this.#groupCount,
      writtenBytes: this.#writtenBytes,
    };
  }

  /** Closes its files. What is staged is lost; syncs under way are not heard of any more. */
  close(): void {
    this.#closed = true;
    this.#upkeep.close();
    this.#reader.release(null);
    for (const file of this.#sealedFiles.values()) file.close();
    this.#file.close();
  }

  /** Where the next group begins in the active segment: behind a sync in a new block. */
  get #startOffset(): number {
    const { endOffset } = this.#active.groups;
    return this.#isInsecure ? endOffset : blockBehind(endOffset);
  }

  get #writePosition(): LogPosition {
    return logPosition(this.#active.header.basePosition + this.#active.groups.endOffset);
  }

  #check(): void {
    if (this.#failure !== null) throw this.#failure;
    assert(!this.#closed, "a closed log is not used");
  }

  #stage(entry: Uint8Array): void {
    const ordinal = this.#buffer.entryCount;
    this.#buffer.add(entry);
    const index = this.#buffer.indexes[ordinal]!;
    const entryTerm = this.#buffer.terms[ordinal]!;
    const follows = index === this.#lastIndex + 1;
    assert(follows || (index >= this.#entries.firstIndex && index <= this.#lastIndex), "entries leave no gap");
    assert(!follows || entryTerm >= this.#lastTerm, "terms never fall along the log");
    if (ordinal === 0) this.#stagedPreviousTerm = follows ? this.#lastTerm : (this.#entries.termAt(index - 1) ?? 0);
    this.#lastIndex = index;
    this.#lastTerm = entryTerm;
  }

  #nextHeader(commitIndex: number): GroupHeader {
    const header = this.#header;
    header.segmentId = this.#active.id;
    header.groupNumber = this.#nextGroup;
    header.syncedThrough = this.#syncedPosition;
    header.commitIndex = commitIndex;
    header.previousTerm = this.hasStaged ? this.#stagedPreviousTerm : this.#lastTerm;
    return header;
  }

  #noteWritten(segment: Segment, start: number, groupBytes: number, commitIndex: number, isSync: boolean): void {
    const { indexes, terms, offsets, byteCounts, checksums, entryCount } = this.#buffer;
    const { groups } = segment;
    for (let i = 0; i < entryCount; i++) {
      const offset = start + offsets[i]!;
      this.#entries.append(
        segment.entries,
        indexes[i]!,
        terms[i]!,
        offset,
        byteCounts[i]!,
        checksums[i]!,
        this.#stagedPreviousTerm,
      );
    }
    if (groups.groupCount === 0) groups.firstGroup = this.#nextGroup;
    groups.groupCount += 1;
    groups.endOffset = start + groupBytes;
    groups.commitIndex = Math.max(groups.commitIndex, commitIndex);
    this.#commitIndex = Math.max(this.#commitIndex, commitIndex);
    this.#provenPosition = logPosition(this.#header.syncedThrough);
    if (entryCount > 0) this.#entriesEnd = this.#writePosition;
    this.#nextGroup += 1;
    this.#groupCount += 1;
    this.#writtenBytes += groupBytes;
    if (isSync) this.#syncCount += 1;
    this.#buffer.reset();
  }

  /** Seals the active segment and goes on in the next. */
  #rotate(groupBytes: number): void {
    // Syncs of the next segment's file do not reach into this one.
    this.secure();
    const made = this.#upkeep.takeNext(this.#active, groupBytes);
    if (this.#syncs.holds(this.#active)) this.#sealedFiles.set(this.#active, this.#file);
    else this.#file.close();
    const groups = { firstGroup: 0, groupCount: 0, endOffset: SEGMENT_HEADER_BYTES, commitIndex: 0 };
    const checksum = segmentChecksum(made.block);
    this.#active = new Segment(this.#directory, made.header, checksum, groups, new SegmentEntries(), false);
    this.#active.isRecyclable = true;
    this.#file = made.file;
    this.#segments.push(this.#active);
  }

  #syncEnded(ticket: SyncTicket, failure: EnvelopeError | null): void {
    if (this.#closed || this.#failure !== null) return;
    if (failure === null) this.#syncs.complete(ticket);
    else this.#fail(failure);
  }

  #delivered(ticket: SyncTicket): void {
    if (ticket.isSync) this.#syncedPosition = ticket.endPosition;
    const sealed = this.#sealedFiles.get(ticket.segment);
    if (sealed === undefined || this.#syncs.holds(ticket.segment)) return;
    sealed.close();
    this.#sealedFiles.delete(ticket.segment);
  }

  /** The end: nothing on disk behind the last reported sync is known any more. */
  #fail(failure: unknown): void {
    if (!(failure instanceof EnvelopeError)) {
      this.#failure = new EnvelopeError("IO", `the log in ${this.#directory} was left in the middle of a write`);
      throw failure;
    }
    this.#failure = failure;
    this.#syncs.fail(failure);
  }

  /** Reads the entries of one span; returns how many. */
  #readSpan(index: number, bytesMax: number, into: Uint8Array[]): number {
    const entries = this.#entries.segmentOf(index);
    return this.#reader.readSpan(this.#segmentWith(entries), index - entries.firstIndex, bytesMax, into);
  }

  #segmentWith(entries: SegmentEntries): Segment {
    const segment = this.#segments.findLast((candidate) => candidate.entries === entries);
    assert(segment !== undefined, "every live entry lies in a segment of the log");
    return segment;
  }
}
