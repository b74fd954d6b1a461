/** Times of expiry as clients give them: seconds or milliseconds, from now or since 1970. */
import { I64_MAX, I64_MIN } from "../wire/resp-integer.ts";
import { invalidExpiry, NOT_AN_INTEGER } from "./texts.ts";

export type ExpiryOption = "ex" | "px" | "exat" | "pxat";

/** A time at or before the epoch is as much in the past as any: 0 would mean "none". */
const LONG_AGO_MS = 1;

export function isExpiryOption(word: string): word is ExpiryOption {
  return word === "ex" || word === "px" || word === "exat" || word === "pxat";
}

/**
 * The time as milliseconds since 1970, or the text of an error: no integer (null), not above zero where that is asked
 * for, or beyond 2^53 − 1 ms, the end of the calendar here (Redis: 2^63 − 1).
 */
export function absoluteExpiry(
  value: bigint | null,
  option: ExpiryOption,
  nowMs: number,
  command: string,
  positive: boolean,
): number | string {
  if (value === null) return NOT_AN_INTEGER;
  if (positive && value <= 0n) return invalidExpiry(command);
  const ms = option === "ex" || option === "exat" ? value * 1000n : value;
  if (ms > I64_MAX || ms < I64_MIN) return invalidExpiry(command);
  const absolute = option === "ex" || option === "px" ? ms + BigInt(nowMs) : ms;
  if (absolute > BigInt(Number.MAX_SAFE_INTEGER)) return invalidExpiry(command);
  return Math.max(LONG_AGO_MS, Number(absolute));
}
