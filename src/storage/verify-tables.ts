/**
 * Checks manifest and tables of a shard that nobody uses. Unlike a start it goes on behind damage and reads every block,
 * and it changes nothing. Memory: the header regions of one table, one block.
 */
import { at } from "../core/assert.ts";
import { compareBytes } from "../core/bytes.ts";
import { corruption } from "../core/errors.ts";
import { attempt, type FindingVisitor } from "../core/file-report.ts";
import type { FileNumber } from "../core/ids.ts";
import { murmur3 } from "../core/murmur3.ts";
import { compareStamps, MAX_STAMP, type Stamp, ZERO_STAMP } from "../core/stamp.ts";
import type { Disk } from "../env/disk.ts";
import { VersionKind } from "../record/version.ts";
import { BlockCursor } from "./block-cursor.ts";
import { type BlockPlace, BUCKET_BYTES, writeTableKey } from "./block-format.ts";
import { bloomHas } from "./bloom.ts";
import { Manifest, storageFiles } from "./manifest.ts";
import { type FlushedPosition, FrameKind, type TableRecord } from "./manifest-format.ts";
import { isProven, walkManifest } from "./manifest-walk.ts";
import { PROLOGUE_BYTES, tableName } from "./table-format.ts";
import { readTableBlock, readTableFile, type TableFile } from "./table-file.ts";
import type { TreeIdentity } from "./tree-options.ts";
import { verifyReferences, verifyValueFiles } from "./verify-values.ts";

export interface VerifiedTables {
  /** Null: the manifest does not say. */
  readonly flushed: FlushedPosition | null;
  readonly tableCount: number;
}

export function verifyTables(
  disk: Disk,
  directory: string,
  identity: TreeIdentity,
  isShallow: boolean,
  report: FindingVisitor,
): VerifiedTables {
  const files = storageFiles(disk, directory);
  const newest = files.filter((file) => file.kind === "manifest").at(-1);
  let manifest: Manifest | null = null;
  if (newest !== undefined) verifyManifest(disk, `${directory}/${newest.name}`, newest.number, report);
  attempt(directory, onlyNew(report, newest === undefined), () => {
    manifest = Manifest.open(disk, directory, identity);
  });
  // The closure above hides the assignment from the compiler.
  const state = manifest as Manifest | null;
  const records = state === null ? null : state.records;
  for (const { name, number, kind } of files) {
    const isLive = kind === "sst" ? records === null || records.has(number) : name === newest?.name;
    const file = `${directory}/${name}`;
    if (!isLive) report({ severity: "note", file, offset: null, what: "part of no state; the next start removes it" });
    if (kind === "sst" && records === null) verifyTable(disk, file, null, identity, isShallow, report);
  }
  if (state !== null) verifyValueFiles(disk, directory, state, identity, report);
  const tables: PlacedTable[] = [];
  for (const record of records?.values() ?? []) {
    const path = `${directory}/${tableName(record.number)}`;
    const table = verifyTable(disk, path, record, identity, isShallow, report);
    if (table !== null) tables.push({ record, path, table });
    if (table !== null && !isShallow) verifyReferences(disk, path, record, identity, report);
  }
  verifyLevels(tables, report);
  return { flushed: state?.flushed ?? null, tableCount: files.filter(({ kind }) => kind === "sst").length };
}

/** What the walk over the frames has said already is not said again by the start's own reading of the manifest. */
function onlyNew(report: FindingVisitor, isUnheard: boolean): FindingVisitor {
  return (finding) => {
    if (isUnheard || finding.what !== BAD_FRAME) report(finding);
  };
}

const BAD_FRAME = "a frame with a wrong checksum";

function verifyManifest(disk: Disk, path: string, number: FileNumber, report: FindingVisitor): void {
  attempt(path, report, () => {
    const parts = walkManifest(disk.readWhole(path), number);
    const [first] = parts;
    const hasSnapshot = first?.kind === "frame" && first.frame.kind === FrameKind.snapshot;
    for (const part of parts) {
      // A start says it itself that the snapshot is missing.
      if (part.kind === "frame" || (part.offset === 0 && !hasSnapshot)) continue;
      if (isProven(parts, part.offset)) {
        report({ severity: "damage", file: path, offset: part.offset, what: BAD_FRAME });
      } else {
        const what = "an edit that was being written, never proven durable; the next start drops it";
        report({ severity: "note", file: path, offset: part.offset, what });
      }
    }
  });
}

