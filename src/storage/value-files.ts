/**
 * The files that the tables of a tree point into. What is live stands in the manifest; here are the open files, and the
 * answer to the log's question what may become of a segment (log/segment-claims.ts):
 *
 *   NNNNNNNN.evp          a segment of the log that is pointed into; log and tables both need it
 *   NNNNNNNN.kept.evp     the same one when the log has let it go
 *   NNNNNNNN.values.evp   a value segment, written by a collection
 *
 * A file leaves the directory when neither the log nor any table, layout, cursor or job needs it. Shard thread.
 */
import { corruption, type EnvelopeError } from "../core/errors.ts";
import type { ValueFileId } from "../core/ids.ts";
import type { Disk } from "../env/disk.ts";
import { keptSegmentPath, segmentPath } from "../log/log-files.ts";
import type { SegmentClaims } from "../log/segment-claims.ts";
import type { Garbage } from "./garbage.ts";
import type { ValueFileRecord, ValueReference } from "./manifest-format.ts";
import type { TreeIdentity } from "./tree-options.ts";
import { describeValueFile, ValueFile } from "./value-file.ts";
import { findValueFile, valueFileOfName } from "./value-file-names.ts";
import { isLogSegment, stemOf, type ValuePointer, valueFileOfSegment } from "./value-pointer-format.ts";

export class ValueFiles implements SegmentClaims {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #identity: TreeIdentity;
  readonly #files = new Map<ValueFileId, ValueFile>();
  /** Files that the log has let go since the tree was opened. */
  releaseCount = 0;
  /** Segments of the log that were pointed into since the tree was opened, if only for a while. */
  readonly #everPointedTo = new Set<number>();
  readonly #damaged = new Set<ValueFile>();
  readonly #garbage: Garbage;

  constructor(disk: Disk, directory: string, identity: TreeIdentity, garbage: Garbage) {
    this.#disk = disk;
    this.#directory = directory;
    this.#identity = identity;
    this.#garbage = garbage;
  }

  /** Opens a file that the manifest names. Throws MISSING_FILE, CORRUPTION when it is another one, FOREIGN_DIRECTORY, … */
  open(record: ValueFileRecord): void {
    const file = this.#find(record.id);
    const { path } = file;
    if (file.record.fileBytes !== record.fileBytes || file.record.checksum !== record.checksum) {
      throw corruption(path, 0, "a value file that is not the one in the manifest");
    }
  }

  /** A file that is pointed into, opened if that is new. */
  of(id: ValueFileId): ValueFile {
    return this.#files.get(id) ?? this.#find(id);
  }

  /** As `of`, or null when no table needs it any more. */
  known(id: ValueFileId): ValueFile | null {
    return this.#files.get(id) ?? null;
  }

  /** The value that a pointer of a live table leads to: a view that lives until the next step of a job. Throws CORRUPTION. */
  read(pointer: ValuePointer): Uint8Array {
    this.requireSound(pointer.file);
    return this.of(pointer.file).value(pointer);
  }

  /** Whether a file is quarantined. */
  get hasDamage(): boolean {
    return this.#damaged.size > 0;
  }

  /** All files, for somebody who looks after them. They may be gone after the next step of a job. */
  get live(): readonly ValueFile[] {
    return [...this.#files.values()];
  }

  /** From now on whoever needs a value of this file is told `damage`, and collections leave it alone. */
  quarantine(file: ValueFile, damage: EnvelopeError): void {
    file.damage ??= damage;
    this.#damaged.add(file);
  }

  /** Throws the damage for which the file is quarantined. */
  requireSound(id: ValueFileId): void {
    if (!this.hasDamage) return;
    const { damage } = this.of(id);
    if (damage !== null) throw damage;
  }

  /** The files of a table's references. */
  all(references: readonly ValueReference[]): ValueFile[] {
    return references.map(({ file }) => this.of(file));
  }

  holds(segmentId: number): boolean {
    return this.#files.has(valueFileOfSegment(segmentId));
  }

  released(segmentId: number): "keep" | "remove" | "recycle" {
    const file = this.known(valueFileOfSegment(segmentId));
    if (file === null) return this.#everPointedTo.delete(segmentId) ? "remove" : "recycle";
    this.releaseCount += 1;
    file.leaveLog(keptSegmentPath(this.#directory, segmentId));
    return "keep";
  }

  /** Removes what a crash has left: files that the manifest does not name. */
  removeUnlisted(): void {
    for (const name of this.#disk.list(this.#directory)) {
      const id = valueFileOfName(name);
      if (id !== null && !this.#files.has(id)) this.#disk.remove(`${this.#directory}/${name}`);
    }
  }

  #find(id: ValueFileId): ValueFile {
    const path = findValueFile(this.#disk, this.#directory, id);
    if (!isLogSegment(id)) return this.#admit(id, path, path, false);
    this.#everPointedTo.add(stemOf(id));
    const inLog = segmentPath(this.#directory, stemOf(id));
    return this.#admit(id, inLog, path, path === inLog);
  }

  #admit(id: ValueFileId, writtenAs: string, path: string, isInLog: boolean): ValueFile {
    const record = describeValueFile(this.#disk, path, id, this.#identity);
    const file = new ValueFile(this.#disk, writtenAs, path, record, isInLog, (unused) => this.#unused(unused));
    this.#files.set(id, file);
    return file;
  }

  #unused(file: ValueFile): void {
    if (!file.obsolete) return;
    this.#files.delete(file.record.id);
    this.#damaged.delete(file);
    if (!file.isInLog) this.#garbage.add(file.path, file.record.fileBytes, () => undefined);
  }
}
