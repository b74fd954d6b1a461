/**
 * What is known to be damaged in a shard: tables, sealed segments and value files of which some byte is not what was written.
 * Each is recorded durably (`quarantine-format.ts`) before anything is decided in the knowledge of it, and stays recorded until
 * the file is gone or somebody has repaired it and removed the record. Nothing is ever deleted here but records.
 *
 * What that means. A read that would need a quarantined table is an error: never a wrong value, never a missing one. A
 * command that would have to read one is answered with that error and changes nothing, so from then on this replica
 * knows less of that key than the others do; but it never says anything else of it, because the table (or the pointer
 * into the value file, which is refused as a whole) stays in the way of every look-up until a plain put has given the key a
 * newer version, and from then on all replicas agree again. That is why the record has to be durable first: a restart must
 * not find the table readable by chance.
 *
 * A refused command of a client session leaves no outcome behind, so what is remembered of sessions lacks something, too,
 * and nothing stands in the way of that: it is recorded as if it were a file of its own before the first such command is
 * refused. A refused transaction may have written to keys that no damaged file stands in the way of: a record of its own
 * says between which keys of which bucket nothing can be said, and look-ups there are errors, too (undecided-keys.ts).
 * Repair (range-repair.ts) brings back what other members have in `ranges`, everything that may be wrong here on account of
 * one damaged file, and the record goes with the file.
 *
 * Shard thread.
 */
import { at } from "../core/assert.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import type { Clock } from "../env/clock.ts";
import type { Disk } from "../env/disk.ts";
import type { Logger } from "../env/environment.ts";
import type { Log } from "../log/log.ts";
import type { LogIdentity } from "../log/log-options.ts";
import {
  decodeQuarantine,
  encodeQuarantine,
  QuarantineKind,
  quarantinedName,
  quarantinePath,
  type QuarantineRecord,
} from "../log/quarantine-format.ts";
import { replaceFile } from "../log/replace-file.ts";
import type { Segment } from "../log/segment.ts";
import { EMPTY_BYTES } from "../core/bytes.ts";
import { coversRange, joined, SESSION_RANGE, spanOf, tableKeyOf } from "../storage/key-ranges.ts";
import { type KeyRange, rangeOf, rangesOverlap } from "../storage/older-ranges.ts";
import type { Tree } from "../storage/tree.ts";
import type { UndecidedKeys } from "./undecided-keys.ts";
import { keysRecord, type Parts, recordOf, sessionsRecord } from "./quarantine-records.ts";

/** What the names of records about keys begin with; the bucket's id follows. */
const KEYS = "keys-";

/** Under this name what is remembered of sessions is said to lack something. */
const SESSIONS = "sessions";

/** How often a full disk is looked at again. */
const RETRY_MS = 500;

/** Told when a file has been quarantined: a segment of the log, or (null) another one. */
type QuarantineListener = (segment: Segment | null) => void;

export class Quarantine {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #identity: LogIdentity;
  readonly #tree: Tree;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** By the path of the damaged file. */
  readonly #records = new Map<string, QuarantineRecord>();
  /** Found, and not yet written for want of room. */
  readonly #unwritten = new Set<string>();
  readonly #undecided: UndecidedKeys;
  #retryAtMs = 0;
  #listener: QuarantineListener = () => undefined;

  private constructor(
    disk: Disk,
    directory: string,
    identity: LogIdentity,
    tree: Tree,
    log: Log,
    clock: Clock,
    logger: Logger,
    undecided: UndecidedKeys,
  ) {
    this.#disk = disk;
    this.#directory = directory;
    this.#identity = identity;
    this.#tree = tree;
    this.#log = log;
    this.#clock = clock;
    this.#logger = logger;
    this.#undecided = undecided;
  }

  /** Reads the records of a directory and has tree and log heed them. Throws FOREIGN_DIRECTORY, NEWER_FORMAT, IO. */
  static open(
    disk: Disk,
    directory: string,
    identity: LogIdentity,
    tree: Tree,
    log: Log,
    clock: Clock,
    logger: Logger,
    undecided: UndecidedKeys,
  ): Quarantine {
    const quarantine = new Quarantine(disk, directory, identity, tree, log, clock, logger, undecided);
    for (const name of disk.list(directory)) quarantine.#load(name);
    for (const { damage } of tree.liveTables) if (damage !== null) quarantine.note(damage);
    return quarantine;
  }

