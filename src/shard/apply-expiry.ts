/**
 * EXPIRE and its relatives, PERSIST, GETEX. The command carries the absolute time; "now" is its stamp. A time that has
 * come already deletes the key. NX, XX, GT and LT follow Redis 7: no expiry counts as infinitely late. Shard thread.
 */
import {
  FLAG_EXPIRY,
  MODIFIER_GT,
  MODIFIER_LT,
  MODIFIER_NX,
  MODIFIER_PERSIST,
  MODIFIER_XX,
} from "../record/command-format.ts";
import { integerResult, NIL, type Result } from "../record/result.ts";
import type { KeyContext } from "./key-context.ts";

export function applyExpire(context: KeyContext): Result | null {
  if (!context.isPresent()) return integerResult(0);
  const { modifiers, expiryMs } = context.command;
  if (!isAllowed(modifiers, context.store.expiryMs, expiryMs)) return integerResult(0);
  return setExpiry(context, expiryMs) ? integerResult(1) : null;
}

export function applyPersist(context: KeyContext): Result | null {
  if (!context.isPresent() || context.store.expiryMs === 0) return integerResult(0);
  return context.rewrite(0) ? integerResult(1) : null;
}

export function applyGetExpire(context: KeyContext): Result | null {
  if (!context.isPresent()) return NIL;
  const { flags, modifiers, expiryMs } = context.command;
  const bytes = context.presentValue();
  let isDone = true;
  if ((flags & FLAG_EXPIRY) !== 0) isDone = setExpiry(context, expiryMs);
  else if ((modifiers & MODIFIER_PERSIST) !== 0 && context.store.expiryMs !== 0) isDone = context.rewrite(0);
  return isDone ? { kind: "bytes", bytes } : null;
}

function setExpiry(context: KeyContext, expiryMs: number): boolean {
  return expiryMs <= context.nowMs ? context.remove() : context.rewrite(expiryMs);
}

function isAllowed(modifiers: number, oldMs: number, newMs: number): boolean {
  if ((modifiers & MODIFIER_NX) !== 0 && oldMs !== 0) return false;
  if ((modifiers & MODIFIER_XX) !== 0 && oldMs === 0) return false;
  if ((modifiers & MODIFIER_GT) !== 0 && (oldMs === 0 || newMs <= oldMs)) return false;
  return (modifiers & MODIFIER_LT) === 0 || oldMs === 0 || newMs < oldMs;
}
