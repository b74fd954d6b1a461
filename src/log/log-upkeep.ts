/**
 * The work of a log that nobody waits for, done in bounded steps between the shard's turns: letting go of released
 * segments, making the next segment ahead of its use (out of a released one if there is one), writing the hints of sealed
 * ones. Nothing depends on it having been done: `takeNext` makes a segment on the spot when it must. The shard's thread
 * only.
 */
import { EnvelopeError } from "../core/errors.ts";
import type { Disk } from "../env/disk.ts";
import { SEGMENT_HEADER_BYTES, type SegmentHeader } from "../record/segment-format.ts";
import { DiskRoom } from "./disk-room.ts";
import { HintWriter } from "./hint-writer.ts";
import type { LogEntries } from "./log-entries.ts";
import { hintPath, keptSegmentPath } from "./log-files.ts";
import type { LogOptions } from "./log-options.ts";
import type { Segment } from "./segment.ts";
import type { SegmentClaims } from "./segment-claims.ts";
import { type MadeSegment, SegmentPreparation, segmentBytesFor } from "./segment-preparation.ts";
import type { SegmentReader } from "./segment-reader.ts";
import { SpareSegments } from "./spare-segments.ts";

/** The next segment is made when the active one is used to this part: early, but not for a log that is hardly used. */
const PREPARE_AT_FRACTION = 1 / 16;

/** Sealed segments that may be without a hint while the shard is busy: what the next start would have to read. */
const UNHINTED_SEGMENTS_MAX = 12;

export class LogUpkeep {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #options: LogOptions;
  readonly #segments: Segment[];
  readonly #entries: LogEntries;
  readonly #reader: SegmentReader;
  readonly #room: DiskRoom;
  #next: MadeSegment | null = null;
  #preparation: SegmentPreparation | null = null;
  #hint: HintWriter | null = null;
  readonly #spares: SpareSegments;
  /** The disk had no room for the next segment when it was last tried, whatever it says about free bytes. */
  #refused = false;
  readonly #claims: SegmentClaims;
  /** Nobody needs entries below this one. */
  #releaseBelow = 0;
  /** Entries below this one are kept for others only, and not beyond so many bytes of log. */
  #dispensableBelow = 0;
  #retainedBytes = Number.POSITIVE_INFINITY;
  #appliedIndex = 0;

  /** `segments`, oldest first and the active one last, is shared with the log. */
  constructor(
    disk: Disk,
    directory: string,
    options: LogOptions,
    segments: Segment[],
    entries: LogEntries,
    reader: SegmentReader,
    claims: SegmentClaims,
  ) {
    this.#disk = disk;
    this.#directory = directory;
    this.#options = options;
    this.#segments = segments;
    this.#entries = entries;
    this.#reader = reader;
    this.#claims = claims;
    this.#room = new DiskRoom(disk, directory, options.segmentBytes);
    this.#spares = new SpareSegments(disk, directory, options.segmentBytes);
  }

  get hasRoom(): boolean {
    return this.#room.suffices(this.#hasNext) && (this.#hasNext || !this.#refused);
  }

