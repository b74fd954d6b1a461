/**
 * The tables of one shard: found in, walked over, flushed to and compacted. Everything that changes the set of tables
 * goes through `#publish`: the new tables are opened (so what was written can be read), the edit is made durable, and
 * only then the next layout takes the place of the last. Cursors and jobs go on with the layout they began with.
 *
 * At most one flush at a time, in the order of the memtables, and any number of compactions that do not get in each
 * other's way (compaction-claims.ts). Stamps grow with every flush (they come from one log), so what is flushed while a
 * compaction runs is newer than everything it reads. One thread.
 *
 * Length: every change of the set of tables and every question about it meet here; what each of them does is in files of
 * its own.
 */
import { assert } from "../core/assert.ts";
import type { EnvelopeError } from "../core/errors.ts";
import type { FileNumber } from "../core/ids.ts";
import { MAX_STAMP, type Stamp } from "../core/stamp.ts";
import type { Disk } from "../env/disk.ts";
import type { SegmentClaims } from "../log/segment-claims.ts";
import { type FoundVersion, type TwoWayCursor, type VersionCursor, VersionKind } from "../record/version.ts";
import { ArrivingTables } from "./arriving-tables.ts";
import type { BlockCache } from "./block-cache.ts";
import { CollectionJob } from "./collection-job.ts";
import { compactionJob } from "./compaction-job.ts";
import { type Claim, claimOf, Claims } from "./compaction-claims.ts";
import {
  compactionDebt,
  excessRuns,
  inputsOf,
  isInPlace,
  type Pick,
  pickAll,
  pickCompaction,
} from "./compaction-pick.ts";
import { DirectFiles } from "./direct-files.ts";
import { Garbage } from "./garbage.ts";
import { FencedRemains } from "./fenced-remains.ts";
import { flushJob } from "./flush-job.ts";
import type { DropRule } from "./job.ts";
import type { KeyPrefix } from "./key-prefix.ts";
import { Layout } from "./layout.ts";
import { LookUp } from "./look-up.ts";
import type { LookUpBatch } from "./look-up-batch.ts";
import { Manifest, type StateChange } from "./manifest.ts";
import type { FlushedPosition, TableRecord } from "./manifest-format.ts";
import type { KeyRange } from "./older-ranges.ts";
import { openTable } from "./open-table.ts";
import { concernedBy, RangeReplacement } from "./range-replacement.ts";
import type { JobHome, JobPorts, RewriteJob } from "./rewrite-job.ts";
import type { ValueLocator } from "./separating-cursor.ts";
import type { Table } from "./table.ts";
import type { TableReading } from "./table-blocks.ts";
import { tableName } from "./table-format.ts";
import { TreeCursor } from "./tree-cursor.ts";
import type { TreeIdentity, TreeOptions } from "./tree-options.ts";
import { type TreeStats, layoutStats } from "./tree-stats.ts";
import { TreeValues } from "./tree-values.ts";
import type { ValueFile } from "./value-file.ts";
import { nameOutsideLog } from "./value-file-names.ts";
import { ValueFiles } from "./value-files.ts";

/** The tables of a directory, opened and verified, and nothing changed yet. */
export interface UnstartedTree {
  readonly flushed: FlushedPosition;
  /** What the log has to ask before it lets a segment go. */
  readonly claims: SegmentClaims;
  start(): Tree;
  /** Lets go of the tables without having started. */
  close(): void;
}

export class Tree {
  readonly #home: JobHome;
  readonly #manifest: Manifest;
  readonly #values: TreeValues;
  readonly #claims = new Claims();
  readonly #remains = new FencedRemains();
  /** Tables rewritten for their tombstones: what is left in them has a reason to stay. */
  readonly #settled = new Set<FileNumber>();
  readonly #reading: TableReading;
  readonly #garbage: Garbage;
  #tables: Map<FileNumber, Table>;
  #layout: Layout;
  #isFlushing = false;
  #isCollecting = false;
  #publishCount = 0;
  #flushCount = 0;
  #compactionCount = 0;
  #flushBytes = 0;
  #compactionBytes = 0;
  #debtBytes = 0;
  #excessRuns = 0;
  /** False: nothing was due, and nothing has changed since. */
  #mayBeDue = true;
  readonly #lookUp = new LookUp();

