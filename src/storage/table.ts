/**
 * An open table: footer and header region in memory, blocks through a mapping made at the first read. A block's
 * checksum is verified the first time the mapping is read there, and remembered; from then on its bytes are trusted
 * (unless `blockChecks` says otherwise). Packed blocks are unpacked into memory of their own, and kept in the cache.
 *
 * Opening reads the header region and the footer with ordinary reads, so that unreadable media is an error here and
 * not a signal; only the blocks are read through the mapping. The region costs about 1.3 bytes a key and, for each
 * block of 4 KiB, an anchor and sixteen bytes.
 *
 * Counted: whoever keeps a table `retain`s it and `release`s it; the last one out unmaps it, and removes the file if
 * the table is `obsolete` by then. Views of values are dead from that moment. One thread.
 */
import { assert, at } from "../core/assert.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import { SYSTEM_BUCKET } from "../core/ids.ts";
import { murmur3 } from "../core/murmur3.ts";
import type { Stamp } from "../core/stamp.ts";
import type { Disk, DiskFile } from "../env/disk.ts";
import type { FoundVersion, VersionKind } from "../record/version.ts";
import { compareToTarget, findInBlock } from "./block-cursor.ts";
import type { BlockCache } from "./block-cache.ts";
import { CHECKSUM_BYTES, STORED_BYTES_MIN, storedType, TYPE_BYTES, unpackBody } from "./stored-block-format.ts";
import {
  BUCKET_BYTES,
  BlockPlace,
  blockChecksum,
  EntryReader,
  readU32,
  sharedBytes,
  tableKeyBucket,
} from "./block-format.ts";
import { bloomHas, bloomLine } from "./bloom.ts";
import type { TableRecord } from "./manifest-format.ts";
import { removeGarbage } from "./remove-garbage.ts";
import {
  blockSeed,
  decodeTableFooter,
  decodeTableHeader,
  prefixFilterStart,
  PROLOGUE_BYTES,
  type TableFooter,
  type TableHeader,
  tableSeed,
} from "./table-format.ts";
import { readRange } from "./table-file.ts";
import type { BlockChecks, TreeIdentity } from "./tree-options.ts";
import type { ValueFile } from "./value-file.ts";

/** How the blocks of a table are read. */
export interface TableReading {
  readonly checks: BlockChecks;
  /** For blocks that have to be unpacked; null: they are unpacked at every read. */
  readonly cache: BlockCache | null;
}

const CHECKED_ONCE: TableReading = { checks: "first", cache: null };

/** As many as a number holds exactly, in whole bytes. */
const HEAD_BYTES = 6;

/** What `Table.find` found, reused by the next look-up: copy what is to be kept. */
export class FoundEntry implements FoundVersion {
  readonly entry = new EntryReader();
  readonly place = new BlockPlace();

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
    return this.valueBytes.subarray(this.valueStart, this.valueEnd);
  }

  /** The value where it lies: at [valueStart, valueEnd) of these. */
  get valueBytes(): Uint8Array {
    return this.place.bytes;
  }
  get valueStart(): number {
    return this.entry.suffixEnd;
  }
  get valueEnd(): number {
    return this.entry.valueEnd;
  }
}

export class Table {
  readonly path: string;
  readonly record: TableRecord;
  readonly footer: TableFooter;
  readonly blockCount: number;
  /** Removed by an edit that is durable: the file goes with the last reference. */
  obsolete = false;
  /** Not null: the table is quarantined. A look-up that would need it throws this instead. */
  damage: EnvelopeError | null = null;
  /** The files that its pointers lead into, held as long as it is itself. Set before the first `retain`. */
  valueFiles: readonly ValueFile[] = [];
  readonly #disk: Disk;
  readonly #header: TableHeader;
  readonly #seed: number;
  /** Bytes that all keys between smallest and largest begin with, so that no search has to look at them. */
  readonly #commonBytes: number;
  /** The bytes behind the common ones of each anchor, six, as a number: most of a search is done on these. */
  readonly #anchorHeads: Float64Array;
  readonly #verified: Uint8Array;
  readonly #reading: TableReading;
  readonly #cacheId: number;
  /** Of format version 1. */
  readonly #isPlain: boolean;
  #map: Uint8Array<ArrayBuffer> | null = null;
  #references = 0;

