/**
 * Leveled compaction (O'Neil et al., "The Log-Structured Merge-Tree", 1996, in the form of LevelDB) with the targets of
 * RocksDB's `level_compaction_dynamic_level_bytes`: they are computed upwards from the largest level, each a tenth of the
 * one below, until one is no larger than `levelBytesBase`. That is the *base level*, into which level 0 goes; the levels
 * between are skipped. So the last level always holds nine tenths of everything or more, and superseded versions above it
 * make up no more than about a tenth of the space.
 *
 *   level 0     due by its count of runs; goes down whole
 *   base …      due past its target; sends down the table that overlaps least for its size
 *   above base  what is left there of smaller days goes down when nothing else is due
 *
 * Tables that overlap nothing where they go are moved without being rewritten. Pure functions over a layout.
 */
import { at } from "../core/assert.ts";
import type { Claims } from "./compaction-claims.ts";
import type { Pick } from "./compaction-pick.ts";
import { bytesOf, isDisjoint, LAST_LEVEL, type Layout, overlapping, type Run, sortedByKey } from "./layout.ts";
import { rangeOf } from "./older-ranges.ts";
import type { Table } from "./table.ts";
import type { TreeOptions } from "./tree-options.ts";

const LEVEL_RATIO = 10;
/** A table smaller than this part of the largest is rewritten rather than moved, or levels would fill with crumbs. */
const MOVED_TABLE_FRACTION = 0.25;

export interface LevelTargets {
  /** Where level 0 goes. */
  readonly baseLevel: number;
  /** Bytes of each level; 0 above the base level. */
  readonly bytes: readonly number[];
}

/** `levelBytes`: what each level holds now. */
export function levelTargets(levelBytes: readonly number[], levelBytesBase: number): LevelTargets {
  const bytes = levelBytes.map(() => 0);
  let target = Math.max(levelBytesBase, ...levelBytes.slice(1));
  let level = LAST_LEVEL;
  bytes[level] = target;
  while (level > 1 && target > levelBytesBase) {
    level -= 1;
    target /= LEVEL_RATIO;
    bytes[level] = target;
  }
  return { baseLevel: level, bytes };
}

export function pickLeveled(layout: Layout, options: TreeOptions, claims: Claims): Pick | null {
  const targets = levelTargets(layout.levelBytes, options.levelBytesBase);
  const due: { level: number; score: number }[] = [];
  for (let level = 0; level < LAST_LEVEL; level++) {
    const score = level === 0 ? level0Score(layout, options, claims) : levelScore(layout, level, targets, claims);
    if (score >= 1) due.push({ level, score });
  }
  due.sort((a, b) => b.score - a.score || a.level - b.level);
  for (const { level } of due) {
    const pick =
      level === 0 ? pickLevel0(layout, options, claims, targets) : pickFrom(layout, options, claims, targets, level);
    if (pick !== null) return pick;
  }
  return null;
}

/** A table rich in tombstones goes down to what they cover; those of level 0 go together. */
export function pickTombstonesLeveled(layout: Layout, options: TreeOptions, claims: Claims, table: Table): Pick | null {
  const { level } = layout.placeOf(table);
  const targets = levelTargets(layout.levelBytes, options.levelBytesBase);
  if (level === 0) return pickLevel0(layout, options, claims, targets);
  return level === LAST_LEVEL ? null : pickDown(layout, options, claims, [[table]], levelBelow(layout, level, targets));
}

/**
 * What lies in level 0 once it is due, and what it meets; and of each level what is over its target, with the share of
 * the level below that it overlaps.
 */
