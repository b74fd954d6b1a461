/**
 * What to compact next: leveled compaction (O'Neil et al., "The Log-Structured Merge-Tree", 1996, in the form of
 * LevelDB). Level 0 is due by its count of runs and goes down whole; a deeper level is due by its bytes and sends down
 * one table at a time, taking turns around the key space. Tables that overlap nothing below are moved without being
 * rewritten, and tables that lie wholly in fenced buckets are removed without being read. Pure functions over a layout.
 */
import { at } from "../core/assert.ts";
import { compareBytes } from "../core/bytes.ts";
import type { DropRule } from "./job.ts";
import { bytesOf, isDisjoint, type Layout, LEVEL_COUNT, type Run, sortedByKey } from "./layout.ts";
import type { Table } from "./table.ts";
import type { TreeOptions } from "./tree-options.ts";

const LEVEL_RATIO = 10;
/** A table smaller than this part of the largest is rewritten rather than moved, or levels would fill with crumbs. */
const MOVED_TABLE_FRACTION = 0.25;

export type Pick =
  | { readonly kind: "rewrite"; readonly inputs: readonly Run[]; readonly outputLevel: number }
  | { readonly kind: "move"; readonly tables: readonly Table[]; readonly outputLevel: number }
  | { readonly kind: "remove"; readonly tables: readonly Table[] };

/** Where each level goes on: the largest key sent down last. Kept in memory only; forgetting it costs nothing. */
export type Turns = (Uint8Array | undefined)[];

/** The most urgent work, or null when nothing is due. */
export function pickCompaction(layout: Layout, options: TreeOptions, rule: DropRule, turns: Turns): Pick | null {
  const gone = fencedTables(layout, rule);
  if (gone.length > 0) return { kind: "remove", tables: gone };
  const level = mostUrgentLevel(layout, options);
  if (level === null) return null;
  const down = level === 0 ? at(layout.levels, 0).flat() : [nextInTurn(layout, level, turns)];
  const below = at(layout.levels, level + 1)[0] ?? [];
  if (isMovable(down, options) && !down.some((table) => overlapping(below, [table]).length > 0)) {
    return { kind: "move", tables: down, outputLevel: level + 1 };
  }
  const inputs = level === 0 ? [...at(layout.levels, 0)] : [down];
  // One output may reach from the first key to the last, so whatever lies between them comes along.
  const between = overlapping(below, down);
  if (between.length > 0) inputs.push(between);
  return { kind: "rewrite", inputs, outputLevel: level + 1 };
}

/** Everything into the one level that it fits. */
export function pickAll(layout: Layout, options: TreeOptions): Pick {
  let outputLevel = 1;
  while (outputLevel < LEVEL_COUNT - 1 && bytesOf(layout.tables) > levelBytesMax(options, outputLevel)) outputLevel++;
  return { kind: "rewrite", inputs: layout.runs, outputLevel };
}

function levelBytesMax(options: TreeOptions, level: number): number {
  return options.levelBytesBase * LEVEL_RATIO ** (level - 1);
}

function fencedTables(layout: Layout, rule: DropRule): Table[] {
  const gone: Table[] = [];
  for (const [bucket, tables] of layout.tablesOfOneBucket) if (rule.fenced(bucket)) gone.push(...tables);
  return gone;
}

function mostUrgentLevel(layout: Layout, options: TreeOptions): number | null {
  let urgent: number | null = null;
  let highest = 1;
  for (let level = 0; level < LEVEL_COUNT - 1; level++) {
    const score =
      level === 0
        ? at(layout.levels, 0).length / options.level0Tables
        : at(layout.levelBytes, level) / levelBytesMax(options, level);
    // A level is due from its limit on for runs, and past it for bytes; equal scores favour the upper one.
    if (score > highest || (level === 0 && score >= highest)) {
      urgent = level;
      highest = score;
    }
  }
  return urgent;
}

function nextInTurn(layout: Layout, level: number, turns: Turns): Table {
  const run = at(at(layout.levels, level), 0);
  const last = turns[level];
  const next = last === undefined ? undefined : run.find((table) => compareBytes(table.footer.smallest, last) > 0);
  const table = next ?? at(run, 0);
  turns[level] = table.footer.largest;
  return table;
}

/** The tables of a run that overlap the range from the smallest to the largest key of the others, of which there are some. */
function overlapping(run: Run, others: readonly Table[]): Table[] {
  let { smallest, largest } = at(others, 0).footer;
  for (const { footer } of others) {
    if (compareBytes(footer.smallest, smallest) < 0) smallest = footer.smallest;
    if (compareBytes(footer.largest, largest) > 0) largest = footer.largest;
  }
  return run.filter(
    ({ footer }) => compareBytes(footer.smallest, largest) <= 0 && compareBytes(footer.largest, smallest) >= 0,
  );
}

/**
 * Nothing is lost by moving tombstones: they were kept because something older lies deeper, and they will meet it there.
 */
function isMovable(tables: readonly Table[], options: TreeOptions): boolean {
  if (bytesOf(tables) < tables.length * options.tableBytesMax * MOVED_TABLE_FRACTION) return false;
  return isDisjoint(sortedByKey(tables));
}
