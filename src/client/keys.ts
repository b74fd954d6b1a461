/** Keys and the texts that name things, from what a caller gives to what is sent, and times. */
import { EMPTY_BYTES, text } from "../core/bytes.ts";
import type { BinaryReadMode, Condition as WireCondition, Expiry as WireExpiry } from "../wire/binary-messages.ts";
import { checkedBytes, encodeText } from "./codec.ts";
import type { Condition, Expiry, Key, ReadMode } from "./database.ts";
import { InvalidArgumentError } from "./errors.ts";

export function keyBytes(key: Key): Uint8Array {
  return typeof key === "string" ? encodeText(key) : checkedBytes(key);
}

export function optionalKey(key: Key | undefined): Uint8Array {
  return key === undefined ? EMPTY_BYTES : keyBytes(key);
}

/** For showing: what is not UTF-8 is replaced. */
export function keyText(key: Uint8Array): string {
  return text(key);
}

export function wireMode(mode: ReadMode): { readonly mode: BinaryReadMode; readonly staleMs: number } {
  if (typeof mode === "string") return { mode, staleMs: 0 };
  return { mode: "stale", staleMs: milliseconds(mode.stale, "stale") };
}

export function wireExpiry({ ttlMs, expiresAt, keepTtl }: Expiry): WireExpiry {
  const count = Number(ttlMs !== undefined) + Number(expiresAt !== undefined) + Number(keepTtl !== undefined);
  if (count > 1) throw new InvalidArgumentError("one of ttlMs, expiresAt and keepTtl, not several");
  if (ttlMs !== undefined) return { kind: "ttl", ms: milliseconds(ttlMs, "ttlMs") };
  if (expiresAt !== undefined) return { kind: "at", ms: instant(expiresAt) };
  return keepTtl === undefined ? { kind: "none" } : { kind: "keep" };
}

/** When a key is to end that is there. */
export function wireEnd(when: number | Date): WireExpiry {
  return when instanceof Date ? { kind: "at", ms: instant(when) } : { kind: "ttl", ms: milliseconds(when, "ttlMs") };
}

/** `encode` makes the bytes of a value. */
export function wireCondition<T>(condition: Condition<T>, encode: (value: T) => Uint8Array): WireCondition {
  const { ifAbsent, ifPresent, ifVersion } = condition;
  // A value may be undefined only by not being given: JSON has no undefined.
  const isValue = condition.ifValue !== undefined;
  const count =
    Number(ifAbsent === true) + Number(ifPresent === true) + Number(ifVersion !== undefined) + Number(isValue);
  if (count > 1) throw new InvalidArgumentError("one of ifAbsent, ifPresent, ifVersion and ifValue, not several");
  if (ifAbsent === true) return { kind: "absent" };
  if (ifPresent === true) return { kind: "present" };
  if (ifVersion !== undefined) return { kind: "version", version: ifVersion };
  return condition.ifValue === undefined ? { kind: "always" } : { kind: "value", value: encode(condition.ifValue) };
}

/** What is to be added. */
export function integer(value: number | bigint): bigint {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new InvalidArgumentError("what is added is a whole number, a bigint if it is large");
  }
  return BigInt(value);
}

/** Milliseconds since 1970, 0: never. */
export function dateOf(expiryMs: number): Date | null {
  return expiryMs === 0 ? null : new Date(expiryMs);
}

function milliseconds(value: number, name: string): number {
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError(`${name} is a whole number from 1`);
  return value;
}

function instant(date: Date): number {
  const ms = date.getTime();
  if (!Number.isSafeInteger(ms) || ms < 1) throw new InvalidArgumentError("a date after 1970 is needed");
  return ms;
}
