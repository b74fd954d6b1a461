/**
 * Where versions older than those of a job may still lie: the key ranges and smallest stamps of the tables that are not
 * its inputs, frozen when it begins. As long as one of them may hold an older version of a key, a tombstone of that key
 * stays. Plain values, so that they can go to another thread with the job.
 *
 * Frozen is enough: what becomes a table later is either rewritten from what is one now, or was flushed from a memtable,
 * whose stamps are newer than every table's. Any thread.
 */
import { compareBytes } from "../core/bytes.ts";
import { compareStamps, type Stamp } from "../core/stamp.ts";
import { compareToTarget } from "./block-cursor.ts";
import type { Run } from "./layout.ts";
import type { Table } from "./table.ts";

/** Table keys. */
export interface KeyRange {
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
}

export interface OlderRange extends KeyRange {
  readonly minStamp: Stamp;
}

/** A run each: in key order, none overlapping. */
export type OlderRanges = readonly (readonly OlderRange[])[];

/**
 * The ranges of all tables outside `inputs` that may hold something older than `maxStamp` between the two keys; null:
 * between any.
 */
export function olderRanges(
  runs: readonly Run[],
  inputs: ReadonlySet<Table>,
  maxStamp: Stamp,
  within: KeyRange | null,
): OlderRanges {
  const ranges: OlderRange[][] = [];
  for (const run of runs) {
    const older: OlderRange[] = [];
    for (const table of run) {
      const { smallest, largest, minStamp } = table.footer;
      if (inputs.has(table) || compareStamps(minStamp.high, minStamp.low, maxStamp.high, maxStamp.low) > 0) continue;
      if (within === null || rangesOverlap(within, table.footer)) older.push({ smallest, largest, minStamp });
    }
    if (older.length > 0) ranges.push(older);
  }
  return ranges;
}

/** Whether a version of the table key that is older than the stamp may lie in one of the ranges. */
export function mayHoldOlder(ranges: OlderRanges, tableKey: Uint8Array, high: number, low: number): boolean {
  for (const run of ranges) {
    const range = run[firstEndingAt(run, tableKey)];
    if (range === undefined) continue;
    const { smallest, minStamp } = range;
    if (compareToTarget(smallest, 0, smallest.length, tableKey, tableKey.length) > 0) continue;
    if (compareStamps(minStamp.high, minStamp.low, high, low) <= 0) return true;
  }
  return false;
}

export function rangesOverlap(a: KeyRange, b: KeyRange): boolean {
  return compareBytes(a.smallest, b.largest) <= 0 && compareBytes(b.smallest, a.largest) <= 0;
}

/** From the smallest to the largest key of the tables; null of none. */
export function rangeOf(tables: readonly Table[]): KeyRange | null {
  let smallest: Uint8Array | null = null;
  let largest: Uint8Array | null = null;
  for (const { footer } of tables) {
    if (smallest === null || compareBytes(footer.smallest, smallest) < 0) smallest = footer.smallest;
    if (largest === null || compareBytes(footer.largest, largest) > 0) largest = footer.largest;
  }
  return smallest === null || largest === null ? null : { smallest, largest };
}

/** Index of the first range of a run whose largest key is at or behind the key. */
function firstEndingAt(run: readonly OlderRange[], tableKey: Uint8Array): number {
  let low = 0;
  let high = run.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { largest } = run[middle]!;
    if (compareToTarget(largest, 0, largest.length, tableKey, tableKey.length) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