  private constructor(
    disk: Disk,
    path: string,
    record: TableRecord,
    footer: TableFooter,
    header: TableHeader,
    seed: number,
    reading: TableReading,
  ) {
    this.#reading = reading;
    this.#cacheId = reading.cache?.takeTable() ?? 0;
    this.#disk = disk;
    this.path = path;
    this.record = record;
    this.footer = footer;
    this.#isPlain = footer.version === 1;
    this.blockCount = header.blockCount;
    this.#header = header;
    this.#seed = seed;
    this.#commonBytes = sharedBytes(footer.smallest, footer.smallest.length, footer.largest, footer.largest.length);
    this.#anchorHeads = new Float64Array(header.blockCount);
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
  static open(
    disk: Disk,
    path: string,
    record: TableRecord,
    identity: TreeIdentity,
    reading: TableReading = CHECKED_ONCE,
  ): Table {
    const file = disk.open(path, "read");
    try {
      return Table.#read(disk, path, file, record, identity, reading);
    } finally {
      file.close();
    }
  }

  static #read(
    disk: Disk,
    path: string,
    file: DiskFile,
    record: TableRecord,
    identity: TreeIdentity,
    reading: TableReading,
  ): Table {
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
    return new Table(disk, path, record, footer, header, tableSeed(identity, record.number), reading);
  }

