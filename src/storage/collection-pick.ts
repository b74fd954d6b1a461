/**
 * What to collect next: the files of which too little is alive, and the table that points to most of it. Files that are
 * still part of the log are left alone, for the log would keep them all the same; so are quarantined
 * files. Pure functions.
 */
import type { ValueFileId } from "../core/ids.ts";
import type { TableRecord, ValueFileRecord } from "./manifest-format.ts";
import type { Table } from "./table.ts";
import type { ValueLiveness } from "./value-liveness.ts";
import { isLogSegment } from "./value-pointer-format.ts";
import { VALUE_SEGMENT_HEADER_BYTES } from "./value-segment-format.ts";

/** A table, and the files out of which its values are to be moved. */
export interface CollectionPick<T = Table> {
  readonly table: T;
  readonly files: ReadonlySet<ValueFileId>;
}

/**
 * Null: nothing is due. `tables` are those that no running job stands in the way of; `mayBeEmptied` says whether the log
 * has let go of the file, and it is sound.
 */
export function pickCollection<T extends { readonly record: TableRecord }>(
  tables: Iterable<T>,
  listed: ReadonlyMap<ValueFileId, ValueFileRecord>,
  liveness: ValueLiveness,
  collectBelow: number,
  mayBeEmptied: (id: ValueFileId) => boolean,
): CollectionPick<T> | null {
  const files = new Set<ValueFileId>();
  for (const file of listed.values()) {
    const share = liveness.bytesIn(file.id) / commandBytesMax(file);
    if (share < collectBelow && mayBeEmptied(file.id)) files.add(file.id);
  }
  let picked: T | null = null;
  let most = 0;
  for (const table of files.size === 0 ? [] : tables) {
    let byteCount = 0;
    for (const reference of table.record.references ?? [])
      if (files.has(reference.file)) byteCount += reference.byteCount;
    if (byteCount <= most) continue;
    most = byteCount;
    picked = table;
  }
  return picked === null ? null : { table: picked, files };
}

/** What would be alive in a file full of live commands. A value segment that has just been written is one. */
function commandBytesMax({ id, fileBytes }: ValueFileRecord): number {
  return isLogSegment(id) ? fileBytes : fileBytes - VALUE_SEGMENT_HEADER_BYTES;
}
