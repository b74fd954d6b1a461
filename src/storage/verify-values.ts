/**
 * Checks the values outside the tables of a shard that nobody uses: the files that the manifest names are there and the
 * ones that were meant, every pointer of a live table leads to the value that it was written for, and tables point to as
 * much of each file as the manifest says. Memory: one block, one value.
 */
import { corruption } from "../core/errors.ts";
import { attempt, type FindingVisitor } from "../core/file-report.ts";
import type { ValueFileId } from "../core/ids.ts";
import type { Disk, DiskFile } from "../env/disk.ts";
import { VersionKind } from "../record/version.ts";
import { BlockCursor } from "./block-cursor.ts";
import type { BlockPlace } from "./block-format.ts";
import type { Manifest } from "./manifest.ts";
import type { TableRecord } from "./manifest-format.ts";
import { readTableBlock, readTableFile } from "./table-file.ts";
import type { TreeIdentity } from "./tree-options.ts";
import { checkInFile } from "./value-check.ts";
import { describeValueFile } from "./value-file.ts";
import { findValueFile, valueFileOfName } from "./value-file-names.ts";
import { ValuePointer } from "./value-pointer-format.ts";

export function verifyValueFiles(
  disk: Disk,
  directory: string,
  manifest: Manifest,
  identity: TreeIdentity,
  report: FindingVisitor,
): void {
  for (const listed of manifest.valueFiles.values()) {
    attempt(directory, report, () => {
      const path = findValueFile(disk, directory, listed.id);
      const { fileBytes, checksum } = describeValueFile(disk, path, listed.id, identity);
      if (fileBytes === listed.fileBytes && checksum === listed.checksum) return;
      throw corruption(path, 0, "a value file that is not the one in the manifest");
    });
  }
  for (const name of disk.list(directory)) {
    const id = valueFileOfName(name);
    if (id === null || manifest.valueFiles.has(id)) continue;
    const what = "values that no table points to; the next start removes it";
    report({ severity: "note", file: `${directory}/${name}`, offset: null, what });
  }
}

/** Follows the pointers of a table whose footer and header are sound. Its damaged blocks have been reported. */
export function verifyReferences(
  disk: Disk,
  path: string,
  record: TableRecord,
  identity: TreeIdentity,
  report: FindingVisitor,
): void {
  const directory = path.slice(0, path.lastIndexOf("/"));
  const walk = new PointerWalk(disk, directory, report);
  const file = disk.open(path, "read");
  try {
    const table = readTableFile(file, identity);
    for (let block = 0; block < table.header.blockCount; block++) {
      if (!attempt(path, IGNORED, () => walk.takeBlock(readTableBlock(table, block).place))) return;
    }
  } finally {
    file.close();
    walk.close();
  }
  const references = record.references ?? [];
  const isSame =
    references.length === walk.byteCounts.size &&
    references.every(({ file: id, byteCount }) => walk.byteCounts.get(id) === byteCount);
  const what = "pointers that do not come to what the manifest says";
  if (!isSame) report({ severity: "damage", file: path, offset: null, what });
}

const IGNORED: FindingVisitor = () => undefined;

class PointerWalk {
  /** Bytes pointed to in each file. */
  readonly byteCounts = new Map<ValueFileId, number>();
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #report: FindingVisitor;
  /** Null: it cannot be opened, which has been reported. */
  readonly #files = new Map<ValueFileId, DiskFile | null>();
  readonly #cursor = new BlockCursor();
  readonly #pointer = new ValuePointer();

  constructor(disk: Disk, directory: string, report: FindingVisitor) {
    this.#disk = disk;
    this.#directory = directory;
    this.#report = report;
  }

  takeBlock(block: BlockPlace): void {
    const cursor = this.#cursor;
    const pointer = this.#pointer;
    for (cursor.first(block); cursor.valid; cursor.next()) {
      if (cursor.entry.kind !== VersionKind.pointer) continue;
      const id = pointer.read(cursor.value, 0).file;
      this.byteCounts.set(id, (this.byteCounts.get(id) ?? 0) + pointer.commandBytes);
      const file = this.#fileOf(id);
      if (file !== null) attempt(file.path, this.#report, () => checkInFile(file, pointer));
    }
  }

  close(): void {
    for (const file of this.#files.values()) file?.close();
  }

  #fileOf(id: ValueFileId): DiskFile | null {
    const known = this.#files.get(id);
    if (known !== undefined) return known;
    let file: DiskFile | null = null;
    attempt(this.#directory, IGNORED, () => {
      file = this.#disk.open(findValueFile(this.#disk, this.#directory, id), "read");
    });
    this.#files.set(id, file);
    return file;
  }
}
