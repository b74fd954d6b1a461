/**
 * Decides which groups of the segments on disk are the log, which bytes are a torn tail, and which are corruption.
 * Pure: it gets what was read and changes nothing.
 *
 * Groups are numbered without a gap from the first segment to the last; the chain ends where the next number is not to
 * be had. What lies behind that end is dropped only if nobody ever said it was durable. Who says so: a group header
 * that names a later `syncedThrough` (wherever it lies, even behind damaged bytes), a segment header that was written
 * by a recovery (what it copied, and where the older segments were cut), a hint. One such word about bytes behind the
 * end, and those bytes are corruption: acknowledged data may be in them.
 *
 * Bytes behind the cut that a later recovery made are void: they were copied, or dropped, and count no more.
 */
import { at } from "../core/assert.ts";
import { corruption } from "../core/errors.ts";
import { SEGMENT_HEADER_BYTES, type SegmentHeader } from "../record/segment-format.ts";
import type { HintSummary } from "./hint-reader.ts";
import type { ScannedGroup, SegmentScan } from "./segment-scan.ts";

/** What was read of one segment: its hint when that is good, else a scan. */
export interface SegmentEvidence {
  readonly header: SegmentHeader;
  readonly checksum: number;
  readonly path: string;
  readonly content:
    | { readonly kind: "hint"; readonly hint: HintSummary }
    | { readonly kind: "scan"; readonly scan: SegmentScan };
}

/** Bytes that no longer count. */
export interface DroppedBytes {
  readonly file: string;
  readonly offset: number;
  readonly byteCount: number;
}

export interface LogChain {
  /** For each segment the scanned groups that count; empty for one with a hint. */
  readonly groups: readonly (readonly ScannedGroup[])[];
  /** Everything before this log position is proven durable. */
  readonly provenPosition: number;
  /** Number of the next group. */
  readonly nextGroup: number;
  readonly dropped: readonly DroppedBytes[];
  /** Number of the segment in which the chain ends although more was durable, of a chain that may be cut; null: it does not. */
  readonly cutIn: number | null;
}

interface ChainEnd {
  readonly segment: number;
  readonly offset: number;
}

/**
 * Follows the groups through consecutive segments, at least one. Throws CORRUPTION, unless the chain may be cut before the
 * damage.
 */
export function resolveChain(segments: readonly SegmentEvidence[], mayCut = false): LogChain {
  const cuts = voidOffsets(segments);
  const groups: ScannedGroup[][] = segments.map(() => []);
  let end: ChainEnd | null = null;
  let expected = 0;
  for (const [i, segment] of segments.entries()) {
    const cut = at(cuts, i);
    if (cut <= SEGMENT_HEADER_BYTES) continue;
    const { firstGroup, segmentId } = segment.header;
    const isFirst = end === null;
    end ??= { segment: i, offset: SEGMENT_HEADER_BYTES };
    if (expected === 0) expected = segmentId === 1 ? 1 : firstGroup;
    const found = groupsOf(segment, cut);
    if (found.count === 0) continue;
    const mayBeFirst = isFirst && expected === 0;
    if (!mayBeFirst && found.first !== expected) break;
    if (firstGroup !== 0 && firstGroup !== found.first) break;
    expected = found.first + found.count;
    groups[i] = found.groups;
    end = { segment: i, offset: found.endOffset };
  }
  const place = end ?? { segment: segments.length - 1, offset: SEGMENT_HEADER_BYTES };
  const proven = provenBehind(segments, cuts, place);
  const isDamaged = proven > at(segments, place.segment).header.basePosition + place.offset;
  if (isDamaged && !mayCut) throw damage(segments, cuts, place);
  return {
    groups,
    provenPosition: provenBy(segments, groups),
    nextGroup: expected === 0 ? 1 : expected,
    dropped: droppedBehind(segments, cuts, place),
    cutIn: isDamaged ? place.segment : null,
  };
}

/** What lies behind the cut counts no more, whatever hints say. */
export function emptyBehind(segments: SegmentEvidence[], cutIn: number): void {
  const scan = { groups: [], endOffset: SEGMENT_HEADER_BYTES, provenByLater: 0, dirtyEnd: SEGMENT_HEADER_BYTES };
  for (let i = cutIn + 1; i < segments.length; i++) {
    const evidence = at(segments, i);
    segments[i] = { ...evidence, content: { kind: "scan", scan } };
  }
}

