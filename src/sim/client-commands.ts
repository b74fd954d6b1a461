/**
 * What an operation of a simulated client is to the coordinator that is asked for it, and what its answers say about
 * whether it was carried out.
 */
import { EMPTY_BYTES, utf8 } from "../core/bytes.ts";
import { EnvelopeError, isErrorCode } from "../core/errors.ts";
import type { Random } from "../core/random.ts";
import { type ByteRange, CommandType, MODIFIER_NX } from "../record/command-format.ts";
import type { Result } from "../record/result.ts";
import { type Condition, encodeTransaction, type Transaction } from "../record/transaction-format.ts";
import type { Call } from "./history.ts";
import { isRead, type KeyInput } from "./key-model.ts";
import { firstOf, isPairInput, pairTransaction } from "./pair-model.ts";
import { EPOCH_MS } from "./sim-clock.ts";

/** Longer than all jumps of a clock together. */
const LONG_MS = 1000 * 24 * 3_600_000;
const SOON_MS = { min: -500, max: 2500 };

export type WriteInput = Exclude<KeyInput, { kind: "get" | "list" | "look" | "swap" }>;

/** `gone`: it has happened, or never will. */
export type Outcome = "returned" | "noBucket" | "notExecuted" | "unknown" | "gone";

/** The key that it is on, where that is a single one. */
export function keyRangeOf({ key, input }: Call): ByteRange {
  if (isPairInput(input)) return rangeOf(firstOf(key));
  return rangeOf(utf8("member" in input ? input.member : key));
}

export function commandOf({ key }: Call, input: WriteInput): readonly [CommandType, number, ByteRange] {
  switch (input.kind) {
    case "set":
    case "setExpiring":
    case "add":
      return [CommandType.put, 0, rangeOf(utf8(input.value))];
    case "setIfAbsent":
      return [CommandType.conditionalPut, MODIFIER_NX, rangeOf(utf8(input.value))];
    case "delete":
    case "remove":
      return [CommandType.delete, 0, rangeOf(EMPTY_BYTES)];
    case "increment": {
      const value = new Uint8Array(8);
      new DataView(value.buffer).setBigInt64(0, input.by, true);
      return [CommandType.increment, 0, rangeOf(value)];
    }
    case "move":
    case "clear":
      return [CommandType.transaction, 0, rangeOf(encodeTransaction(pairTransaction(key, input)))];
  }
}

/** Writes the value where the version is that was read; of the read the answer is given. */
export function swapTransaction(key: string, value: string, read: Result): Transaction {
  const name = utf8(key);
  const condition: Condition =
    read.kind === "stamped"
      ? { kind: "stamp", key: name, high: read.stampHigh, low: read.stampLow }
      : { kind: "absent", key: name };
  const put = {
    kind: "write",
    type: CommandType.put,
    modifiers: 0,
    key: name,
    value: utf8(value),
    expiryMs: 0,
  } as const;
  return { conditions: [condition], operations: [put] };
}

/** When what it writes expires, 0: never. `nowMs`: virtual time. */
export function expiryMsOf(input: KeyInput, nowMs: number, random: Random): number {
  if (input.kind !== "setExpiring") return 0;
  if (input.expiry === "long ago") return EPOCH_MS - LONG_MS;
  if (input.expiry === "long hence") return EPOCH_MS + LONG_MS;
  return Math.floor(EPOCH_MS + nowMs + SOON_MS.min + random.fraction() * (SOON_MS.max - SOON_MS.min));
}

export function outcomeOf(result: Result, input: KeyInput): Outcome {
  if (result.kind === "page" && result.next !== null) return "notExecuted";
  if (isDefinite(result)) return "returned";
  if (isError(result, "NO_BUCKET")) return "noBucket";
  return isRead(input) || isRefused(result) ? "notExecuted" : "unknown";
}

/**
 * As `outcomeOf`, for an attempt at a command of a session. A refusal says nothing about attempts made before. Unknown: it is
 * to be sent again.
 */
export function onceOutcomeOf(result: Result, isFirst: boolean): Outcome {
  if (isDefinite(result)) return "returned";
  if (isError(result, "SESSION_GONE")) return isFirst ? "notExecuted" : "gone";
  // No bucket is ever dropped: before there was one nothing can have been carried out in it.
  return isError(result, "NO_BUCKET") ? "noBucket" : "unknown";
}

/** Whether it says what the operation came to. */
export function isDefinite(result: Result): boolean {
  return result.kind !== "error" || result.code === "NOT_AN_INTEGER" || result.code === "CONFLICT";
}

/** Whether nothing has been executed. */
export function isRefused(result: Result): boolean {
  if (result.kind !== "error") return false;
  const retry = isErrorCode(result.code) ? new EnvelopeError(result.code, result.message).retry : "unknown";
  return retry === "safe" || result.code === "NO_BUCKET";
}

export function isError(result: Result, code: string): boolean {
  return result.kind === "error" && result.code === code;
}

/** A result that is still whole when the call that brought it is over. */
export function detached(result: Result): Result {
  if (result.kind === "results") return { kind: "results", results: result.results.map(detached) };
  if (result.kind === "stamped") return { ...result, value: result.value.slice() };
  if (result.kind !== "version") return result;
  const { kind, valueBytes, expiryMs, value } = result;
  return { kind, valueBytes, expiryMs, value: value.slice() };
}

function rangeOf(bytes: Uint8Array): ByteRange {
  return { bytes, start: 0, end: bytes.length };
}
