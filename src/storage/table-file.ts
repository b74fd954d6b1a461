/**
 * A table read with ordinary reads and nothing but its own bytes to go by, a block at a time: for the tools that look
 * at files, and for the scrubber. Unreadable media is an error here and not a signal, and nothing is remembered as
 * verified. What serves look-ups is `table.ts`. Any thread; the file is the caller's.
 */
import { corruption, EnvelopeError } from "../core/errors.ts";
import type { DiskFile } from "../env/disk.ts";
import { BlockPlace, blockChecksum, readU32 } from "./block-format.ts";
import { CHECKSUM_BYTES, STORED_BYTES_MIN, storedType, TYPE_BYTES, unpackBody } from "./stored-block-format.ts";
import {
  blockSeed,
  decodeTableFooter,
  decodeTableHeader,
  FOOTER_FIXED_BYTES,
  footerBytes,
  footerIdentity,
  type TableFooter,
  type TableHeader,
  tableSeed,
} from "./table-format.ts";
import type { TreeIdentity } from "./tree-options.ts";

export interface TableFile {
  readonly file: DiskFile;
  readonly identity: TreeIdentity;
  readonly footer: TableFooter;
  readonly footerOffset: number;
  /** As the manifest repeats it. */
  readonly footerChecksum: number;
  readonly header: TableHeader;
  /** The part of a block's seed that is the same for all blocks. */
  readonly seed: number;
}

/** Reads and checks footer and header region. With a null identity the table may be anybody's. Throws. */
export function readTableFile(file: DiskFile, identity: TreeIdentity | null): TableFile {
  const fileBytes = file.size();
  const fixedOffset = fileBytes - FOOTER_FIXED_BYTES;
  if (fixedOffset < 0) throw corruption(file.path, fileBytes, "a table cut short");
  const footerOffset = fileBytes - footerBytes(readRange(file, fixedOffset, FOOTER_FIXED_BYTES));
  if (footerOffset < 0) throw corruption(file.path, fixedOffset, "a footer whose keys do not fit");
  const raw = readRange(file, footerOffset, fileBytes - footerOffset);
  const footer = decodeTableFooter(raw, footerOffset, identity, file.path);
  if (footer instanceof EnvelopeError) throw footer;
  if (footer.headerBytes + footer.blocksBytes !== footerOffset) {
    throw corruption(file.path, footerOffset, "a footer that does not add up to the file's length");
  }
  const header = decodeTableHeader(readRange(file, 0, footer.headerBytes), footer, file.path);
  if (header instanceof EnvelopeError) throw header;
  const owner = footerIdentity(raw);
  const footerChecksum = readU32(raw, raw.length - 4);
  return { file, identity: owner, footer, footerOffset, footerChecksum, header, seed: tableSeed(owner, footer.number) };
}

export interface TableBlock {
  /** Where its body lies, in memory of its own. */
  readonly place: BlockPlace;
  readonly storedBytes: number;
  readonly packing: "none" | "zstd";
}

/** A block, its checksum verified, unpacked. Throws CORRUPTION, or IO where the disk cannot read. */
export function readTableBlock(table: TableFile, block: number): TableBlock {
  const { file, header, footer, footerOffset, seed } = table;
  const start = header.blockOffsets[block]!;
  const end = header.blockOffsets[block + 1]!;
  if (end - start < STORED_BYTES_MIN || end > footerOffset) {
    throw corruption(file.path, start, "a block that does not fit");
  }
  const bytes = readRange(file, start, end - start);
  const storedBytes = bytes.length;
  if (blockChecksum(bytes, 0, storedBytes, blockSeed(seed, block)) !== readU32(bytes, storedBytes - CHECKSUM_BYTES)) {
    throw corruption(file.path, start, "a block with a wrong checksum");
  }
  const place = new BlockPlace();
  const type = footer.version === 1 ? "plain" : storedType(bytes, 0);
  if (type === null) throw corruption(file.path, start, "a block of a type that does not exist");
  if (type !== "zstd") {
    place.set(bytes, type === "plain" ? 0 : TYPE_BYTES, storedBytes - CHECKSUM_BYTES);
    return { place, storedBytes, packing: "none" };
  }
  const body = unpackBody(bytes, 0, storedBytes);
  if (body === null) throw corruption(file.path, start, "a block that cannot be unpacked");
  place.set(body, 0, body.length);
  return { place, storedBytes, packing: "zstd" };
}

/** So many bytes of a file. Throws CORRUPTION when it ends before them. */
export function readRange(file: DiskFile, position: number, byteCount: number): Uint8Array {
  const bytes = new Uint8Array(byteCount);
  if (file.read(bytes, position) !== byteCount) throw corruption(file.path, position, "a table cut short");
  return bytes;
}