  /** What is damaged: for repair, and for figures. */
  get records(): readonly QuarantineRecord[] {
    return [...this.#records.values()];
  }

  /** Whether every record is on disk. */
  get isDurable(): boolean {
    return this.#unwritten.size === 0;
  }

  /**
   * A command of a session is about to be refused, and its outcome forgotten. False: that is not on disk yet, so it must not
   * be. Throws IO.
   */
  noteSessions(): boolean {
    const path = this.#sessionsPath;
    if (!this.#records.has(path)) {
      this.#records.set(path, sessionsRecord(this.#clock.wallMs()));
      this.#unwritten.add(path);
      this.#retryAtMs = 0;
      this.#listener(null);
    }
    this.retry();
    return this.isDurable;
  }

  /**
   * A transaction on these keys of a bucket is about to be refused. False: that is not on disk yet, so it must not be. Throws
   * IO.
   */
  noteUndecided(bucket: number, keys: readonly Uint8Array[]): boolean {
    const path = this.#keysPath(bucket);
    const known = this.#records.get(path);
    const named = keys.map((key) => tableKeyOf(bucket, key)).map((key) => ({ smallest: key, largest: key }));
    const range = spanOf(known === undefined ? named : [known, ...named]);
    if (range === null || (known !== undefined && coversRange([known], range))) return this.isDurable;
    const record = keysRecord(bucket, range, this.#clock.wallMs());
    this.#records.set(path, record);
    this.#undecided.set(bucket, range, corruption(path, 0, record.reason));
    this.#unwritten.add(path);
    this.#retryAtMs = 0;
    this.#listener(null);
    this.retry();
    return this.isDurable;
  }

  /** What is in these ranges has come back from another member. */
  keysRepaired(ranges: readonly KeyRange[]): void {
    for (const [path, record] of this.#records) {
      if (record.kind !== QuarantineKind.keys || !coversRange(ranges, record)) continue;
      this.#undecided.forget(record.number);
      this.#unwritten.delete(path);
      this.#records.delete(path);
      this.#remove(quarantinePath(path));
    }
  }

  /** Whether what is remembered of sessions lacks something. */
  get lacksSessions(): boolean {
    return this.#records.has(this.#sessionsPath);
  }

  /** They have come back from another member. */
  sessionsRepaired(): void {
    const path = this.#sessionsPath;
    this.#unwritten.delete(path);
    if (this.#records.delete(path)) this.#remove(quarantinePath(path));
  }

  /**
   * The ranges of keys of which something may be wrong on account of one damaged file, the `attempt`-th of those that are,
   * and of what is remembered of sessions if that lacks something. Empty: nothing is that a range could repair.
   */
  rangesOf(attempt: number): readonly KeyRange[] {
    const damaged: (KeyRange | null)[] = this.#tree.damagedTables.map(({ footer }) => footer);
    for (const file of this.#tree.valueFiles.live) {
      if (file.damage !== null && !file.obsolete) damaged.push(rangeOf(this.#tree.tablesInto(file)));
    }
    const found = damaged.filter((range) => range !== null);
    const ranges: KeyRange[] = found.length === 0 ? [] : [at(found, attempt % found.length)];
    ranges.push(...this.#undecided.ranges);
    return joined(this.lacksSessions ? [...ranges, SESSION_RANGE] : ranges);
  }

  /** Whether something may be wrong here between these keys, so that nobody is to be given it. */
  concerns(ranges: readonly KeyRange[]): boolean {
    const isHere = (own: KeyRange | null): boolean => own !== null && ranges.some((range) => rangesOverlap(range, own));
    if (this.lacksSessions && isHere(SESSION_RANGE)) return true;
    if (this.#undecided.ranges.some(isHere)) return true;
    if (this.#tree.damagedTables.some(({ footer }) => isHere(footer))) return true;
    return this.#tree.valueFiles.live.some(
      (file) => file.damage !== null && isHere(rangeOf(this.#tree.tablesInto(file))),
    );
  }

  onDamage(listener: QuarantineListener): void {
    this.#listener = listener;
  }

  /**
   * Quarantines the table, sealed segment or value file that an error was thrown about. False: it is about none, and the
   * caller must not go on. Throws IO when the record cannot be written; want of room is made up for later (`retry`).
   */
  note(cause: unknown): boolean {
    if (!(cause instanceof EnvelopeError) || cause.place === null) return false;
    const seen = cause.place.file;
    if (this.#records.get(seen)?.kind === QuarantineKind.keys) return true;
    const values = this.#tree.valueFiles.live.find(({ path }) => path === seen) ?? null;
    const file = values?.writtenAs ?? seen;
    const parts = this.#partsOf(file);
    const found = { offset: cause.place.offset, reason: cause.place.what, foundMs: this.#clock.wallMs() };
    const record = recordOf(parts, found);
    if (record === null) return false;
    if (this.#records.has(file)) return true;
    this.#heed(parts, cause);
    this.#records.set(file, record);
    this.#unwritten.add(file);
    const { shard } = this.#identity;
    this.#logger.error("damage found; the file is quarantined", {
      shard,
      file,
      offset: record.offset,
      why: record.reason,
    });
    this.#listener(parts.segment);
    this.retry();
    return true;
  }

  /** Writes the records that found no room, if it is time to look again whether there is some. Throws IO. */
  retry(): void {
    if (this.#unwritten.size === 0 || this.#clock.monotonicMs() < this.#retryAtMs) return;
    for (const file of this.#unwritten) {
      const record = this.#records.get(file);
      const path = quarantinePath(file);
      try {
        if (record !== undefined)
          replaceFile(this.#disk, this.#directory, path, encodeQuarantine(record, this.#identity));
      } catch (cause) {
        if (!(cause instanceof EnvelopeError) || cause.code !== "DISKFULL") throw cause;
        this.#logger.warn("no room for a quarantine record; trying again", { file, error: cause.message });
        this.#retryAtMs = this.#clock.monotonicMs() + RETRY_MS;
        return;
      }
      this.#unwritten.delete(file);
    }
  }

  /** Forgets the files that are gone: a segment that everybody has outlived. */
  sweep(): void {
    const live = new Set<string>([this.#sessionsPath]);
    for (const [path, { kind }] of this.#records) if (kind === QuarantineKind.keys) live.add(path);
    for (const { path } of this.#tree.damagedTables) live.add(path);
    for (const { path } of this.#log.damagedSegments) live.add(path);
    for (const { writtenAs, damage, obsolete } of this.#tree.valueFiles.live) {
      if (damage !== null && !obsolete) live.add(writtenAs);
    }
    for (const file of this.#records.keys()) {
      if (live.has(file)) continue;
      this.#records.delete(file);
      this.#unwritten.delete(file);
      this.#remove(quarantinePath(file));
    }
  }

  #load(name: string): void {
    const path = `${this.#directory}/${name}`;
    if (quarantinedName(name.replace(/\.next$/, "")) === null) return;
    const damagedName = quarantinedName(name);
    if (damagedName === null) return this.#remove(path);
    const file = `${this.#directory}/${damagedName}`;
    if (damagedName === SESSIONS) {
      this.#records.set(file, sessionsRecord(0));
      return;
    }
    if (damagedName.startsWith(KEYS)) return this.#loadKeys(path, file, Number(damagedName.slice(KEYS.length)));
    const parts = this.#partsOf(file);
    const record = this.#recordIn(path, parts);
    const { table, segment, values } = parts;
    const checksum = table?.record.footerChecksum ?? segment?.checksum ?? values?.record.checksum ?? null;
    // The file is gone, or another one stands in its place.
    if (record === null || checksum !== record.fileChecksum) return this.#remove(path);
    this.#heed(parts, corruption(file, record.offset, record.reason));
    this.#records.set(file, record);
    const { shard } = this.#identity;
    this.#logger.error("a file is quarantined", { shard, file, offset: record.offset, why: record.reason });
  }

  /** A record that is itself damaged stands for the whole bucket. */
  #loadKeys(path: string, file: string, bucket: number): void {
    const read = decodeQuarantine(this.#disk.readWhole(path), this.#identity, path);
    if (read instanceof EnvelopeError && read.code !== "CORRUPTION") throw read;
    const whole = { smallest: tableKeyOf(bucket, EMPTY_BYTES), largest: tableKeyOf(bucket + 1, EMPTY_BYTES) };
    const record = read instanceof EnvelopeError ? keysRecord(bucket, whole, 0) : read;
    this.#records.set(file, record);
    this.#undecided.set(bucket, record, corruption(file, 0, record.reason));
  }

  #keysPath(bucket: number): string {
    return `${this.#directory}/${KEYS}${bucket}`;
  }

  get #sessionsPath(): string {
    return `${this.#directory}/${SESSIONS}`;
  }

  /** A record that is itself damaged still says by its name which file it is about. */
  #recordIn(path: string, parts: Parts): QuarantineRecord | null {
    const record = decodeQuarantine(this.#disk.readWhole(path), this.#identity, path);
    if (!(record instanceof EnvelopeError)) return record;
    if (record.code !== "CORRUPTION") throw record;
    const found = { offset: 0, reason: "it was found damaged once, and the record of that is damaged too", foundMs: 0 };
    return recordOf(parts, found);
  }

  /** Who uses the file that was written under this path. */
  #partsOf(file: string): Parts {
    return {
      table: this.#tree.liveTables.find(({ path }) => path === file) ?? null,
      segment: this.#log.sealedSegments.find(({ path }) => path === file) ?? null,
      values: this.#tree.valueFiles.live.find(({ writtenAs }) => writtenAs === file) ?? null,
    };
  }

  #heed({ table, segment, values }: Parts, damage: EnvelopeError): void {
    if (table !== null) this.#tree.quarantine(table, damage);
    if (segment !== null) this.#log.quarantine(segment);
    if (values !== null) this.#tree.quarantineValues(values, damage);
  }

  #remove(path: string): void {
    if (!this.#disk.exists(path)) return;
    this.#disk.remove(path);
    this.#disk.syncDirectory(this.#directory);
  }
}
