/**
 * An open table: footer and header region in memory, blocks through a mapping (mapped-blocks.ts) or by direct reads
 * (direct-blocks.ts), as the reading says.
 *
 * Opening reads the header region and the footer with ordinary reads, so that unreadable media is an error here and
 * not a signal, and never touches a block. The region costs about 1.3 bytes a key and, for each block of 4 KiB, an anchor
 * and sixteen bytes.
 *
 * Counted: whoever keeps a table `retain`s it and `release`s it; the last one out closes its blocks, and throws the file
 * away if the table is `obsolete` by then. Views of values are dead from that moment. One thread.
 */
import { assert } from "../core/assert.ts";
import { EMPTY_BYTES } from "../core/bytes.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import { SESSION_BUCKET, SYSTEM_BUCKET } from "../core/ids.ts";
import { murmur3 } from "../core/murmur3.ts";
import type { Stamp } from "../core/stamp.ts";
import type { Disk, DiskFile } from "../env/disk.ts";
import type { FoundVersion, VersionKind } from "../record/version.ts";
import { compareToTarget, findInBlock } from "./block-cursor.ts";
import { BUCKET_BYTES, BlockPlace, EntryReader, readU32, sharedBytes, tableKeyBucket } from "./block-format.ts";
import { bloomHas, bloomLine } from "./bloom.ts";
import { DirectBlocks } from "./direct-blocks.ts";
import type { Garbage } from "./garbage.ts";
import { headOf } from "./key-head.ts";
import type { TableRecord } from "./manifest-format.ts";
import { MappedBlocks } from "./mapped-blocks.ts";
import type { ReadAhead } from "./read-ahead.ts";
import { storedTable } from "./stored-block.ts";
import type { TableBlocks, TableReading } from "./table-blocks.ts";
import {
  decodeTableFooter,
  decodeTableHeader,
  prefixFilterStart,
  PROLOGUE_BYTES,
  type TableFooter,
  type TableHeader,
  tableSeed,
} from "./table-format.ts";
import { readRange } from "./table-file.ts";
import type { TreeIdentity } from "./tree-options.ts";
import type { ValueFile } from "./value-file.ts";

const CHECKED_ONCE: TableReading = { checks: "first", cache: null, direct: null, access: "scattered" };

const NO_HEADER: TableHeader = {
  region: EMPTY_BYTES,
  filterLines: 0,
  filterProbes: 0,
  prefixFilterLines: 0,
  prefixBytes: 0,
  blockCount: 0,
  blockOffsets: new Uint32Array(1),
  anchorOffsets: new Uint32Array(1),
};

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

  /** Copies the value out of a block that is not there for long. */
  keepValue(): void {
    const { place, entry } = this;
    const value = place.bytes.slice(entry.suffixEnd, entry.valueEnd);
    place.set(value, 0, value.length);
    entry.suffixEnd = 0;
    entry.valueEnd = value.length;
  }
}

export class Table {
  readonly path: string;
  readonly record: TableRecord;
  readonly footer: TableFooter;
  readonly blockCount: number;
  /** Whether it is read past the page cache. */
  readonly isDirect: boolean;
  /** Not null: the table is quarantined. A look-up that would need it throws this instead. */
  damage: EnvelopeError | null = null;
  /** The files that its pointers lead into, held as long as it is itself. Set before the first `retain`. */
  valueFiles: readonly ValueFile[] = [];
  readonly #header: TableHeader;
  readonly #blocks: TableBlocks;
  /** Bytes that all keys between smallest and largest begin with, so that no search has to look at them. */
  readonly #commonBytes: number;
  /** The bytes behind the common ones of each anchor, six, as a number: most of a search is done on these. */
  readonly #anchorHeads: Float64Array;
  #references = 0;
  #garbage: Garbage | null = null;

  private constructor(
    path: string,
    record: TableRecord,
    footer: TableFooter,
    header: TableHeader,
    blocks: TableBlocks,
  ) {
    this.#blocks = blocks;
    this.isDirect = blocks.isDirect;
    this.path = path;
    this.record = record;
    this.footer = footer;
    this.blockCount = header.blockCount;
    this.#header = header;
    this.#commonBytes = sharedBytes(footer.smallest, footer.smallest.length, footer.largest, footer.largest.length);
    this.#anchorHeads = new Float64Array(header.blockCount);
    for (let i = 0; i < header.blockCount; i++) {
      const start = header.anchorOffsets[i]! + this.#commonBytes;
      this.#anchorHeads[i] = headOf(header.region, start, header.anchorOffsets[i + 1]!);
    }
  }

