/**
 * A table read with ordinary reads and nothing but its own bytes to go by, a block at a time: for the tools that look
 * at files, and for the scrubber. Unreadable media is an error here and not a signal, and nothing is remembered as
 * verified. What serves look-ups is `table.ts`. Any thread; the file is the caller's.
 */
import { corruption, EnvelopeError } from "../core/errors.ts";
import { BlockPlace, readU32 } from "./block-format.ts";
import type { ReadableFile } from "./piecewise-file.ts";
import { checkStoredBlock, checkStoredRange, openStoredBlock, type StoredTable, storedTable } from "./stored-block.ts";
import {
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
  readonly file: ReadableFile;
  readonly identity: TreeIdentity;
  readonly footer: TableFooter;
  readonly footerOffset: number;
  /** As the manifest repeats it. */
  readonly footerChecksum: number;
  readonly header: TableHeader;
  readonly stored: StoredTable;
}

/** Reads and checks footer and header region. With a null identity the table may be anybody's. Throws. */
export function readTableFile(file: ReadableFile, identity: TreeIdentity | null): TableFile {
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
  const stored = storedTable(file.path, fileBytes, footer, header, tableSeed(owner, footer.number));
  return { file, identity: owner, footer, footerOffset, footerChecksum, header, stored };
}

export interface TableBlock {
  /** Where its body lies, in memory of its own. */
  readonly place: BlockPlace;
  readonly storedBytes: number;
  readonly packing: "none" | "zstd";
}

/** A block, its checksum verified, unpacked. Throws CORRUPTION, or IO where the disk cannot read. */
export function readTableBlock(table: TableFile, block: number): TableBlock {
  const { file, stored } = table;
  const start = stored.blockOffsets[block]!;
  const end = stored.blockOffsets[block + 1]!;
  checkStoredRange(stored, start, end);
  const bytes = readRange(file, start, end - start);
  checkStoredBlock(stored, block, bytes, 0, bytes.length, start);
  const place = new BlockPlace();
  const packing = openStoredBlock(stored, bytes, 0, bytes.length, start, place);
  return { place, storedBytes: bytes.length, packing };
}

/** So many bytes of a file. Throws CORRUPTION when it ends before them. */
export function readRange(file: ReadableFile, position: number, byteCount: number): Uint8Array {
  const bytes = new Uint8Array(byteCount);
  if (file.read(bytes, position) !== byteCount) throw corruption(file.path, position, "a table cut short");
  return bytes;
}
