/** The figures of a tree. */
import { bytesOf, type Layout } from "./layout.ts";
import type { ValueStats } from "./tree-values.ts";

export interface TreeStats extends LayoutStats, ValueStats {
  /** Since the tree was opened. */
  readonly flushCount: number;
  readonly compactionCount: number;
  /** Bytes of the tables that flushes wrote. */
  readonly flushBytes: number;
  /** Bytes of the tables that compactions wrote. */
  readonly compactionBytes: number;
}

interface LayoutStats {
  readonly tableCount: number;
  readonly tableBytes: number;
  /** Runs that a look-up may have to ask: read amplification. */
  readonly runCount: number;
  /** Bytes of the oldest run. All bytes over these are space amplification, at most: what lies above may be new. */
  readonly oldestRunBytes: number;
  /** Versions, tombstones among them. */
  readonly tableEntries: number;
  /** Level 0 first. */
  readonly tablesPerLevel: readonly number[];
}

export function layoutStats({ tables, levels, runs }: Layout): LayoutStats {
  let tableEntries = 0;
  for (const table of tables) tableEntries += table.footer.entryCount;
  return {
    tableCount: tables.length,
    tableBytes: bytesOf(tables),
    runCount: runs.length,
    oldestRunBytes: bytesOf(runs.at(-1) ?? []),
    tableEntries,
    tablesPerLevel: levels.map((runsOf) => runsOf.flat().length),
  };
}
