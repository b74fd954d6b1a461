/**
 * Bodies of the binary protocol, their common part: what may be done to a key, and under which condition. All of them are
 * MessagePack arrays; `?` is a value that may be nil.
 *
 *   operation  [code, key bin, …]           the code is OperationCode
 *     get         … versioned bool
 *     metadata    … versioned bool
 *     getField    … path str
 *     put         … value bin, expiry, condition, returnOld bool
 *     delete      … condition, returnOld bool
 *     increment   … by int
 *     incrementFloat … by float
 *     append      … value bin
 *     expire      … expiry, only int (place in ONLY, from 1)
 *     persist     … nothing
 *   expiry     nil (none) | [1] keep | [2, ms] ttl | [3, ms] at
 *   condition  nil (always) | [1] absent | [2] present | [3, version uint] | [4, value bin]
 *   once       nil | [session uint, sequence uint]
 *   bound      nil | [key bin, isInclusive bool]
 *
 * Items behind those that are known here are passed over: a later version may have more.
 */
import { unreachable } from "../core/assert.ts";
import type { ByteWriter } from "../core/byte-writer.ts";
import type { Condition, ExpireOnly, Expiry, KeyOperation, Once, ScanBound } from "./binary-messages.ts";
import {
  type PackReader,
  packArray,
  packBoolean,
  packBytes,
  packFloat,
  packInteger,
  packNil,
  packText,
  packWide,
} from "./message-pack.ts";

const OperationCode = {
  get: 1,
  metadata: 2,
  getField: 3,
  put: 4,
  delete: 5,
  increment: 6,
  incrementFloat: 7,
  append: 8,
  expire: 9,
  persist: 10,
} as const;

/** More items than any array of fields will ever have. */
export const FIELDS_MAX = 64;
const PATH_BYTES_MAX = 64 * 1024;
const SEQUENCE_MAX = 0xffff_ffff;

const ONLY: readonly ExpireOnly[] = ["all", "withoutExpiry", "withExpiry", "later", "earlier"];
const NO_EXPIRY: Expiry = { kind: "none" };
const KEEP_EXPIRY: Expiry = { kind: "keep" };
const ALWAYS: Condition = { kind: "always" };
const ABSENT: Condition = { kind: "absent" };
const PRESENT: Condition = { kind: "present" };

/** Reads the head of an array of at least `known` fields; returns how many unknown ones are to be passed over behind them. */
export function openFields(from: PackReader, known: number): number {
  const extra = from.array(FIELDS_MAX) - known;
  if (extra < 0) throw from.invalid(`an array of ${known + extra} fields, which has ${known}`);
  return extra;
}

export function closeFields(from: PackReader, extra: number): void {
  for (let i = 0; i < extra; i++) from.skip();
}

export function encodeOperation(operation: KeyOperation, into: ByteWriter): void {
  const begin = (fields: number): void => {
    packArray(into, fields + 2);
    packInteger(into, OperationCode[operation.type]);
    packBytes(into, operation.key);
  };
  switch (operation.type) {
    case "get":
    case "metadata":
      begin(1);
      packBoolean(into, operation.versioned);
      return;
    case "getField":
      begin(1);
      packText(into, operation.path);
      return;
    case "put":
      begin(4);
      packBytes(into, operation.value);
      encodeExpiry(operation.expiry, into);
      encodeCondition(operation.condition, into);
      packBoolean(into, operation.returnOld);
      return;
    case "delete":
      begin(2);
      encodeCondition(operation.condition, into);
      packBoolean(into, operation.returnOld);
      return;
    case "increment":
      begin(1);
      packWide(into, operation.by);
      return;
    case "incrementFloat":
      begin(1);
      packFloat(into, operation.by);
      return;
    case "append":
      begin(1);
      packBytes(into, operation.value);
      return;
    case "expire":
      begin(2);
      encodeExpiry(operation.expiry, into);
      packInteger(into, ONLY.indexOf(operation.only) + 1);
      return;
    case "persist":
      begin(0);
      return;
    default:
      unreachable(operation);
  }
}

export function decodeOperation(from: PackReader): KeyOperation {
  const extra = openFields(from, 2);
  const code = from.integer();
  const key = from.bytes();
  const fields = fieldsOf(code);
  if (fields < 0) throw from.invalid(`an operation of unknown code ${code}`);
  if (extra < fields) throw from.invalid(`an operation of code ${code} without its fields`);
  const operation = decodeFields(code, key, from);
  closeFields(from, extra - fields);
  return operation;
}

/** How many fields lie behind code and key; −1: there is no such operation. */
function fieldsOf(code: number): number {
  switch (code) {
    case OperationCode.put:
      return 4;
    case OperationCode.delete:
    case OperationCode.expire:
      return 2;
    case OperationCode.persist:
      return 0;
    default:
      return code >= OperationCode.get && code <= OperationCode.append ? 1 : -1;
  }
}

