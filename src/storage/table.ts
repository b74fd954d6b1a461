/**
 * An open table: footer and header region in memory, blocks through a mapping made at the first read. A block's
 * checksum is verified the first time the mapping is read there, and remembered; from then on its bytes are trusted.
 *
 * Opening reads the header region and the footer with ordinary reads, so that unreadable media is an error here and
 * not a signal; only the blocks are read through the mapping. The region costs about 1.3 bytes a key and, for each
 * block of 4 KiB, an anchor and twelve bytes.
 *
 * Counted: whoever keeps a table `retain`s it and `release`s it; the last one out unmaps it, and removes the file if
 * the table is `obsolete` by then. Views of values are dead from that moment. One thread.
 */
import { assert, at } from "../core/assert.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import type { Disk, DiskFile } from "../env/disk.ts";
import type { FoundVersion, VersionKind } from "../record/version.ts";
import { compareToTarget, findInBlock } from "./block-cursor.ts";
import { BLOCK_TRAILER_BYTES, blockChecksum, EntryReader, readU32, sharedBytes } from "./block-format.ts";
import { bloomHas } from "./bloom.ts";
import type { TableRecord } from "./manifest-format.ts";
import { removeGarbage } from "./remove-garbage.ts";
import {
  blockSeed,
  decodeTableFooter,
  decodeTableHeader,
  PROLOGUE_BYTES,
  type TableFooter,
  type TableHeader,
  tableSeed,
} from "./table-format.ts";
import type { TreeIdentity } from "./tree-options.ts";

/** What `Table.find` found, reused by the next look-up: copy what is to be kept. */
export class FoundEntry implements FoundVersion {
  readonly entry = new EntryReader();
  bytes: Uint8Array = new Uint8Array(0);

  get stampHigh(): number {
    return this.entry.stampHigh;
  }
  get stampLow(): number {
    return this.entry.stampLow;
  }
  get origin(): number {
    return this.entry.origin;
  }
  get kind(): VersionKind {
    return this.entry.kind;
  }
  get expiryMs(): number {
    return this.entry.expiryMs;
  }
  get value(): Uint8Array {
    return this.bytes.subarray(this.entry.suffixEnd, this.entry.valueEnd);
  }
}

export class Table {
  readonly record: TableRecord;
  readonly footer: TableFooter;
  readonly blockCount: number;
  /** Removed by an edit that is durable: the file goes with the last reference. */
  obsolete = false;
  readonly #disk: Disk;
  readonly #path: string;
  readonly #header: TableHeader;
  readonly #seed: number;
  /** Bytes that all keys between smallest and largest begin with, so that no search has to look at them. */
  readonly #commonBytes: number;
  /** The four bytes behind the common ones of each anchor, as a number: most of a search is done on these. */
  readonly #anchorHeads: Uint32Array;
  readonly #verified: Uint8Array;
  #map: Uint8Array<ArrayBuffer> | null = null;
  #references = 0;

  private constructor(
    disk: Disk,
    path: string,
    record: TableRecord,
    footer: TableFooter,
    header: TableHeader,
    seed: number,
  ) {
    this.#disk = disk;
    this.#path = path;
    this.record = record;
    this.footer = footer;
    this.blockCount = header.blockCount;
    this.#header = header;
    this.#seed = seed;
    this.#commonBytes = sharedBytes(footer.smallest, footer.smallest.length, footer.largest, footer.largest.length);
    this.#anchorHeads = new Uint32Array(header.blockCount);
    for (let i = 0; i < header.blockCount; i++) {
      const start = header.anchorOffsets[i]! + this.#commonBytes;
      this.#anchorHeads[i] = headOf(header.region, start, header.anchorOffsets[i + 1]!);
    }
    this.#verified = new Uint8Array(Math.ceil(header.blockCount / 8));
  }

  /**
   * Opens the file that the manifest's record describes. Throws MISSING_FILE, CORRUPTION (also when it is another
   * table than the record says), NEWER_FORMAT or FOREIGN_DIRECTORY.
   */
  static open(disk: Disk, path: string, record: TableRecord, identity: TreeIdentity): Table {
    const file = disk.open(path, "read");
    try {
      return Table.#read(disk, path, file, record, identity);
    } finally {
      file.close();
    }
  }