  /**
   * Opens the file that the manifest's record describes. Throws MISSING_FILE, CORRUPTION (also when it is another
   * table than the record says), NEWER_FORMAT or FOREIGN_DIRECTORY. With `isLenient` one whose header region alone is damaged
   * is opened all the same, with its `damage` set.
   */
  static open(
    disk: Disk,
    path: string,
    record: TableRecord,
    identity: TreeIdentity,
    reading: TableReading = CHECKED_ONCE,
    isLenient = false,
  ): Table {
    const file = disk.open(path, reading.direct === null ? "read" : "readDirect");
    try {
      return Table.#read(disk, path, file, record, identity, reading, isLenient);
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
    isLenient: boolean,
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
    if (header instanceof EnvelopeError) {
      if (!isLenient) throw header;
      return Table.#withoutHeader(path, record, footer, header);
    }
    const stored = storedTable(path, record.fileBytes, footer, header, tableSeed(identity, record.number));
    const { direct } = reading;
    const blocks =
      direct === null ? new MappedBlocks(disk, stored, reading) : new DirectBlocks(stored, reading, direct);
    return new Table(path, record, footer, header, blocks);
  }

  /** All that is known is between which keys it lies: it is quarantined from the beginning, and nothing of it can be read. */
  static #withoutHeader(path: string, record: TableRecord, footer: TableFooter, damage: EnvelopeError): Table {
    const load = (): never => {
      throw damage;
    };
    const table = new Table(path, record, footer, NO_HEADER, { isDirect: false, load, close: () => undefined });
    table.damage = damage;
    return table;
  }

  /** Removed by an edit that is durable: with the last reference the file becomes garbage. */
  discard(garbage: Garbage): void {
    this.#garbage = garbage;
  }

  get obsolete(): boolean {
    return this.#garbage !== null;
  }

  retain(): void {
    if (this.#references === 0) for (const file of this.valueFiles) file.retain();
    this.#references += 1;
  }

  release(): void {
    assert(this.#references > 0, "a table is released as often as it was retained");
    this.#references -= 1;
    if (this.#references > 0) return;
    if (this.#garbage === null) this.#blocks.close();
    else this.#garbage.add(this.path, this.record.fileBytes, () => this.#blocks.close());
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
    this.#blocks.load(this.findBlock(target, targetBytes), place, null);
    if (!findInBlock(found.entry, place.bytes, place.start, place.end, target, targetBytes, asOf)) return false;
    if (place.isLent) found.keepValue();
    return true;
  }

  /** What the filter says of a user key's hash: false is certain. */
  mayHold(hash: number): boolean {
    const { region, filterLines, filterProbes } = this.#header;
    return filterLines === 0 || bloomHas(region, PROLOGUE_BYTES, filterLines, filterProbes, hash);
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
   * Throws the damage for which the table is quarantined. The shard's own buckets are excepted: they are read as long as
   * their own blocks are sound. What the filter denies is certainly not here, damage or not.
   */
  requireSound(target: Uint8Array): void {
    if (this.damage !== null && !isOwnBucket(tableKeyBucket(target, 0))) throw this.damage;
  }

  /** The bucket of the first key that the block might hold. */
  anchorBucket(block: number): number {
    const { region, anchorOffsets } = this.#header;
    const anchor = new Uint8Array(BUCKET_BYTES);
    anchor.set(region.subarray(anchorOffsets[block]!, anchorOffsets[block + 1]!).subarray(0, BUCKET_BYTES));
    return tableKeyBucket(anchor, 0);
  }

  /** As TableBlocks.load: for a look-up with null, for a walk with what it reads ahead. */
  loadBlock(block: number, place: BlockPlace, ahead: ReadAhead | null): void {
    this.#blocks.load(block, place, ahead);
  }
}

/** Of the shard itself: its configuration and fences, and what it remembers of sessions. It cannot do without. */
function isOwnBucket(bucket: number): boolean {
  return bucket === SYSTEM_BUCKET || bucket === SESSION_BUCKET;
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
