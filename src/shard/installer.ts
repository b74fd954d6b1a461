/**
 * Prepares the generation that takes the place of the data in use: a snapshot of another member, or nothing at all. A
 * snapshot comes file by file, into a generation of its own:
 *
 *   begin    the description is stored; what an earlier process has brought of the very same snapshot is kept
 *   write    the next piece of a file. A file that is whole and has the right checksum is synced and gets its name: so a name
 *            says that the file was proven, and that its bytes are on the disk
 *   end      files that an earlier process has brought are read through again, in steps
 *   prepare  the log behind the snapshot is begun, everything opened as a start would, and the pointer to the new generation
 *            made durable aside. From there the shard goes on (shard.ts)
 *
 * An empty one needs only the last step. Until then nothing of the data in use is touched. A generation that nobody will go
 * on with is removed by a start, or when another snapshot is begun. Shard thread.
 */
import { assert } from "../core/assert.ts";
import { equalBytes } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import { type LogIndex, logIndex, term } from "../core/ids.ts";
import type { InstallFile } from "../bridge/shard-protocol.ts";
import type { Disk, DiskFile } from "../env/disk.ts";
import { beginLogBehind } from "../log/log-origin.ts";
import type { LogIdentity } from "../log/log-options.ts";
import { replaceFile } from "../log/replace-file.ts";
import { FileChecksum } from "../storage/file-checksum.ts";
import type { FlushedPosition } from "../storage/manifest-format.ts";
import {
  dataDirectory,
  generationNumbers,
  prepareSwitch,
  removeUnfinishedSwitch,
} from "../storage/shard-directories.ts";
import {
  decodeSnapshotDescription,
  SNAPSHOT_DESCRIPTION_NAME,
  type SnapshotDescription,
  type SnapshotFile,
} from "../storage/snapshot-format.ts";
import type { UnstartedTree } from "../storage/tree.ts";
import { isLogSegment, stemOf } from "../storage/value-pointer-format.ts";
import { valueFileOfName } from "../storage/value-file-names.ts";
import type { FileClearing } from "./file-clearing.ts";

/** Written between two syncs of a file. */
const UNSYNCED_BYTES_MAX = 4 * 1024 * 1024;
/** Of a file whose last byte, checksum or sync is still to come. */
const PART_ENDING = ".part";

interface IncomingFile extends SnapshotFile {
  heldBytes: number;
  /** Of the bytes held, while they come. */
  heldChecksum: number;
  unsyncedBytes: number;
  opened: DiskFile | null;
  /** This process has seen the bytes that its checksum is of. */
  isProven: boolean;
}

interface Incoming {
  readonly generation: number;
  readonly directory: string;
  readonly encoded: Uint8Array;
  readonly description: SnapshotDescription;
  readonly files: readonly IncomingFile[];
}

export class Installer {
  readonly #disk: Disk;
  readonly #root: string;
  readonly #identity: LogIdentity;
  readonly #stepBytes: number;
  readonly #clearing: FileClearing;
  #current: number;
  #incoming: Incoming | null = null;
  /** The end that is being worked towards; null: none is. */
  #endRequest: number | null = null;
  #reading: FileChecksum | null = null;
  /** The end is that of everything: an empty generation. */
  #isEmptying = false;

  /** `current` is the generation in use; what others have left is handed to `clearing`, but for what may still be gone on with. */
  constructor(
    disk: Disk,
    root: string,
    identity: LogIdentity,
    stepBytes: number,
    clearing: FileClearing,
    current: number,
    appliedIndex: LogIndex,
  ) {
    this.#disk = disk;
    this.#root = root;
    this.#identity = identity;
    this.#stepBytes = stepBytes;
    this.#clearing = clearing;
    this.#current = current;
    removeUnfinishedSwitch(disk, root);
    for (const generation of generationNumbers(disk, root)) {
      if (generation === current) continue;
      const directory = dataDirectory(root, generation);
      const stored = generation > current ? this.#stored(directory) : null;
      if (stored === null || stored.position.index <= appliedIndex) clearing.addDirectory(directory);
    }
  }

  /** The position of the snapshot that is coming, null: none is. */
  get position(): FlushedPosition | null {
    return this.#incoming?.description.position ?? null;
  }

  /** Whether an end has been asked for and not yet come to. */
  get isEnding(): boolean {
    return this.#endRequest !== null;
  }