interface PlacedTable {
  readonly record: TableRecord;
  readonly path: string;
  readonly table: TableFile;
}

/** Null: footer or header cannot be read, or are not what the manifest says. */
function verifyTable(
  disk: Disk,
  path: string,
  record: TableRecord | null,
  identity: TreeIdentity,
  isShallow: boolean,
  report: FindingVisitor,
): TableFile | null {
  let found: TableFile | null = null;
  attempt(path, report, () => {
    const file = disk.open(path, "read");
    try {
      const table = readTableFile(file, identity);
      if (record !== null) compareWithRecord(table, record);
      found = table;
      if (!isShallow) verifyBlocks(table, report);
    } finally {
      file.close();
    }
  });
  return found;
}

function compareWithRecord({ file, footer, footerOffset, footerChecksum }: TableFile, record: TableRecord): void {
  const fileBytes = file.size();
  const isSame =
    record.fileBytes === fileBytes &&
    record.headerBytes === footer.headerBytes &&
    record.footerBytes === fileBytes - footerOffset &&
    record.footerChecksum === footerChecksum &&
    record.number === footer.number;
  if (!isSame) throw corruption(file.path, footerOffset, "a footer that is not the one in the manifest");
}

/** Every block, and what the versions in them come to. */
function verifyBlocks(table: TableFile, report: FindingVisitor): void {
  const { file, header, footer, footerOffset } = table;
  const tally = new TableTally(table, report);
  let isWhole = true;
  for (let block = 0; block < header.blockCount; block++) {
    const isSound = attempt(file.path, report, () => tally.addBlock(block, readTableBlock(table, block).place));
    if (!isSound) tally.forgetNeighbour();
    isWhole &&= isSound;
  }
  if (header.blockOffsets[0] !== footer.headerBytes || header.blockOffsets[header.blockCount] !== footerOffset) {
    report({ severity: "damage", file: file.path, offset: 0, what: "blocks that do not fill the table" });
  }
  if (isWhole) tally.compareWithFooter();
}

/** Order, anchors, filter and figures of a table, version by version. */
class TableTally {
  readonly #table: TableFile;
  readonly #report: FindingVisitor;
  readonly #cursor = new BlockCursor();
  /** Of the version before; null: there is none to compare with. */
  #lastKey: Uint8Array | null = null;
  #smallest: Uint8Array | null = null;
  #stamp: Stamp = ZERO_STAMP;
  #origin = 0;
  #minStamp: Stamp = MAX_STAMP;
  #maxStamp: Stamp = ZERO_STAMP;
  #entryCount = 0;
  #tombstoneCount = 0;

  constructor(table: TableFile, report: FindingVisitor) {
    this.#table = table;
    this.#report = report;
  }

  /** The next version has nothing before it to be compared with. */
  forgetNeighbour(): void {
    this.#lastKey = null;
  }

