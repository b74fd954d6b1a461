/**
 * A stored block checked and opened: what all ways of reading a table have in common. The bytes may be the whole file,
 * or a piece of it, or the block alone; `offset` is where the block begins in the file, for messages. Any thread.
 */
import { corruption } from "../core/errors.ts";
import { type BlockPlace, blockChecksum, readU32 } from "./block-format.ts";
import { CHECKSUM_BYTES, STORED_BYTES_MIN, storedType, TYPE_BYTES, unpackBody } from "./stored-block-format.ts";
import { blockSeed, type TableFooter, type TableHeader } from "./table-format.ts";

/** What has to be known of a table to read its blocks. */
export interface StoredTable {
  readonly path: string;
  readonly fileBytes: number;
  /** Where the blocks end in it, and the footer begins. */
  readonly blocksEnd: number;
  /** Of format version 1, in which blocks are never packed. */
  readonly isPlain: boolean;
  /** The part of a block's seed that is the same for all blocks. */
  readonly seed: number;
  readonly blockCount: number;
  /** blockCount + 1 offsets, from the start of the file. */
  readonly blockOffsets: Uint32Array;
}

export function storedTable(
  path: string,
  fileBytes: number,
  footer: TableFooter,
  header: TableHeader,
  seed: number,
): StoredTable {
  const { blockCount, blockOffsets } = header;
  const blocksEnd = footer.headerBytes + footer.blocksBytes;
  return { path, fileBytes, blocksEnd, isPlain: footer.version === 1, seed, blockCount, blockOffsets };
}

/** Throws CORRUPTION when a block that begins and ends there cannot be one. */
export function checkStoredRange({ path, blocksEnd }: StoredTable, start: number, end: number): void {
  if (end - start < STORED_BYTES_MIN || end > blocksEnd) throw corruption(path, start, "a block that does not fit");
}

/** Verifies the checksum of the block at `start`–`end`. Throws CORRUPTION. */
export function checkStoredBlock(
  { path, seed }: StoredTable,
  block: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  offset: number,
): void {
  if (blockChecksum(bytes, start, end, blockSeed(seed, block)) !== readU32(bytes, end - CHECKSUM_BYTES)) {
    throw corruption(path, offset, "a block with a wrong checksum");
  }
}

/**
 * Says where the body of the block at `start`–`end` lies: in these bytes or, if it was packed, in memory of its own.
 * Returns how it was packed. Throws CORRUPTION.
 */
export function openStoredBlock(
  { path, isPlain }: StoredTable,
  bytes: Uint8Array,
  start: number,
  end: number,
  offset: number,
  place: BlockPlace,
): "none" | "zstd" {
  if (isPlain) {
    place.set(bytes, start, end - CHECKSUM_BYTES);
    return "none";
  }
  const type = storedType(bytes, start);
  if (type === null) throw corruption(path, offset, "a block of a type that does not exist");
  if (type === "raw") {
    place.set(bytes, start + TYPE_BYTES, end - CHECKSUM_BYTES);
    return "none";
  }
  const body = unpackBody(bytes, start, end);
  if (body === null) throw corruption(path, offset, "a block that cannot be unpacked");
  place.set(body, 0, body.length);
  return "zstd";
}
