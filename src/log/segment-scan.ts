/**
 * Reads one segment from its first group to the first bytes that are not a group, and looks behind them for headers
 * of later groups: what those say was proven durable decides whether the break is a torn tail or corruption. That
 * decision needs the other segments too and is made in `recovery.ts`; nothing is judged or changed here. Used at start
 * and when a hint has to be replaced. The shard's thread only.
 */
import { viewOf } from "../core/bytes.ts";
import { crc32Range } from "../core/crc32.ts";
import { corruption } from "../core/errors.ts";
import type { Disk } from "../env/disk.ts";
import { decodeEntryHeader } from "../record/entry-format.ts";
import {
  decodeGroupHeader,
  blockBehind,
  GROUP_HEADER_BYTES,
  GROUP_UNIT_BYTES,
  GroupHeader,
} from "../record/group-format.ts";
import { SEGMENT_HEADER_BYTES, type SegmentHeader } from "../record/segment-format.ts";

/** An entry as it lies in a segment. */
export interface ScannedEntry {
  readonly index: number;
  readonly term: number;
  readonly offset: number;
  readonly byteCount: number;
  readonly checksum: number;
}

/** A whole group. Numbers are consecutive within a scan. */
export interface ScannedGroup {
  readonly number: number;
  readonly offset: number;
  /** With the padding. */
  readonly byteCount: number;
  readonly syncedThrough: number;
  readonly commitIndex: number;
  readonly previousTerm: number;
  readonly bodyBytes: number;
  readonly bodyChecksum: number;
  readonly entries: readonly ScannedEntry[];
}

export interface SegmentScan {
  readonly groups: readonly ScannedGroup[];
  /** Offset behind the last whole group. */
  readonly endOffset: number;
  /** The largest position that a group header behind `endOffset` calls proven; 0: there is none. */
  readonly provenByLater: number;
  /**
   * Offset behind the last byte at or behind `endOffset` that is not zero; `endOffset` when all are. In a recycled
   * segment: behind the last group header there that is of this life.
   */
  readonly dirtyEnd: number;
}

/** Scans a segment whose header has been checked. Throws CORRUPTION when a sealed group holds no proper entries. */
export function scanSegment(bytes: Uint8Array, segment: SegmentHeader, seed: number, path: string): SegmentScan {
  const { segmentId } = segment;
  const view = viewOf(bytes);
  const header = new GroupHeader();
  const groups: ScannedGroup[] = [];
  let offset = SEGMENT_HEADER_BYTES;
  let expected = 0;
  for (;;) {
    const start = startOfNext(bytes, view, offset, seed, segmentId, expected, header);
    if (start < 0) break;
    groups.push({
      number: header.groupNumber,
      offset: start,
      byteCount: header.groupBytes,
      syncedThrough: header.syncedThrough,
      commitIndex: header.commitIndex,
      previousTerm: header.previousTerm,
      bodyBytes: header.bodyBytes,
      bodyChecksum: header.bodyChecksum,
      entries: scanEntries(bytes, view, start + GROUP_HEADER_BYTES, header, path),
    });
    expected = header.groupNumber + 1;
    offset = start + header.groupBytes;
  }
  const dirtyEnd = behindLastNonZero(bytes, offset);
  if (dirtyEnd === offset) return { groups, endOffset: offset, provenByLater: 0, dirtyEnd };
  const later = groupsBehind(bytes, view, offset, seed, segmentId);
  return {
    groups,
    endOffset: offset,
    provenByLater: later.proven,
    dirtyEnd: segment.isRecycled ? later.end : dirtyEnd,
  };
}

/** The whole file, read into `buffer` when it has the right length, else into a new one. */
export function readSegment(disk: Disk, path: string, segmentBytes: number, buffer: Uint8Array | null): Uint8Array {
  const bytes = buffer !== null && buffer.length === segmentBytes ? buffer : new Uint8Array(segmentBytes);
  const file = disk.open(path, "read");
  try {
    const count = file.read(bytes, 0);
    if (count !== segmentBytes) throw corruption(path, count, "a segment cut short");
  } finally {
    file.close();
  }
  return bytes;
}

/** Where the whole group of number `expected` (0: any) begins that follows `end`, its header in `into`; −1: nowhere. */
function startOfNext(
  bytes: Uint8Array,
  view: DataView,
  end: number,
  seed: number,
  segmentId: number,
  expected: number,
  into: GroupHeader,
): number {
  if (isWholeGroup(bytes, view, end, seed, segmentId, expected, into)) return end;
  const block = blockBehind(end);
  return block > end && isWholeGroup(bytes, view, block, seed, segmentId, expected, into) ? block : -1;
}

function isWholeGroup(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  seed: number,
  segmentId: number,
  expected: number,
  into: GroupHeader,
): boolean {
  if (!decodeGroupHeader(bytes, view, start, seed, segmentId, into)) return false;
  if (expected !== 0 && into.groupNumber !== expected) return false;
  return crc32Range(bytes, start + GROUP_HEADER_BYTES, start + into.groupBytes) === into.bodyChecksum;
}

function scanEntries(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  header: GroupHeader,
  path: string,
): ScannedEntry[] {
  const entries: ScannedEntry[] = [];
  const limit = start + header.bodyBytes;
  let offset = start;
  for (let i = 0; i < header.entryCount; i++) {
    const entry = decodeEntryHeader(bytes, view, offset, limit, path);
    if (entry instanceof Error) throw entry;
    const end = offset + entry.entryBytes;
    const checksum = crc32Range(bytes, offset, end);
    entries.push({ index: entry.index, term: entry.term, offset, byteCount: entry.entryBytes, checksum });
    offset = end;
  }
  if (offset !== limit) throw corruption(path, offset, "bytes behind the last entry of a group");
  return entries;
}

/** What the group headers say that stand behind the last whole group, and where the last of those groups ends. */
function groupsBehind(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  seed: number,
  segmentId: number,
): { proven: number; end: number } {
  const header = new GroupHeader();
  let proven = 0;
  let end = start;
  for (let offset = start; offset < bytes.length; offset += GROUP_UNIT_BYTES) {
    if (!decodeGroupHeader(bytes, view, offset, seed, segmentId, header)) continue;
    if (header.syncedThrough > proven) proven = header.syncedThrough;
    end = Math.max(end, offset + header.groupBytes);
  }
  return { proven, end };
}

/** Segment lengths and group ends are multiples of a word, so the rest is looked at as words. */
function behindLastNonZero(bytes: Uint8Array, start: number): number {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset + start, (bytes.length - start) >>> 2);
  let i = words.length - 1;
  while (i >= 0 && words[i] === 0) i--;
  return i < 0 ? start : start + (i + 1) * 4;
}
