/**
 * Which tables are live, and where: an immutable set, counted by everyone who reads it (the tree, cursors, jobs). A new
 * state of the tree is a new layout; tables that are in no layout any more close themselves.
 *
 *   level 0       runs that overlap each other, newest first: one a flush, or what such runs were merged into
 *   level 1 …     at most one run each
 *
 * One thread.
 */
import { assert, at } from "../core/assert.ts";
import { compareBytes } from "../core/bytes.ts";
import type { FileNumber } from "../core/ids.ts";
import { compareStamps, type Stamp, ZERO_STAMP } from "../core/stamp.ts";
import { tableKeyBucket } from "./block-format.ts";
import type { TableRecord } from "./manifest-format.ts";
import type { KeyRange } from "./older-ranges.ts";
import { RunSearch } from "./run-search.ts";
import { firstTableEndingAt, type Table } from "./table.ts";

/** Levels 0 to 6. */
const LEVEL_COUNT = 7;
export const LAST_LEVEL = LEVEL_COUNT - 1;

/** Tables in key order, none overlapping. */
export type Run = readonly Table[];

/** Where a table stands. What its own record says may be of earlier days: tables are moved. */
export interface Place {
  readonly level: number;
  readonly run: number;
}

export class Layout {
  readonly tables: readonly Table[];
  readonly places: ReadonlyMap<Table, Place>;
  /** The runs of each level; level 0 newest first. */
  readonly levels: readonly (readonly Run[])[];
  readonly levelBytes: readonly number[];
  /** All runs in the order of a look-up. */
  readonly runs: readonly Run[];
  /** For each of them, how its tables are found. */
  readonly searches: readonly RunSearch[];
  /** The largest stamp in runs[i] and all behind it. */
  readonly maxStampFrom: readonly Stamp[];
  /** Tables of which every key is in one and the same bucket, by bucket. */
  readonly tablesOfOneBucket: ReadonlyMap<number, readonly Table[]>;
  #references = 0;

  /** `records` say where each table stands; `open` holds them all. */
  constructor(records: Iterable<TableRecord>, open: ReadonlyMap<FileNumber, Table>) {
    const tables: Table[] = [];
    const places = new Map<Table, Place>();
    const runsOf: Map<number, Table[]>[] = Array.from({ length: LEVEL_COUNT }, () => new Map());
    for (const record of records) {
      const table = open.get(record.number);
      assert(table !== undefined && record.level < LEVEL_COUNT, "a live table is open and on a level");
      tables.push(table);
      places.set(table, { level: record.level, run: record.run });
      const runs = at(runsOf, record.level);
      const run = runs.get(record.run);
      if (run === undefined) runs.set(record.run, [table]);
      else run.push(table);
    }
    this.tables = tables;
    this.places = places;
    this.levels = runsOf.map(sortedRuns);
    this.levelBytes = this.levels.map((runs) => bytesOf(runs.flat()));
    this.runs = this.levels.flat();
    this.searches = this.runs.map((run) => new RunSearch(run));
    this.maxStampFrom = suffixMaxStamps(this.runs);
    this.tablesOfOneBucket = groupByOnlyBucket(tables);
  }

  placeOf(table: Table): Place {
    const place = this.places.get(table);
    assert(place !== undefined, "the table is part of the layout");
    return place;
  }

  retain(): void {
    if (this.#references === 0) for (const table of this.tables) table.retain();
    this.#references += 1;
  }

  release(): void {
    assert(this.#references > 0, "a layout is released as often as it was retained");
    this.#references -= 1;
    if (this.#references === 0) for (const table of this.tables) table.release();
  }
}

export function bytesOf(tables: readonly Table[]): number {
  let byteCount = 0;
  for (const table of tables) byteCount += table.record.fileBytes;
  return byteCount;
}

/** Whether tables sorted by their smallest key overlap nowhere. */
export function isDisjoint(sorted: readonly Table[]): boolean {
  for (let i = 1; i < sorted.length; i++) {
    if (compareBytes(at(sorted, i - 1).footer.largest, at(sorted, i).footer.smallest) >= 0) return false;
  }
  return true;
}

export function sortedByKey(tables: readonly Table[]): Table[] {
  return [...tables].sort((a, b) => compareBytes(a.footer.smallest, b.footer.smallest));
}

/** The tables of a run that overlap the range: neighbours. */
export function overlapping(run: Run, range: KeyRange): Run {
  const { smallest, largest } = range;
  const first = firstTableEndingAt(run, smallest, smallest.length);
  let end = first;
  while (end < run.length && compareBytes(at(run, end).footer.smallest, largest) <= 0) end++;
  return run.slice(first, end);
}

function sortedRuns(runs: ReadonlyMap<number, readonly Table[]>, level: number): Run[] {
  assert(level === 0 || runs.size <= 1, "a deep level is one run");
  const newestFirst = [...runs].sort(([a], [b]) => b - a);
  return newestFirst.map(([, tables]) => {
    const run = sortedByKey(tables);
    assert(isDisjoint(run), "the tables of a run do not overlap");
    return run;
  });
}

function suffixMaxStamps(runs: readonly Run[]): Stamp[] {
  const stamps: Stamp[] = [];
  let max = ZERO_STAMP;
  for (let i = runs.length - 1; i >= 0; i--) {
    for (const { footer } of at(runs, i)) {
      if (compareStamps(footer.maxStamp.high, footer.maxStamp.low, max.high, max.low) > 0) max = footer.maxStamp;
    }
    stamps[i] = max;
  }
  return stamps;
}

function groupByOnlyBucket(tables: readonly Table[]): Map<number, Table[]> {
  const groups = new Map<number, Table[]>();
  for (const table of tables) {
    const bucket = tableKeyBucket(table.footer.smallest, 0);
    if (bucket !== tableKeyBucket(table.footer.largest, 0)) continue;
    const group = groups.get(bucket);
    if (group === undefined) groups.set(bucket, [table]);
    else group.push(table);
  }
  return groups;
}
