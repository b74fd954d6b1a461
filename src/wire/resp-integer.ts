/**
 * Integers as Redis reads them (`string2ll`): canonical decimal only. No sign but a minus, no leading zeros, no
 * blanks, no "-0", nothing outside 64 bits.
 */
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
/** Digits that always fit a safe integer, so no bigint is needed on the way. */
const SAFE_DIGITS = 15;
const DIGITS_MAX = 19;

export const I64_MAX = 0x7fff_ffff_ffff_ffffn;
export const I64_MIN = -0x8000_0000_0000_0000n;

export function parseI64(bytes: Uint8Array, start: number, end: number): bigint | null {
  const negative = start < end && bytes[start] === MINUS;
  const first = negative ? start + 1 : start;
  const digits = end - first;
  if (digits < 1 || digits > DIGITS_MAX) return null;
  if (bytes[first] === ZERO) return digits === 1 && !negative ? 0n : null;
  let small = 0;
  let value = 0n;
  for (let i = first; i < end; i++) {
    const byte = bytes[i]!;
    if (byte < ZERO || byte > NINE) return null;
    if (i - first < SAFE_DIGITS) small = small * 10 + (byte - ZERO);
    else value = (i - first === SAFE_DIGITS ? BigInt(small) : value) * 10n + BigInt(byte - ZERO);
  }
  if (digits <= SAFE_DIGITS) value = BigInt(small);
  if (negative) value = -value;
  return value > I64_MAX || value < I64_MIN ? null : value;
}
