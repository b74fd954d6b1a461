/** Sets of ranges of table keys, in order and apart from each other. Any thread. */
import { compareBytes } from "../core/bytes.ts";
import { SESSION_BUCKET } from "../core/ids.ts";
import { BUCKET_BYTES, writeTableKey } from "./block-format.ts";
import type { KeyRange } from "./older-ranges.ts";

/** Everything that a shard remembers of client sessions: no key of theirs begins with this byte. */
export const SESSION_RANGE: KeyRange = {
  smallest: tableKeyOf(SESSION_BUCKET, new Uint8Array(0)),
  largest: tableKeyOf(SESSION_BUCKET, Uint8Array.of(0xff)),
};

/** The same keys in order, ranges that meet made one. */
export function joined(ranges: readonly KeyRange[]): KeyRange[] {
  const sorted = [...ranges].sort((a, b) => compareBytes(a.smallest, b.smallest));
  const apart: KeyRange[] = [];
  for (const range of sorted) {
    const last = apart.at(-1);
    if (last === undefined || compareBytes(last.largest, range.smallest) < 0) apart.push(range);
    else if (compareBytes(last.largest, range.largest) < 0) {
      apart[apart.length - 1] = { smallest: last.smallest, largest: range.largest };
    }
  }
  return apart;
}

/** The least range that has all of these in it; null: of none. */
export function spanOf(ranges: readonly KeyRange[]): KeyRange | null {
  const apart = joined(ranges);
  const [first] = apart;
  const last = apart.at(-1);
  return first === undefined || last === undefined ? null : { smallest: first.smallest, largest: last.largest };
}

export function isWithinAny(ranges: readonly KeyRange[], tableKey: Uint8Array): boolean {
  return ranges.some((range) => isWithin(range, tableKey));
}

/** Whether all of `inner` lies in one of the ranges. */
export function coversRange(ranges: readonly KeyRange[], inner: KeyRange): boolean {
  return ranges.some((range) => isWithin(range, inner.smallest) && isWithin(range, inner.largest));
}

function isWithin({ smallest, largest }: KeyRange, tableKey: Uint8Array): boolean {
  return compareBytes(smallest, tableKey) <= 0 && compareBytes(tableKey, largest) <= 0;
}

export function tableKeyOf(bucket: number, key: Uint8Array): Uint8Array {
  const tableKey = new Uint8Array(key.length + BUCKET_BYTES);
  writeTableKey(tableKey, bucket, key);
  return tableKey;
}