  private constructor(
    home: JobHome,
    manifest: Manifest,
    files: ValueFiles,
    tables: Map<FileNumber, Table>,
    reading: TableReading,
    garbage: Garbage,
  ) {
    this.#home = home;
    this.#reading = reading;
    this.#garbage = garbage;
    this.#manifest = manifest;
    this.#values = new TreeValues(files, manifest, home.options.values);
    this.#tables = tables;
    this.#layout = new Layout(manifest.records.values(), tables);
    this.#layout.retain();
    this.#measure();
  }

  /**
   * Opens the tables of a directory, which is made if there is none. Nothing is written before all of them have been
   * opened; then the state is made durable anew and files that are not part of it are removed.
   * Throws CORRUPTION, MISSING_FILE, FOREIGN_DIRECTORY, NEWER_FORMAT, IO or DISKFULL.
   */
  static open(
    disk: Disk,
    directory: string,
    options: TreeOptions,
    identity: TreeIdentity,
    cache: BlockCache | null = null,
  ): Tree {
    return Tree.look(disk, directory, options, identity, cache).start();
  }

  /**
   * As `open`, up to the point from which files are changed: the caller may still refuse what it finds. With `isLenient` a
   * table whose header region alone is damaged is quarantined rather than refused.
   */
  static look(
    disk: Disk,
    directory: string,
    options: TreeOptions,
    identity: TreeIdentity,
    cache: BlockCache | null = null,
    isLenient = false,
  ): UnstartedTree {
    const direct = options.tableIo === "direct" ? new DirectFiles(disk) : null;
    const reading = { checks: options.blockChecks, cache, direct, access: "scattered" } as const;
    assert(identity.clusterId.length === 16, "a cluster id has 16 bytes");
    if (!disk.exists(directory)) disk.makeDirectory(directory);
    const manifest = Manifest.open(disk, directory, identity);
    const garbage = new Garbage(disk, options.slowRemovalBytes);
    const files = new ValueFiles(disk, directory, identity, garbage);
    for (const record of manifest.valueFiles.values()) files.open(record);
    const tables = new Map<FileNumber, Table>();
    for (const record of manifest.records.values()) {
      tables.set(record.number, openTable(disk, directory, record, identity, reading, files, isLenient));
    }
    const takeFileNumber = () => manifest.takeFileNumber();
    return {
      flushed: manifest.flushed,
      claims: files,
      start: () => {
        manifest.start();
        files.removeUnlisted();
        return new Tree(
          { disk, directory, options, identity, takeFileNumber },
          manifest,
          files,
          tables,
          reading,
          garbage,
        );
      },
      close: () => {
        for (const table of tables.values()) {
          table.retain();
          table.release();
        }
      },
    };
  }

  get flushed(): FlushedPosition {
    return this.#manifest.flushed;
  }

  get identity(): TreeIdentity {
    return this.#home.identity;
  }

  get tableCount(): number {
    return this.#layout.tables.length;
  }

  /** Bytes at the end of the manifest that recovery took for an unfinished edit and dropped. */
  get droppedManifestBytes(): number {
    return this.#manifest.droppedBytes;
  }

  /**
   * The newest version of a key (`keyStart`–`keyEnd` of `key`) not above `asOf`, be it a tombstone, or null. `keyHash` is
   * murmur3 of the key, seeded by the bucket. The object is reused by the next call, and its value lives until the next
   * step of a job. A value that lies elsewhere (SeparateValue) is read only when it is asked for. Throws CORRUPTION at
   * damage.
   */
  find(
    bucket: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    keyHash: number,
    asOf: Stamp,
  ): FoundVersion | null {
    const isNow = asOf === MAX_STAMP;
    const hot = isNow ? this.#values.findHot(bucket, key, keyStart, keyEnd, keyHash) : null;
    if (hot !== null) return hot;
    const found = this.#lookUp.find(this.#layout, bucket, key, keyStart, keyEnd, keyHash, asOf);
    return found?.kind === VersionKind.pointer ? this.#values.separate(found, isNow ? keyHash : null) : found;
  }

