/**
 * The last step of a recovery: the new segment. Whatever is not proven durable moves into it, because the page cache
 * may show bytes that never reached the disk (after a failed sync they count as clean), and the new segment's header
 * makes the old bytes void. The file gets its name only when it is whole and synced, so a crash before that repeats
 * the same recovery from the same bytes.
 *
 * It takes a new id, or replaces the last segment when that one has nothing left that counts; a last segment that
 * holds little is copied whole for that purpose. So many short runs do not pile up segments. A segment that tables point
 * into is never replaced, whatever of it still counts. The shard's thread only.
 */
import { at } from "../core/assert.ts";
import { viewOf } from "../core/bytes.ts";
import { crc32Range } from "../core/crc32.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import type { Disk } from "../env/disk.ts";
import { blockBehind, encodeGroupHeader, GROUP_HEADER_BYTES, GroupHeader } from "../record/group-format.ts";
import {
  encodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentChecksum,
} from "../record/segment-format.ts";
import type { LogChain, SegmentEvidence } from "./log-chain.ts";
import { segmentPath } from "./log-files.ts";
import type { LogOptions } from "./log-options.ts";
import type { GroupSummary } from "./segment.ts";
import type { SegmentClaims } from "./segment-claims.ts";
import { type MadeSegment, SegmentPreparation, segmentBytesFor } from "./segment-preparation.ts";
import type { ScannedGroup } from "./segment-scan.ts";

/** A last segment with no more than this in it is copied whole. */
const SMALL_SEGMENT_BYTES = 1024 * 1024;
/** Groups that are copied at once have no more than this, unless there is but one. */
const SPAN_BYTES_MAX = 1024 * 1024;
/** Room for new groups in a segment made on a disk that has no room for one of the usual length. */
const LEAST_ROOM_BYTES = 256 * 1024;

export interface Plan {
  /** Of the new segment. */
  readonly id: number;
  readonly basePosition: number;
  readonly cutPosition: number;
  /** Number of the first group in it. */
  readonly firstGroup: number;
  /** The entry before the log's first, if the new segment takes the place of the one that names it; 0: it does not. */
  readonly originIndex: number;
  readonly originTerm: number;
  /** The last segment on disk if it was made ahead and never used: its file becomes the new segment. */
  readonly spare: SegmentHeader | null;
  /** The segments that stay, with the groups in them that go on counting. */
  readonly kept: readonly { readonly evidence: SegmentEvidence; readonly groups: readonly ScannedGroup[] }[];
  /** The groups that move, in order. Those without entries are left behind: all they did was to prove. */
  readonly copied: readonly { readonly path: string; readonly group: ScannedGroup }[];
}

export function makePlan(found: readonly SegmentEvidence[], chain: LogChain, claims: SegmentClaims): Plan {
  const spare = spareOf(found);
  const segments = spare === null ? found : found.slice(0, -1);
  const last = segments.at(-1);
  if (last === undefined) {
    const nothing = { cutPosition: 0, firstGroup: 1, originIndex: 0, originTerm: 0, kept: [], copied: [] };
    return { id: 1, basePosition: 0, spare, ...nothing };
  }
  const isClaimed = claims.holds(last.header.segmentId);
  const copyFrom = firstToCopy(segments, chain, isClaimed);
  const kept = segments.map((evidence, i) => ({
    evidence,
    groups: at(chain.groups, i).filter((group) => evidence.header.basePosition + group.offset < copyFrom),
  }));
  const moving = segments.flatMap(({ header, path }, i) =>
    at(chain.groups, i)
      .filter((group) => header.basePosition + group.offset >= copyFrom)
      .map((group) => ({ path, group })),
  );
  // Where the chain was cut, what lies behind the cut stays as long as there is no better.
  const replaces =
    chain.cutIn === null && !isClaimed && last.content.kind === "scan" && at(kept, kept.length - 1).groups.length === 0;
  if (replaces) kept.pop();
  const { header } = last;
  return {
    id: replaces ? header.segmentId : header.segmentId + 1,
    basePosition: replaces ? header.basePosition : header.basePosition + header.segmentBytes,
    cutPosition: cutOf(kept),
    firstGroup: moving[0]?.group.number ?? chain.nextGroup,
    originIndex: replaces ? header.originIndex : 0,
    originTerm: replaces ? header.originTerm : 0,
    spare,
    kept,
    copied: moving.filter(({ group }) => group.entries.length > 0),
  };
}

