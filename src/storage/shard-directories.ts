/**
 * The directories in a shard's own, and which of them holds its data:
 *
 *   shard-0000/                   hard state, and the data of a shard that has never installed a snapshot
 *     generation.meta             absent, or which generation holds the data (generation-format.ts)
 *     generation-00000001/        the data since an installation, or one that is still coming
 *     snapshot-0001/              second names for other members; gone with the next start
 *
 * Any thread.
 */
import type { Disk } from "../env/disk.ts";

const SNAPSHOT = /^snapshot-(\d{4,15})$/;

export function snapshotDirectory(root: string, id: number): string {
  return `${root}/snapshot-${String(id).padStart(4, "0")}`;
}

/** The ids of the snapshots whose directories are there, ascending. */
export function snapshotIds(disk: Disk, root: string): number[] {
  return numbersOf(disk, root, SNAPSHOT);
}

function numbersOf(disk: Disk, root: string, pattern: RegExp): number[] {
  const numbers: number[] = [];
  for (const name of disk.list(root)) {
    const digits = pattern.exec(name)?.[1];
    if (digits !== undefined) numbers.push(Number(digits));
  }
  return numbers.sort((a, b) => a - b);
}
