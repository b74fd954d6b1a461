/** INCRBYFLOAT: a number kept as text, added to as Redis does it (core/extended-float.ts). Shard thread. */
import { utf8 } from "../core/bytes.ts";
import {
  addExtendedFloats,
  type ExtendedFloat,
  formatExtendedFloat,
  INFINITE,
  parseExtendedFloat,
} from "../core/extended-float.ts";
import { errorResult, type Result } from "../record/result.ts";
import { TOO_LARGE } from "./apply-strings.ts";
import type { KeyContext } from "./key-context.ts";

const NOT_A_FLOAT = errorResult("NOT_A_FLOAT", "value is not a valid float");
const NOT_FINITE = errorResult("OVERFLOW", "increment would produce NaN or Infinity");

const ZERO: ExtendedFloat = { mantissa: 0n, exponent: 0 };

export function applyIncrementFloat(context: KeyContext): Result | null {
  const { command, store } = context;
  const isPresent = context.isPresent();
  const old = isPresent ? parseExtendedFloat(store.valueBytes, store.valueStart, store.valueEnd) : ZERO;
  const amount = parseExtendedFloat(command.bytes, command.valueStart, command.valueEnd);
  if (old === null || amount === null) return NOT_A_FLOAT;
  const sum = addExtendedFloats(old, amount);
  if (sum === INFINITE) return NOT_FINITE;
  const bytes = utf8(formatExtendedFloat(sum));
  if (bytes.length > context.valueBytesMax) return TOO_LARGE;
  return context.put(bytes, 0, bytes.length, isPresent ? store.expiryMs : 0) ? { kind: "bytes", bytes } : null;
}
