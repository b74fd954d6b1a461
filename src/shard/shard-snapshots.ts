/**
 * Snapshots of the shard for members that are too far behind for its log: second names, in a directory of their own, for
 * the tables and for the files they point into, under a manifest that names just these. So a snapshot is made at once and
 * takes no room before a compaction replaces what it holds.
 *
 *   reserve   counts it, before the memtables are flushed for it
 *   make      gives the second names: the state is the flushed position of that moment
 *   step      reads the files through, a piece at a time, for the checksums by which the receiver will know them, and then
 *             verifies the tables and what they point to, so that no damage, not even one that came meanwhile, gets checksums of
 *             its own and spreads; then the description is written and `snapshotMade` said
 *   read      a piece of a file         drop      the directory goes, file by file
 *
 * A segment that values lie in has to be written no more before it is given a second name, so the log goes on in the next
 * one. Nothing is synced: a snapshot lives no longer than the process. What goes wrong with one is its requester's, and
 * nobody else's. Shard thread.
 */
import { EMPTY_BYTES } from "../core/bytes.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import type { ShardReply } from "../bridge/shard-protocol.ts";
import type { Disk } from "../env/disk.ts";
import type { Log } from "../log/log.ts";
import { errorResult } from "../record/result.ts";
import { FileChecksum } from "../storage/file-checksum.ts";
import type { FlushedPosition } from "../storage/manifest-format.ts";
import { snapshotDirectory, snapshotIds } from "../storage/shard-directories.ts";
import { encodeSnapshotDescription, SNAPSHOT_DESCRIPTION_NAME, type SnapshotFile } from "../storage/snapshot-format.ts";
import type { Table } from "../storage/table.ts";
import { scrubTable } from "../storage/table-scrub.ts";
import type { Tree } from "../storage/tree.ts";
import type { TreeIdentity } from "../storage/tree-options.ts";
import { stemOf } from "../storage/value-pointer-format.ts";
import type { FileClearing } from "./file-clearing.ts";

const SNAPSHOTS_MAX = 2;
/** What a single read gives at most. */
const PIECE_BYTES_MAX = 1024 * 1024;

interface Making {
  readonly requestId: number;
  readonly id: number;
  readonly position: FlushedPosition;
  readonly identity: TreeIdentity;
  /** Whose checksums are still to come. */
  readonly names: string[];
  readonly files: SnapshotFile[];
  reading: FileChecksum | null;
  /** Held until they have been verified. */
  readonly tables: readonly Table[];
  readonly verification: Generator<number, void>;
}

export class ShardSnapshots {
  readonly #disk: Disk;
  readonly #root: string;
  readonly #stepBytes: number;
  readonly #clearing: FileClearing;
  readonly #reply: (reply: ShardReply) => void;
  readonly #onDamage: (cause: unknown) => void;
  /** Those that may be read, with their files. */
  readonly #made = new Map<number, readonly SnapshotFile[]>();
  /** Oldest first. */
  readonly #making: Making[] = [];
  /** Those that wait for the memtables. */
  #reservedCount = 0;
  #lastId: number;

  /** Directories that an earlier process has left are handed to `clearing`. */
  constructor(
    disk: Disk,
    root: string,
    stepBytes: number,
    clearing: FileClearing,
    reply: (reply: ShardReply) => void,
    onDamage: (cause: unknown) => void,
  ) {
    this.#onDamage = onDamage;
    this.#disk = disk;
    this.#root = root;
    this.#stepBytes = stepBytes;
    this.#clearing = clearing;
    this.#reply = reply;
    const left = snapshotIds(disk, root);
    for (const id of left) clearing.addDirectory(snapshotDirectory(root, id));
    this.#lastId = left.at(-1) ?? 0;
  }

  /** Counts one that is to be made. Throws OVERLOADED when there are as many as there may be, CORRUPTION for known damage. */
  reserve(tree: Tree): void {
    if (this.#reservedCount + this.#making.length + this.#made.size >= SNAPSHOTS_MAX) {
      throw new EnvelopeError("OVERLOADED", "there are as many snapshots of the shard as there may be");
    }
    refuseDamage(tree);
    this.#reservedCount += 1;
  }