  retain(): void {
    if (this.#references === 0) for (const file of this.valueFiles) file.retain();
    this.#references += 1;
  }

  release(): void {
    assert(this.#references > 0, "a table is released as often as it was retained");
    this.#references -= 1;
    if (this.#references > 0) return;
    if (this.#map !== null) this.#disk.unmap(this.#map);
    this.#map = null;
    this.#reading.cache?.forget(this.#cacheId, this.blockCount);
    if (this.obsolete) removeGarbage(this.#disk, this.path);
    for (const file of this.valueFiles) file.release();
  }

  /**
   * The newest version not above `asOf` of a table key (the first `targetBytes` of `target`) that lies between smallest
   * and largest. `hash` is that of the user key. Throws CORRUPTION at damage.
   */
  find(target: Uint8Array, targetBytes: number, hash: number, asOf: Stamp, found: FoundEntry): boolean {
    if (!this.mayHold(hash)) return false;
    this.requireSound(target);
    const place = found.place;
    this.loadBlock(this.findBlock(target, targetBytes), place, true);
    return findInBlock(found.entry, place.bytes, place.start, place.end, target, targetBytes, asOf);
  }

  /** What the filter says of a user key's hash: false is certain. */
  mayHold(hash: number): boolean {
    const { region, filterLines, filterProbes } = this.#header;
    return bloomHas(region, PROLOGUE_BYTES, filterLines, filterProbes, hash);
  }

  /** Whether the table may have keys of the bucket that begin with the prefix: false is certain. */
  mayHoldPrefix(bucket: number, prefix: Uint8Array): boolean {
    const { region, filterLines, filterProbes, prefixFilterLines, prefixBytes } = this.#header;
    if (prefixFilterLines === 0 || prefix.length < prefixBytes) return true;
    const hash = murmur3(prefix, 0, prefixBytes, bucket);
    return bloomHas(region, prefixFilterStart(filterLines), prefixFilterLines, filterProbes, hash);
  }

  /** Looks at what `mayHold` is going to look at; the number means nothing, but has to be used. */
  warmFilter(hash: number): number {
    const { region, filterLines } = this.#header;
    return region[bloomLine(PROLOGUE_BYTES, filterLines, hash)]!;
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

  /**
   * Throws the damage for which the table is quarantined. The system bucket is excepted: it is read as long as its own
   * blocks are sound. What the filter denies is certainly not here, damage or not.
   */
  requireSound(target: Uint8Array): void {
    if (this.damage !== null && tableKeyBucket(target, 0) !== SYSTEM_BUCKET) throw this.damage;
  }

  /** The bucket of the first key that the block might hold. */
  anchorBucket(block: number): number {
    const { region, anchorOffsets } = this.#header;
    const anchor = new Uint8Array(BUCKET_BYTES);
    anchor.set(region.subarray(anchorOffsets[block]!, anchorOffsets[block + 1]!).subarray(0, BUCKET_BYTES));
    return tableKeyBucket(anchor, 0);
  }

  /**
   * Verifies a block as far as that is to be done, unpacks it if need be, and says where its body lies. A look-up keeps what
   * it unpacks (`isKept`), a walk does not. Throws CORRUPTION.
   */
  loadBlock(block: number, place: BlockPlace, isKept: boolean): void {
    const map = this.#map ?? this.#mapFile();
    const start = this.#header.blockOffsets[block]!;
    const end = this.#header.blockOffsets[block + 1]!;
    if (this.#isPlain) {
      this.#check(map, block, start, end);
      place.set(map, start, end - CHECKSUM_BYTES);
      return;
    }
    if (storedType(map, start) === "zstd") {
      const body = this.#unpacked(map, block, start, end, isKept);
      place.set(body, 0, body.length);
      return;
    }
    this.#check(map, block, start, end);
    if (storedType(map, start) !== "raw") throw corruption(this.path, start, "a block of a type that does not exist");
    place.set(map, start + TYPE_BYTES, end - CHECKSUM_BYTES);
  }

  #unpacked(map: Uint8Array, block: number, start: number, end: number, isKept: boolean): Uint8Array {
    const { cache } = this.#reading;
    const known = cache?.get(this.#cacheId, block, isKept) ?? null;
    if (known !== null) return known;
    this.#check(map, block, start, end);
    const body = unpackBody(map, start, end);
    if (body === null) throw corruption(this.path, start, "a block that cannot be unpacked");
    if (isKept) cache?.put(this.#cacheId, block, body);
    return body;
  }

  #check(map: Uint8Array, block: number, start: number, end: number): void {
    const { checks } = this.#reading;
    const mask = 1 << (block & 7);
    if (checks === "never" || (checks === "first" && (this.#verified[block >>> 3]! & mask) !== 0)) return;
    this.#verify(map, block, start, end);
    this.#verified[block >>> 3]! |= mask;
  }

  #mapFile(): Uint8Array {
    const map = this.#disk.map(this.path);
    if (map.length !== this.record.fileBytes) {
      const mapped = map.length;
      this.#disk.unmap(map);
      throw corruption(this.path, mapped, "a table that changed its size");
    }
    this.#map = map;
    return map;
  }

  #verify(map: Uint8Array, block: number, start: number, end: number): void {
    if (end - start < STORED_BYTES_MIN || end > map.length) {
      throw corruption(this.path, start, "a block that does not fit");
    }
    if (blockChecksum(map, start, end, blockSeed(this.#seed, block)) !== readU32(map, end - 4)) {
      throw corruption(this.path, start, "a block with a wrong checksum");
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
  // Bytes that the target shares with the table before `low` and with the one at `high`: all between share as many.
  let lowShared = 0;
  let highShared = 0;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { largest } = run[middle]!.footer;
    const limit = Math.min(largest.length, targetBytes);
    let shared = Math.min(lowShared, highShared);
    while (shared < limit && largest[shared] === target[shared]) shared++;
    if (shared < limit ? largest[shared]! < target[shared]! : largest.length < targetBytes) {
      low = middle + 1;
      lowShared = shared;
    } else {
      high = middle;
      highShared = shared;
    }
  }
  return low;
}

/**
 * HEAD_BYTES bytes at `start`, big-endian, zeros from `end` on. Order of heads is order of bytes, unless they are equal.
 */
function headOf(bytes: Uint8Array, start: number, end: number): number {
  if (start + HEAD_BYTES <= end) {
    const high = (bytes[start]! << 16) | (bytes[start + 1]! << 8) | bytes[start + 2]!;
    return high * 0x100_0000 + ((bytes[start + 3]! << 16) | (bytes[start + 4]! << 8) | bytes[start + 5]!);
  }
  let head = 0;
  for (let i = start; i < start + HEAD_BYTES; i++) head = head * 256 + (i < end ? bytes[i]! : 0);
  return head;
}
