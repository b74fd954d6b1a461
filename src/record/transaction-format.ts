/**
 * A transaction: the value of a command of type `transaction` (command-format.ts). Its conditions are looked at first;
 * then its operations are carried out in order, each seeing what those before it did, or nothing is done at all.
 *
 *   u32 condition count, conditions
 *         u8 kind   1 absent, 2 present    blob key
 *                   3 stamp                blob key, u32 high, u32 low: the version that is there has this stamp
 *                   4 value                blob key, blob value: this value is there
 *   u32 operation count, operations
 *         u8 kind   1 read                 blob key
 *                   2 read of the metadata blob key
 *                   3 write                blob: a command (command-format.ts) whose checksum, origin, stamp and bucket are 0,
 *                                          because they are the transaction's
 *
 * A blob is a u32 length and its bytes; little-endian. Numbers are persisted: never reuse one. A write may be a transaction
 * itself, whose conditions decide about its own operations alone; that one has no other in it.
 */
import { unreachable } from "../core/assert.ts";
import { viewOf } from "../core/bytes.ts";
import { ByteReader } from "../core/byte-reader.ts";
import { ByteWriter } from "../core/byte-writer.ts";
import { EnvelopeError } from "../core/errors.ts";
import {
  type ByteRange,
  CommandReader,
  CommandType,
  commandBytes,
  encodeCommand,
  FLAG_EXPIRY,
} from "./command-format.ts";

/** Conditions of one transaction, and operations: so many of each. */
export const TRANSACTION_OPERATIONS_MAX = 1024;

export type Condition = { readonly key: Uint8Array } & (
  | { readonly kind: "absent" }
  | { readonly kind: "present" }
  /** The version that is there was written by the command of this stamp. */
  | { readonly kind: "stamp"; readonly high: number; readonly low: number }
  | { readonly kind: "value"; readonly value: Uint8Array }
);

export type TransactionOperation =
  /** Result: version or nil. */
  | { readonly kind: "read"; readonly key: Uint8Array; readonly metadataOnly: boolean }
  /** A command on one key, or `rename`, `copy`, or a `transaction` with an encoded one for a value. `expiryMs` 0: none. */
  | {
      readonly kind: "write";
      readonly type: CommandType;
      readonly modifiers: number;
      readonly key: Uint8Array;
      readonly value: Uint8Array;
      readonly expiryMs: number;
    };

export interface Transaction {
  readonly conditions: readonly Condition[];
  readonly operations: readonly TransactionOperation[];
}

/** An operation as it lies in a transaction. */
export type EncodedOperation =
  | Extract<TransactionOperation, { kind: "read" }>
  /** A command without checksum, origin, stamp and bucket. */
  | { readonly kind: "write"; readonly command: Uint8Array };

export interface EncodedTransaction {
  readonly conditions: readonly Condition[];
  readonly operations: readonly EncodedOperation[];
}

const CONDITION_KINDS = { absent: 1, present: 2, stamp: 3, value: 4 } as const satisfies Record<
  Condition["kind"],
  number
>;
const OPERATION_READ = 1;
const OPERATION_READ_METADATA = 2;
const OPERATION_WRITE = 3;
/** A kind and an empty blob. */
const ITEM_BYTES_MIN = 5;

export function encodeTransaction({ conditions, operations }: Transaction): Uint8Array {
  const writer = new ByteWriter();
  writer.u32(conditions.length);
  for (const condition of conditions) encodeCondition(condition, writer);
  writer.u32(operations.length);
  for (const operation of operations) encodeOperation(operation, writer);
  return writer.copy();
}

/** The transaction that these bytes are; all in it are views. Throws INVALID_ARGUMENT when they are none, or too many operations. */
export function decodeTransaction(bytes: Uint8Array): EncodedTransaction {
  const reader = new ByteReader("INVALID_ARGUMENT", "a transaction").over(bytes);
  const conditions: Condition[] = [];
  for (let left = countOf(reader); left > 0; left--) conditions.push(decodeCondition(reader));
  const operations: EncodedOperation[] = [];
  for (let left = countOf(reader); left > 0; left--) operations.push(decodeOperation(reader));
  reader.finish();
  return { conditions, operations };
}

/**
 * Every key that a transaction looks at or changes, those of the transactions in it too, in order: all of them have to be in
 * one shard. Throws INVALID_ARGUMENT when one in it does not parse.
 */
