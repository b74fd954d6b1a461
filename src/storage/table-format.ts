/**
 * A table (`.sst`): versions of one shard in order, never changed after it was written. Little-endian throughout; keys
 * are table keys as in block-format.ts.
 *
 *   header region   prologue · filter · prefix filter · block offsets · anchor offsets · anchors · zeros to a multiple of 64
 *   blocks          stored-block-format.ts, one behind the other
 *   footer          smallest key · largest key · 128 bytes
 *
 *   prologue:  0   8   magic "EDB.sst\x01"
 *              8   4   format version: 1, or 2 with what is marked so
 *             12   4   header bytes, the whole region
 *             16   4   filter lines L of 64 bytes (bloom.ts)
 *             20   4   filter probes
 *             24   4   block count N
 *             28   4   anchor bytes A
 *             32   8   file number
 *             40   4   prefix filter lines P of 64 bytes, 0: none                          version 2
 *             44   4   bytes of a prefix                                                   version 2
 *             48  12   zero
 *             60   4   CRC-32 of bytes 0–59 and 64–end of the region
 *             64  64·L filter
 *                 64·P prefix filter: made like the filter, with as many probes, of the first bytes of all user keys that
 *                      have so many                                                        version 2
 *            then 4·(N+1)  block offsets, counted from the end of the region; the last one is the end of the blocks
 *                 4·(N+1)  anchor offsets, counted from the first anchor
 *                 A        anchors: the shortest key above the last of the block before and not above the first here
 *
 *   footer's last 128 bytes:
 *              0   4   smallest key bytes
 *              4   4   largest key bytes
 *              8   8   smallest stamp: high u32, low u32
 *             16   8   largest stamp
 *             24   8   entry count
 *             32   8   tombstone count
 *             40   8   file number
 *             48  16   cluster id
 *             64   2   shard
 *             66   2   zero
 *             68   4   header bytes
 *             72   4   CRC of the header region (the one in the prologue)
 *             76   4   bytes of all blocks
 *             80   4   format version
 *             84  32   zero
 *            116   8   magic "EDB.end\x01"
 *            124   4   CRC-32 of the footer from the smallest key to here
 *
 * Version 1 stores blocks as they are and has no prefix filter. A table that needs neither packing nor prefixes is written
 * in version 1, so that earlier releases read it.
 *
 * The header region comes first, so that opening a table reads it and the footer and nothing else. It is known last: a
 * writer keeps the blocks of a table in memory (a table is bounded, TreeOptions.tableBytesMax) and then writes region,
 * blocks and footer front to back. That costs memory for the time of a job, and spares an estimate of the region's size,
 * a hole where it was too large, and a second pass where it was too small.
 *
 * Checksums form a chain: the manifest holds the footer's, the footer the header's, and those of the blocks begin with
 * a seed made of the identity. So a table that was exchanged for another one is found when it is opened.
 */
import { getU64, setU64, viewOf } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import { type FileNumber, fileNumber, shardId } from "../core/ids.ts";
import type { Stamp } from "../core/stamp.ts";
import { BLOOM_LINE_BYTES } from "./bloom.ts";
import type { TreeIdentity } from "./tree-options.ts";

export type TableVersion = 1 | 2;
export const PROLOGUE_BYTES = 64;
export const FOOTER_FIXED_BYTES = 128;
const REGION_ALIGNMENT = 64;
const PROLOGUE_CHECKSUM_OFFSET = 60;
const HEADER_MAGIC = "EDB.sst\x01";
const FOOTER_MAGIC = "EDB.end\x01";
const CLUSTER_ID_BYTES = 16;

export interface TableFooter {
  readonly version: TableVersion;
  /** Table keys. */
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
  readonly minStamp: Stamp;
  readonly maxStamp: Stamp;
  readonly entryCount: number;
  readonly tombstoneCount: number;
  readonly number: FileNumber;
  readonly headerBytes: number;
  readonly headerChecksum: number;
  readonly blocksBytes: number;
}

/** The decoded header region. Offsets are into `region`. */
export interface TableHeader {
  readonly region: Uint8Array;
  readonly filterLines: number;
  readonly filterProbes: number;
  readonly prefixFilterLines: number;
  readonly prefixBytes: number;
  readonly blockCount: number;
  /** blockCount + 1 offsets, from the start of the file. */
  readonly blockOffsets: Uint32Array;
  /** blockCount + 1 offsets into `region`. */
  readonly anchorOffsets: Uint32Array;
}

export function tableName(number: FileNumber): string {
  return `${String(number).padStart(8, "0")}.sst`;
}

/** Where the prefix filter begins in the region, behind a filter of so many lines. */
export function prefixFilterStart(filterLines: number): number {
  return PROLOGUE_BYTES + filterLines * BLOOM_LINE_BYTES;
}

/** With which the checksum of a block begins. */
export function blockSeed(tableSeed: number, block: number): number {
  return (tableSeed + block) >>> 0;
}

