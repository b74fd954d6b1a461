/**
 * The set of live tables as the disk has it. A new state exists from the moment its edit is synced here, and not before:
 *
 *   1 write and sync the table files     2 sync the directory     3 append the edit     4 sync the manifest
 *   5 write a proof, not synced, that the edit was synced
 *
 * Recovery reads the newest manifest. The first frame that is not whole ends it: if a later whole frame says that this
 * place had been synced, it is corruption; otherwise it was being written at a crash and is dropped. What was read is
 * not trusted to be on the disk (it may have come from a page cache whose sync had failed), and nothing is appended
 * behind a torn tail: `start` writes the state into a new manifest, synced under another name and then renamed, so that
 * a file called `.manifest` always begins with a whole snapshot. The same happens when a manifest has grown.
 *
 * After a failed write or sync (other than a full disk) nobody knows which state the disk holds: the manifest refuses
 * everything until the directory is opened again. One thread.
 */
import { assert } from "../core/assert.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import { type FileNumber, fileNumber, logIndex, term, type ValueFileId } from "../core/ids.ts";
import type { Disk, DiskFile } from "../env/disk.ts";
import { NO_CONFIGURATION } from "../record/logged-configuration.ts";
import {
  decodeEdit,
  decodeFrame,
  decodeSnapshot,
  encodeEdit,
  encodeFrame,
  encodeSnapshot,
  FRAME_ALIGNMENT,
  type FlushedPosition,
  FrameKind,
  type ManifestEdit,
  manifestName,
  NO_VALUE_FILE_CHANGE,
  type TableRecord,
  type ValueFileChange,
  type ValueFileRecord,
} from "./manifest-format.ts";
import type { TreeIdentity } from "./tree-options.ts";
import { valueSegmentNumbers } from "./value-file-names.ts";

/** A manifest is begun anew when its edits have come to this, or to four snapshots, whichever is more. */
const EDIT_BYTES_MAX = 64 * 1024;
const SNAPSHOTS_OF_EDITS_MAX = 4;
const NAME_PATTERN = /^(\d{8,})\.(sst|manifest|manifest\.new)$/;
const NOTHING: FlushedPosition = {
  sequence: 0,
  index: logIndex(0),
  term: term(0),
  stampHigh: 0,
  stampLow: 0,
  configuration: NO_CONFIGURATION,
};

/** A change of state: what `publish` makes durable. */
export type StateChange = Omit<ManifestEdit, "nextFileNumber" | "values">;

export class Manifest {
  flushed: FlushedPosition = NOTHING;
  /** Bytes of an unfinished edit that recovery dropped. */
  droppedBytes = 0;
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #identity: TreeIdentity;
  readonly #records = new Map<FileNumber, TableRecord>();
  readonly #valueFiles = new Map<ValueFileId, ValueFileRecord>();
  #nextFileNumber = 1;
  #file: DiskFile | null = null;
  #number: FileNumber = fileNumber(1);
  /** Where the next frame goes, and how far the file is synced. */
  #end = 0;
  #synced = 0;
  #snapshotBytes = 0;
  #failure: EnvelopeError | null = null;

  private constructor(disk: Disk, directory: string, identity: TreeIdentity) {
    this.#disk = disk;
    this.#directory = directory;
    this.#identity = identity;
  }

  /**
   * Reads the state of a directory and changes nothing in it. A directory without tables and manifests is a new one.
   * Throws MISSING_FILE when there are tables and no manifest, CORRUPTION, NEWER_FORMAT or FOREIGN_DIRECTORY.
   */
  static open(disk: Disk, directory: string, identity: TreeIdentity): Manifest {
    const manifest = new Manifest(disk, directory, identity);
    const files = storageFiles(disk, directory);
    const newest = files.filter((file) => file.kind === "manifest").at(-1);
    if (newest !== undefined) manifest.#recover(newest.number, `${directory}/${newest.name}`);
    else if (files.some((file) => file.kind === "sst")) {
      throw new EnvelopeError("MISSING_FILE", `${directory} holds tables and no manifest that names them`);
    }
    const last = Math.max(0, ...files.map((file) => file.number), ...valueSegmentNumbers(disk.list(directory)));
    manifest.#nextFileNumber = Math.max(manifest.#nextFileNumber, last + 1);
    return manifest;
  }

