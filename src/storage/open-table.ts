/** A live table and the value files that it points into. One thread. */
import type { Disk } from "../env/disk.ts";
import type { TableRecord } from "./manifest-format.ts";
import { Table } from "./table.ts";
import type { TableReading } from "./table-blocks.ts";
import { tableName } from "./table-format.ts";
import type { TreeIdentity } from "./tree-options.ts";
import type { ValueFiles } from "./value-files.ts";

/** Throws as `Table.open` does, and MISSING_FILE or CORRUPTION when a file that it points into is not there. */
export function openTable(
  disk: Disk,
  directory: string,
  record: TableRecord,
  identity: TreeIdentity,
  reading: TableReading,
  files: ValueFiles,
  isLenient = false,
): Table {
  const table = Table.open(disk, `${directory}/${tableName(record.number)}`, record, identity, reading, isLenient);
  table.valueFiles = files.all(record.references ?? []);
  return table;
}
