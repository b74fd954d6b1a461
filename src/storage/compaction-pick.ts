/**
 * What to compact next. In the order of asking:
 *
 *   1  tables that lie wholly in fenced buckets are removed without being read
 *   2  what the style of the tree finds due: compaction-leveled.ts, compaction-tiered.ts
 *   3  tables that hold a part of a fenced bucket are rewritten where they stand
 *   4  tables rich in tombstones meet what their tombstones cover, if that is not too much for so few, or are rewritten
 *      where they stand once nothing is left that they could cover
 *
 * What running compactions have taken is left out. Pure functions over a layout.
 */
import type { FileNumber } from "../core/ids.ts";
import type { Claims } from "./compaction-claims.ts";
import { leveledDebt, pickLeveled, pickTombstonesLeveled } from "./compaction-leveled.ts";
import { RUNS_FACTOR, pickTiered, pickTombstonesTiered, tieredDebt } from "./compaction-tiered.ts";
import type { DropRule } from "./job.ts";
import { LAST_LEVEL, type Layout, type Place, type Run } from "./layout.ts";
import { olderRanges } from "./older-ranges.ts";
import type { Table } from "./table.ts";
import type { TreeOptions } from "./tree-options.ts";

export type Pick =
  | { readonly kind: "rewrite"; readonly inputs: readonly Run[]; readonly output: Place }
  | { readonly kind: "move"; readonly tables: readonly Table[]; readonly output: Place }
  | { readonly kind: "remove"; readonly tables: readonly Table[] };

/** What a pick is made from. */
export interface PickState {
  readonly layout: Layout;
  readonly options: TreeOptions;
  readonly claims: Claims;
  /** Tables known to hold versions of fenced buckets. */
  readonly impure: ReadonlySet<Table>;
  /** Tables that were rewritten for their tombstones already: what is left in them has a reason to stay. */
  readonly settled: ReadonlySet<FileNumber>;
}

const TOMBSTONE_SHARE_MAX = 0.5;
/** Of the versions of a job: with fewer tombstones they can wait for the job that comes anyway. */
const TOMBSTONE_SHARE_WORTH = 0.1;
const NONE: ReadonlySet<Table> = new Set();

/** The most urgent work that no running job stands in the way of, or null. */
export function pickCompaction(state: PickState, rule: DropRule): Pick | null {
  const { layout, options, claims } = state;
  return (
    removeFenced(layout, rule, claims) ??
    (options.compaction === "leveled" ? pickLeveled(layout, options, claims) : pickTiered(layout, options, claims)) ??
    purgeFenced(state) ??
    pickTombstones(state)
  );
}

/** Everything into one run on the last level. Nothing may be running. */
export function pickAll(layout: Layout): Pick {
  return { kind: "rewrite", inputs: layout.runs, output: { level: LAST_LEVEL, run: 0 } };
}

/** Bytes that have to be rewritten before nothing is due any more: an estimate. */
export function compactionDebt(layout: Layout, options: TreeOptions): number {
  return options.compaction === "leveled" ? leveledDebt(layout, options) : tieredDebt(layout, options);
}

/** Runs beyond those at which a compaction becomes due. */
export function excessRuns(layout: Layout, options: TreeOptions): number {
  const counted = options.compaction === "leveled" ? layout.levels[0] : layout.runs;
  const due = options.compaction === "leveled" ? options.level0Tables : options.level0Tables * RUNS_FACTOR;
  return Math.max(0, (counted?.length ?? 0) - due);
}

export function inputsOf(pick: Pick): Table[] {
  return pick.kind === "rewrite" ? pick.inputs.flat() : [...pick.tables];
}

/** Whether it writes one table anew where it stands. */
export function isInPlace(layout: Layout, pick: Extract<Pick, { kind: "rewrite" }>): boolean {
  const [table, ...others] = inputsOf(pick);
  return table !== undefined && others.length === 0 && layout.placeOf(table).level === pick.output.level;
}

function removeFenced(layout: Layout, rule: DropRule, claims: Claims): Pick | null {
  const gone: Table[] = [];
  for (const [bucket, tables] of layout.tablesOfOneBucket) {
    if (rule.fenced(bucket)) for (const table of tables) if (!claims.has(table)) gone.push(table);
  }
  return gone.length > 0 ? { kind: "remove", tables: gone } : null;
}

function purgeFenced({ layout, claims, impure }: PickState): Pick | null {
  for (const table of layout.tables) if (impure.has(table) && !claims.has(table)) return rewriteInPlace(layout, table);
  return null;
}

function pickTombstones(state: PickState): Pick | null {
  const { layout, options, claims } = state;
  for (const table of layout.tables) {
    if (!isRich(table) || claims.has(table) || state.settled.has(table.record.number)) continue;
    if (isCovering(layout, table)) {
      const met =
        options.compaction === "leveled"
          ? pickTombstonesLeveled(layout, options, claims, table)
          : pickTombstonesTiered(layout, claims, table);
      if (met !== null && isWorthIt(met)) return met;
    } else return rewriteInPlace(layout, table);
  }
  return null;
}

function isRich({ footer }: Table): boolean {
  return footer.tombstoneCount > footer.entryCount * TOMBSTONE_SHARE_MAX;
}

function isWorthIt(pick: Pick): boolean {
  let tombstones = 0;
  let entries = 0;
  for (const { footer } of inputsOf(pick)) {
    tombstones += footer.tombstoneCount;
    entries += footer.entryCount;
  }
  return tombstones >= entries * TOMBSTONE_SHARE_WORTH;
}

/** Whether something older than the table's versions may lie elsewhere. */
function isCovering(layout: Layout, table: Table): boolean {
  const others = layout.runs.map((run) => run.filter((other) => other !== table));
  return olderRanges(others, NONE, table.footer.maxStamp, table.footer).length > 0;
}

function rewriteInPlace(layout: Layout, table: Table): Pick {
  return { kind: "rewrite", inputs: [[table]], output: layout.placeOf(table) };
}