  get records(): ReadonlyMap<FileNumber, TableRecord> {
    return this.#records;
  }

  /** The files that the tables point into. */
  get valueFiles(): ReadonlyMap<ValueFileId, ValueFileRecord> {
    return this.#valueFiles;
  }

  /** Whether a failed write or sync has left the state on disk uncertain. */
  get hasFailed(): boolean {
    return this.#failure !== null;
  }

  /** Makes the recovered state durable in a new manifest and removes every file that is not part of it. */
  start(): void {
    this.#rollOver();
    for (const file of storageFiles(this.#disk, this.#directory)) {
      const isLive = file.kind === "sst" ? this.#records.has(file.number) : file.number === this.#number;
      if (!isLive) this.#disk.remove(`${this.#directory}/${file.name}`);
    }
  }

  /** A number for a new file. It is used up even when the file never comes to be. */
  takeFileNumber(): FileNumber {
    const number = fileNumber(this.#nextFileNumber);
    this.#nextFileNumber += 1;
    return number;
  }

  /** Makes a change of state durable. The files it adds are written and synced. Throws IO or DISKFULL. */
  publish(change: StateChange, values: ValueFileChange = NO_VALUE_FILE_CHANGE): void {
    if (this.#failure !== null) throw this.#failure;
    const limit = Math.max(EDIT_BYTES_MAX, SNAPSHOTS_OF_EDITS_MAX * this.#snapshotBytes);
    if (this.#end - this.#snapshotBytes > limit) this.#rollOver();
    const edit: ManifestEdit = { nextFileNumber: this.#nextFileNumber, ...change, values };
    if (change.added.length > 0) this.#guarded(() => this.#disk.syncDirectory(this.#directory));
    const end = this.#append(FrameKind.edit, encodeEdit(edit));
    this.#guarded(() => this.#openFile().sync());
    this.#end = end;
    this.#synced = end;
    this.#apply(edit, this.#path(this.#number));
    this.#writeProof();
  }

  /** Writes the present state as the manifest of a directory that has the same files; returns its name. It is not synced. */
  copyInto(directory: string): string {
    const name = manifestName(this.#number);
    const file = this.#disk.open(`${directory}/${name}`, "create");
    try {
      file.write(this.#snapshotFrame(this.#number), 0);
    } finally {
      file.close();
    }
    return name;
  }

  close(): void {
    this.#file?.close();
    this.#file = null;
  }

  #recover(number: FileNumber, path: string): void {
    const bytes = this.#disk.readWhole(path);
    const first = decodeFrame(bytes, 0, number);
    if (first === null || first.kind !== FrameKind.snapshot) throw corruption(path, 0, "no snapshot");
    const snapshot = decodeSnapshot(first.body, this.#identity, path);
    this.#apply(snapshot.edit, path);
    let offset = first.end;
    while (offset < bytes.length) {
      const frame = decodeFrame(bytes, offset, number);
      if (frame === null) {
        refuseDamageBeforeSync(bytes, offset, number, path);
        this.droppedBytes = bytes.length - offset;
        return;
      }
      if (frame.kind === FrameKind.edit) this.#apply(decodeEdit(frame.body, snapshot.version, path), path);
      offset = frame.end;
    }
  }

  #apply(edit: ManifestEdit, path: string): void {
    for (const number of edit.removed) {
      if (!this.#records.delete(number)) throw corruption(path, 0, `an edit that removes the unknown table ${number}`);
    }
    for (const record of edit.added) {
      if (this.#records.has(record.number)) throw corruption(path, 0, `an edit that adds table ${record.number} twice`);
      this.#records.set(record.number, record);
    }
    for (const id of edit.values.removed) {
      if (!this.#valueFiles.delete(id)) throw corruption(path, 0, `an edit that removes the unknown value file ${id}`);
    }
    for (const file of edit.values.added) this.#valueFiles.set(file.id, file);
    for (const { references = [] } of edit.added) {
      for (const { file } of references) {
        if (!this.#valueFiles.has(file)) throw corruption(path, 0, `a table that points into the unknown file ${file}`);
      }
    }
    this.flushed = edit.flushed ?? this.flushed;
    this.#nextFileNumber = Math.max(this.#nextFileNumber, edit.nextFileNumber);
  }

  /** Begins a new manifest with a snapshot of the present state. Until its rename nothing has changed. */
  #rollOver(): void {
    const number = this.takeFileNumber();
    const frame = this.#snapshotFrame(number);
    const path = this.#path(number);
    this.#writeAside(`${path}.new`, frame);
    this.#guarded(() => {
      this.#disk.rename(`${path}.new`, path);
      this.#disk.syncDirectory(this.#directory);
      this.#file?.close();
      this.#file = this.#disk.open(path, "write");
      const previous = this.#path(this.#number);
      if (previous !== path && this.#end > 0) this.#disk.remove(previous);
    });
    this.#number = number;
    this.#end = frame.length;
    this.#synced = frame.length;
    this.#snapshotBytes = frame.length;
  }

  #snapshotFrame(number: FileNumber): Uint8Array {
    const edit: ManifestEdit = {
      nextFileNumber: this.#nextFileNumber,
      flushed: this.flushed,
      removed: [],
      added: [...this.#records.values()],
      values: { removed: [], added: [...this.#valueFiles.values()] },
    };
    return encodeFrame(number, FrameKind.snapshot, 0, encodeSnapshot(this.#identity, edit));
  }

  #writeAside(path: string, frame: Uint8Array): void {
    const file = this.#disk.open(path, "create");
    try {
      file.write(frame, 0);
      file.sync();
    } catch (cause) {
      this.#disk.remove(path);
      throw cause;
    } finally {
      file.close();
    }
  }

  /** Writes a frame behind the last one and returns its end. An incomplete one is overwritten by the next. */
  #append(kind: FrameKind, body: Uint8Array): number {
    const frame = encodeFrame(this.#number, kind, this.#synced, body);
    try {
      this.#openFile().write(frame, this.#end);
    } catch (cause) {
      throw cause instanceof EnvelopeError && cause.code === "DISKFULL" ? cause : this.#fail(cause);
    }
    return this.#end + frame.length;
  }

  /** On a full disk there is no proof: damage to this one edit would then pass for a torn write. */
  #writeProof(): void {
    try {
      this.#end = this.#append(FrameKind.proof, new Uint8Array(0));
    } catch (cause) {
      if (this.#failure !== null) throw cause;
    }
  }

  #openFile(): DiskFile {
    assert(this.#file !== null, "a manifest is started before it is written");
    return this.#file;
  }

  #guarded(run: () => void): void {
    try {
      run();
    } catch (cause) {
      throw this.#fail(cause);
    }
  }

  /**
   * The end: everything from now on throws. Returns what to throw now. With or without room there is no trying again, so
   * it is never called DISKFULL.
   */
  #fail(cause: unknown): unknown {
    const isLasting = cause instanceof EnvelopeError && cause.code !== "DISKFULL";
    this.#failure = isLasting ? cause : new EnvelopeError("IO", `${this.#path(this.#number)} failed: ${String(cause)}`);
    return cause instanceof EnvelopeError ? this.#failure : cause;
  }

  #path(number: FileNumber): string {
    return `${this.#directory}/${manifestName(number)}`;
  }
}

interface StorageFile {
  readonly name: string;
  readonly number: FileNumber;
  readonly kind: "sst" | "manifest" | "manifest.new";
}

/** Tables and manifests of a directory, by ascending number. */
export function storageFiles(disk: Disk, directory: string): StorageFile[] {
  const files: StorageFile[] = [];
  for (const name of disk.list(directory)) {
    const [, digits, kind] = NAME_PATTERN.exec(name) ?? [];
    if (digits === undefined || (kind !== "sst" && kind !== "manifest" && kind !== "manifest.new")) continue;
    if (Number(digits) >= 1) files.push({ name, number: fileNumber(Number(digits)), kind });
  }
  return files.sort((a, b) => a.number - b.number);
}

/** Throws when any whole frame behind `offset` says that this place had been synced. */
function refuseDamageBeforeSync(bytes: Uint8Array, offset: number, number: FileNumber, path: string): void {
  for (let later = offset + FRAME_ALIGNMENT; later < bytes.length; later += FRAME_ALIGNMENT) {
    const frame = decodeFrame(bytes, later, number);
    if (frame !== null && frame.syncedThrough > offset) throw corruption(path, offset, "a frame with a wrong checksum");
  }
}
