/**
 * The keys of a bucket that a walk is about: from `low` on, below `high`. A prefix and bounds of either kind come down to
 * this. Any thread.
 */
import type { KeyBound } from "../bridge/shard-protocol.ts";
import { compareBytes } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";

export interface KeyRange {
  readonly bucket: number;
  /** What all keys of the range begin with. */
  readonly prefix: Uint8Array;
  readonly low: Uint8Array;
  /** Null: to the end of the bucket. */
  readonly high: Uint8Array | null;
}

/** The last id, which no bucket has: behind every other there has to be one more. */
const BUCKET_LIMIT = 0xffff_ffff;

/** All keys that begin with the prefix and lie within both bounds; null: none on that side. Throws INVALID_ARGUMENT. */
export function keyRange(bucket: number, prefix: Uint8Array, lower: KeyBound | null, upper: KeyBound | null): KeyRange {
  if (bucket >= BUCKET_LIMIT) throw new EnvelopeError("INVALID_ARGUMENT", `${bucket} is no bucket's id`);
  let low = prefix;
  if (lower !== null) {
    const from = lower.isInclusive ? lower.key : successorOf(lower.key);
    if (compareBytes(from, low) > 0) low = from;
  }
  let high = prefixEnd(prefix);
  if (upper !== null) {
    const to = upper.isInclusive ? successorOf(upper.key) : upper.key;
    if (high === null || compareBytes(to, high) < 0) high = to;
  }
  return { bucket, prefix, low, high };
}

/** The smallest byte string behind a key. */
export function successorOf(key: Uint8Array): Uint8Array {
  const successor = new Uint8Array(key.length + 1);
  successor.set(key);
  return successor;
}

/** The first key behind all that begin with the prefix; null when there is none. */
function prefixEnd(prefix: Uint8Array): Uint8Array | null {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return null;
  const end = prefix.slice(0, length);
  end[length - 1]! += 1;
  return end;
}