/** The groups of the new segment, as they will be once it is made. */
export function copiedGroups(plan: Plan): GroupSummary {
  let endOffset = SEGMENT_HEADER_BYTES;
  let commitIndex = 0;
  for (const { group } of plan.copied) {
    endOffset += group.byteCount;
    commitIndex = Math.max(commitIndex, group.commitIndex);
  }
  return {
    firstGroup: plan.copied.length === 0 ? 0 : plan.firstGroup,
    groupCount: plan.copied.length,
    endOffset,
    commitIndex,
  };
}

/** Makes the new segment durable under its name. On a full disk it is made as short as it can be. */
export function settle(disk: Disk, directory: string, plan: Plan, options: LogOptions): MadeSegment {
  const copiedBytes = blockBehind(copiedGroups(plan).endOffset) - SEGMENT_HEADER_BYTES;
  const usual = segmentBytesFor(copiedBytes, options.segmentBytes);
  const least = Math.min(usual, SEGMENT_HEADER_BYTES + copiedBytes + LEAST_ROOM_BYTES);
  try {
    return makeSegment(disk, directory, plan, options, usual, true);
  } catch (failure) {
    if (!(failure instanceof EnvelopeError) || failure.code !== "DISKFULL") throw failure;
    return makeSegment(disk, directory, plan, options, least, false);
  }
}

function spareOf(found: readonly SegmentEvidence[]): SegmentHeader | null {
  const last = found.at(-1);
  const before = found.at(-2);
  if (last === undefined || before === undefined || last.content.kind === "hint") return null;
  // A hint says that a segment follows it: that segment's name must not go away, even for a moment.
  if (before.content.kind === "hint") return null;
  const { groups, dirtyEnd } = last.content.scan;
  return last.header.firstGroup === 0 && groups.length === 0 && dirtyEnd === SEGMENT_HEADER_BYTES ? last.header : null;
}

/** The log position from which groups move. `isClaimed`: the last segment stays, so that copying it whole gains nothing. */
function firstToCopy(segments: readonly SegmentEvidence[], chain: LogChain, isClaimed: boolean): number {
  const lastGroups = at(chain.groups, segments.length - 1);
  const base = at(segments, segments.length - 1).header.basePosition;
  const lastBytes = lastGroups.reduce((sum, group) => sum + group.byteCount, 0);
  const first = lastGroups[0];
  const small =
    !isClaimed && first !== undefined && lastBytes <= SMALL_SEGMENT_BYTES
      ? base + first.offset
      : Number.POSITIVE_INFINITY;
  return Math.min(small, firstUnproven(segments, chain));
}

function firstUnproven(segments: readonly SegmentEvidence[], chain: LogChain): number {
  for (const [i, { header }] of segments.entries()) {
    for (const group of at(chain.groups, i)) {
      const start = header.basePosition + group.offset;
      if (start + group.byteCount > chain.provenPosition) return start;
    }
  }
  return Number.POSITIVE_INFINITY;
}

/** Where the bytes that stay in place end: everything behind it is void. */
function cutOf(kept: Plan["kept"]): number {
  for (const { evidence, groups } of kept.toReversed()) {
    const { header, content } = evidence;
    const hinted = content.kind === "hint" ? content.hint.header : null;
    if (hinted !== null && hinted.groupCount > 0) return header.basePosition + hinted.endOffset;
    const last = groups.at(-1);
    if (last !== undefined) return header.basePosition + last.offset + last.byteCount;
  }
  const first = kept[0];
  return first === undefined ? 0 : first.evidence.header.basePosition + SEGMENT_HEADER_BYTES;
}