  /** Begins, or goes on with, the snapshot of this description. Throws CORRUPTION, FOREIGN_DIRECTORY, NEWER_FORMAT, DISKFULL, IO. */
  begin(encoded: Uint8Array, refuse: (position: FlushedPosition) => void): readonly InstallFile[] {
    const description = decodeSnapshotDescription(encoded, this.#identity, "a snapshot that was offered");
    refuse(description.position);
    if (this.#incoming === null || !equalBytes(this.#incoming.encoded, encoded)) {
      this.abandon();
      this.#incoming = this.#found(encoded, description) ?? this.#started(encoded, description);
    }
    return this.#incoming.files;
  }

  /** Takes the next piece of a file. Throws INVALID_ARGUMENT when it is not that, CORRUPTION, DISKFULL, IO. */
  write(file: number, offset: number, bytes: Uint8Array): void {
    const incoming = this.#incoming?.files[file];
    const isNext =
      incoming !== undefined &&
      offset === incoming.heldBytes &&
      offset < incoming.byteCount &&
      offset + bytes.length <= incoming.byteCount;
    if (!isNext) throw new EnvelopeError("INVALID_ARGUMENT", `no piece of file ${file} is expected at ${offset}`);
    const part = this.#pathOf(incoming) + PART_ENDING;
    try {
      incoming.opened ??= this.#disk.open(part, "create");
      incoming.opened.write(bytes, offset);
      incoming.heldBytes += bytes.length;
      incoming.heldChecksum = crc32(bytes, incoming.heldChecksum);
      incoming.unsyncedBytes += bytes.length;
      this.#syncIfDue(incoming, incoming.opened);
    } catch (cause) {
      this.#startOver(incoming);
      throw cause;
    }
  }

  /** All pieces have come, says who sent them. Throws INVALID_ARGUMENT when some have not. */
  end(requestId: number): void {
    const { files } = this.#expected();
    if (files.some(({ byteCount, heldBytes }) => heldBytes < byteCount)) {
      throw new EnvelopeError("INVALID_ARGUMENT", "files of the snapshot are missing");
    }
    this.#endRequest = requestId;
  }

  /** The shard is to hold nothing; a snapshot that is coming is given up. */
  empty(requestId: number): void {
    this.abandon();
    this.#isEmptying = true;
    this.#endRequest = requestId;
  }

  /**
   * Reads a piece of a file that another process has brought. "proven": everything is as described. Throws CORRUPTION: then
   * the file has to come again.
   */
  step(): "working" | "proven" {
    if (this.#isEmptying) return "proven";
    const next = this.#expected().files.find(({ isProven }) => !isProven);
    if (next === undefined) return "proven";
    const found = this.#stepReading(next);
    if (found === "working") return found;
    next.isProven = found === "right";
    if (next.isProven) return "working";
    this.#disk.remove(this.#pathOf(next));
    next.heldBytes = 0;
    throw corruption(this.#pathOf(next), 0, "a file that is not the one described");
  }

  /** What cannot be read is as good as wrong. */
  #stepReading(file: IncomingFile): "working" | "right" | "wrong" {
    let isWorking = false;
    let isRight = false;
    try {
      this.#reading ??= new FileChecksum(this.#disk, this.#pathOf(file), this.#stepBytes);
      isWorking = this.#reading.step();
      isRight = this.#reading.byteCount === file.byteCount && this.#reading.checksum === file.checksum;
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
    }
    if (isWorking) return "working";
    this.#reading?.close();
    this.#reading = null;
    return isRight ? "right" : "wrong";
  }

  /**
   * Makes everything ready for the switch, and gives the tables, opened, with their generation and its directory. Throws what
   * a start would that finds this; what is wrong with the snapshot itself is the end of it.
   */
  prepare(look: (directory: string) => UnstartedTree): PreparedGeneration {
    if (this.#isEmptying) return this.#prepareEmpty(look);
    const { generation, directory, description } = this.#expected();
    const { position, files } = description;
    const segments = files
      .map(({ name }) => valueFileOfName(name))
      .filter((file) => file !== null && isLogSegment(file));
    const lastSegment = Math.max(0, ...segments.map((file) => (file === null ? 0 : stemOf(file))));
    beginLogBehind(this.#disk, directory, this.#identity, lastSegment + 1, position.index, position.term);
    const tables = this.#opened(directory, position, look);
    try {
      this.#disk.syncDirectory(directory);
      prepareSwitch(this.#disk, this.#root, this.#identity, generation);
    } catch (cause) {
      tables.close();
      throw cause;
    }
    return { generation, directory, tables, isEmpty: false, requestId: this.takeEnd() };
  }

  /** A generation as a new shard has it: log and manifest are there before the pointer says so. */
  #prepareEmpty(look: (directory: string) => UnstartedTree): PreparedGeneration {
    const { generation, directory } = this.#newDirectory();
    try {
      beginLogBehind(this.#disk, directory, this.#identity, 1, logIndex(0), term(0));
      look(directory).start().close();
      const tables = look(directory);
      prepareSwitch(this.#disk, this.#root, this.#identity, generation);
      return { generation, directory, tables, isEmpty: true, requestId: this.takeEnd() };
    } catch (cause) {
      this.#clearing.addDirectory(directory);
      throw cause;
    }
  }

  #opened(
    directory: string,
    { index, term }: FlushedPosition,
    look: (directory: string) => UnstartedTree,
  ): UnstartedTree {
    try {
      const tables = look(directory);
      if (tables.flushed.index === index && tables.flushed.term === term) return tables;
      tables.close();
      throw corruption(directory, 0, "tables of another index than the snapshot's");
    } catch (cause) {
      if (cause instanceof EnvelopeError && cause.code !== "IO" && cause.code !== "DISKFULL") this.abandon();
      throw cause;
    }
  }

  /** The end that was asked for, which is not worked towards any more. */
  takeEnd(): number {
    const request = this.#endRequest;
    assert(request !== null, "an end was asked for");
    this.#endRequest = null;
    this.#isEmptying = false;
    return request;
  }

  /** The generation is in use: the description of how it came is not needed any more. */
  installed({ directory, generation, isEmpty }: PreparedGeneration): void {
    this.#incoming = null;
    this.#current = generation;
    if (!isEmpty) this.#clearing.addFiles(directory, [SNAPSHOT_DESCRIPTION_NAME]);
  }

  /** Nobody goes on with it. */
  abandon(): void {
    this.close();
    if (this.#incoming !== null) this.#clearing.addDirectory(this.#incoming.directory);
    this.#incoming = null;
  }

  /** Closes its files; a later process may go on. */
  close(): void {
    this.#reading?.close();
    this.#reading = null;
    for (const file of this.#incoming?.files ?? []) {
      file.opened?.close();
      file.opened = null;
    }
  }

  #expected(): Incoming {
    if (this.#incoming === null) throw new EnvelopeError("INVALID_ARGUMENT", "no snapshot is being installed");
    return this.#incoming;
  }

  #pathOf({ name }: SnapshotFile): string {
    return `${this.#expected().directory}/${name}`;
  }

  #syncIfDue(file: IncomingFile, opened: DiskFile): void {
    const isWhole = file.heldBytes === file.byteCount;
    if (isWhole && file.heldChecksum !== file.checksum) {
      throw corruption(this.#pathOf(file), 0, "a file that is not the one described");
    }
    if (!isWhole && file.unsyncedBytes < UNSYNCED_BYTES_MAX) return;
    opened.sync();
    file.unsyncedBytes = 0;
    if (!isWhole) return;
    opened.close();
    file.opened = null;
    this.#disk.rename(this.#pathOf(file) + PART_ENDING, this.#pathOf(file));
    file.isProven = true;
  }

  /** What was written of it may be torn, or never reach the disk. */
  #startOver(file: IncomingFile): void {
    file.opened?.close();
    file.opened = null;
    file.heldBytes = 0;
    file.heldChecksum = 0;
    file.unsyncedBytes = 0;
    const part = this.#pathOf(file) + PART_ENDING;
    if (this.#disk.exists(part)) this.#disk.remove(part);
  }

  /** What an earlier process has brought of it, or null. Others are given up. */
  #found(encoded: Uint8Array, description: SnapshotDescription): Incoming | null {
    for (const generation of generationNumbers(this.#disk, this.#root)) {
      const directory = dataDirectory(this.#root, generation);
      const path = `${directory}/${SNAPSHOT_DESCRIPTION_NAME}`;
      const isUnused = generation !== this.#current && !this.#clearing.has(directory);
      if (!isUnused || !this.#disk.exists(path)) continue;
      if (!equalBytes(this.#disk.readWhole(path), encoded)) this.#clearing.addDirectory(directory);
      else return { generation, directory, encoded, description, files: this.#filesIn(directory, description) };
    }
    return null;
  }

  #filesIn(directory: string, { files }: SnapshotDescription): IncomingFile[] {
    for (const name of this.#disk.list(directory)) {
      if (name.endsWith(PART_ENDING)) this.#disk.remove(`${directory}/${name}`);
    }
    return files.map((file) => {
      const path = `${directory}/${file.name}`;
      const heldBytes = this.#disk.exists(path) ? file.byteCount : 0;
      return { ...file, heldBytes, heldChecksum: 0, unsyncedBytes: 0, opened: null, isProven: false };
    });
  }

  #started(encoded: Uint8Array, description: SnapshotDescription): Incoming {
    const { generation, directory } = this.#newDirectory();
    replaceFile(this.#disk, directory, `${directory}/${SNAPSHOT_DESCRIPTION_NAME}`, encoded);
    const files = description.files.map((file) => ({
      ...file,
      heldBytes: 0,
      heldChecksum: 0,
      unsyncedBytes: 0,
      opened: null,
      isProven: false,
    }));
    return { generation, directory, encoded, description, files };
  }

  #newDirectory(): { readonly generation: number; readonly directory: string } {
    const numbers = generationNumbers(this.#disk, this.#root);
    const generation = Math.max(this.#current, numbers.at(-1) ?? 0) + 1;
    const directory = dataDirectory(this.#root, generation);
    this.#disk.makeDirectory(directory);
    return { generation, directory };
  }

  /** The description in a directory; null: there is none that is whole. */
  #stored(directory: string): SnapshotDescription | null {
    const path = `${directory}/${SNAPSHOT_DESCRIPTION_NAME}`;
    if (!this.#disk.exists(path)) return null;
    try {
      return decodeSnapshotDescription(this.#disk.readWhole(path), this.#identity, path);
    } catch (cause) {
      if (!(cause instanceof EnvelopeError) || cause.code === "IO") throw cause;
      return null;
    }
  }
}

/** Everything that takes the place of what there is. */
export interface PreparedGeneration {
  readonly requestId: number;
  readonly generation: number;
  readonly isEmpty: boolean;
  readonly directory: string;
  readonly tables: UnstartedTree;
}
