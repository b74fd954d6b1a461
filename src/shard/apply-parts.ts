/**
 * SETRANGE and SETBIT: a part of a value is written over, and a value that is too short grows by zeros. The time to live
 * stays. The version written is the whole new value. Meanings follow Redis 7. Shard thread.
 */
import { bitOffset, bitValue, RANGE_HEADER_BYTES, rangeOffset } from "../record/part-format.ts";
import { errorResult, integerResult, type Result } from "../record/result.ts";
import { TOO_LARGE } from "./apply-strings.ts";
import { extended, type KeyContext } from "./key-context.ts";

const NO_RANGE = errorResult("INVALID_ARGUMENT", "a range begins with its offset");
const NO_BIT = errorResult("INVALID_ARGUMENT", "a bit is an offset, and 0 or 1");

export function applySetRange(context: KeyContext): Result | null {
  const { bytes, view, valueStart, valueEnd } = context.command;
  const offset = rangeOffset(view, valueStart, valueEnd);
  if (offset < 0) return NO_RANGE;
  const { isPresent, byteCount, expiryMs } = found(context);
  const first = valueStart + RANGE_HEADER_BYTES;
  if (first === valueEnd) return integerResult(byteCount);
  const end = offset + valueEnd - first;
  if (end > context.valueBytesMax) return TOO_LARGE;
  const whole = extended(context, isPresent, Math.max(byteCount, end));
  whole.set(bytes.subarray(first, valueEnd), offset);
  return context.put(whole, 0, whole.length, expiryMs) ? integerResult(whole.length) : null;
}

export function applySetBit(context: KeyContext): Result | null {
  const { view, valueStart, valueEnd } = context.command;
  const offset = bitOffset(view, valueStart, valueEnd);
  if (offset < 0) return NO_BIT;
  const place = Math.floor(offset / 8);
  if (place >= context.valueBytesMax) return TOO_LARGE;
  const { isPresent, byteCount, expiryMs } = found(context);
  const whole = extended(context, isPresent, Math.max(byteCount, place + 1));
  const mask = 0x80 >>> (offset % 8);
  const old = (whole[place]! & mask) === 0 ? 0 : 1;
  whole[place] = bitValue(view, valueStart) === 1 ? whole[place]! | mask : whole[place]! & ~mask;
  return context.put(whole, 0, whole.length, expiryMs) ? integerResult(old) : null;
}

/** What there is to be changed. */
function found(context: KeyContext): { isPresent: boolean; byteCount: number; expiryMs: number } {
  if (!context.isPresent()) return { isPresent: false, byteCount: 0, expiryMs: 0 };
  const { valueStart, valueEnd, expiryMs } = context.store;
  return { isPresent: true, byteCount: valueEnd - valueStart, expiryMs };
}