export function transactionKeys({ conditions, operations }: Transaction): readonly Uint8Array[] {
  const keys = conditions.map(({ key }) => key);
  for (const operation of operations) {
    if (operation.kind === "read") keys.push(operation.key);
    else if (operation.type === CommandType.transaction) keys.push(...outerKeys(operation.value, none));
    else keys.push(...commandKeys(operation.type, operation.key, operation.value));
  }
  return keys;
}

/**
 * The same of one that is encoded, but that a transaction in it that does not parse has none: it changes nothing. Throws
 * INVALID_ARGUMENT when it does not parse itself.
 */
export function encodedKeys(bytes: Uint8Array): readonly Uint8Array[] {
  return outerKeys(bytes, (inner) => (transactionIn(inner) instanceof EnvelopeError ? [] : outerKeys(inner, none)));
}

/** The transaction that these bytes are, or why they are none. */
export function transactionIn(bytes: Uint8Array): EncodedTransaction | EnvelopeError {
  try {
    return decodeTransaction(bytes);
  } catch (cause) {
    if (cause instanceof EnvelopeError) return cause;
    throw cause;
  }
}

/** The keys of an encoded transaction itself; those of transactions in it are `inner`'s to find. */
function outerKeys(bytes: Uint8Array, inner: (bytes: Uint8Array) => readonly Uint8Array[]): readonly Uint8Array[] {
  const { conditions, operations } = decodeTransaction(bytes);
  const keys = conditions.map(({ key }) => key);
  const reader = new CommandReader();
  for (const operation of operations) {
    if (operation.kind === "read") keys.push(operation.key);
    else {
      reader.over(operation.command).read(0, operation.command.length);
      const isInner = reader.type === CommandType.transaction;
      keys.push(...(isInner ? inner(reader.value()) : commandKeys(reader.type, reader.key(), reader.value())));
    }
  }
  return keys;
}

function none(): readonly Uint8Array[] {
  return [];
}

function commandKeys(type: CommandType, key: Uint8Array, value: Uint8Array): readonly Uint8Array[] {
  return type === CommandType.rename || type === CommandType.copy ? [key, value] : [key];
}

function countOf(reader: ByteReader): number {
  const count = reader.count(ITEM_BYTES_MIN);
  if (count > TRANSACTION_OPERATIONS_MAX) throw reader.invalid(`${count} operations`);
  return count;
}

function encodeCondition(condition: Condition, into: ByteWriter): void {
  into.u8(CONDITION_KINDS[condition.kind]);
  into.blob(condition.key);
  switch (condition.kind) {
    case "absent":
    case "present":
      return;
    case "stamp":
      into.u32(condition.high);
      into.u32(condition.low);
      return;
    case "value":
      into.blob(condition.value);
      return;
    default:
      unreachable(condition);
  }
}

function decodeCondition(from: ByteReader): Condition {
  const kind = from.u8();
  const key = from.blob();
  switch (kind) {
    case CONDITION_KINDS.absent:
      return { kind: "absent", key };
    case CONDITION_KINDS.present:
      return { kind: "present", key };
    case CONDITION_KINDS.stamp:
      return { kind: "stamp", key, high: from.u32(), low: from.u32() };
    case CONDITION_KINDS.value:
      return { kind: "value", key, value: from.blob() };
    default:
      throw from.invalid(`a condition of unknown kind ${kind}`);
  }
}

function encodeOperation(operation: TransactionOperation, into: ByteWriter): void {
  if (operation.kind === "read") {
    into.u8(operation.metadataOnly ? OPERATION_READ_METADATA : OPERATION_READ);
    into.blob(operation.key);
    return;
  }
  const { type, modifiers, key, value, expiryMs } = operation;
  const command = new Uint8Array(commandBytes(expiryMs === 0 ? 0 : FLAG_EXPIRY, key.length, value.length));
  encodeCommand(command, viewOf(command), 0, type, modifiers, 0, whole(key), whole(value), expiryMs);
  into.u8(OPERATION_WRITE);
  into.blob(command);
}

function decodeOperation(from: ByteReader): EncodedOperation {
  const kind = from.u8();
  const bytes = from.blob();
  switch (kind) {
    case OPERATION_READ:
    case OPERATION_READ_METADATA:
      return { kind: "read", key: bytes, metadataOnly: kind === OPERATION_READ_METADATA };
    case OPERATION_WRITE:
      if (new CommandReader().over(bytes).read(0, bytes.length) !== bytes.length)
        throw from.invalid("a command that does not parse");
      return { kind: "write", command: bytes };
    default:
      throw from.invalid(`an operation of unknown kind ${kind}`);
  }
}

function whole(bytes: Uint8Array): ByteRange {
  return { bytes, start: 0, end: bytes.length };
}
