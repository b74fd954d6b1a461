/**
 * Operations on keys as the coordinator takes them: which command, with which modifiers, value and expiry; and what is wrong
 * with one that cannot be a command. One command is made at a time and used before the next. Main thread only.
 */
import { unreachable } from "../../core/assert.ts";
import { EMPTY_BYTES, utf8 } from "../../core/bytes.ts";
import {
  type ByteRange,
  CommandType,
  MODIFIER_GET,
  MODIFIER_GT,
  MODIFIER_KEEPTTL,
  MODIFIER_LT,
  MODIFIER_NX,
  MODIFIER_XX,
} from "../../record/command-format.ts";
import type { Condition as RecordCondition, TransactionOperation } from "../../record/transaction-format.ts";
import type { Condition, ErrorReply, ExpireOnly, Expiry, KeyOperation } from "../../wire/binary-messages.ts";
import { parsePath } from "../json-path.ts";
import { failure } from "./replies.ts";
import { isWrite } from "./rights.ts";

export type ReadOperation = Extract<KeyOperation, { readonly type: "get" | "metadata" | "getField" }>;
export type WriteOperation = Exclude<KeyOperation, ReadOperation>;

/** A time at or before the epoch is as much in the past as any: 0 would mean "none". */
const LONG_AGO_MS = 1;
const LOW_32 = 0xffff_ffffn;
const ONLY_MODIFIERS: Readonly<Record<ExpireOnly, number>> = {
  all: 0,
  withoutExpiry: MODIFIER_NX,
  withExpiry: MODIFIER_XX,
  later: MODIFIER_GT,
  earlier: MODIFIER_LT,
};
const AMOUNT = new Uint8Array(8);
const AMOUNT_VIEW = new DataView(AMOUNT.buffer);

export function isReadOperation(operation: KeyOperation): operation is ReadOperation {
  return !isWrite(operation);
}

/** The whole of an array as a range, one for the thread: the coordinator copies what it keeps before its call returns. */
export class WholeRange implements ByteRange {
  readonly start = 0;
  bytes: Uint8Array = EMPTY_BYTES;
  end = 0;

  over(bytes: Uint8Array): this {
    this.bytes = bytes;
    this.end = bytes.length;
    return this;
  }
}

/** A write on its way to the coordinator. */
export class WriteCommand {
  type: CommandType = CommandType.put;
  modifiers = 0;
  value: Uint8Array = EMPTY_BYTES;
  expiryMs = 0;

  /**
   * Becomes the command of a write. `nowMs` is what time it is for its key. What conditions can be part of a command are,
   * unless they are looked at by the transaction around it (`isGuarded`).
   */
  become(operation: WriteOperation, nowMs: number, isGuarded: boolean): this {
    this.modifiers = 0;
    this.value = EMPTY_BYTES;
    this.expiryMs = 0;
    switch (operation.type) {
      case "put":
        this.#put(operation, nowMs, isGuarded);
        return this;
      case "delete":
        this.type = operation.returnOld ? CommandType.getDelete : CommandType.delete;
        return this;
      case "increment":
        AMOUNT_VIEW.setBigInt64(0, operation.by, true);
        this.type = CommandType.increment;
        this.value = AMOUNT;
        return this;
      case "incrementFloat":
        this.type = CommandType.incrementFloat;
        this.value = utf8(String(operation.by));
        return this;
      case "append":
        this.type = CommandType.append;
        this.value = operation.value;
        return this;
      case "expire":
        this.type = CommandType.expire;
        this.modifiers = ONLY_MODIFIERS[operation.only];
        this.expiryMs = absoluteMs(operation.expiry, nowMs);
        return this;
      case "persist":
        this.type = CommandType.persist;
        return this;
      default:
        return unreachable(operation);
    }
  }

