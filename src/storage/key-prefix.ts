/** Whether a walk within a prefix can spare itself a run. Any thread. */
import { at } from "../core/assert.ts";
import { compareToTarget } from "./block-cursor.ts";
import { BUCKET_BYTES, sharedBytes, writeTableKey } from "./block-format.ts";
import { firstTableEndingAt, type Table } from "./table.ts";

/** All keys of a bucket that begin with the same bytes. */
export interface KeyPrefix {
  readonly bucket: number;
  readonly prefix: Uint8Array;
}

/** Whether a run may have keys with the prefix, by the ranges and filters of its tables: false is certain. */
export function mayHoldPrefix(run: readonly Table[], { bucket, prefix }: KeyPrefix): boolean {
  const target = new Uint8Array(prefix.length + BUCKET_BYTES);
  writeTableKey(target, bucket, prefix);
  for (let i = firstTableEndingAt(run, target, target.length); i < run.length; i++) {
    const table = at(run, i);
    const { smallest } = table.footer;
    const isBehind = compareToTarget(smallest, 0, smallest.length, target, target.length) > 0;
    if (isBehind && sharedBytes(smallest, smallest.length, target, target.length) < target.length) return false;
    if (table.mayHoldPrefix(bucket, prefix)) return true;
  }
  return false;
}
