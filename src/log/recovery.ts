/**
 * Opens the log of a shard: finds out what it holds, and begins a new segment to write to.
 *
 *   1  look     names, headers, hints; segments without a good hint are read whole
 *   2  judge    `log-chain.ts`: what is the log, what is a torn tail, what is corruption
 *   3  index    where every live entry lies
 *   4  settle   `recovery-plan.ts`: what is not proven durable is copied into a new segment and synced
 *
 * Until step 4 nothing on disk is changed, so an error leaves everything as it was found. The shard's thread only.
 */
import { at } from "../core/assert.ts";
import { equalBytes } from "../core/bytes.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import type { Disk } from "../env/disk.ts";
import {
  decodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentChecksum,
} from "../record/segment-format.ts";
import { readHardState } from "./hard-state-file.ts";
import { type HintSummary, loadHintEntries, readHintSummary } from "./hint-reader.ts";
import { type DroppedBytes, emptyBehind, type LogChain, resolveChain, type SegmentEvidence } from "./log-chain.ts";
import { LogEntries } from "./log-entries.ts";
import { hintPath, type LogFiles, segmentPath, sortLogFiles } from "./log-files.ts";
import type { LogIdentity, LogOptions } from "./log-options.ts";
import { copiedGroups, makePlan, type Plan, settle } from "./recovery-plan.ts";
import { Segment } from "./segment.ts";
import type { SegmentClaims } from "./segment-claims.ts";
import { SegmentEntries } from "./segment-entries.ts";
import type { MadeSegment } from "./segment-preparation.ts";
import { readSegment, type ScannedEntry, type ScannedGroup, scanSegment } from "./segment-scan.ts";

/** What a recovery found and did: for the operators' log, and for tests. */
export interface RecoveryReport {
  readonly segmentsScanned: number;
  readonly hintsUsed: number;
  /** Why a hint was not used, one line each. */
  readonly hintsRefused: readonly string[];
  /** Bytes read from segments: headers, and whole segments that had no good hint. */
  readonly segmentBytesRead: number;
  readonly hintBytesRead: number;
  /** Bytes of groups copied because they were not proven durable. */
  readonly copiedBytes: number;
  /** The torn tail: bytes that no longer count. */
  readonly dropped: readonly DroppedBytes[];
}

export interface RecoveredLog {
  /** Oldest first; the last is the new one. */
  readonly segments: Segment[];
  readonly active: MadeSegment;
  readonly entries: LogEntries;
  readonly commitIndex: number;
  readonly nextGroup: number;
  readonly report: RecoveryReport;
}

interface Survey {
  readonly segments: SegmentEvidence[];
  segmentsScanned: number;
  hintsUsed: number;
  readonly hintsRefused: string[];
  segmentBytesRead: number;
  hintBytesRead: number;
}

/**
 * Recovers the log in `directory`, or begins one where there is none. With `mayCut` it ends before the first damage, if there
 * is some. Throws CORRUPTION, MISSING_FILE, …
 */
export function recoverLog(
  disk: Disk,
  directory: string,
  options: LogOptions,
  claims: SegmentClaims,
  mayCut = false,
): RecoveredLog {
  const files = sortLogFiles(disk.list(directory));
  refuseMissing(disk, directory, files, options);
  const found = mayCut
    ? lookOnce(disk, directory, files, options, claims, [], true)
    : look(disk, directory, files, options, claims);
  const { survey, chain, plan, entries, segments, copiedEntries } = found;
  const commitIndex = Math.min(entries.lastIndex, largestCommitIndex(survey.segments, chain));
  removeLeftovers(disk, directory, files, chain.cutIn === null ? plan.id : lastKeptHint(survey.segments, chain.cutIn));
  const active = settle(disk, directory, plan, options);
  const summary = copiedGroups(plan);
  segments.push(new Segment(directory, active.header, segmentChecksum(active.block), summary, copiedEntries, false));
  const { segments: _, ...counters } = survey;
  return {
    segments,
    active,
    entries,
    commitIndex,
    nextGroup: plan.firstGroup + plan.copied.length,
    report: { ...counters, copiedBytes: summary.endOffset - SEGMENT_HEADER_BYTES, dropped: chain.dropped },
  };
}

