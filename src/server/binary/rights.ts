/**
 * What a request of the binary protocol needs a right to: the one place that knows, asked before anything is carried out. Every
 * key of a request stands for itself; a scan is on all keys with its prefix; what is about a bucket as a whole has no key.
 */
import { unreachable } from "../../core/assert.ts";
import type { BinaryRequest, KeyOperation } from "../../wire/binary-messages.ts";

/** On keys and values; on buckets; and `any` of these, without which a bucket is as if it were not there. */
export type NamedRight = "read" | "write" | "admin" | "any";

type Ask = (right: NamedRight, bucket: string, key: Uint8Array | null) => boolean;

/** Calls `ask` for each right the request needs, until one is refused (false); whether none was. */
export function needs(request: BinaryRequest, ask: Ask): boolean {
  switch (request.type) {
    case "operation":
      return operationNeeds(request.operation, request.bucket, ask);
    case "batch":
      return request.operations.every((operation) => operationNeeds(operation, request.bucket, ask));
    case "scan":
      return ask("read", request.bucket, request.prefix);
    case "createBucket":
    case "dropBucket":
    case "emptyBucket":
      return ask("admin", request.bucket, null);
    case "describeBucket":
      return ask(request.countKeys ? "read" : "any", request.bucket, null);
    case "openSession":
    case "closeSession":
    case "hello":
    case "ping":
    case "credit":
    case "cancel":
    case "listBuckets":
    case "topology":
    case "status":
      return true;
    default:
      return unreachable(request);
  }
}

/** The request as the audit log names it: an act as the other protocol does, with what it is about. */
export function nameOf(request: BinaryRequest): string {
  if (request.type === "operation") return request.operation.type;
  return actOf(request) ?? request.type;
}

/** What changes more than the content of a bucket is recorded before it is done; null: it is nothing of the kind. */
export function actOf(request: BinaryRequest): string | null {
  switch (request.type) {
    case "createBucket":
      return `bucket|create ${request.bucket}`;
    case "dropBucket":
      return `bucket|drop ${request.bucket}`;
    case "emptyBucket":
      return "flushdb";
    default:
      return null;
  }
}

export function isWrite(operation: KeyOperation): boolean {
  const { type } = operation;
  return type !== "get" && type !== "metadata" && type !== "getField";
}

/** Who gets the old value back has read it; and whoever may put a value under a condition on it learns of it too. */
function operationNeeds(operation: KeyOperation, bucket: string, ask: Ask): boolean {
  const { key } = operation;
  if (!isWrite(operation)) return ask("read", bucket, key);
  return ask("write", bucket, key) && (!revealsOld(operation) || ask("read", bucket, key));
}

function revealsOld(operation: KeyOperation): boolean {
  if (operation.type !== "put" && operation.type !== "delete") return false;
  return operation.returnOld || operation.condition.kind === "value";
}
