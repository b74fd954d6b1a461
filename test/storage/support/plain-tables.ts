/** Layouts of tables that exist in name only: what picks are made from, without a disk. */
import { utf8 } from "../../../src/core/bytes.ts";
import { type FileNumber, fileNumber } from "../../../src/core/ids.ts";
import { BUCKET_BYTES, writeTableKey } from "../../../src/storage/block-format.ts";
import { Claims } from "../../../src/storage/compaction-claims.ts";
import type { Pick, PickState } from "../../../src/storage/compaction-pick.ts";
import { Layout } from "../../../src/storage/layout.ts";
import type { TableRecord } from "../../../src/storage/manifest-format.ts";
import type { Table } from "../../../src/storage/table.ts";
import { SMALL } from "./versions.ts";

export interface PlainTable {
  readonly number: number;
  readonly level: number;
  readonly run?: number;
  readonly from: string;
  readonly to: string;
  readonly bytes: number;
  readonly bucket?: number;
  readonly lastBucket?: number;
  readonly minStamp?: number;
  readonly maxStamp?: number;
  readonly tombstones?: number;
}

const ENTRIES = 100;

export function layoutOf(tables: readonly PlainTable[]): Layout {
  const records: TableRecord[] = [];
  const open = new Map<FileNumber, Table>();
  for (const table of tables) {
    const { level, run = 0, bytes, bucket = 1 } = table;
    const number = fileNumber(table.number);
    const record = { number, level, run, fileBytes: bytes, headerBytes: 64, footerBytes: 64, footerChecksum: 0 };
    const footer = {
      smallest: tableKey(bucket, table.from),
      largest: tableKey(table.lastBucket ?? bucket, table.to),
      minStamp: { high: 0, low: table.minStamp ?? 1 },
      maxStamp: { high: 0, low: table.maxStamp ?? 1 },
      entryCount: ENTRIES,
      tombstoneCount: table.tombstones ?? 0,
    };
    records.push(record);
    // Picks look at no more of a table than this.
    open.set(number, { record, footer } as unknown as Table);
  }
  return new Layout(records, open);
}

export function stateOf(layout: Layout, more: Partial<PickState> = {}): PickState {
  return { layout, options: SMALL, claims: new Claims(), impure: new Set(), settled: new Set(), ...more };
}

export function tableNumbered(layout: Layout, number: number): Table {
  const found = layout.tables.find((table) => table.record.number === number);
  if (found === undefined) throw new Error(`no table ${number}`);
  return found;
}

/** What a pick does, in numbers of tables. */
export function summary(pick: Pick | null): string {
  if (pick === null) return "nothing";
  const numbers = (tables: readonly Table[]): string => tables.map((table) => table.record.number).join(" ");
  if (pick.kind === "remove") return `remove ${numbers(pick.tables)}`;
  const to = `to ${pick.output.level}/${pick.output.run}`;
  if (pick.kind === "move") return `move ${numbers(pick.tables)} ${to}`;
  return `rewrite ${pick.inputs.map(numbers).join(" + ")} ${to}`;
}

function tableKey(bucket: number, key: string): Uint8Array {
  const bytes = new Uint8Array(BUCKET_BYTES + key.length);
  writeTableKey(bytes, bucket, utf8(key));
  return bytes;
}
