/**
 * Walks over one segment group by group without ever holding more than one of them, and goes on behind damage where
 * another group of this segment begins: for the tools that look at files, and for the scrubber. A start reads segments
 * with `segment-scan.ts`, which stops at the first break because nothing behind it can count. Every entry and command
 * is verified. Nothing is judged here: whether a break is a torn tail or corruption depends on what was proven durable.
 * Any thread; the file is the caller's.
 */
import { viewOf } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import type { DiskFile } from "../env/disk.ts";
import { verifyCommands } from "../record/command-format.ts";
import { decodeEntryHeader, ENTRY_HEADER_BYTES, EntryKind } from "../record/entry-format.ts";
import {
  decodeGroupHeader,
  blockBehind,
  GROUP_HEADER_BYTES,
  GROUP_UNIT_BYTES,
  GroupHeader,
} from "../record/group-format.ts";
import { SEGMENT_HEADER_BYTES, type SegmentHeader } from "../record/segment-format.ts";
import type { ScannedEntry, ScannedGroup } from "./segment-scan.ts";

const PIECE_BYTES = 1024 * 1024;

export type SegmentPart =
  /** `bytes` is the whole group; it begins at `group.offset` of the file, as the offsets of its entries count. */
  | { readonly kind: "group"; readonly group: ScannedGroup; readonly bytes: Uint8Array }
  /** No whole group at `offset`, but one or its header at `end`; or a group whose contents are not what they should be. */
  | { readonly kind: "break"; readonly offset: number; readonly end: number; readonly why: string }
  /** No group begins at or behind `offset`. `dirtyEnd`: behind the last byte there that is not zero. */
  | { readonly kind: "end"; readonly offset: number; readonly dirtyEnd: number; readonly why: string };

/** The parts of a segment from `start` on. Throws IO where the disk cannot read. */
export function* walkSegment(
  file: DiskFile,
  segment: SegmentHeader,
  seed: number,
  start = SEGMENT_HEADER_BYTES,
): Generator<SegmentPart, void> {
  const fileBytes = Math.min(file.size(), segment.segmentBytes);
  const header = new GroupHeader();
  let offset = start;
  let expected = 0;
  for (;;) {
    let found = groupAt(file, offset, fileBytes, segment.segmentId, seed, header);
    const block = blockBehind(offset);
    if (typeof found === "string" && block > offset) {
      // Behind a sync a new block was begun.
      const behindSync = groupAt(file, block, fileBytes, segment.segmentId, seed, header);
      if (typeof behindSync !== "string" && header.groupNumber === expected) {
        found = behindSync;
        offset = block;
      }
    }
    if (typeof found === "string") {
      const next = nextHeader(file, offset + GROUP_UNIT_BYTES, fileBytes, segment.segmentId, seed, header);
      if (next < 0) {
        yield { kind: "end", offset, dirtyEnd: behindLastNonZero(file, offset, fileBytes), why: found };
        return;
      }
      yield { kind: "break", offset, end: next, why: found };
      offset = next;
      expected = 0;
      continue;
    }
    const { groupNumber } = header;
    if (expected !== 0 && groupNumber !== expected) {
      yield { kind: "break", offset, end: offset, why: `group ${groupNumber} where group ${expected} is expected` };
    }
    const contents = contentsOf(found, offset, header);
    yield {
      kind: "group",
      bytes: found,
      group: {
        number: groupNumber,
        offset,
        byteCount: found.length,
        syncedThrough: header.syncedThrough,
        commitIndex: header.commitIndex,
        previousTerm: header.previousTerm,
        bodyBytes: header.bodyBytes,
        bodyChecksum: header.bodyChecksum,
        entries: contents.entries,
      },
    };
    const { damage } = contents;
    if (damage !== null) yield { kind: "break", offset: damage.offset, end: offset + found.length, why: damage.why };
    expected = groupNumber + 1;
    offset += found.length;
  }
}

/** The bytes of the group at `offset`, its header in `into`; or why there is none. */
function groupAt(
  file: DiskFile,
  offset: number,
  fileBytes: number,
  segmentId: number,
  seed: number,
  into: GroupHeader,
): Uint8Array | string {
  const head = new Uint8Array(GROUP_HEADER_BYTES);
  if (offset + GROUP_HEADER_BYTES > fileBytes || file.read(head, offset) < head.length) return "the end of the file";
  if (!decodeGroupHeader(head, viewOf(head), 0, seed, segmentId, into, fileBytes - offset)) return "no group header";
  const group = new Uint8Array(into.groupBytes);
  if (file.read(group, offset) < group.length) return "a group cut short";
  const checksum = crc32(group.subarray(GROUP_HEADER_BYTES));
  return checksum === into.bodyChecksum ? group : "a group with a wrong checksum";
}

/** The offset of the first group header at or behind `from`; −1: there is none. */
function nextHeader(
  file: DiskFile,
  from: number,
  fileBytes: number,
  segmentId: number,
  seed: number,
  into: GroupHeader,
): number {
  const piece = new Uint8Array(PIECE_BYTES);
  const view = viewOf(piece);
  for (let start = from; start < fileBytes; start += PIECE_BYTES) {
    const byteCount = file.read(piece.subarray(0, Math.min(PIECE_BYTES, fileBytes - start)), start);
    for (let at = 0; at + GROUP_HEADER_BYTES <= byteCount; at += GROUP_UNIT_BYTES) {
      const room = fileBytes - start - at;
      if (decodeGroupHeader(piece, view, at, seed, segmentId, into, room)) return start + at;
    }
  }
  return -1;
}

/** The entries of a group whose checksum is right, as far as they are what they should be. */
function contentsOf(
  bytes: Uint8Array,
  groupOffset: number,
  header: GroupHeader,
): { entries: ScannedEntry[]; damage: { offset: number; why: string } | null } {
  const entries: ScannedEntry[] = [];
  const view = viewOf(bytes);
  const limit = GROUP_HEADER_BYTES + header.bodyBytes;
  let at = GROUP_HEADER_BYTES;
  const damaged = (why: string) => ({ entries, damage: { offset: groupOffset + at, why } });
  for (let i = 0; i < header.entryCount; i++) {
    const entry = decodeEntryHeader(bytes, view, at, limit, "");
    if (entry instanceof Error) return damaged("an entry that does not parse");
    const end = at + entry.entryBytes;
    const isBatch = entry.kind === EntryKind.commands;
    if (isBatch && verifyCommands(bytes, at + ENTRY_HEADER_BYTES, end, entry.commandCount, "") !== null) {
      return damaged("an entry with a damaged command");
    }
    const { index, term, entryBytes } = entry;
    const checksum = crc32(bytes.subarray(at, end));
    entries.push({ index, term, offset: groupOffset + at, byteCount: entryBytes, checksum });
    at = end;
  }
  return at === limit ? { entries, damage: null } : damaged("bytes behind the last entry of a group");
}

function behindLastNonZero(file: DiskFile, from: number, fileBytes: number): number {
  const piece = new Uint8Array(PIECE_BYTES);
  let end = from;
  for (let start = from; start < fileBytes; start += PIECE_BYTES) {
    const byteCount = file.read(piece.subarray(0, Math.min(PIECE_BYTES, fileBytes - start)), start);
    let last = byteCount - 1;
    while (last >= 0 && piece[last] === 0) last--;
    if (last >= 0) end = start + last + 1;
  }
  return end;
}