  /** Makes one that was reserved, of what is in tables now. Throws IO when the log could not go on in the next segment. */
  make(requestId: number, tree: Tree, log: Log): void {
    this.#reservedCount -= 1;
    this.#lastId += 1;
    const id = this.#lastId;
    const directory = snapshotDirectory(this.#root, id);
    const obstacle = sealSegments(tree, log);
    if (obstacle !== null) return this.#refused(requestId, id, obstacle);
    try {
      if (tree.flushed.index === 0) throw new EnvelopeError("UNAVAILABLE", "there is nothing in tables yet");
      refuseDamage(tree);
      this.#disk.makeDirectory(directory);
      const names = tree.linkInto(directory);
      const { flushed: position, identity, liveTables: tables } = tree;
      const verification = verify(this.#disk, tables, tree);
      for (const table of tables) table.retain();
      this.#making.push({ requestId, id, position, identity, names, files: [], reading: null, tables, verification });
    } catch (cause) {
      this.#refused(requestId, id, cause);
    }
  }

  /** Reads one piece of a file for its checksum; true: there is more to do. */
  step(): boolean {
    const making = this.#making[0];
    if (making === undefined) return false;
    try {
      this.#stepOne(making);
    } catch (cause) {
      // A failed assertion, here or in whoever hears the reply, is not the disk's.
      if (!(cause instanceof EnvelopeError)) throw cause;
      this.#endOf(making);
      this.#making.shift();
      this.#onDamage(cause);
      this.#refused(making.requestId, making.id, cause);
    }
    return this.#making.length > 0;
  }

  /** A piece of a file, fewer bytes only at its end. Throws MISSING_FILE when there is no such snapshot, IO. */
  read(id: number, file: number, offset: number, byteCount: number): Uint8Array {
    const name = this.#made.get(id)?.[file]?.name;
    if (name === undefined) throw new EnvelopeError("MISSING_FILE", `there is no file ${file} in a snapshot ${id}`);
    const opened = this.#disk.open(`${snapshotDirectory(this.#root, id)}/${name}`, "read");
    try {
      const bytes = new Uint8Array(Math.min(byteCount, PIECE_BYTES_MAX, Math.max(0, opened.size() - offset)));
      return bytes.length === 0 ? EMPTY_BYTES : bytes.subarray(0, opened.read(bytes, offset));
    } finally {
      opened.close();
    }
  }

  /** Nobody reads it any more. Of no effect when there is none. */
  drop(id: number): void {
    if (this.#made.delete(id)) this.#clearing.addDirectory(snapshotDirectory(this.#root, id));
  }

  close(): void {
    for (const making of this.#making.splice(0)) this.#endOf(making);
  }

  #endOf({ reading, verification, tables }: Making): void {
    reading?.close();
    verification.return();
    for (const table of tables) table.release();
  }

  #stepOne(making: Making): void {
    const name = making.names[0];
    if (name === undefined) return this.#verify(making);
    const path = `${snapshotDirectory(this.#root, making.id)}/${name}`;
    making.reading ??= new FileChecksum(this.#disk, path, this.#stepBytes);
    const { reading } = making;
    if (reading.step()) return;
    making.reading = null;
    reading.close();
    making.names.shift();
    making.files.push({ name, byteCount: reading.byteCount, checksum: reading.checksum });
  }

  /** One piece of the tables. */
  #verify(making: Making): void {
    for (let left = this.#stepBytes; left > 0; ) {
      const { done, value } = making.verification.next();
      if (done === true) return this.#finish(making);
      left -= value;
    }
  }

  #finish(making: Making): void {
    const { requestId, id, position, identity, files } = making;
    const description = encodeSnapshotDescription({ ...identity, position, files });
    const file = this.#disk.open(`${snapshotDirectory(this.#root, id)}/${SNAPSHOT_DESCRIPTION_NAME}`, "create");
    try {
      file.write(description, 0);
    } finally {
      file.close();
    }
    this.#endOf(making);
    this.#making.shift();
    this.#made.set(id, files);
    const { index, term, configuration } = position;
    this.#reply({ type: "snapshotMade", requestId, id, index, term, configuration: configuration.body, description });
  }

  #refused(requestId: number, id: number, cause: unknown): void {
    if (!(cause instanceof EnvelopeError)) throw cause;
    const directory = snapshotDirectory(this.#root, id);
    if (this.#disk.exists(directory)) this.#clearing.addDirectory(directory);
    this.#reply({ type: "done", requestId, result: errorResult(cause.code, cause.message) });
  }
}

/** Yields the bytes read by each step. Throws CORRUPTION, IO. */
function* verify(disk: Disk, tables: readonly Table[], { valueFiles, identity }: Tree): Generator<number, void> {
  for (const table of tables) yield* scrubTable(disk, table, valueFiles, identity);
}

/**
 * Nothing is written any more to the segments that tables point into. Want of room is what keeps a snapshot from being
 * made; any other failure is the log's, whoever it was that wanted its next segment.
 */
function sealSegments(tree: Tree, log: Log): EnvelopeError | null {
  try {
    for (const { record, isInLog } of tree.valueFiles.live) if (isInLog) log.seal(stemOf(record.id));
    return null;
  } catch (cause) {
    if (!(cause instanceof EnvelopeError) || cause.code !== "DISKFULL") throw cause;
    return cause;
  }
}

/** What is known to be damaged is not given to others. */
function refuseDamage(tree: Tree): void {
  const [table] = tree.damagedTables;
  if (table !== undefined) throw corruption(table.path, 0, "a quarantined table");
  if (tree.valueFiles.hasDamage) throw new EnvelopeError("CORRUPTION", "a file that tables point into is quarantined");
}