/** What the files come to, before anything is changed. */
interface Findings {
  readonly survey: Survey;
  readonly chain: LogChain;
  readonly plan: Plan;
  readonly entries: LogEntries;
  readonly segments: Segment[];
  readonly copiedEntries: SegmentEntries;
}

/**
 * A hint leaves out what later segments supersede, as their hints know. So when one of those is bad, what its segment says
 * by itself need not follow on what the hints before it say: then the segments alone are asked.
 */
function look(disk: Disk, directory: string, files: LogFiles, options: LogOptions, claims: SegmentClaims): Findings {
  const refused: string[] = [];
  try {
    return lookOnce(disk, directory, files, options, claims, refused);
  } catch (cause) {
    if (!(cause instanceof EnvelopeError) || cause.code !== "CORRUPTION" || refused.length === 0) throw cause;
    refused.push(`without it the other hints do not lead on (${cause.message}); the whole log is read`);
    return lookOnce(disk, directory, { ...files, hints: [] }, options, claims, refused);
  }
}

function lookOnce(
  disk: Disk,
  directory: string,
  files: LogFiles,
  options: LogOptions,
  claims: SegmentClaims,
  hintsRefused: string[],
  mayCut = false,
): Findings {
  const survey = surveySegments(disk, directory, files, options, hintsRefused);
  const chain: LogChain =
    survey.segments.length === 0
      ? { groups: [], provenPosition: 0, nextGroup: 1, dropped: [], cutIn: null }
      : resolveChain(survey.segments, mayCut);
  if (chain.cutIn !== null) emptyBehind(survey.segments, chain.cutIn);
  const plan = makePlan(survey.segments, chain, claims);
  const { originIndex = 0, originTerm = 0 } = survey.segments[0]?.header ?? {};
  const entries = new LogEntries(originIndex, originTerm);
  const segments = plan.kept.map(({ evidence, groups }) => keptSegment(disk, directory, evidence, groups, entries));
  const copiedEntries = indexCopied(plan, entries);
  const first = files.segments[0] ?? 1;
  if (!entries.isPlaced && first !== 1) throw corruption(segmentPath(directory, first), 0, "a log without its entries");
  return { survey, chain, plan, entries, segments, copiedEntries };
}

/** Hints from this id on are removed. */
function lastKeptHint(segments: readonly SegmentEvidence[], cutIn: number): number {
  const { header, content } = at(segments, cutIn);
  return content.kind === "hint" ? header.segmentId + 1 : header.segmentId;
}

/** A log that has lost all of its segments, one from the middle, or the last behind a sealed one. */
function refuseMissing(disk: Disk, directory: string, files: LogFiles, options: LogOptions): void {
  const missing = (id: number, why: string): EnvelopeError =>
    new EnvelopeError("MISSING_FILE", `${segmentPath(directory, id)} is missing: ${why}`);
  for (let i = 1; i < files.segments.length; i++) {
    const expected = at(files.segments, i - 1) + 1;
    if (at(files.segments, i) !== expected) throw missing(expected, "there are segments on both sides of it");
  }
  const last = files.segments.at(-1) ?? 0;
  const newestHint = files.hints.at(-1) ?? 0;
  if (newestHint >= last && newestHint > 0) throw missing(newestHint + 1, "the segment before it was sealed");
  if (last > 0) return;
  const { state } = readHardState(disk, directory, options);
  const hasTables = disk.list(directory).some((name) => name.endsWith(".sst") || name.endsWith(".manifest"));
  if (hasTables || (state !== null && state.generation > 1)) throw missing(1, "the shard holds data, its log is gone");
}

