/**
 * Sums of decimal texts as Redis makes them: in the x87's 80-bit floating point, which JavaScript does not have. A number
 * is mantissa · 2^exponent with a mantissa of at most 64 bits; reading (strtold of glibc), adding and writing ("%.17Lf"
 * without trailing zeros) are done exactly in integers and rounded once, to the nearest, ties to even. So the same texts give
 * the same text on every machine. Any thread.
 *
 *   bits of the mantissa           64
 *   largest                        (2^64 − 1) · 2^16320
 *   smallest above zero            2^−16445
 */

export interface FiniteFloat {
  /** Carries the sign. */
  readonly mantissa: bigint;
  readonly exponent: number;
}

/** An infinity of either sign, or what has no value because of one. */
export const INFINITE = "infinite";
export type ExtendedFloat = FiniteFloat | typeof INFINITE;

/** A sign and the digits of the largest number: none that has so many before its point has any behind it. */
export const FLOAT_TEXT_BYTES_MAX = 4934;

const MANTISSA_BITS = 64;
const EXPONENT_MIN = -16_445;
/** No number reaches 2 to the power of this. */
const POWER_MAX = 16_384;
/** A text from this length on is no number: the buffer that Redis copies it to is so long. */
const TEXT_BYTES_END = 5 * 1024;
/** 10^4933 is above every number, and whatever lies below 10^−4951 is rounded to zero. */
const DECIMAL_POWER_MAX = 4933;
const DECIMAL_POWER_MIN = -4951;
/** A quotient of so many bits, and one more for "and something", is enough to be rounded correctly. */
const QUOTIENT_BITS = 66;
const FRACTION_DIGITS = 17;
const FRACTION_UNIT = 10n ** 17n;

const ZERO: FiniteFloat = { mantissa: 0n, exponent: 0 };
const ASCII = new TextDecoder("latin1");

const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d+))?$/i;
const HEXADECIMAL = /^([+-]?)0x([\da-f]*)(?:\.([\da-f]*))?(?:p([+-]?\d+))?$/i;
const INFINITY = /^[+-]?inf(?:inity)?$/i;

/** The number that a range of bytes spells and nothing else, or null. One that is too large or too small is none. */
export function parseExtendedFloat(bytes: Uint8Array, start: number, end: number): ExtendedFloat | null {
  if (end <= start || end - start >= TEXT_BYTES_END) return null;
  const text = ASCII.decode(bytes.subarray(start, end));
  if (INFINITY.test(text)) return INFINITE;
  const decimal = DECIMAL.exec(text);
  if (decimal !== null) return fromDecimal(decimal);
  const hexadecimal = HEXADECIMAL.exec(text);
  return hexadecimal === null ? null : fromHexadecimal(hexadecimal);
}

export function addExtendedFloats(a: ExtendedFloat, b: ExtendedFloat): ExtendedFloat {
  if (a === INFINITE || b === INFINITE) return INFINITE;
  const exponent = Math.min(a.exponent, b.exponent);
  const sum = (a.mantissa << BigInt(a.exponent - exponent)) + (b.mantissa << BigInt(b.exponent - exponent));
  return sum < 0n ? rounded(true, -sum, exponent) : rounded(false, sum, exponent);
}

/** At most 17 digits behind the point, none of them a trailing zero, and never an exponent. */
export function formatExtendedFloat({ mantissa, exponent }: FiniteFloat): string {
  const magnitude = mantissa < 0n ? -mantissa : mantissa;
  const sign = mantissa < 0n ? "-" : "";
  if (exponent >= 0) return sign + String(magnitude << BigInt(exponent));
  const scaled = shiftedToEven(magnitude * FRACTION_UNIT, -exponent);
  if (scaled === 0n) return "0";
  const fraction = String(scaled % FRACTION_UNIT).padStart(FRACTION_DIGITS, "0");
  const shown = fraction.replace(/0+$/, "");
  return `${sign}${scaled / FRACTION_UNIT}${shown === "" ? "" : "."}${shown}`;
}

function fromDecimal([, sign, whole = "", fraction = "", power = "0"]: RegExpExecArray): ExtendedFloat | null {
  if (whole === "" && fraction === "") return null;
  const digits = (whole + fraction).replace(/^0+/, "");
  if (digits === "") return ZERO;
  const tens = Number(power) - fraction.length;
  const decimalPower = digits.length + tens;
  if (decimalPower > DECIMAL_POWER_MAX || decimalPower < DECIMAL_POWER_MIN) return null;
  const isNegative = sign === "-";
  const magnitude = BigInt(digits);
  if (tens >= 0) return unlessLost(rounded(isNegative, magnitude * 10n ** BigInt(tens), 0));
  const divisor = 10n ** BigInt(-tens);
  const shift = Math.max(0, QUOTIENT_BITS + bitLength(divisor) - bitLength(magnitude));
  const dividend = magnitude << BigInt(shift);
  const quotient = dividend / divisor;
  const rest = quotient * divisor === dividend ? 0n : 1n;
  return unlessLost(rounded(isNegative, (quotient << 1n) | rest, -shift - 1));
}

function fromHexadecimal([, sign, whole = "", fraction = "", power = "0"]: RegExpExecArray): ExtendedFloat | null {
  if (whole === "" && fraction === "") return null;
  const magnitude = BigInt(`0x${whole}${fraction}`);
  if (magnitude === 0n) return ZERO;
  return unlessLost(rounded(sign === "-", magnitude, Number(power) - 4 * fraction.length));
}

/** Null for a text whose number went beyond either end of the range. */
function unlessLost(float: ExtendedFloat): ExtendedFloat | null {
  return float === INFINITE || float.mantissa === 0n ? null : float;
}

function rounded(isNegative: boolean, magnitude: bigint, exponent: number): ExtendedFloat {
  const bits = bitLength(magnitude);
  if (bits === 0) return ZERO;
  if (bits + exponent > POWER_MAX) return INFINITE;
  const excess = Math.max(0, bits - MANTISSA_BITS, EXPONENT_MIN - exponent);
  if (excess > bits) return ZERO;
  const kept = shiftedToEven(magnitude, excess);
  if (kept === 0n) return ZERO;
  if (bitLength(kept) + exponent + excess > POWER_MAX) return INFINITE;
  return { mantissa: isNegative ? -kept : kept, exponent: exponent + excess };
}

/** magnitude / 2^bits as the nearest integer, of two the even one. */
function shiftedToEven(magnitude: bigint, bits: number): bigint {
  if (bits === 0) return magnitude;
  const shift = BigInt(bits);
  const whole = magnitude >> shift;
  const rest = magnitude - (whole << shift);
  const half = 1n << (shift - 1n);
  const isUp = rest > half || (rest === half && (whole & 1n) === 1n);
  return isUp ? whole + 1n : whole;
}

/** Bits up to the highest that is set. */
function bitLength(magnitude: bigint): number {
  const hexadecimal = magnitude.toString(16);
  return hexadecimal.length * 4 - (Math.clz32(Number.parseInt(hexadecimal[0]!, 16)) - 28);
}
