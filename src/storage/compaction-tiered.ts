/**
 * Size-tiered compaction (RocksDB's "universal"): runs of similar size are merged, so that each byte is rewritten once
 * for a doubling of the tree rather than ten times a level. For buckets that are written far more than read. The runs are
 * those of level 0 and the deeper levels in the order of a look-up, which is that of their age; a merge takes neighbours
 * and stands in the place of the oldest of them, on the last level if it was the oldest of all.
 *
 *   space       once everything above the oldest run is twice its size, all runs become one
 *   similarity  the newest run that is at least half as large as the next is merged with it, and with those behind it
 *               that are at most twice as large as what is merged so far
 *   count       if none is similar, the newest ones are merged
 *
 * Something is due from twice `level0Tables` runs on, so there are hardly ever more. Pure functions over a layout.
 */
import { assert, at } from "../core/assert.ts";
import type { Claims } from "./compaction-claims.ts";
import type { Pick } from "./compaction-pick.ts";
import { bytesOf, LAST_LEVEL, type Layout, type Run } from "./layout.ts";
import type { Table } from "./table.ts";
import type { TreeOptions } from "./tree-options.ts";

/** Bytes above the oldest run, in terms of that run. */
const SPACE_AMPLIFICATION_MAX = 2;
/** A run this much larger than those before it together is still similar to them. */
const SIMILARITY = 2;
/** In terms of `level0Tables`: with half as many runs each byte would be rewritten many times as often. */
export const RUNS_FACTOR = 2;

export function pickTiered(layout: Layout, options: TreeOptions, claims: Claims): Pick | null {
  const { runs } = layout;
  const free = newestFree(layout, claims);
  if (free.length < runs.length) {
    // Before all runs become one, what is being merged has to be; unless that is just what is going on.
    const isOldestTaken = claims.hasAny(runs.at(-1) ?? []);
    if (!isOldestTaken && isTooMuch(runs)) return null;
  }
  const merged = dueRuns(free, free.length === runs.length, options);
  return merged.length < 2 ? null : mergeOf(merged, layout);
}

/** A run with a table rich in tombstones is merged with the next older one. */
export function pickTombstonesTiered(layout: Layout, claims: Claims, table: Table): Pick | null {
  const place = layout.runs.findIndex((run) => run.includes(table));
  const pair = layout.runs.slice(place, place + 2);
  return pair.length < 2 || pair.some((run) => claims.hasAny(run)) ? null : mergeOf(pair, layout);
}

/** What the next merge would rewrite. */
export function tieredDebt(layout: Layout, options: TreeOptions): number {
  const merged = dueRuns(layout.runs, true, options);
  return merged.length < 2 ? 0 : bytesOf(merged.flat());
}

/** The runs to be merged out of the newest free ones. Those that are being merged will be one. */
function dueRuns(free: readonly Run[], areAll: boolean, options: TreeOptions): readonly Run[] {
  const excess = free.length + (areAll ? 0 : 1) - options.level0Tables * RUNS_FACTOR;
  if (excess < 0) return [];
  if (areAll && isTooMuch(free)) return free;
  const sizes = free.map(bytesOf);
  for (let first = 0; first < free.length - 1; first++) {
    const end = similarEnd(sizes, first);
    if (end > first + 1) return free.slice(first, end);
  }
  return free.slice(0, excess + 2);
}

/** Whether what lies above the oldest run is too much for it. */
function isTooMuch(runs: readonly Run[]): boolean {
  const oldest = bytesOf(runs.at(-1) ?? []);
  return bytesOf(runs.flat()) - oldest >= oldest * SPACE_AMPLIFICATION_MAX;
}

/** Index behind the last run that is similar to those from `first` on. */
function similarEnd(sizes: readonly number[], first: number): number {
  let together = at(sizes, first);
  let end = first + 1;
  for (; end < sizes.length && at(sizes, end) <= together * SIMILARITY; end++) together += at(sizes, end);
  return end;
}

/** The newest runs, as far as no running job reads them. */
function newestFree(layout: Layout, claims: Claims): readonly Run[] {
  const taken = layout.runs.findIndex((run) => claims.hasAny(run));
  return taken < 0 ? layout.runs : layout.runs.slice(0, taken);
}

function mergeOf(runs: readonly Run[], layout: Layout): Pick {
  const oldest = runs[runs.length - 1]?.[0];
  assert(oldest !== undefined, "a run has a table");
  const isOldestOfAll = layout.runs[layout.runs.length - 1]?.[0] === oldest;
  const output = isOldestOfAll ? { level: LAST_LEVEL, run: 0 } : layout.placeOf(oldest);
  return { kind: "rewrite", inputs: runs, output };
}