/** What the segments and hints of a log say, each for itself. */
export function surveySegments(
  disk: Disk,
  directory: string,
  files: LogFiles,
  options: LogOptions,
  hintsRefused: string[],
): Survey {
  const survey: Survey = {
    segments: [],
    segmentsScanned: 0,
    hintsUsed: 0,
    hintsRefused,
    segmentBytesRead: 0,
    hintBytesRead: 0,
  };
  let buffer: Uint8Array | null = null;
  for (const id of files.segments) {
    const path = segmentPath(directory, id);
    const block = readHeaderBlock(disk, path);
    const header = checkHeader(block, path, id, survey.segments.at(-1)?.header ?? null, options, disk);
    survey.segmentBytesRead += SEGMENT_HEADER_BYTES;
    const checksum = segmentChecksum(block);
    const hint = files.hints.includes(id) ? surveyHint(disk, directory, header, checksum, survey) : null;
    if (hint !== null) {
      survey.segments.push({ header, checksum, path, content: { kind: "hint", hint } });
      continue;
    }
    buffer = readSegment(disk, path, header.segmentBytes, buffer);
    survey.segmentsScanned += 1;
    survey.segmentBytesRead += header.segmentBytes;
    const scan = scanSegment(buffer, header, checksum, path);
    survey.segments.push({ header, checksum, path, content: { kind: "scan", scan } });
  }
  return survey;
}

function surveyHint(
  disk: Disk,
  directory: string,
  header: SegmentHeader,
  checksum: number,
  survey: Survey,
): HintSummary | null {
  const hint = readHintSummary(disk, hintPath(directory, header.segmentId), header, checksum);
  if (hint instanceof EnvelopeError) {
    survey.hintsRefused.push(hint.message);
    return null;
  }
  survey.hintsUsed += 1;
  survey.hintBytesRead += hint.bytesRead;
  return hint;
}

/** The first block of a segment, or what there is of it. */
export function readHeaderBlock(disk: Disk, path: string): Uint8Array {
  const block = new Uint8Array(SEGMENT_HEADER_BYTES);
  const file = disk.open(path, "read");
  try {
    return block.subarray(0, file.read(block, 0));
  } finally {
    file.close();
  }
}

/** The header of segment `id`, proven to be that segment, of this shard, whole, and next to its neighbour. Throws. */
export function checkHeader(
  block: Uint8Array,
  path: string,
  id: number,
  previous: SegmentHeader | null,
  options: LogIdentity,
  disk: Disk,
): SegmentHeader {
  const header = decodeSegmentHeader(block, path);
  if (header instanceof EnvelopeError) throw header;
  if (header.shard !== options.shard || !equalBytes(header.clusterId, options.clusterId)) {
    throw new EnvelopeError("FOREIGN_DIRECTORY", `${path} belongs to another shard or cluster`);
  }
  if (header.segmentId !== id) throw corruption(path, 16, `the header of segment ${header.segmentId}`);
  const base = previous === null ? header.basePosition : previous.basePosition + previous.segmentBytes;
  if (header.basePosition !== base || (id === 1 && base !== 0)) {
    throw corruption(path, 24, "a segment that does not continue the one before it");
  }
  const file = disk.open(path, "read");
  const byteCount = file.size();
  file.close();
  if (byteCount !== header.segmentBytes) throw corruption(path, byteCount, "a segment of the wrong length");
  return header;
}

function keptSegment(
  disk: Disk,
  directory: string,
  evidence: SegmentEvidence,
  groups: readonly ScannedGroup[],
  log: LogEntries,
): Segment {
  const { header, checksum, path, content } = evidence;
  if (content.kind === "hint") return hintedSegment(disk, directory, evidence, content.hint, log);
  const entries = new SegmentEntries();
  for (const group of groups) {
    for (const [i, entry] of group.entries.entries()) {
      addEntry(log, entries, entry, entry.offset, i === 0 ? group.previousTerm : null, path);
    }
  }
  const last = groups.at(-1);
  const summary = {
    firstGroup: groups[0]?.number ?? 0,
    groupCount: groups.length,
    endOffset: last === undefined ? SEGMENT_HEADER_BYTES : last.offset + last.byteCount,
    commitIndex: groups.reduce((largest, group) => Math.max(largest, group.commitIndex), 0),
  };
  return new Segment(directory, header, checksum, summary, entries, false);
}