function makeSegment(
  disk: Disk,
  directory: string,
  plan: Plan,
  options: LogOptions,
  segmentBytes: number,
  mayReuse: boolean,
): MadeSegment {
  const preparation = beginSegment(disk, directory, plan, segmentBytes, mayReuse);
  try {
    preparation.fill();
    const header: SegmentHeader = {
      shard: options.shard,
      clusterId: options.clusterId,
      segmentId: plan.id,
      basePosition: plan.basePosition,
      segmentBytes: preparation.segmentBytes,
      firstGroup: plan.firstGroup,
      cutPosition: plan.cutPosition,
      provenBytes: copiedGroups(plan).endOffset,
      isRecycled: preparation.isRecycled,
      originIndex: plan.originIndex,
      originTerm: plan.originTerm,
    };
    copyGroups(disk, plan, preparation, segmentChecksum(encodeSegmentHeader(header)));
    return preparation.finish(header, options.isDirect);
  } catch (failure) {
    if (failure instanceof EnvelopeError && failure.code === "DISKFULL") preparation.abandon();
    else preparation.close();
    throw failure;
  }
}

function beginSegment(
  disk: Disk,
  directory: string,
  { id, spare }: Plan,
  segmentBytes: number,
  mayReuse: boolean,
): SegmentPreparation {
  if (spare !== null && mayReuse && spare.segmentBytes >= segmentBytes) {
    return SegmentPreparation.reuse(disk, directory, spare, id);
  }
  if (spare !== null && spare.segmentId !== id && disk.exists(segmentPath(directory, spare.segmentId))) {
    disk.remove(segmentPath(directory, spare.segmentId));
    disk.syncDirectory(directory);
  }
  return SegmentPreparation.begin(disk, directory, id, segmentBytes);
}

/** Copies the groups under new headers, as many at once as lie one behind the other; what has changed since is corruption. */
function copyGroups(disk: Disk, plan: Plan, into: SegmentPreparation, seed: number): void {
  const header = new GroupHeader();
  let offset = SEGMENT_HEADER_BYTES;
  for (let i = 0; i < plan.copied.length; ) {
    const { path, group } = at(plan.copied, i);
    const next = endOfSpan(plan.copied, i);
    const last = at(plan.copied, next - 1).group;
    const bytes = readSpan(disk, path, group.offset, last.offset + last.byteCount);
    const view = viewOf(bytes);
    for (; i < next; i++) {
      const copied = at(plan.copied, i);
      const start = copied.group.offset - group.offset;
      checkBody(bytes, start, copied);
      fillHeader(header, copied.group, plan, plan.firstGroup + i);
      encodeGroupHeader(header, seed, bytes, view, start);
    }
    into.write(bytes, offset);
    offset += bytes.length;
  }
}

/** The first group from `start` on that does not follow the one before it in the same file, or would make the span too long. */
function endOfSpan(copied: Plan["copied"], start: number): number {
  const { path, group } = at(copied, start);
  let end = group.offset;
  for (let i = start; i < copied.length; i++) {
    const next = at(copied, i);
    const isBehind = next.path === path && next.group.offset === end;
    end += next.group.byteCount;
    if (!isBehind || (i > start && end - group.offset > SPAN_BYTES_MAX)) return i;
  }
  return copied.length;
}

function readSpan(disk: Disk, path: string, start: number, end: number): Uint8Array {
  const bytes = new Uint8Array(end - start);
  const file = disk.open(path, "read");
  try {
    const byteCount = file.read(bytes, start);
    if (byteCount !== bytes.length) throw corruption(path, start + byteCount, "a segment cut short");
  } finally {
    file.close();
  }
  return bytes;
}

function checkBody(bytes: Uint8Array, start: number, { path, group }: Plan["copied"][number]): void {
  if (crc32Range(bytes, start + GROUP_HEADER_BYTES, start + group.byteCount) === group.bodyChecksum) return;
  throw corruption(path, group.offset, "a group that changes from one read to the next");
}

/** The header under which the group counts in the new segment. */
function fillHeader(into: GroupHeader, group: ScannedGroup, plan: Plan, groupNumber: number): void {
  into.segmentId = plan.id;
  into.groupNumber = groupNumber;
  into.groupBytes = group.byteCount;
  into.bodyBytes = group.bodyBytes;
  into.bodyChecksum = group.bodyChecksum;
  into.syncedThrough = plan.cutPosition;
  into.commitIndex = group.commitIndex;
  into.entryCount = group.entries.length;
  into.previousTerm = group.previousTerm;
}