/** The part of a block's seed that is the same for all blocks of a table. */
export function tableSeed(identity: TreeIdentity, number: FileNumber): number {
  const bytes = new Uint8Array(10);
  const view = viewOf(bytes);
  setU64(view, 0, number);
  view.setUint16(8, identity.shard, true);
  return crc32(bytes, crc32(identity.clusterId));
}

/** The filters of a table to be written, and what writes their bits at their place in the region. */
export interface TableFilters {
  readonly lines: number;
  readonly probes: number;
  /** 0, both, in version 1. */
  readonly prefixLines: number;
  readonly prefixBytes: number;
  fill(region: Uint8Array, start: number): void;
  fillPrefixes(region: Uint8Array, start: number): void;
}

/** Encodes the header region. `anchors` and `blockOffsets` (one more: the end) as in the drawing. */
export function encodeTableHeader(
  version: TableVersion,
  number: FileNumber,
  filters: TableFilters,
  blockOffsets: readonly number[],
  anchors: readonly Uint8Array[],
): { readonly region: Uint8Array; readonly checksum: number } {
  let anchorBytes = 0;
  for (const anchor of anchors) anchorBytes += anchor.length;
  const filtersEnd = prefixFilterStart(filters.lines) + filters.prefixLines * BLOOM_LINE_BYTES;
  const usedBytes = filtersEnd + 8 * blockOffsets.length + anchorBytes;
  const headerBytes = Math.ceil(usedBytes / REGION_ALIGNMENT) * REGION_ALIGNMENT;
  const region = new Uint8Array(headerBytes);
  const view = viewOf(region);
  writeMagic(region, 0, HEADER_MAGIC);
  view.setUint32(8, version, true);
  view.setUint32(12, headerBytes, true);
  view.setUint32(16, filters.lines, true);
  view.setUint32(20, filters.probes, true);
  view.setUint32(24, anchors.length, true);
  view.setUint32(28, anchorBytes, true);
  setU64(view, 32, number);
  view.setUint32(40, filters.prefixLines, true);
  view.setUint32(44, filters.prefixBytes, true);
  filters.fill(region, PROLOGUE_BYTES);
  filters.fillPrefixes(region, prefixFilterStart(filters.lines));
  let offset = filtersEnd;
  for (const blockOffset of blockOffsets) {
    view.setUint32(offset, blockOffset, true);
    offset += 4;
  }
  let anchorOffset = 0;
  for (let i = 0; i <= anchors.length; i++) {
    view.setUint32(offset, anchorOffset, true);
    offset += 4;
    anchorOffset += anchors[i]?.length ?? 0;
  }
  for (const anchor of anchors) {
    region.set(anchor, offset);
    offset += anchor.length;
  }
  const checksum = headerChecksum(region);
  view.setUint32(PROLOGUE_CHECKSUM_OFFSET, checksum, true);
  return { region, checksum };
}

/** Decodes a header region whose size and checksum the footer has told. */
export function decodeTableHeader(region: Uint8Array, footer: TableFooter, file: string): TableHeader | EnvelopeError {
  if (region.length !== footer.headerBytes) return corruption(file, 0, "a header region cut short");
  const checksum = headerChecksum(region);
  const view = viewOf(region);
  if (checksum !== footer.headerChecksum || checksum !== view.getUint32(PROLOGUE_CHECKSUM_OFFSET, true)) {
    return corruption(file, 0, "a header region with a wrong checksum");
  }
  if (!hasMagic(region, 0, HEADER_MAGIC) || getU64(view, 32) !== footer.number) {
    return corruption(file, 0, "a header region that belongs to another file");
  }
  const filterLines = view.getUint32(16, true);
  const blockCount = view.getUint32(24, true);
  const prefixFilterLines = view.getUint32(40, true);
  const prefixBytes = view.getUint32(44, true);
  const blockArray = prefixFilterStart(filterLines) + prefixFilterLines * BLOOM_LINE_BYTES;
  const anchorArray = blockArray + 4 * (blockCount + 1);
  const anchorsStart = anchorArray + 4 * (blockCount + 1);
  if (blockCount === 0 || anchorsStart + view.getUint32(28, true) > region.length) {
    return corruption(file, 16, "a header region whose parts do not fit");
  }
  const blockOffsets = new Uint32Array(blockCount + 1);
  const anchorOffsets = new Uint32Array(blockCount + 1);
  for (let i = 0; i <= blockCount; i++) {
    blockOffsets[i] = region.length + view.getUint32(blockArray + 4 * i, true);
    anchorOffsets[i] = anchorsStart + view.getUint32(anchorArray + 4 * i, true);
  }
  const filterProbes = view.getUint32(20, true);
  const filters = { filterLines, filterProbes, prefixFilterLines, prefixBytes };
  return { region, ...filters, blockCount, blockOffsets, anchorOffsets };
}