  /** Throws CORRUPTION where the versions of a block whose checksum is right are not what they should be. */
  addBlock(block: number, place: BlockPlace): void {
    const { header, file } = this.#table;
    const start = header.blockOffsets[block]!;
    const anchor = header.region.subarray(header.anchorOffsets[block]!, header.anchorOffsets[block + 1]!);
    const cursor = this.#cursor;
    cursor.first(place);
    const isAbove = this.#lastKey !== null && compareBytes(this.#lastKey, anchor) >= 0;
    const isBelow = cursor.valid && compareBytes(this.#currentKey(), anchor) < 0;
    if (isAbove || isBelow) throw corruption(file.path, start, "a block whose anchor does not lead to it");
    for (; cursor.valid; cursor.next()) this.#take(start + cursor.entryOffset);
  }

  compareWithFooter(): void {
    const { footer, footerOffset, file } = this.#table;
    const wrong: string[] = [];
    if (footer.entryCount !== this.#entryCount) wrong.push(`${footer.entryCount} entries, found ${this.#entryCount}`);
    if (footer.tombstoneCount !== this.#tombstoneCount) {
      wrong.push(`${footer.tombstoneCount} tombstones, found ${this.#tombstoneCount}`);
    }
    if (!isSameStamp(footer.minStamp, this.#minStamp)) wrong.push("another smallest stamp");
    if (!isSameStamp(footer.maxStamp, this.#maxStamp)) wrong.push("another largest stamp");
    if (this.#smallest === null || compareBytes(footer.smallest, this.#smallest) !== 0) wrong.push("another first key");
    if (this.#lastKey === null || compareBytes(footer.largest, this.#lastKey) !== 0) wrong.push("another last key");
    if (wrong.length === 0) return;
    const what = `a footer that names ${wrong.join(", ")}`;
    this.#report({ severity: "damage", file: file.path, offset: footerOffset, what });
  }

  /** The table key under the cursor: a copy. */
  #currentKey(): Uint8Array {
    const { bucket, key } = this.#cursor;
    const tableKey = new Uint8Array(BUCKET_BYTES + key.length);
    writeTableKey(tableKey, bucket, key);
    return tableKey;
  }

  /** Compares the version under the cursor with the one before it, and counts it. */
  #take(offset: number): void {
    const { entry, key, bucket } = this.#cursor;
    const { file, header } = this.#table;
    const tableKey = this.#currentKey();
    const order = this.#lastKey === null ? -1 : compareBytes(this.#lastKey, tableKey);
    if (order > 0) throw corruption(file.path, offset, "a key that is not behind the one before it");
    const { stampHigh: high, stampLow: low } = entry;
    if (order === 0) this.#refuseOlderFirst(high, low, offset);
    else {
      const hash = murmur3(key, 0, key.length, bucket);
      if (!bloomHas(header.region, PROLOGUE_BYTES, header.filterLines, header.filterProbes, hash)) {
        throw corruption(file.path, offset, "a key that the filter denies");
      }
    }
    this.#entryCount += 1;
    if (entry.kind === VersionKind.tombstone) this.#tombstoneCount += 1;
    this.#stamp = { high, low };
    this.#origin = entry.origin;
    if (compareStamps(high, low, this.#minStamp.high, this.#minStamp.low) < 0) this.#minStamp = this.#stamp;
    if (compareStamps(high, low, this.#maxStamp.high, this.#maxStamp.low) > 0) this.#maxStamp = this.#stamp;
    this.#smallest ??= tableKey;
    this.#lastKey = tableKey;
  }

  #refuseOlderFirst(high: number, low: number, offset: number): void {
    const order = compareStamps(high, low, this.#stamp.high, this.#stamp.low);
    if (order < 0 || (order === 0 && this.#cursor.entry.origin < this.#origin)) return;
    throw corruption(this.#table.file.path, offset, "a version that is not older than the one before it");
  }
}

function isSameStamp(a: Stamp, b: Stamp): boolean {
  return a.high === b.high && a.low === b.low;
}

/** Tables of one run do not overlap, and a level below the first is one run. */
function verifyLevels(tables: readonly PlacedTable[], report: FindingVisitor): void {
  const ordered = [...tables].sort(
    (a, b) =>
      a.record.level - b.record.level ||
      a.record.run - b.record.run ||
      compareBytes(a.table.footer.smallest, b.table.footer.smallest),
  );
  for (const [i, { record, table, path }] of ordered.entries()) {
    if (record.level > 0 && record.run !== 0) {
      report({ severity: "damage", file: path, offset: null, what: `run ${record.run} on level ${record.level}` });
    }
    const before = i === 0 ? null : at(ordered, i - 1);
    if (before === null || before.record.level !== record.level || before.record.run !== record.run) continue;
    if (compareBytes(before.table.footer.largest, table.footer.smallest) < 0) continue;
    const what = `a table that overlaps ${tableName(before.record.number)} on level ${record.level}`;
    report({ severity: "damage", file: path, offset: null, what });
  }
}
