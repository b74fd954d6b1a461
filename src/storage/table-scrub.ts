/**
 * Checks a live table on disk: footer, header region, every block, and every value that it points to outside the log,
 * whose sealed segments are checked as such. Where tables are read past the page cache, so they are here, and it is the disk
 * that is checked and not what the kernel remembers of it. The tree's thread only.
 */
import { corruption } from "../core/errors.ts";
import type { ValueFileId } from "../core/ids.ts";
import type { Disk, DiskFile } from "../env/disk.ts";
import { VersionKind } from "../record/version.ts";
import { BlockCursor } from "./block-cursor.ts";
import type { BlockPlace } from "./block-format.ts";
import { PiecewiseFile } from "./piecewise-file.ts";
import type { Table } from "./table.ts";
import { readTableBlock, readTableFile } from "./table-file.ts";
import type { TreeIdentity } from "./tree-options.ts";
import { checkInFile } from "./value-check.ts";
import type { ValueFiles } from "./value-files.ts";
import { ValuePointer } from "./value-pointer-format.ts";

/** Yields the bytes read by each step. Throws CORRUPTION at damage, IO where the disk cannot read. */
export function* scrubTable(
  disk: Disk,
  table: Table,
  files: ValueFiles,
  identity: TreeIdentity,
): Generator<number, void> {
  const { path, record } = table;
  const values = new OpenValueFiles(disk, files);
  const file = disk.open(path, table.isDirect ? "readDirect" : "read");
  try {
    const opened = readTableFile(table.isDirect ? new PiecewiseFile(file) : file, identity);
    if (opened.footerChecksum !== record.footerChecksum || file.size() !== record.fileBytes) {
      throw corruption(path, opened.footerOffset, "a footer that is not the one in the manifest");
    }
    yield record.headerBytes + record.footerBytes;
    for (let block = 0; block < opened.header.blockCount; block++) {
      const { place, storedBytes } = readTableBlock(opened, block);
      yield storedBytes;
      if (record.references !== undefined) yield* scrubValues(place, values);
    }
  } finally {
    file.close();
    values.close();
  }
}

function* scrubValues(block: BlockPlace, values: OpenValueFiles): Generator<number, void> {
  const cursor = new BlockCursor();
  const pointer = new ValuePointer();
  for (cursor.first(block); cursor.valid; cursor.next()) {
    if (cursor.entry.kind !== VersionKind.pointer) continue;
    const file = values.of(pointer.read(cursor.value, 0).file);
    if (file === null) continue;
    checkInFile(file, pointer);
    yield pointer.commandBytes;
  }
}

/** The files of one table, opened as they are needed. */
class OpenValueFiles {
  readonly #disk: Disk;
  readonly #files: ValueFiles;
  readonly #open = new Map<ValueFileId, DiskFile>();

  constructor(disk: Disk, files: ValueFiles) {
    this.#disk = disk;
    this.#files = files;
  }

  /** Null: it is the log's, or known to be damaged. */
  of(id: ValueFileId): DiskFile | null {
    const values = this.#files.known(id);
    if (values === null || values.isInLog || values.damage !== null) return null;
    let file = this.#open.get(id);
    if (file === undefined) {
      file = this.#disk.open(values.path, "read");
      this.#open.set(id, file);
    }
    return file;
  }

  close(): void {
    for (const file of this.#open.values()) file.close();
  }
}
