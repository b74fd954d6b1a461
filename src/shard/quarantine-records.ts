/** The records of a shard's quarantine, as they are made. Shard thread. */
import { EMPTY_BYTES } from "../core/bytes.ts";
import { QuarantineKind, type QuarantineRecord } from "../log/quarantine-format.ts";
import type { Segment } from "../log/segment.ts";
import type { KeyRange } from "../storage/older-ranges.ts";
import type { Table } from "../storage/table.ts";
import type { ValueFile } from "../storage/value-file.ts";
import { isLogSegment, stemOf } from "../storage/value-pointer-format.ts";

/** Whose business a damaged file is: a segment may be the log's and the tables', which point into it. */
export interface Parts {
  readonly table: Table | null;
  readonly segment: Segment | null;
  readonly values: ValueFile | null;
}

type Found = Pick<QuarantineRecord, "offset" | "reason" | "foundMs">;

/** Null: nobody's. */
export function recordOf({ table, segment, values }: Parts, found: Found): QuarantineRecord | null {
  if (table !== null) return tableRecord(table, found);
  if (segment !== null) return segmentRecord(segment, found);
  return values === null ? null : valuesRecord(values, found);
}

function tableRecord({ record, footer }: Table, found: Found): QuarantineRecord {
  const { number, footerChecksum } = record;
  const { smallest, largest } = footer;
  const kind = QuarantineKind.table;
  return { ...found, kind, number, fileChecksum: footerChecksum, smallest, largest, firstIndex: 0, lastIndex: 0 };
}

function segmentRecord({ id, checksum, entries }: Segment, found: Found): QuarantineRecord {
  const { count, firstIndex, lastIndex } = entries;
  const held = count === 0 ? { firstIndex: 0, lastIndex: 0 } : { firstIndex, lastIndex };
  const kind = QuarantineKind.segment;
  return { ...found, ...held, kind, number: id, fileChecksum: checksum, smallest: EMPTY_BYTES, largest: EMPTY_BYTES };
}

export function sessionsRecord(foundMs: number): QuarantineRecord {
  const nothing = { smallest: EMPTY_BYTES, largest: EMPTY_BYTES, firstIndex: 0, lastIndex: 0, fileChecksum: 0 };
  const reason = "a command of a session was refused for damage, and its outcome is not known here";
  return { ...nothing, kind: QuarantineKind.sessions, number: 0, offset: 0, reason, foundMs };
}

export function keysRecord(bucket: number, { smallest, largest }: KeyRange, foundMs: number): QuarantineRecord {
  const nothing = { firstIndex: 0, lastIndex: 0, fileChecksum: 0, offset: 0 };
  const reason = "a transaction on keys between these was refused for damage";
  return { ...nothing, kind: QuarantineKind.keys, number: bucket, smallest, largest, reason, foundMs };
}

/** Of a file that the log knows nothing of, or writes yet. */
function valuesRecord({ record }: ValueFile, found: Found): QuarantineRecord {
  const kind = isLogSegment(record.id) ? QuarantineKind.segment : QuarantineKind.valueSegment;
  const nothing = { smallest: EMPTY_BYTES, largest: EMPTY_BYTES, firstIndex: 0, lastIndex: 0 };
  return { ...found, ...nothing, kind, number: stemOf(record.id), fileChecksum: record.checksum };
}
