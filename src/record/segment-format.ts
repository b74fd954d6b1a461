/**
 * A segment (`.evp`): a header block, then groups, then zeros that were written ahead (or what an older segment left). A
 * file gets this name only when its whole length, its header and whatever `proven bytes` covers have been synced: there is
 * no such thing as a half made segment.
 *
 *   offset  bytes
 *        0      4  magic "EVPS"
 *        4      4  CRC-32 of bytes 8–4095: also the seed of every group's checksum
 *        8      2  format version, u16: 2, or 3 when it has an origin; in version 1 every group begins a block, and its header
 *                  does not tell its length
 *       10      2  shard, u16
 *       12      2  1: the file was a segment before, and bytes not yet written are of that life; 0: they are zeros
 *       14      2  zero
 *       16      8  segment id, u64: the number in the file's name
 *       24      8  base position, u64: log position of byte 0 = the sum of the lengths of all earlier segments
 *       32      8  segment bytes, u64: the length of the file, this header included
 *       40     16  cluster id
 *       56      8  first group number, u64; 0: made ahead, when nobody knew yet
 *       64      8  cut position, u64: bytes of earlier segments at or past this log position are void; 0: none are
 *       72      8  proven bytes, u64: so much of this file, from byte 0, was synced before the file got its name
 *       80      8  origin index, u64: the log begins behind this entry, which is in a snapshot; 0: there is no such entry
 *       88      8  origin term, u64: of that entry
 *       96         zeros to 4096
 *
 * A recovery writes the last two groups of fields: it copies what it could not prove into a new segment, and that
 * segment's header says where the old bytes stop counting.
 */
import { getU64, setU64, viewOf } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import { type ShardId, shardId } from "../core/ids.ts";

export const SEGMENT_HEADER_BYTES = 4096;
const CLUSTER_ID_BYTES = 16;
const SEGMENT_MAGIC = 0x5350_5645;
const SEGMENT_VERSION = 2;
const SEGMENT_VERSION_WITH_ORIGIN = 3;
const CLUSTER_ID_OFFSET = 40;

export interface SegmentHeader {
  readonly shard: ShardId;
  /** 16 bytes. */
  readonly clusterId: Uint8Array;
  readonly segmentId: number;
  readonly basePosition: number;
  readonly segmentBytes: number;
  readonly firstGroup: number;
  readonly cutPosition: number;
  readonly provenBytes: number;
  readonly isRecycled: boolean;
  /** The entry before the log's first, where the log begins behind a snapshot; 0 in any other segment. */
  readonly originIndex: number;
  readonly originTerm: number;
}

/** The header block of a segment. */
export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const block = new Uint8Array(SEGMENT_HEADER_BYTES);
  const view = viewOf(block);
  view.setUint32(0, SEGMENT_MAGIC, true);
  view.setUint16(8, header.originIndex === 0 ? SEGMENT_VERSION : SEGMENT_VERSION_WITH_ORIGIN, true);
  view.setUint16(10, header.shard, true);
  view.setUint16(12, header.isRecycled ? 1 : 0, true);
  setU64(view, 16, header.segmentId);
  setU64(view, 24, header.basePosition);
  setU64(view, 32, header.segmentBytes);
  block.set(header.clusterId, CLUSTER_ID_OFFSET);
  setU64(view, 56, header.firstGroup);
  setU64(view, 64, header.cutPosition);
  setU64(view, 72, header.provenBytes);
  setU64(view, 80, header.originIndex);
  setU64(view, 88, header.originTerm);
  view.setUint32(4, crc32(block.subarray(8)), true);
  return block;
}

/** The checksum inside an encoded header block: the seed of the segment's groups. */
export function segmentChecksum(block: Uint8Array): number {
  return viewOf(block).getUint32(4, true);
}

/** Decodes a header block; CORRUPTION when it is damaged, NEWER_FORMAT when a later release wrote it. */
export function decodeSegmentHeader(block: Uint8Array, file: string): SegmentHeader | EnvelopeError {
  if (block.length < SEGMENT_HEADER_BYTES) return corruption(file, block.length, "a segment header cut short");
  const view = viewOf(block);
  if (view.getUint32(0, true) !== SEGMENT_MAGIC) return corruption(file, 0, "no segment header");
  if (crc32(block.subarray(8, SEGMENT_HEADER_BYTES)) !== view.getUint32(4, true)) {
    return corruption(file, 4, "a segment header with a wrong checksum");
  }
  const version = view.getUint16(8, true);
  if (version > SEGMENT_VERSION_WITH_ORIGIN) {
    const known = `this release knows 1 to ${SEGMENT_VERSION_WITH_ORIGIN}`;
    return new EnvelopeError("NEWER_FORMAT", `${file} has segment format ${version}; ${known}`);
  }
  const header: SegmentHeader = {
    shard: shardId(view.getUint16(10, true)),
    clusterId: block.slice(CLUSTER_ID_OFFSET, CLUSTER_ID_OFFSET + CLUSTER_ID_BYTES),
    segmentId: getU64(view, 16),
    basePosition: getU64(view, 24),
    segmentBytes: getU64(view, 32),
    firstGroup: getU64(view, 56),
    cutPosition: getU64(view, 64),
    provenBytes: getU64(view, 72),
    isRecycled: view.getUint16(12, true) === 1,
    originIndex: getU64(view, 80),
    originTerm: getU64(view, 88),
  };
  const end = header.basePosition + header.segmentBytes;
  const sane = version > 0 && Number.isSafeInteger(end) && header.provenBytes <= header.segmentBytes;
  return sane ? header : corruption(file, 8, "an absurd segment header");
}