  #put(operation: Extract<WriteOperation, { readonly type: "put" }>, nowMs: number, isGuarded: boolean): void {
    const { condition, expiry, returnOld, value } = operation;
    if (!isGuarded && condition.kind === "absent") this.modifiers |= MODIFIER_NX;
    if (!isGuarded && condition.kind === "present") this.modifiers |= MODIFIER_XX;
    if (expiry.kind === "keep") this.modifiers |= MODIFIER_KEEPTTL;
    if (returnOld) this.modifiers |= MODIFIER_GET;
    this.type = this.modifiers === 0 ? CommandType.put : CommandType.conditionalPut;
    this.value = value;
    this.expiryMs = absoluteMs(expiry, nowMs);
  }
}

/** Whether a command alone cannot look at its condition. */
export function needsTransaction(operation: WriteOperation): boolean {
  if (operation.type === "delete") return operation.condition.kind !== "always";
  return operation.type === "put" && (operation.condition.kind === "version" || operation.condition.kind === "value");
}

/** The operation as part of a transaction, which has its own bytes until it is encoded. */
export function transactionPart(operation: KeyOperation, nowMs: number, command: WriteCommand): TransactionOperation {
  const { key } = operation;
  if (isReadOperation(operation)) return { kind: "read", key, metadataOnly: operation.type === "metadata" };
  const { type, modifiers, value, expiryMs } = command.become(operation, nowMs, true);
  return { kind: "write", type, modifiers, key, value: value === AMOUNT ? AMOUNT.slice() : value, expiryMs };
}

/** What must hold for an operation, as a transaction has it; null: nothing. */
export function transactionCondition(operation: KeyOperation): RecordCondition | null {
  if (operation.type !== "put" && operation.type !== "delete") return null;
  const { key, condition } = operation;
  return condition.kind === "always" ? null : { key, ...recordCondition(condition) };
}

function recordCondition(condition: Exclude<Condition, { readonly kind: "always" }>) {
  if (condition.kind !== "version") return condition;
  const high = Number(condition.version >> 32n);
  return { kind: "stamp", high, low: Number(condition.version & LOW_32) } as const;
}

export interface KeyLimits {
  readonly keyBytesMax: number;
  readonly valueBytesMax: number;
}

/** Why an operation cannot be carried out at all; null: it can. */
export function problemWith(operation: KeyOperation, limits: KeyLimits, isAtomic: boolean): ErrorReply | null {
  const { keyBytesMax, valueBytesMax } = limits;
  const { type, key } = operation;
  if (key.length > keyBytesMax) {
    return failure("TOO_LARGE", `key of ${key.length} bytes is too large, the limit is ${keyBytesMax}`);
  }
  const valueBytes = type === "put" || type === "append" ? operation.value.length : 0;
  if (valueBytes > valueBytesMax) {
    return failure("TOO_LARGE", `value of ${valueBytes} bytes is too large, the limit is ${valueBytesMax}`);
  }
  if (type === "getField" && parsePath(operation.path) === null) {
    return failure("INVALID_ARGUMENT", "invalid path, write it like name, address.city or tags[0]");
  }
  if (type === "incrementFloat" && !Number.isFinite(operation.by)) {
    return failure("NOT_A_FLOAT", "only a finite number can be added");
  }
  if (isAtomic && (type === "getField" || (isReadOperation(operation) && operation.versioned))) {
    return failure("INVALID_ARGUMENT", "an atomic batch reads neither fields nor versions");
  }
  return type === "put" || type === "expire" ? expiryProblem(operation.expiry, type) : null;
}

function expiryProblem(expiry: Expiry, type: "put" | "expire"): ErrorReply | null {
  if (expiry.kind === "none" || expiry.kind === "keep") {
    return type === "put" ? null : failure("INVALID_ARGUMENT", "an expire needs a time");
  }
  const isPast = type === "put" && expiry.ms <= 0;
  const isBeyond = Math.abs(expiry.ms) > Number.MAX_SAFE_INTEGER / 2;
  return isPast || isBeyond ? failure("INVALID_ARGUMENT", "invalid expire time") : null;
}

function absoluteMs(expiry: Expiry, nowMs: number): number {
  if (expiry.kind === "none" || expiry.kind === "keep") return 0;
  return Math.max(LONG_AGO_MS, expiry.kind === "ttl" ? nowMs + expiry.ms : expiry.ms);
}
