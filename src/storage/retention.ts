/**
 * Which overwritten versions somebody may still read. A version is read at a stamp S when it is the newest one not above
 * S, that is, from its own stamp up to the stamp of the one that overwrote it. Plain values, so that a job can take them
 * along; any thread.
 */
import { at } from "../core/assert.ts";
import { compareStamps, type Stamp } from "../core/stamp.ts";

export interface Retention {
  /** The stamps of snapshots, ascending. */
  readonly snapshots: readonly Stamp[];
  /** Every moment from this stamp on may be read; null: none but those of snapshots and the present. */
  readonly from: Stamp | null;
}

/** Nothing but the present is read. */
export const NO_RETENTION: Retention = { snapshots: [], from: null };

/** Whether a version is read by somebody although a newer one has taken its place. */
export function isRetained(retention: Retention, version: Stamp, newer: Stamp): boolean {
  const { snapshots, from } = retention;
  if (from !== null && isAbove(newer, from)) return true;
  let low = 0;
  let high = snapshots.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isAbove(version, at(snapshots, middle))) low = middle + 1;
    else high = middle;
  }
  return low < snapshots.length && isAbove(newer, at(snapshots, low));
}

/** Whether somebody reads as of a moment before the stamp. */
export function isReadBefore(retention: Retention, stamp: Stamp): boolean {
  const { snapshots, from } = retention;
  const oldest = snapshots[0];
  return (from !== null && isAbove(stamp, from)) || (oldest !== undefined && isAbove(stamp, oldest));
}

function isAbove(a: Stamp, b: Stamp): boolean {
  return compareStamps(a.high, a.low, b.high, b.low) > 0;
}
