/**
 * A transaction on its way to the shard of its keys, as the command that it is in the log: its key is the first of them.
 * What cannot become one is refused here, before anything is proposed. Main thread only.
 */
import { EnvelopeError } from "../core/errors.ts";
import { type ByteRange, CommandReader, CommandType } from "../record/command-format.ts";
import { errorResult, type Result } from "../record/result.ts";
import {
  encodedKeys,
  encodeTransaction,
  type Transaction,
  TRANSACTION_OPERATIONS_MAX,
  transactionKeys,
} from "../record/transaction-format.ts";
import type { TokenTable } from "../core/token-table.ts";
import type { BucketRef } from "./coordinator.ts";

const NOTHING_DONE: Result = { kind: "results", results: [] };
const CROSS_SHARD = errorResult(
  "CROSS_SHARD",
  "the keys of a transaction have to be in one shard: keys with the same {tag} are, and these are not",
);

interface TransactionCommand {
  readonly key: ByteRange;
  readonly value: ByteRange;
}

/**
 * Or what the transaction comes to without one: nothing where it has no keys, CROSS_SHARD, TOO_LARGE, INVALID_ARGUMENT. In a
 * bucket of which nobody here has heard yet, `splitRefusal` says later whether its keys are in one shard.
 */
export function transactionCommand(
  tokens: TokenTable,
  bucket: BucketRef,
  transaction: Transaction,
  bytesMax: number,
): TransactionCommand | Result {
  if (Math.max(transaction.conditions.length, transaction.operations.length) > TRANSACTION_OPERATIONS_MAX)
    return errorResult("TOO_LARGE", `a transaction has at most ${TRANSACTION_OPERATIONS_MAX} operations`);
  const keys = keysOf(transaction);
  if (keys instanceof EnvelopeError) return errorResult(keys.code, keys.message);
  const [first] = keys;
  if (first === undefined) return NOTHING_DONE;
  if (bucket.id !== 0 && !areTogether(tokens, bucket.seed, keys)) return CROSS_SHARD;
  const value = encodeTransaction(transaction);
  if (value.length > bytesMax)
    return errorResult("TOO_LARGE", `a transaction of ${value.length} bytes is too large, the limit is ${bytesMax}`);
  return { key: whole(first), value: whole(value) };
}

/**
 * Why a command may not be sent in a bucket that has this seed: it is a transaction that was put together when the bucket had
 * another one, and by this one its keys are in several shards. Null: it may.
 */
export function splitRefusal(tokens: TokenTable, seed: number, command: Uint8Array): Result | null {
  const reader = new CommandReader().over(command);
  reader.read(0, command.length);
  if (reader.type !== CommandType.transaction) return null;
  return areTogether(tokens, seed, encodedKeys(reader.value())) ? null : CROSS_SHARD;
}

function areTogether(tokens: TokenTable, seed: number, keys: readonly Uint8Array[]): boolean {
  return new Set(keys.map((key) => tokens.shardOf(seed, key, 0, key.length))).size <= 1;
}

function keysOf(transaction: Transaction): readonly Uint8Array[] | EnvelopeError {
  try {
    return transactionKeys(transaction);
  } catch (cause) {
    if (cause instanceof EnvelopeError) return cause;
    throw cause;
  }
}

function whole(bytes: Uint8Array): ByteRange {
  return { bytes, start: 0, end: bytes.length };
}