export function encodeTableFooter(footer: TableFooter, identity: TreeIdentity): Uint8Array {
  const keyBytes = footer.smallest.length + footer.largest.length;
  const bytes = new Uint8Array(keyBytes + FOOTER_FIXED_BYTES);
  bytes.set(footer.smallest);
  bytes.set(footer.largest, footer.smallest.length);
  const view = new DataView(bytes.buffer, keyBytes);
  view.setUint32(0, footer.smallest.length, true);
  view.setUint32(4, footer.largest.length, true);
  view.setUint32(8, footer.minStamp.high, true);
  view.setUint32(12, footer.minStamp.low, true);
  view.setUint32(16, footer.maxStamp.high, true);
  view.setUint32(20, footer.maxStamp.low, true);
  setU64(view, 24, footer.entryCount);
  setU64(view, 32, footer.tombstoneCount);
  setU64(view, 40, footer.number);
  bytes.set(identity.clusterId, keyBytes + 48);
  view.setUint16(64, identity.shard, true);
  view.setUint32(68, footer.headerBytes, true);
  view.setUint32(72, footer.headerChecksum, true);
  view.setUint32(76, footer.blocksBytes, true);
  view.setUint32(80, footer.version, true);
  writeMagic(bytes, keyBytes + 116, FOOTER_MAGIC);
  view.setUint32(124, crc32(bytes.subarray(0, bytes.length - 4)), true);
  return bytes;
}

/** The checksum at the end of an encoded footer, which the manifest repeats. */
export function footerChecksum(footer: Uint8Array): number {
  return viewOf(footer).getUint32(footer.length - 4, true);
}

/** How long the footer is whose last FOOTER_FIXED_BYTES these are, as far as they can be believed before they are checked. */
export function footerBytes(fixed: Uint8Array): number {
  const view = viewOf(fixed);
  return FOOTER_FIXED_BYTES + view.getUint32(0, true) + view.getUint32(4, true);
}

/** Whose table a footer belongs to. The bytes have been decoded without an error. */
export function footerIdentity(bytes: Uint8Array): TreeIdentity {
  const fixed = bytes.length - FOOTER_FIXED_BYTES;
  return {
    clusterId: bytes.slice(fixed + 48, fixed + 48 + CLUSTER_ID_BYTES),
    shard: shardId(viewOf(bytes).getUint16(fixed + 64, true)),
  };
}

/**
 * Decodes the whole footer of a file; `offset` is where it lies, for messages. With a null identity the table may be
 * anybody's.
 */
export function decodeTableFooter(
  bytes: Uint8Array,
  offset: number,
  identity: TreeIdentity | null,
  file: string,
): TableFooter | EnvelopeError {
  const keyBytes = bytes.length - FOOTER_FIXED_BYTES;
  if (keyBytes < 0) return corruption(file, offset, "a footer cut short");
  if (crc32(bytes.subarray(0, bytes.length - 4)) !== footerChecksum(bytes)) {
    return corruption(file, offset, "a footer with a wrong checksum");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset + keyBytes, FOOTER_FIXED_BYTES);
  if (!hasMagic(bytes, keyBytes + 116, FOOTER_MAGIC)) return corruption(file, offset, "no footer of a table");
  const version = view.getUint32(80, true);
  if (version !== 1 && version !== 2) {
    return new EnvelopeError("NEWER_FORMAT", `${file} has table format ${version}: it needs a newer release`);
  }
  if (identity !== null && !sameIdentity(bytes, keyBytes, view, identity)) {
    return new EnvelopeError("FOREIGN_DIRECTORY", `${file} belongs to another cluster or shard`);
  }
  const smallestBytes = view.getUint32(0, true);
  if (smallestBytes + view.getUint32(4, true) !== keyBytes) {
    return corruption(file, offset, "a footer whose keys do not fit");
  }
  return {
    version,
    smallest: bytes.slice(0, smallestBytes),
    largest: bytes.slice(smallestBytes, keyBytes),
    minStamp: { high: view.getUint32(8, true), low: view.getUint32(12, true) },
    maxStamp: { high: view.getUint32(16, true), low: view.getUint32(20, true) },
    entryCount: getU64(view, 24),
    tombstoneCount: getU64(view, 32),
    number: fileNumber(getU64(view, 40)),
    headerBytes: view.getUint32(68, true),
    headerChecksum: view.getUint32(72, true),
    blocksBytes: view.getUint32(76, true),
  };
}

function sameIdentity(bytes: Uint8Array, keyBytes: number, view: DataView, identity: TreeIdentity): boolean {
  if (view.getUint16(64, true) !== identity.shard) return false;
  return identity.clusterId.every((byte, i) => bytes[keyBytes + 48 + i] === byte);
}

function headerChecksum(region: Uint8Array): number {
  return crc32(region.subarray(PROLOGUE_BYTES), crc32(region.subarray(0, PROLOGUE_CHECKSUM_OFFSET)));
}

function writeMagic(bytes: Uint8Array, offset: number, magic: string): void {
  for (let i = 0; i < magic.length; i++) bytes[offset + i] = magic.charCodeAt(i);
}

function hasMagic(bytes: Uint8Array, offset: number, magic: string): boolean {
  for (let i = 0; i < magic.length; i++) if (bytes[offset + i] !== magic.charCodeAt(i)) return false;
  return true;
}