  /** Whether the next segment needs no more room than it has. */
  get #hasNext(): boolean {
    return this.#next !== null || this.#spares.count > 0;
  }

  release(unneeded: number, dispensable: number, retainedBytes: number): void {
    this.#releaseBelow = Math.max(this.#releaseBelow, unneeded);
    this.#dispensableBelow = Math.max(this.#dispensableBelow, dispensable);
    this.#retainedBytes = retainedBytes;
  }

  noteApplied(index: number): void {
    if (index > this.#appliedIndex) this.#appliedIndex = index;
  }

  /**
   * Does one bounded piece of work; true: there is more. Everything before `syncedPosition` is durable. While the shard
   * is busy, hints wait: they only shorten the next start, and a segment may be released before it needs one.
   */
  step(active: Segment, syncedPosition: number, isBusy: boolean): boolean {
    this.#room.lookSeldom(this.#hasNext);
    if (!this.#room.suffices(this.#hasNext) && this.#spares.giveBack()) {
      this.#room.look();
      return true;
    }
    const released = this.#releasable(syncedPosition);
    if (released !== null) {
      this.#delete(released);
      return true;
    }
    if (this.#prepareStep(active)) return true;
    if (isBusy && !this.#hintsAreFarBehind()) return false;
    return this.#hintStep(active, syncedPosition);
  }

  /** The hint of a damaged segment cannot be written. */
  noteDamaged(segment: Segment): void {
    if (this.#hint?.segment === segment) this.#abandonHint();
  }

  #hintsAreFarBehind(): boolean {
    const behind = this.#segments[this.#segments.length - 1 - UNHINTED_SEGMENTS_MAX];
    return behind !== undefined && !behind.hasHint && !behind.isDamaged;
  }

  /** A segment that follows `active` and holds a group of `groupBytes`. Throws DISKFULL, and may be asked again. */
  takeNext(active: Segment, groupBytes: number): MadeSegment {
    const segmentBytes = segmentBytesFor(groupBytes, this.#options.segmentBytes);
    const ready = this.#next;
    if (ready !== null && ready.header.segmentBytes >= SEGMENT_HEADER_BYTES + groupBytes) {
      this.#next = null;
      return ready;
    }
    if (this.#preparation !== null && this.#preparation.segmentBytes < segmentBytes) this.#abandonPreparation();
    const made = this.#withRoom(() => {
      this.#preparation ??= this.#begin(active, segmentBytes);
      this.#preparation.fill();
      return this.#preparation.finish(this.#headerBehind(active, this.#preparation), this.#options.isDirect);
    });
    this.#preparation = null;
    // One made ahead was too short: the new file has taken its name.
    ready?.file.close();
    this.#next = null;
    this.#room.look();
    return made;
  }

  close(): void {
    this.#next?.file.close();
    this.#preparation?.close();
    this.#hint?.close();
  }

  /** The oldest segment if nobody needs it, and the log without it would be whole and durable. */
  #releasable(syncedPosition: number): Segment | null {
    const oldest = this.#segments[0];
    if (oldest === undefined || this.#entries.newest === undefined) return null;
    if (this.#entries.newest === oldest.entries || !isSynced(oldest, syncedPosition)) return null;
    if (oldest.entries.count > 0 && oldest.entries.lastIndex >= this.#limit) return null;
    const heir = this.#segments.find((segment) => segment !== oldest && segment.entries.count > 0);
    if (heir === undefined) return null;
    // A log whose only entries might not survive a crash keeps the ones before them.
    const isDurable = heir.hasHint || isFirstEntrySynced(heir, syncedPosition);
    return isDurable && this.#segments.at(-1) !== oldest ? oldest : null;
  }

  /** Segments that end below this entry may go. */
  get #limit(): number {
    if (this.#dispensableBelow <= this.#releaseBelow || this.#retainedBytes === Number.POSITIVE_INFINITY) {
      return this.#releaseBelow;
    }
    let byteCount = 0;
    for (const { header } of this.#segments) byteCount += header.segmentBytes;
    return byteCount > this.#retainedBytes ? this.#dispensableBelow : this.#releaseBelow;
  }

  /** One segment at a time, each made durable, so that a crash never leaves a hole in the sequence of ids. */
  #delete(segment: Segment): void {
    if (this.#hint?.segment === segment) this.#abandonHint();
    this.#reader.release(segment.path);
    const hint = hintPath(this.#directory, segment.id);
    if (this.#disk.exists(hint)) this.#disk.remove(hint);
    this.#letGo(segment);
    this.#disk.syncDirectory(this.#directory);
    this.#entries.dropOldest(segment.entries);
    this.#segments.shift();
    this.#room.look();
  }

  #letGo(segment: Segment): void {
    const fate = this.#claims.released(segment.id);
    if (fate === "keep") this.#disk.rename(segment.path, keptSegmentPath(this.#directory, segment.id));
    else if (fate === "remove" || segment.isDamaged || !this.#spares.keep(segment)) this.#disk.remove(segment.path);
  }

  #isPreparing(active: Segment): boolean {
    if (this.#preparation !== null) return true;
    const used = active.groups.endOffset / active.header.segmentBytes;
    return this.#next === null && used >= PREPARE_AT_FRACTION && this.#room.suffices(this.#hasNext);
  }

  #prepareStep(active: Segment): boolean {
    if (!this.#isPreparing(active)) return false;
    try {
      this.#withRoom(() => {
        this.#preparation ??= this.#begin(active, this.#options.segmentBytes);
        if (!this.#preparation.isFilled) {
          this.#preparation.fillPiece(true);
          return;
        }
        this.#next = this.#preparation.finish(this.#headerBehind(active, this.#preparation), this.#options.isDirect);
        this.#preparation = null;
        this.#room.look();
      });
    } catch (failure) {
      if (!isDiskFull(failure)) throw failure;
      return false;
    }
    return true;
  }

  #hintStep(active: Segment, syncedPosition: number): boolean {
    if (this.#hint === null) {
      const due = this.#dueForHint(active, syncedPosition);
      if (due === undefined) return false;
      const previousTerm = due.entries.count === 0 ? 0 : (this.#entries.termAt(due.entries.firstIndex - 1) ?? 0);
      this.#hint = new HintWriter(this.#disk, this.#directory, this.#reader, due, previousTerm);
    }
    try {
      if (!this.#hint.step()) this.#hint = null;
    } catch (failure) {
      if (!isDiskFull(failure)) throw failure;
      this.#abandonHint();
      this.#room.look();
      return false;
    }
    return true;
  }

  /** Whether a hint could be written that waits for a quiet moment. */
  owesHint(active: Segment, syncedPosition: number): boolean {
    return this.#hint !== null || this.#dueForHint(active, syncedPosition) !== undefined;
  }

  #dueForHint(active: Segment, syncedPosition: number): Segment | undefined {
    if (!this.#room.suffices(this.#hasNext)) return undefined;
    return this.#segments.find((segment) => segment !== active && this.#isHintDue(segment, syncedPosition));
  }

  #isHintDue(segment: Segment, syncedPosition: number): boolean {
    if (segment.hasHint || segment.isDamaged || !isSynced(segment, syncedPosition)) return false;
    if (segment.entries.count > 0 && segment.entries.lastIndex > this.#appliedIndex) return false;
    return this.#isReplayable(segment);
  }

  /**
   * A hint knows only what is left of a segment. What was superseded must not vanish from it while a segment in
   * between still gives its own entries one by one, for those would follow a gap: so the superseder's hint comes first.
   */
  #isReplayable(segment: Segment): boolean {
    const { supersededBy } = segment.entries;
    if (supersededBy === null) return true;
    const from = this.#segments.indexOf(segment) + 1;
    const to = this.#segments.findIndex(({ entries }) => entries === supersededBy);
    for (let i = from; i <= to; i++) if (!this.#segments[i]?.hasHint) return false;
    return true;
  }

  #begin(active: Segment, segmentBytes: number): SegmentPreparation {
    const spare = segmentBytes === this.#options.segmentBytes ? this.#spares.take(active.id + 1) : null;
    if (spare !== null) return spare;
    return SegmentPreparation.begin(this.#disk, this.#directory, active.id + 1, segmentBytes);
  }

  #headerBehind(active: Segment, { segmentBytes, isRecycled }: SegmentPreparation): SegmentHeader {
    return {
      shard: this.#options.shard,
      clusterId: this.#options.clusterId,
      segmentId: active.id + 1,
      basePosition: active.endPosition,
      segmentBytes,
      firstGroup: 0,
      cutPosition: 0,
      provenBytes: SEGMENT_HEADER_BYTES,
      isRecycled,
      originIndex: 0,
      originTerm: 0,
    };
  }

  /** Gives back the room of a half made segment when the disk is full. */
  #withRoom<T>(make: () => T): T {
    try {
      const made = make();
      this.#refused = false;
      return made;
    } catch (failure) {
      if (isDiskFull(failure)) {
        this.#refused = true;
        this.#abandonPreparation();
        this.#room.look();
      }
      throw failure;
    }
  }

  /** Never to be gone on with, even if its file cannot be removed now: what it had to sync may not be on the disk. */
  #abandonPreparation(): void {
    const preparation = this.#preparation;
    this.#preparation = null;
    preparation?.abandon();
  }

  #abandonHint(): void {
    const hint = this.#hint;
    this.#hint = null;
    hint?.abandon();
  }
}

function isSynced(segment: Segment, syncedPosition: number): boolean {
  return segment.header.basePosition + segment.groups.endOffset <= syncedPosition;
}

function isFirstEntrySynced(segment: Segment, syncedPosition: number): boolean {
  segment.entries.ensureLoaded();
  const end = (segment.entries.offsets[0] ?? 0) + (segment.entries.byteCounts[0] ?? 0);
  return segment.header.basePosition + end <= syncedPosition;
}

function isDiskFull(failure: unknown): boolean {
  return failure instanceof EnvelopeError && failure.code === "DISKFULL";
}