function decodeFields(code: number, key: Uint8Array, from: PackReader): KeyOperation {
  switch (code) {
    case OperationCode.get:
      return { type: "get", key, versioned: from.boolean() };
    case OperationCode.metadata:
      return { type: "metadata", key, versioned: from.boolean() };
    case OperationCode.getField:
      return { type: "getField", key, path: from.text(PATH_BYTES_MAX) };
    case OperationCode.put:
      return {
        type: "put",
        key,
        value: from.bytes(),
        expiry: decodeExpiry(from),
        condition: decodeCondition(from),
        returnOld: from.boolean(),
      };
    case OperationCode.delete:
      return { type: "delete", key, condition: decodeCondition(from), returnOld: from.boolean() };
    case OperationCode.increment:
      return { type: "increment", key, by: from.signed() };
    case OperationCode.incrementFloat:
      return { type: "incrementFloat", key, by: from.float() };
    case OperationCode.append:
      return { type: "append", key, value: from.bytes() };
    case OperationCode.expire:
      return { type: "expire", key, expiry: decodeExpiry(from), only: placeIn(ONLY, from) };
    default:
      return { type: "persist", key };
  }
}

/** A value of a list that is named by its place, counted from 1. */
export function placeIn<T>(list: readonly T[], from: PackReader): T {
  const place = from.integer();
  const value = list[place - 1];
  if (value === undefined) throw from.invalid(`${place}, which is not between 1 and ${list.length}`);
  return value;
}

export function encodeOnce(once: Once | null, into: ByteWriter): void {
  if (once === null) {
    packNil(into);
    return;
  }
  packArray(into, 2);
  packInteger(into, once.session);
  packInteger(into, once.sequence);
}

export function decodeOnce(from: PackReader): Once | null {
  if (from.nil()) return null;
  const extra = openFields(from, 2);
  const session = from.count();
  const sequence = from.count(SEQUENCE_MAX);
  if (sequence === 0) throw from.invalid("a sequence of 0");
  closeFields(from, extra);
  return { session, sequence };
}

export function encodeBound(bound: ScanBound | null, into: ByteWriter): void {
  if (bound === null) {
    packNil(into);
    return;
  }
  packArray(into, 2);
  packBytes(into, bound.key);
  packBoolean(into, bound.isInclusive);
}

export function decodeBound(from: PackReader): ScanBound | null {
  if (from.nil()) return null;
  const extra = openFields(from, 2);
  const bound = { key: from.bytes(), isInclusive: from.boolean() };
  closeFields(from, extra);
  return bound;
}

function encodeExpiry(expiry: Expiry, into: ByteWriter): void {
  switch (expiry.kind) {
    case "none":
      packNil(into);
      return;
    case "keep":
      packArray(into, 1);
      packInteger(into, 1);
      return;
    case "ttl":
    case "at":
      packArray(into, 2);
      packInteger(into, expiry.kind === "ttl" ? 2 : 3);
      packInteger(into, expiry.ms);
      return;
    default:
      unreachable(expiry);
  }
}

function decodeExpiry(from: PackReader): Expiry {
  if (from.nil()) return NO_EXPIRY;
  const fields = from.array(FIELDS_MAX);
  const code = fields === 0 ? 0 : from.integer();
  if (code === 1) {
    closeFields(from, fields - 1);
    return KEEP_EXPIRY;
  }
  if ((code !== 2 && code !== 3) || fields < 2) throw from.invalid("no expiry");
  const ms = from.integer();
  closeFields(from, fields - 2);
  return code === 2 ? { kind: "ttl", ms } : { kind: "at", ms };
}

function encodeCondition(condition: Condition, into: ByteWriter): void {
  switch (condition.kind) {
    case "always":
      packNil(into);
      return;
    case "absent":
    case "present":
      packArray(into, 1);
      packInteger(into, condition.kind === "absent" ? 1 : 2);
      return;
    case "version":
      packArray(into, 2);
      packInteger(into, 3);
      packWide(into, condition.version);
      return;
    case "value":
      packArray(into, 2);
      packInteger(into, 4);
      packBytes(into, condition.value);
      return;
    default:
      unreachable(condition);
  }
}

function decodeCondition(from: PackReader): Condition {
  if (from.nil()) return ALWAYS;
  const fields = from.array(FIELDS_MAX);
  const code = fields === 0 ? 0 : from.integer();
  if (code === 1 || code === 2) {
    closeFields(from, fields - 1);
    return code === 1 ? ABSENT : PRESENT;
  }
  if ((code !== 3 && code !== 4) || fields < 2) throw from.invalid("no condition");
  const condition: Condition =
    code === 3 ? { kind: "version", version: from.unsigned() } : { kind: "value", value: from.bytes() };
  closeFields(from, fields - 2);
  return condition;
}
