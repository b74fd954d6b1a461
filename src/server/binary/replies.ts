/**
 * How results of the coordinator are worded in the binary protocol. What has to be known of an operation for that is its
 * *form*: it is kept while the operation is under way, and nothing of the request's bytes is. Main thread only.
 */
import { unreachable } from "../../core/assert.ts";
import { utf8 } from "../../core/bytes.ts";
import { type ErrorCode, type Retry, retryOf } from "../../core/errors.ts";
import { NIL, type Result, type StampedResult, type VersionResult } from "../../record/result.ts";
import type { ErrorReply, KeyOperation, OperationReply } from "../../wire/binary-messages.ts";
import { fieldOf, type PathStep, parsePath } from "../json-path.ts";

export interface ReplyForm {
  readonly isWrite: boolean;
  /** What an integer says, and which part of a version is the answer. */
  readonly shape: "value" | "metadata" | "field" | "flag" | "integer";
  /** That there is nothing, or that there is something, means that its condition does not hold. */
  readonly nilIsConflict: boolean;
  readonly valueIsConflict: boolean;
  /** Of a field. */
  readonly path: readonly PathStep[];
}

const READ: ReplyForm = {
  isWrite: false,
  shape: "value",
  nilIsConflict: false,
  valueIsConflict: false,
  path: [],
};
const WRITE: ReplyForm = { ...READ, isWrite: true };
const METADATA: ReplyForm = { ...READ, shape: "metadata" };
const FLAG: ReplyForm = { ...WRITE, shape: "flag" };
const INTEGER: ReplyForm = { ...WRITE, shape: "integer" };
/** `done`, unless a condition stood against it; and the same with the old value asked for. */
const PUT: ReplyForm = { ...WRITE, nilIsConflict: true };
const PUT_IF_ABSENT: ReplyForm = { ...PUT, valueIsConflict: true };
const PUT_RETURNING: ReplyForm = WRITE;
const PUT_IF_ABSENT_RETURNING: ReplyForm = { ...WRITE, valueIsConflict: true };
const PUT_IF_PRESENT_RETURNING: ReplyForm = { ...WRITE, nilIsConflict: true };

const ABSENT: OperationReply = { type: "absent" };
const YES: OperationReply = { type: "flag", value: true };
const NO: OperationReply = { type: "flag", value: false };
const DONE = {
  sync: { type: "done", durability: "sync" },
  interval: { type: "done", durability: "interval" },
  os: { type: "done", durability: "os" },
} as const;
const CONFLICT = failure("CONFLICT", "the condition does not hold; nothing was done");

export function failure(code: ErrorCode, message: string, retry: Retry = retryOf(code)): ErrorReply {
  return { type: "error", code, message, retry };
}

export function formOf(operation: KeyOperation): ReplyForm {
  switch (operation.type) {
    case "get":
      return READ;
    case "metadata":
      return METADATA;
    case "getField":
      return { ...READ, shape: "field", path: parsePath(operation.path) ?? [] };
    case "put":
      return putForm(operation.condition.kind, operation.returnOld);
    case "delete":
      return operation.returnOld ? WRITE : FLAG;
    case "increment":
    case "append":
      return INTEGER;
    case "incrementFloat":
      return WRITE;
    case "expire":
    case "persist":
      return FLAG;
    default:
      return unreachable(operation);
  }
}

function putForm(condition: string, returnOld: boolean): ReplyForm {
  if (condition === "absent") return returnOld ? PUT_IF_ABSENT_RETURNING : PUT_IF_ABSENT;
  if (!returnOld) return PUT;
  return condition === "present" ? PUT_IF_PRESENT_RETURNING : PUT_RETURNING;
}

/** The reply to an operation. Bytes in it are as good as those of the result, which is only while it is told. */
export function operationReply(form: ReplyForm, result: Result): OperationReply {
  switch (result.kind) {
    case "error":
      return failure(result.code, result.message, form.isWrite ? retryOf(result.code) : readRetry(result.code));
    case "ok":
      return DONE[result.durability];
    case "nil":
      return form.nilIsConflict ? CONFLICT : ABSENT;
    case "integer":
      if (form.shape !== "flag") return { type: "integer", value: result.value };
      return result.value === 0n ? NO : YES;
    case "bytes":
      return form.valueIsConflict ? CONFLICT : valueReply(result.bytes, 0, 0n);
    case "version":
      return versionReply(form, result, 0n);
    case "stamped":
      return versionReply(form, result, (BigInt(result.stampHigh) << 32n) | BigInt(result.stampLow));
    case "results":
      // A transaction of the one operation.
      return operationReply(form, result.results[0] ?? NIL);
    case "page":
    case "entries":
      return failure("IO", `an operation on a key came to ${result.kind}`);
    default:
      return unreachable(result);
  }
}

/** A read has done nothing, whatever has become of it. */
export function readRetry(code: ErrorCode): Retry {
  const retry = retryOf(code);
  return retry === "unknown" ? "safe" : retry;
}

function versionReply(form: ReplyForm, found: VersionResult | StampedResult, version: bigint): OperationReply {
  if (form.valueIsConflict) return CONFLICT;
  if (form.shape === "field") return fieldReply(found.value, form.path);
  if (form.shape !== "metadata") return valueReply(found.value, found.expiryMs, version);
  return { type: "metadata", valueBytes: found.valueBytes, expiryMs: found.expiryMs, version };
}

function fieldReply(document: Uint8Array, path: readonly PathStep[]): OperationReply {
  const field = fieldOf(document, path);
  switch (field.kind) {
    case "found":
      return valueReply(utf8(JSON.stringify(field.value)), 0, 0n);
    case "absent":
      return ABSENT;
    case "notJson":
      return failure("NOT_JSON", field.reason);
    default:
      return unreachable(field);
  }
}

function valueReply(value: Uint8Array, expiryMs: number, version: bigint): OperationReply {
  return { type: "value", value, expiryMs, version };
}