export function leveledDebt(layout: Layout, options: TreeOptions): number {
  const { baseLevel, bytes } = levelTargets(layout.levelBytes, options.levelBytesBase);
  let debt = 0;
  if (at(layout.levels, 0).length >= options.level0Tables) {
    debt += at(layout.levelBytes, 0) + at(layout.levelBytes, baseLevel);
  }
  for (let level = 1; level < LAST_LEVEL; level++) {
    const excess = at(layout.levelBytes, level) - at(bytes, level);
    if (excess <= 0) continue;
    const below = at(layout.levelBytes, Math.max(level + 1, baseLevel));
    debt += excess * (1 + Math.min(LEVEL_RATIO, below / at(layout.levelBytes, level)));
  }
  return debt;
}

/** From 1 on it is due. What a running job takes down counts no more. */
function level0Score(layout: Layout, options: TreeOptions, claims: Claims): number {
  return freeRuns(layout, claims).length / options.level0Tables;
}

/** Past its target it is above 1. */
function levelScore(layout: Layout, level: number, targets: LevelTargets, claims: Claims): number {
  let byteCount = 0;
  for (const table of layout.levels[level]?.[0] ?? []) if (!claims.has(table)) byteCount += table.record.fileBytes;
  if (byteCount === 0) return 0;
  if (level < targets.baseLevel) return 1;
  const share = byteCount / at(targets.bytes, level);
  return share > 1 ? share : 0;
}

function pickLevel0(layout: Layout, options: TreeOptions, claims: Claims, targets: LevelTargets): Pick | null {
  const runs = freeRuns(layout, claims);
  return runs.length === 0 ? null : pickDown(layout, options, claims, runs, levelBelow(layout, 0, targets));
}

/** The table of a level that costs the least to send down for its size. */
function pickFrom(
  layout: Layout,
  options: TreeOptions,
  claims: Claims,
  targets: LevelTargets,
  level: number,
): Pick | null {
  const outputLevel = levelBelow(layout, level, targets);
  const below = layout.levels[outputLevel]?.[0] ?? [];
  let best: Table | null = null;
  let leastCost = Number.POSITIVE_INFINITY;
  for (const table of layout.levels[level]?.[0] ?? []) {
    const cost = bytesOf(overlapping(below, table.footer)) / table.record.fileBytes;
    if (cost >= leastCost || pickDown(layout, options, claims, [[table]], outputLevel) === null) continue;
    best = table;
    leastCost = cost;
  }
  return best === null ? null : pickDown(layout, options, claims, [[best]], outputLevel);
}

/** These runs and what they overlap on the level they go to; null when a running job is in the way. */
function pickDown(
  layout: Layout,
  options: TreeOptions,
  claims: Claims,
  runs: readonly Run[],
  outputLevel: number,
): Pick | null {
  const tables = runs.flat();
  const range = rangeOf(tables);
  if (range === null) return null;
  // One output may reach from the first key to the last, so whatever lies between them comes along.
  const below = overlapping(layout.levels[outputLevel]?.[0] ?? [], range);
  if (claims.hasAny(tables) || claims.hasAny(below) || claims.writesInto(outputLevel, range)) return null;
  const output = { level: outputLevel, run: 0 };
  const isMet = tables.some((table) => overlapping(below, table.footer).length > 0);
  if (!isMet && isMovable(tables, options)) return { kind: "move", tables, output };
  return { kind: "rewrite", inputs: below.length > 0 ? [...runs, below] : runs, output };
}

/** The next level that is in use: the base level, or one above it that still holds something. */
function levelBelow(layout: Layout, level: number, targets: LevelTargets): number {
  let below = level + 1;
  while (below < targets.baseLevel && at(layout.levels, below).length === 0) below++;
  return below;
}

function freeRuns(layout: Layout, claims: Claims): Run[] {
  return at(layout.levels, 0).filter((run) => !claims.hasAny(run));
}

/**
 * Nothing is lost by moving tombstones: they were kept because something older lies elsewhere, and a table of many is
 * due by itself wherever it stands.
 */
function isMovable(tables: readonly Table[], options: TreeOptions): boolean {
  if (bytesOf(tables) < tables.length * options.tableBytesMax * MOVED_TABLE_FRACTION) return false;
  return isDisjoint(sortedByKey(tables));
}