/** For each segment the offset from which a later recovery has made its bytes void. */
export function voidOffsets(segments: readonly Pick<SegmentEvidence, "header">[]): number[] {
  const offsets: number[] = [];
  let cut = Number.POSITIVE_INFINITY;
  for (const { header } of segments.toReversed()) {
    offsets.push(cut - header.basePosition);
    if (header.cutPosition !== 0) cut = Math.min(cut, header.cutPosition);
  }
  return offsets.reverse();
}

function groupsOf(
  segment: SegmentEvidence,
  cut: number,
): { first: number; count: number; endOffset: number; groups: ScannedGroup[] } {
  if (segment.content.kind === "hint") {
    const { firstGroup, groupCount, endOffset } = segment.content.hint.header;
    return { first: firstGroup, count: groupCount, endOffset, groups: [] };
  }
  const groups = segment.content.scan.groups.filter((group) => group.offset < cut);
  const last = groups.at(-1);
  const endOffset = last === undefined ? SEGMENT_HEADER_BYTES : last.offset + last.byteCount;
  return { first: groups[0]?.number ?? 0, count: groups.length, endOffset, groups };
}

/** The largest position that anything at or behind the end of the chain calls proven. */
function provenBehind(segments: readonly SegmentEvidence[], cuts: readonly number[], end: ChainEnd): number {
  let proven = 0;
  for (let i = end.segment; i < segments.length; i++) {
    const segment = at(segments, i);
    const { header, content } = segment;
    const isCut = Number.isFinite(at(cuts, i));
    if (content.kind === "scan" && !isCut) proven = Math.max(proven, content.scan.provenByLater);
    if (at(cuts, i) <= SEGMENT_HEADER_BYTES) continue;
    if (i > end.segment) {
      proven = Math.max(proven, header.cutPosition, provenByHeader(header));
      proven = Math.max(proven, provenByHint(segment));
      if (content.kind === "scan" && !isCut)
        for (const group of content.scan.groups) proven = Math.max(proven, group.syncedThrough);
    } else if (end.offset < header.provenBytes) {
      proven = Math.max(proven, provenByHeader(header));
    }
  }
  return proven;
}

/** Everything the log's own groups, headers and hints call proven. */
function provenBy(segments: readonly SegmentEvidence[], groups: readonly (readonly ScannedGroup[])[]): number {
  let proven = 0;
  for (const [i, segment] of segments.entries()) {
    const { header } = segment;
    proven = Math.max(proven, header.cutPosition, provenByHeader(header), provenByHint(segment));
    for (const group of at(groups, i)) proven = Math.max(proven, group.syncedThrough);
  }
  return proven;
}

function provenByHeader(header: SegmentHeader): number {
  return header.provenBytes > SEGMENT_HEADER_BYTES ? header.basePosition + header.provenBytes : 0;
}

/** A hint is written only when all of its segment is durable. */
function provenByHint({ header, content }: SegmentEvidence): number {
  if (content.kind !== "hint" || content.hint.header.groupCount === 0) return 0;
  return header.basePosition + content.hint.header.endOffset;
}

/** Names the place: the first bytes behind the end that are not zero, else the end itself. */
function damage(segments: readonly SegmentEvidence[], cuts: readonly number[], end: ChainEnd): Error {
  for (let i = end.segment; i < segments.length; i++) {
    const { content, path } = at(segments, i);
    const offset = i === end.segment ? end.offset : SEGMENT_HEADER_BYTES;
    if (content.kind === "hint" || offset >= at(cuts, i)) continue;
    if (content.scan.dirtyEnd > offset) return corruption(path, offset, "bytes that were durable are damaged");
  }
  return corruption(at(segments, end.segment).path, end.offset, "bytes that were durable are gone");
}

function droppedBehind(segments: readonly SegmentEvidence[], cuts: readonly number[], end: ChainEnd): DroppedBytes[] {
  const dropped: DroppedBytes[] = [];
  for (let i = end.segment; i < segments.length; i++) {
    const { content, path } = at(segments, i);
    const offset = i === end.segment ? end.offset : SEGMENT_HEADER_BYTES;
    if (content.kind === "hint" || offset >= at(cuts, i)) continue;
    const byteCount = content.scan.dirtyEnd - offset;
    if (byteCount > 0) dropped.push({ file: path, offset, byteCount });
  }
  return dropped;
}
