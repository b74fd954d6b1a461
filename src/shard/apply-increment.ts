/**
 * INCR, DECR, INCRBY, DECRBY: a decimal number kept as text. Only the one canonical spelling of an i64 counts as a
 * number, as in Redis (util.c, string2ll): no sign but "-", no spaces, no leading zeros, no "-0". Shard thread.
 */
import { errorResult, integerResult, type Result } from "../record/result.ts";
import type { KeyContext } from "./key-context.ts";

const I64_MIN = -(2n ** 63n);
const I64_MAX = 2n ** 63n - 1n;
/** "-9223372036854775808" */
const TEXT_BYTES_MAX = 20;
/** Digits that a double holds exactly. */
const SAFE_DIGITS = 15;

const NOT_AN_INTEGER = errorResult("NOT_AN_INTEGER", "value is not an integer or out of range");
const OVERFLOW = errorResult("OVERFLOW", "increment or decrement would overflow");

const scratch = new Uint8Array(TEXT_BYTES_MAX);

export function applyIncrement(context: KeyContext): Result | null {
  const { command, store } = context;
  let old: bigint | null = 0n;
  let expiryMs = 0;
  if (context.isPresent()) {
    old = parseInteger(store.valueBytes, store.valueStart, store.valueEnd);
    if (old === null) return NOT_AN_INTEGER;
    expiryMs = store.expiryMs;
  }
  if (command.valueEnd - command.valueStart !== 8) return NOT_AN_INTEGER;
  const sum = old + command.view.getBigInt64(command.valueStart, true);
  if (sum < I64_MIN || sum > I64_MAX) return OVERFLOW;
  const digits = sum.toString();
  for (let i = 0; i < digits.length; i++) scratch[i] = digits.charCodeAt(i);
  return context.put(scratch, 0, digits.length, expiryMs) ? integerResult(sum) : null;
}

/** The number that the bytes spell, or null. */
function parseInteger(bytes: Uint8Array, start: number, end: number): bigint | null {
  if (end - start > TEXT_BYTES_MAX) return null;
  const isNegative = bytes[start] === 0x2d;
  const first = isNegative ? start + 1 : start;
  if (first >= end) return null;
  if (bytes[first] === 0x30) return end - start === 1 ? 0n : null;
  let magnitude = 0;
  for (let i = first; i < end; i++) {
    const digit = bytes[i]! - 0x30;
    if (digit < 0 || digit > 9) return null;
    magnitude = magnitude * 10 + digit;
  }
  if (end - first <= SAFE_DIGITS) return BigInt(isNegative ? -magnitude : magnitude);
  const exact = exactMagnitude(bytes, first, end);
  const value = isNegative ? -exact : exact;
  return value < I64_MIN || value > I64_MAX ? null : value;
}

/** The digits of a range that holds nothing else. */
function exactMagnitude(bytes: Uint8Array, start: number, end: number): bigint {
  let magnitude = 0n;
  for (let i = start; i < end; i++) magnitude = magnitude * 10n + BigInt(bytes[i]! - 0x30);
  return magnitude;
}
