/**
 * SETRANGE and SETBIT: a part of a value is written over, and a value that is too short grows by zeros. The time to live
 * stays. The version written is the whole new value. Meanings follow Redis 7. Shard thread.
 */
import { bitOffset, bitValue, RANGE_HEADER_BYTES, rangeOffset } from "../record/part-format.ts";
import { errorResult, integerResult, type Result } from "../record/result.ts";
import { TOO_LARGE } from "./apply-strings.ts";
import type { KeyContext } from "./key-context.ts";

const NO_RANGE = errorResult("INVALID_ARGUMENT", "a range begins with its offset");
const NO_BIT = errorResult("INVALID_ARGUMENT", "a bit is an offset, and 0 or 1");

export function applySetRange(context: KeyContext): Result | null {
  const { bytes, view, valueStart, valueEnd } = context.command;
  const offset = rangeOffset(view, valueStart, valueEnd);
  if (offset < 0) return NO_RANGE;
  const found = find(context);
  const first = valueStart + RANGE_HEADER_BYTES;
  if (first === valueEnd) return integerResult(found.byteCount);
  const end = offset + valueEnd - first;
  if (end > context.valueBytesMax) return TOO_LARGE;
  const whole = extended(context, found, end);
  whole.set(bytes.subarray(first, valueEnd), offset);
  return context.put(whole, 0, whole.length, found.expiryMs) ? integerResult(whole.length) : null;
}

export function applySetBit(context: KeyContext): Result | null {
  const { view, valueStart, valueEnd } = context.command;
  const offset = bitOffset(view, valueStart, valueEnd);
  if (offset < 0) return NO_BIT;
  const place = Math.floor(offset / 8);
  if (place >= context.valueBytesMax) return TOO_LARGE;
  const found = find(context);
  const whole = extended(context, found, place + 1);
  const mask = 0x80 >>> (offset % 8);
  const old = (whole[place]! & mask) === 0 ? 0 : 1;
  whole[place] = bitValue(view, valueStart) === 1 ? whole[place]! | mask : whole[place]! & ~mask;
  return context.put(whole, 0, whole.length, found.expiryMs) ? integerResult(old) : null;
}

interface Found {
  readonly isPresent: boolean;
  readonly byteCount: number;
  readonly expiryMs: number;
}

const NOTHING: Found = { isPresent: false, byteCount: 0, expiryMs: 0 };

/** What there is to be changed. */
function find(context: KeyContext): Found {
  if (!context.isPresent()) return NOTHING;
  const { valueStart, valueEnd, expiryMs } = context.store;
  return { isPresent: true, byteCount: valueEnd - valueStart, expiryMs };
}

/** What was found, followed by zeros up to so many bytes if it is shorter. */
function extended({ store }: KeyContext, { isPresent, byteCount }: Found, leastBytes: number): Uint8Array {
  const whole = new Uint8Array(Math.max(byteCount, leastBytes));
  if (isPresent) whole.set(store.valueBytes.subarray(store.valueStart, store.valueEnd));
  return whole;
}