  static #read(disk: Disk, path: string, file: DiskFile, record: TableRecord, identity: TreeIdentity): Table {
    if (file.size() !== record.fileBytes) {
      throw corruption(path, file.size(), `a table of ${file.size()} bytes where ${record.fileBytes} are expected`);
    }
    const footerOffset = record.fileBytes - record.footerBytes;
    const region = readRange(file, 0, record.headerBytes);
    const footerRaw = readRange(file, footerOffset, record.footerBytes);
    const footer = decodeTableFooter(footerRaw, footerOffset, identity, path);
    if (footer instanceof EnvelopeError) throw footer;
    if (readU32(footerRaw, footerRaw.length - 4) !== record.footerChecksum || footer.number !== record.number) {
      throw corruption(path, footerOffset, "a footer that is not the one in the manifest");
    }
    const header = decodeTableHeader(region, footer, path);
    if (header instanceof EnvelopeError) throw header;
    return new Table(disk, path, record, footer, header, tableSeed(identity, record.number));
  }

  retain(): void {
    this.#references += 1;
  }

  release(): void {
    assert(this.#references > 0, "a table is released as often as it was retained");
    this.#references -= 1;
    if (this.#references > 0) return;
    if (this.#map !== null) this.#disk.unmap(this.#map);
    this.#map = null;
    if (this.obsolete) removeGarbage(this.#disk, this.#path);
  }

  /**
   * The newest version of a table key (the first `targetBytes` of `target`) that lies between smallest and largest.
   * `hash` is that of the user key. Throws CORRUPTION at damage.
   */
  find(target: Uint8Array, targetBytes: number, hash: number, found: FoundEntry): boolean {
    const header = this.#header;
    if (!bloomHas(header.region, PROLOGUE_BYTES, header.filterLines, header.filterProbes, hash)) return false;
    const block = this.findBlock(target, targetBytes);
    const bytes = this.blockBytes(block);
    found.bytes = bytes;
    return findInBlock(found.entry, bytes, this.blockStart(block), this.blockEnd(block), target, targetBytes);
  }

  /** The one block in which a key between smallest and largest can lie. */
  findBlock(target: Uint8Array, targetBytes: number): number {
    const heads = this.#anchorHeads;
    const { region, anchorOffsets } = this.#header;
    const common = this.#commonBytes;
    const head = headOf(target, common, targetBytes);
    let low = 0;
    let high = heads.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      let order = heads[middle]! - head;
      if (order === 0) {
        order = compareToTarget(region, anchorOffsets[middle]!, anchorOffsets[middle + 1]!, target, targetBytes);
      }
      if (order <= 0) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  blockStart(block: number): number {
    return this.#header.blockOffsets[block]!;
  }

  blockEnd(block: number): number {
    return this.#header.blockOffsets[block + 1]!;
  }

  /** The mapping, after the block's checksum was verified. The block lies at `blockStart`–`blockEnd` of it. */
  blockBytes(block: number): Uint8Array {
    const map = this.#map ?? this.#mapFile();
    const mask = 1 << (block & 7);
    if ((this.#verified[block >>> 3]! & mask) === 0) {
      this.#verify(map, block);
      this.#verified[block >>> 3]! |= mask;
    }
    return map;
  }

  #mapFile(): Uint8Array {
    const map = this.#disk.map(this.#path);
    if (map.length !== this.record.fileBytes) {
      const mapped = map.length;
      this.#disk.unmap(map);
      throw corruption(this.#path, mapped, "a table that changed its size");
    }
    this.#map = map;
    return map;
  }

  #verify(map: Uint8Array, block: number): void {
    const start = this.blockStart(block);
    const end = this.blockEnd(block);
    if (end - start <= BLOCK_TRAILER_BYTES || end > map.length) {
      throw corruption(this.#path, start, "a block that does not fit");
    }
    if (blockChecksum(map, start, end, blockSeed(this.#seed, block)) !== readU32(map, end - 4)) {
      throw corruption(this.#path, start, "a block with a wrong checksum");
    }
  }
}

/** The table of a run (tables in key order, none overlapping) that may hold the key, or null. */
export function tableFor(run: readonly Table[], target: Uint8Array, targetBytes: number): Table | null {
  const index = firstTableEndingAt(run, target, targetBytes);
  if (index === run.length) return null;
  const table = at(run, index);
  const { smallest } = table.footer;
  return compareToTarget(smallest, 0, smallest.length, target, targetBytes) <= 0 ? table : null;
}

/** Index of the first table of a run whose largest key is at or behind the target; the run's length if none is. */
export function firstTableEndingAt(run: readonly Table[], target: Uint8Array, targetBytes: number): number {
  let low = 0;
  let high = run.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { largest } = run[middle]!.footer;
    if (compareToTarget(largest, 0, largest.length, target, targetBytes) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Four bytes at `start`, big-endian, zeros from `end` on. Order of heads is order of bytes, unless they are equal. */
function headOf(bytes: Uint8Array, start: number, end: number): number {
  let head = 0;
  for (let i = start; i < start + 4; i++) head = head * 256 + (i < end ? bytes[i]! : 0);
  return head;
}

function readRange(file: DiskFile, position: number, byteCount: number): Uint8Array {
  const bytes = new Uint8Array(byteCount);
  if (file.read(bytes, position) !== byteCount) throw corruption(file.path, position, "a table cut short");
  return bytes;
}
