/** Checks a live table on disk: footer, header region and every block. The tree's thread only. */
import { corruption } from "../core/errors.ts";
import type { Disk } from "../env/disk.ts";
import type { Table } from "./table.ts";
import { readTableBlock, readTableFile } from "./table-file.ts";
import type { TreeIdentity } from "./tree-options.ts";

/** Yields the bytes read by each step. Throws CORRUPTION at damage, IO where the disk cannot read. */
export function* scrubTable(disk: Disk, table: Table, identity: TreeIdentity): Generator<number, void> {
  const { path, record } = table;
  const file = disk.open(path, "read");
  try {
    const opened = readTableFile(file, identity);
    if (opened.footerChecksum !== record.footerChecksum || file.size() !== record.fileBytes) {
      throw corruption(path, opened.footerOffset, "a footer that is not the one in the manifest");
    }
    yield record.headerBytes + record.footerBytes;
    for (let block = 0; block < opened.header.blockCount; block++) yield readTableBlock(opened, block).storedBytes;
  } finally {
    file.close();
  }
}
