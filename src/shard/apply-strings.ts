/**
 * Commands on one value that look before they write: SET with conditions, APPEND, DEL, GETDEL. A function returns the
 * result, or null when the arena has no room and nothing was written. Meanings follow Redis 7. Shard thread.
 */
import { MODIFIER_GET, MODIFIER_KEEPTTL, MODIFIER_NX, MODIFIER_XX } from "../record/command-format.ts";
import { errorResult, integerResult, NIL, OK, type Result } from "../record/result.ts";
import type { KeyContext } from "./key-context.ts";

/** Redis's own words: `valueBytesMax` is told to clients under that name. */
export const TOO_LARGE = errorResult("TOO_LARGE", "string exceeds maximum allowed size (proto-max-bulk-len)");

export function applyConditionalPut(context: KeyContext): Result | null {
  const { modifiers, bytes, valueStart, valueEnd } = context.command;
  const isPresent = context.isPresent();
  const wantsOld = (modifiers & MODIFIER_GET) !== 0;
  const old = wantsOld && isPresent ? ({ kind: "bytes", bytes: context.presentValue() } as const) : NIL;
  const forbidden = isPresent ? MODIFIER_NX : MODIFIER_XX;
  if ((modifiers & forbidden) !== 0) return old;
  let expiryMs = context.command.expiryMs;
  if ((modifiers & MODIFIER_KEEPTTL) !== 0) expiryMs = isPresent ? context.store.expiryMs : 0;
  if (!context.put(bytes, valueStart, valueEnd, expiryMs)) return null;
  return wantsOld ? old : OK;
}

export function applyAppend(context: KeyContext): Result | null {
  const { bytes, valueStart, valueEnd } = context.command;
  const addedBytes = valueEnd - valueStart;
  if (!context.isPresent()) {
    return context.put(bytes, valueStart, valueEnd, 0) ? integerResult(addedBytes) : null;
  }
  const store = context.store;
  const oldBytes = store.valueEnd - store.valueStart;
  const byteCount = oldBytes + addedBytes;
  if (byteCount > context.valueBytesMax) return TOO_LARGE;
  const whole = new Uint8Array(byteCount);
  whole.set(store.valueBytes.subarray(store.valueStart, store.valueEnd));
  whole.set(bytes.subarray(valueStart, valueEnd), oldBytes);
  return context.put(whole, 0, byteCount, store.expiryMs) ? integerResult(byteCount) : null;
}

export function applyDelete(context: KeyContext): Result | null {
  if (!context.isPresent()) return integerResult(0);
  return context.remove() ? integerResult(1) : null;
}

export function applyGetDelete(context: KeyContext): Result | null {
  if (!context.isPresent()) return NIL;
  const bytes = context.presentValue();
  return context.remove() ? { kind: "bytes", bytes } : null;
}