  /** `find` for every key of a batch, at the cost of fewer waits for memory. What is found stays good as long. */
  findMany(batch: LookUpBatch, asOf: Stamp): void {
    const { searches, maxStampFrom } = this.#layout;
    for (let i = 0; i < searches.length; i++) batch.searchRun(searches[i]!, maxStampFrom[i]!, asOf);
    batch.readSeparateValues(this.#values.files);
  }

  /** Whether tables are withheld: quarantined, or pointing into a file that is. */
  get hasDamage(): boolean {
    return this.#claims.hasWithheld;
  }

  /** The quarantined tables: what a repair would have to bring back is between their smallest and largest keys. */
  get damagedTables(): readonly Table[] {
    return this.#layout.tables.filter(({ damage }) => damage !== null);
  }

  /** The live tables, for somebody who reads their files. They may be gone after the next step of a job. */
  get liveTables(): readonly Table[] {
    return this.#layout.tables;
  }

  /**
   * From now on a read that would need this table throws `damage`, and compactions leave it alone. Jobs that read it now
   * must be aborted by the caller.
   */
  quarantine(table: Table, damage: EnvelopeError): void {
    if (this.#claims.isWithheld(table) && table.damage !== null) return;
    table.damage ??= damage;
    const { level } = this.#layout.placeOf(table);
    this.#claims.withhold(claimOf([table], level));
  }

  /**
   * From now on a read that would need this value file throws `damage`, and compactions leave alone what points into it: a
   * pointer that expired here need not have expired elsewhere, where its key could be read. Jobs must be aborted by the caller.
   */
  quarantineValues(file: ValueFile, damage: EnvelopeError): void {
    if (file.damage !== null) return;
    this.valueFiles.quarantine(file, damage);
    this.#withholdPointers(file);
  }

  #withholdPointers(file: ValueFile): void {
    for (const table of this.tablesInto(file)) {
      if (!this.#claims.isWithheld(table)) this.#claims.withhold(claimOf([table], this.#layout.placeOf(table).level));
    }
  }

  /** The tables that point into a file. */
  tablesInto({ record: { id } }: ValueFile): readonly Table[] {
    return this.#layout.tables.filter(({ record: { references = [] } }) => references.some(({ file }) => file === id));
  }

  /** Tables to be made of what comes from another member. */
  arrivingTables(): ArrivingTables {
    return new ArrivingTables(this.#home);
  }

  /**
   * Everything in these ranges gives way to tables that have come (range-replacement.ts). All that is applied is in tables,
   * and `position` is where that is. No job may be running.
   */
  beginReplacement(
    ranges: readonly KeyRange[],
    arrived: readonly TableRecord[],
    position: FlushedPosition,
    drop: DropRule,
  ): RangeReplacement {
    assert(!this.#isFlushing && this.#claims.count === 0, "a replacement begins while no other job runs");
    const claims = concernedBy(this.#layout, ranges).map((table) =>
      claimOf([table], this.#layout.placeOf(table).level),
    );
    for (const claim of claims) this.#claims.add(claim);
    const sequence = this.#manifest.flushed.sequence + 1;
    const at = { ...position, sequence };
    return new RangeReplacement(this.#home, this.#layout, ranges, arrived, at, drop, {
      publish: (change) => this.#publish(change),
      mayBePublished: () => this.#manifest.hasFailed,
      ended: () => {
        for (const claim of claims) this.#claims.remove(claim);
        this.#mayBeDue = true;
      },
    });
  }

  /** The files that the tables point into. */
  get valueFiles(): ValueFiles {
    return this.#values.files;
  }

  /** Runs beyond those at which a compaction becomes due. */
  get excessRuns(): number {
    return this.#excessRuns;
  }

  /** Bytes that compactions have to rewrite before none is due any more: an estimate. */
  get debtBytes(): number {
    return this.#debtBytes;
  }

  get compactionsRunning(): number {
    return this.#claims.count;
  }

  /** False: `nextCompaction` would find nothing. */
  get mayBeDue(): boolean {
    return this.#mayBeDue;
  }

  /** The bucket is gone for good: rules of jobs begun from now on say so, and its space is wanted back. */
  noteFence(bucket: number): void {
    this.#remains.noteFence(bucket);
    this.#mayBeDue = true;
  }

  /**
   * All versions in the tables as of now, and those of the sources above; not valid before its first `seek`. Its tables
   * live until it is disposed. A walk that stays `within` a prefix spares itself the runs whose filters exclude it.
   */
  cursor(above: readonly TwoWayCursor[] = [], within: KeyPrefix | null = null): TwoWayCursor & Disposable {
    return new TreeCursor(above, this.#layout, this.#values.files, within, this.hasDamage);
  }

  /** Changes whenever there is another set of tables. */
  get publishCount(): number {
    return this.#publishCount;
  }

  /**
   * A frozen memtable into level 0. `source` is moved from its start; it stays readable until the job has ended.
   * `locator` knows which of its values lie in the log.
   */
  beginFlush(
    source: VersionCursor,
    position: FlushedPosition,
    drop: DropRule,
    locator: ValueLocator | null = null,
  ): RewriteJob {
    assert(!this.#isFlushing, "one flush at a time");
    this.#isFlushing = true;
    const fenceCount = this.#remains.fenceCount;
    const separated = this.#values.flushed(source, locator);
    return flushJob(this.#home, this.#layout, separated.source, position, drop, {
      publish: (change) => {
        this.#publish(change);
        this.#values.flushPublished(separated);
        this.#remains.noteWritten(fenceCount);
        this.#flushCount += 1;
        this.#flushBytes += addedBytes(change);
      },
      mayBePublished: () => this.#manifest.hasFailed,
      ended: () => {
        this.#isFlushing = false;
      },
    });
  }

  /**
   * The most urgent compaction that is due and that no running one stands in the way of, or null. The rule's fences are
   * those the tree was told of.
   */
  nextCompaction(drop: DropRule): RewriteJob | null {
    if (!this.#mayBeDue) return null;
    this.#remains.look(this.#layout);
    const pick = pickCompaction(
      {
        layout: this.#layout,
        options: this.#home.options,
        claims: this.#claims,
        impure: this.#remains.tables,
        settled: this.#settled,
      },
      drop,
    );
    this.#mayBeDue = pick !== null || !this.#remains.isComplete;
    return pick === null ? null : this.#beginCompaction(pick, drop);
  }

  /** The next collection, or null: none is due, one is running, or a compaction has what it needs. `drop`: asked for one. */
  nextCollection(drop: () => DropRule): CollectionJob | null {
    if (this.#isCollecting) return null;
    const pick = this.#values.pickCollection(this.#layout, this.#claims);
    if (pick === null) return null;
    this.#isCollecting = true;
    const { level } = this.#layout.placeOf(pick.table);
    const ports = this.#rewritePorts(claimOf([pick.table], level), true, () => {
      this.#isCollecting = false;
    });
    return new CollectionJob(
      this.#home,
      this.#values.files,
      this.#layout,
      pick,
      this.#values.segmentBytes,
      drop(),
      ports,
    );
  }

  /** Everything that is in tables now, into one level. No other compaction may be running, no table quarantined. */
  compactAll(drop: DropRule): RewriteJob {
    assert(this.#claims.count === 0, "everything is compacted while nothing else is");
    assert(!this.hasDamage, "what is quarantined is not compacted");
    return this.#beginCompaction(pickAll(this.#layout), drop);
  }

  stats(): TreeStats {
    return {
      ...layoutStats(this.#layout),
      flushCount: this.#flushCount,
      compactionCount: this.#compactionCount,
      flushBytes: this.#flushBytes,
      compactionBytes: this.#compactionBytes,
      ...this.#values.stats(),
    };
  }

  /**
   * Gives every file of the present state a second name in a directory, where it can be opened as it is here: segments of
   * the log under the names they will have when the log has let them go. Returns the names. Throws IO or DISKFULL.
   */
  linkInto(directory: string): string[] {
    const { disk } = this.#home;
    const names: string[] = [];
    const link = (path: string, name: string): void => {
      disk.link(path, `${directory}/${name}`);
      names.push(name);
    };
    for (const { path, record } of this.#layout.tables) link(path, tableName(record.number));
    for (const id of this.#manifest.valueFiles.keys()) link(this.#values.files.of(id).path, nameOutsideLog(id));
    names.push(this.#manifest.copyInto(directory));
    return names;
  }

  /** Closes or removes one of the files that were replaced; true: there is more. Throws IO. */
  clearStep(): boolean {
    return this.#garbage.step();
  }

  /** Lets go of the tables and the manifest. Jobs have ended or were aborted before. */
  close(): void {
    assert(!this.#isFlushing && this.#claims.count === 0, "no job is running when a tree is closed");
    this.#layout.release();
    this.#garbage.clear();
    this.#manifest.close();
  }

  #beginCompaction(pick: Pick, drop: DropRule): RewriteJob {
    const settles = pick.kind === "rewrite" && isInPlace(this.#layout, pick);
    const claim = claimOf(inputsOf(pick), pick.kind === "remove" ? 0 : pick.output.level);
    const ports = this.#rewritePorts(claim, settles, () => undefined);
    return compactionJob(this.#home, this.#layout, pick, drop, ports);
  }

  /** Of a job that has this claim until it ends. `settles`: what it leaves in its tables has a reason to stay. */
  #rewritePorts(claim: Claim, settles: boolean, ended: () => void): JobPorts {
    this.#claims.add(claim);
    const fenceCount = this.#remains.fenceCount;
    return {
      publish: (change) => {
        const before = this.#tables;
        this.#publish(change);
        const written = change.added.filter(({ number }) => !before.has(number));
        if (written.length > 0) this.#remains.noteWritten(fenceCount);
        for (const { fileBytes } of written) this.#compactionBytes += fileBytes;
        if (settles) for (const { number } of written) this.#settled.add(number);
        this.#compactionCount += 1;
      },
      mayBePublished: () => this.#manifest.hasFailed,
      ended: () => {
        this.#claims.remove(claim);
        this.#mayBeDue = true;
        ended();
      },
    };
  }

  #publish(change: StateChange): void {
    const tables = new Map(this.#tables);
    for (const number of change.removed) tables.delete(number);
    for (const record of change.added) tables.set(record.number, this.#tables.get(record.number) ?? this.#open(record));
    this.#values.publish(change);
    for (const [number, table] of this.#tables) if (!tables.has(number)) table.discard(this.#garbage);
    const previous = this.#layout;
    this.#tables = tables;
    this.#layout = new Layout(this.#manifest.records.values(), tables);
    this.#layout.retain();
    this.#publishCount += 1;
    previous.release();
    this.#claims.releaseGone((table) => this.#layout.places.has(table));
    if (this.valueFiles.hasDamage) {
      for (const file of this.valueFiles.live) if (file.damage !== null) this.#withholdPointers(file);
    }
    for (const number of change.removed) this.#settled.delete(number);
    this.#mayBeDue = true;
    this.#measure();
  }

  #measure(): void {
    this.#debtBytes = compactionDebt(this.#layout, this.#home.options);
    this.#excessRuns = excessRuns(this.#layout, this.#home.options);
  }

  #open(record: TableRecord): Table {
    const { disk, directory, identity } = this.#home;
    return openTable(disk, directory, record, identity, this.#reading, this.#values.files);
  }
}

function addedBytes(change: StateChange): number {
  let byteCount = 0;
  for (const { fileBytes } of change.added) byteCount += fileBytes;
  return byteCount;
}