/** Adds an entry to the log in its order; `previousTerm` is what its group says, for the first one of a group. Throws. */
export function addEntry(
  log: LogEntries,
  segment: SegmentEntries,
  entry: ScannedEntry,
  offset: number,
  previousTerm: number | null,
  path: string,
): void {
  const isBelowOrigin = log.isEmpty && entry.index <= log.lastIndex;
  if (isBelowOrigin || (log.isPlaced && entry.index > log.lastIndex + 1)) {
    throw corruption(path, entry.offset, "a gap between entries");
  }
  const before = log.isPlaced ? log.termAt(entry.index - 1) : undefined;
  const claimed = previousTerm ?? before ?? 0;
  if ((before !== undefined && before !== claimed) || entry.term < claimed) {
    throw corruption(path, entry.offset, "an entry whose term does not follow the one before it");
  }
  log.append(segment, entry.index, entry.term, offset, entry.byteCount, entry.checksum, claimed);
}

function hintedSegment(
  disk: Disk,
  directory: string,
  evidence: SegmentEvidence,
  hint: HintSummary,
  log: LogEntries,
): Segment {
  const { header, checksum, path } = evidence;
  const hintFile = hintPath(directory, header.segmentId);
  const entries = new SegmentEntries((into) => {
    if (loadHintEntries(disk, hintFile, header, checksum, into) === null) return;
    rebuildEntries(disk, header, checksum, path, into);
    segment.hasHint = false;
  });
  entries.firstIndex = hint.header.firstIndex;
  entries.count = hint.header.entryCount;
  if (entries.count > 0 && log.isPlaced && entries.firstIndex > log.lastIndex + 1) {
    throw corruption(path, 0, "a gap between the entries of this segment and those before it");
  }
  log.appendSegment(entries, hint.termRuns, hint.header.previousTerm);
  const { firstGroup, groupCount, endOffset, commitIndex } = hint.header;
  const segment = new Segment(
    directory,
    header,
    checksum,
    { firstGroup, groupCount, endOffset, commitIndex },
    entries,
    true,
  );
  return segment;
}

/** The columns of a sealed segment from the segment itself, because its hint went bad after the start. */
function rebuildEntries(disk: Disk, header: SegmentHeader, checksum: number, path: string, into: SegmentEntries): void {
  const scan = scanSegment(readSegment(disk, path, header.segmentBytes, null), header, checksum, path);
  const rebuilt = new SegmentEntries();
  for (const group of scan.groups) {
    for (const { index, offset, byteCount, checksum: own } of group.entries) {
      if (index < into.firstIndex) continue;
      if (rebuilt.count > 0) rebuilt.truncateFrom(index);
      rebuilt.append(index, offset, byteCount, own);
    }
  }
  if (rebuilt.count < into.count || rebuilt.firstIndex !== into.firstIndex) {
    throw corruption(path, scan.endOffset, "entries that were durable are damaged");
  }
  into.replace(rebuilt.offsets, rebuilt.byteCounts, rebuilt.checksums);
}

/** Indexes the groups that move into the new segment, at the place they will have there. */
function indexCopied(plan: Plan, log: LogEntries): SegmentEntries {
  const entries = new SegmentEntries();
  let offset = SEGMENT_HEADER_BYTES;
  for (const { path, group } of plan.copied) {
    for (const [i, entry] of group.entries.entries()) {
      const moved = offset + entry.offset - group.offset;
      addEntry(log, entries, entry, moved, i === 0 ? group.previousTerm : null, path);
    }
    offset += group.byteCount;
  }
  return entries;
}

function largestCommitIndex(segments: readonly SegmentEvidence[], chain: LogChain): number {
  let largest = 0;
  for (const [i, { content }] of segments.entries()) {
    if (content.kind === "hint") largest = Math.max(largest, content.hint.header.commitIndex);
    for (const group of at(chain.groups, i)) largest = Math.max(largest, group.commitIndex);
  }
  return largest;
}

/** Files that were still being made, and hints of segments that are gone or about to be replaced. */
function removeLeftovers(disk: Disk, directory: string, files: LogFiles, newId: number): void {
  for (const name of files.unfinished) disk.remove(`${directory}/${name}`);
  const first = files.segments[0] ?? 1;
  for (const id of files.hints) {
    if (id < first || id >= newId) disk.remove(hintPath(directory, id));
  }
}
