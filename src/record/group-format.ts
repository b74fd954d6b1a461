/**
 * A group: what is written to the log at once. It begins at a multiple of 64 bytes. One that is synced is padded with
 * zeros to the end of its block of 4096, so that a block which has been synced is never written again; one that is not
 * synced is padded to 64 bytes, and the next one follows it at once, or at the next block if a sync came in between.
 *
 *   offset  bytes
 *        0      4  magic "EVPG"
 *        4      4  CRC-32 of bytes 8–63, seeded with the checksum of the segment's own header
 *        8      8  segment id, u64
 *       16      8  group number, u64: consecutive over the whole log, from 1
 *       24      4  body bytes, u32: the entries, without the padding
 *       28      4  CRC-32 of everything from byte 64 to the end of the padding
 *       32      8  synced through, u64: the log position that was proven durable before this group was written
 *       40      8  commit index known then, u64
 *       48      4  entry count, u32; 0 with an empty body: a group that only proves what came before it
 *       52      4  bytes of the group with header and padding, u32; 0 in segments of format version 1: as many as its blocks have
 *       56      8  term of the entry before the first one here (of the log's last entry when the group is empty), u64
 *       64         entries, then zeros
 *
 * Segment id, group number and the seed are in the checksum, so bytes of another segment, of another shard or of a
 * segment's former life never pass for a group of this one; nor does a client's value that contains such bytes.
 */
import { getU64, setU64 } from "../core/bytes.ts";
import { crc32Range } from "../core/crc32.ts";

export const GROUP_HEADER_BYTES = 64;
/** Groups begin at multiples of this. */
export const GROUP_UNIT_BYTES = 64;
/** What a disk writes at once. */
export const LOG_BLOCK_BYTES = 4096;
const GROUP_MAGIC = 0x4750_5645;
const ENTRY_BYTES_MIN = 32;

/** The fields of a group header: one object, reused for every group written or read. */
export class GroupHeader {
  segmentId = 0;
  groupNumber = 0;
  bodyBytes = 0;
  bodyChecksum = 0;
  groupBytes = 0;
  syncedThrough = 0;
  commitIndex = 0;
  entryCount = 0;
  previousTerm = 0;
}

/** The offset, or the start of the next block behind it. */
export function blockBehind(offset: number): number {
  return Math.ceil(offset / LOG_BLOCK_BYTES) * LOG_BLOCK_BYTES;
}

/** Bytes a group with such a body takes from `offset` on: to the end of its last unit, or if it is synced of its last block. */
export function groupBytesAt(offset: number, bodyBytes: number, isSynced: boolean): number {
  const bytes = Math.ceil((GROUP_HEADER_BYTES + bodyBytes) / GROUP_UNIT_BYTES) * GROUP_UNIT_BYTES;
  return isSynced ? blockBehind(offset + bytes) - offset : bytes;
}

/** Writes the header over 64 bytes at `offset`. `seed` is the checksum of the segment's header. */
export function encodeGroupHeader(
  header: GroupHeader,
  seed: number,
  target: Uint8Array,
  view: DataView,
  offset: number,
): void {
  view.setUint32(offset, GROUP_MAGIC, true);
  setU64(view, offset + 8, header.segmentId);
  setU64(view, offset + 16, header.groupNumber);
  view.setUint32(offset + 24, header.bodyBytes, true);
  view.setUint32(offset + 28, header.bodyChecksum, true);
  setU64(view, offset + 32, header.syncedThrough);
  setU64(view, offset + 40, header.commitIndex);
  view.setUint32(offset + 48, header.entryCount, true);
  view.setUint32(offset + 52, header.groupBytes, true);
  setU64(view, offset + 56, header.previousTerm);
  view.setUint32(offset + 4, crc32Range(target, offset + 8, offset + GROUP_HEADER_BYTES, seed), true);
}

/**
 * Reads the header at `offset` into `into`; false when there is none that belongs to this segment and fits in it. From
 * `offset` on the segment has `room` bytes: all that were given, unless they are only a part of it.
 */
export function decodeGroupHeader(
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  seed: number,
  segmentId: number,
  into: GroupHeader,
  room: number = bytes.length - offset,
): boolean {
  if (offset + GROUP_HEADER_BYTES > bytes.length || view.getUint32(offset, true) !== GROUP_MAGIC) return false;
  const checksum = crc32Range(bytes, offset + 8, offset + GROUP_HEADER_BYTES, seed);
  if (checksum !== view.getUint32(offset + 4, true)) return false;
  into.segmentId = getU64(view, offset + 8);
  into.groupNumber = getU64(view, offset + 16);
  into.bodyBytes = view.getUint32(offset + 24, true);
  into.bodyChecksum = view.getUint32(offset + 28, true);
  into.syncedThrough = getU64(view, offset + 32);
  into.commitIndex = getU64(view, offset + 40);
  into.entryCount = view.getUint32(offset + 48, true);
  into.previousTerm = getU64(view, offset + 56);
  const contentBytes = GROUP_HEADER_BYTES + into.bodyBytes;
  into.groupBytes = view.getUint32(offset + 52, true) || blockBehind(contentBytes);
  return (
    into.segmentId === segmentId &&
    into.groupNumber > 0 &&
    Number.isSafeInteger(into.groupNumber) &&
    Number.isSafeInteger(into.syncedThrough) &&
    Number.isSafeInteger(into.commitIndex) &&
    Number.isSafeInteger(into.previousTerm) &&
    into.entryCount * ENTRY_BYTES_MIN <= into.bodyBytes &&
    into.entryCount > 0 === into.bodyBytes > 0 &&
    into.groupBytes >= contentBytes &&
    into.groupBytes < contentBytes + LOG_BLOCK_BYTES &&
    into.groupBytes % GROUP_UNIT_BYTES === 0 &&
    into.groupBytes <= room
  );
}
