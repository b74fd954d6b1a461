/**
 * A table read with ordinary reads and nothing but its own bytes to go by, a block at a time: for the tools that look
 * at files, and for the scrubber. Unreadable media is an error here and not a signal, and nothing is remembered as
 * verified. What serves look-ups is `table.ts`. Any thread; the file is the caller's.
 */
import { corruption, EnvelopeError } from "../core/errors.ts";
import type { DiskFile } from "../env/disk.ts";
import { BLOCK_TRAILER_BYTES, blockChecksum, readU32 } from "./block-format.ts";
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

/** A block of its own, its checksum verified. Throws CORRUPTION, or IO where the disk cannot read. */
export function readTableBlock(table: TableFile, block: number): Uint8Array {
  const { file, header, footerOffset, seed } = table;
  const start = header.blockOffsets[block]!;
  const end = header.blockOffsets[block + 1]!;
  if (end - start <= BLOCK_TRAILER_BYTES || end > footerOffset) {
    throw corruption(file.path, start, "a block that does not fit");
  }
  const bytes = readRange(file, start, end - start);
  if (blockChecksum(bytes, 0, bytes.length, blockSeed(seed, block)) !== readU32(bytes, bytes.length - 4)) {
    throw corruption(file.path, start, "a block with a wrong checksum");
  }
  return bytes;
}

/** So many bytes of a file. Throws CORRUPTION when it ends before them. */
export function readRange(file: DiskFile, position: number, byteCount: number): Uint8Array {
  const bytes = new Uint8Array(byteCount);
  if (file.read(bytes, position) !== byteCount) throw corruption(file.path, position, "a table cut short");
  return bytes;
}
