/**
 * A transaction: one command of the log, so that it is on every replica as a whole or not at all, with nothing between
 * its operations. Conditions come first; one that does not hold, and nothing is done. Then each operation sees what those
 * before it did. One that fails (INCR of a text) has its error in its place and changes nothing; the others are carried out.
 *
 * What it comes to depends on nothing but what is visible at its stamp: whether a key was removed or never there is all
 * the same, because a compaction may have dropped the tombstone here and not there. Shard thread.
 */
import { unreachable } from "../core/assert.ts";
import { compareBytes, EMPTY_BYTES } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import { CommandType, FLAG_SESSION, KEY_BYTES_LIMIT, MODIFIER_NX } from "../record/command-format.ts";
import { errorResult, integerResult, NIL, OK, type Result } from "../record/result.ts";
import {
  type Condition,
  type EncodedOperation,
  type EncodedTransaction,
  transactionIn,
} from "../record/transaction-format.ts";
import { applyKeyCommand } from "./apply-key.ts";
import { OUTCOME_BYTES_MAX, OUTCOME_VERSIONS_MAX } from "./apply-session.ts";
import type { CommandContext } from "./command-context.ts";
import { TransactionContext } from "./transaction-context.ts";

/** All results together hold at most so many times the longest value. */
const RESULT_VALUES_MAX = 4;

const CONFLICT = errorResult("CONFLICT", "a condition of the transaction does not hold; nothing was done");
const TOO_LARGE = errorResult(
  "TOO_LARGE",
  "the transaction writes more than the longest value, or reads more than four of them; nothing was done",
);
const TOO_DEEP = errorResult("INVALID_ARGUMENT", "a transaction within a transaction has none in it");
const NO_SUCH_KEY = errorResult("NO_KEY", "no such key");
const LONG_KEY = errorResult("INVALID_ARGUMENT", "the new key is too long");

/** Null: it found no room, and nothing was written. */
export function applyTransaction(context: CommandContext): Result | null {
  const transaction = transactionIn(context.command.value());
  if (transaction instanceof EnvelopeError) return errorResult(transaction.code, transaction.message);
  const run = new TransactionRun(context);
  const result = run.outer(transaction);
  if (result.kind === "error") return result;
  const isOnce = (context.command.flags & FLAG_SESSION) !== 0;
  const isWritten = isOnce ? run.changes.write(OUTCOME_BYTES_MAX, OUTCOME_VERSIONS_MAX) : run.changes.write(0, 0);
  return isWritten ? result : null;
}

class TransactionRun {
  readonly changes: TransactionContext;
  /** Bytes of values in results so far. */
  #resultBytes = 0;
  readonly #resultBytesMax: number;

  constructor(context: CommandContext) {
    this.changes = new TransactionContext(context);
    this.#resultBytesMax = RESULT_VALUES_MAX * context.valueBytesMax;
  }

  outer({ conditions, operations }: EncodedTransaction): Result {
    if (!this.#hold(conditions)) return CONFLICT;
    const results: Result[] = [];
    for (const operation of operations) {
      results.push(this.#carryOut(operation, false));
      if (this.changes.isTooLarge || this.#resultBytes > this.#resultBytesMax) return TOO_LARGE;
    }
    return { kind: "results", results };
  }

  /** Its bytes count along in the outer one, which gives up as a whole. */
  #inner(bytes: Uint8Array): Result {
    const transaction = transactionIn(bytes);
    if (transaction instanceof EnvelopeError) return errorResult(transaction.code, transaction.message);
    if (!this.#hold(transaction.conditions)) return CONFLICT;
    const results: Result[] = [];
    for (const operation of transaction.operations) {
      results.push(this.#carryOut(operation, true));
      if (this.changes.isTooLarge || this.#resultBytes > this.#resultBytesMax) break;
    }
    return { kind: "results", results };
  }

  #hold(conditions: readonly Condition[]): boolean {
    for (const condition of conditions) if (!holds(this.changes, condition)) return false;
    return true;
  }

  #carryOut(operation: EncodedOperation, isInner: boolean): Result {
    const { changes } = this;
    if (operation.kind === "read") return this.#counted(read(changes, operation.key, operation.metadataOnly));
    const { command } = changes;
    command.over(operation.command).read(0, operation.command.length);
    switch (command.type) {
      case CommandType.transaction:
        return isInner ? TOO_DEEP : this.#inner(command.value());
      case CommandType.rename:
        return rename(changes);
      case CommandType.copy:
        return copy(changes);
      default:
        // There is always room for what is not written yet.
        return this.#counted(applyKeyCommand(changes) ?? TOO_LARGE);
    }
  }

  #counted(result: Result): Result {
    if (result.kind === "version") this.#resultBytes += result.value.length;
    else if (result.kind === "bytes") this.#resultBytes += result.bytes.length;
    return result;
  }
}

function holds(changes: TransactionContext, condition: Condition): boolean {
  const isPresent = changes.isPresentAt(condition.key);
  switch (condition.kind) {
    case "absent":
      return !isPresent;
    case "present":
      return isPresent;
    case "stamp":
      return isPresent && changes.hasStamp(condition.high, condition.low);
    case "value": {
      if (!isPresent) return false;
      const { valueBytes, valueStart, valueEnd } = changes.store;
      return compareBytes(valueBytes.subarray(valueStart, valueEnd), condition.value) === 0;
    }
    default:
      return unreachable(condition);
  }
}

function read(changes: TransactionContext, key: Uint8Array, metadataOnly: boolean): Result {
  if (!changes.isPresentAt(key)) return NIL;
  const { valueStart, valueEnd, expiryMs } = changes.store;
  const value = metadataOnly ? EMPTY_BYTES : changes.presentValue();
  return { kind: "version", valueBytes: valueEnd - valueStart, expiryMs, value };
}

/** As RENAME, and with MODIFIER_NX as RENAMENX. */
function rename(changes: TransactionContext): Result {
  const { command } = changes;
  const to = command.value();
  const isGuarded = (command.modifiers & MODIFIER_NX) !== 0;
  if (to.length > KEY_BYTES_LIMIT) return LONG_KEY;
  if (!changes.isPresent()) return NO_SUCH_KEY;
  if (isGuarded && changes.isPresentAt(to)) return integerResult(0);
  if (compareBytes(command.key(), to) !== 0) {
    copyTo(changes, to);
    changes.remove();
  }
  return isGuarded ? integerResult(1) : OK;
}

/** As COPY with REPLACE, and with MODIFIER_NX without. */
function copy(changes: TransactionContext): Result {
  const to = changes.command.value();
  const isGuarded = (changes.command.modifiers & MODIFIER_NX) !== 0;
  if (to.length > KEY_BYTES_LIMIT) return LONG_KEY;
  if (!changes.isPresent() || (isGuarded && changes.isPresentAt(to))) return integerResult(0);
  copyTo(changes, to);
  return integerResult(1);
}

/** The command's key is there. */
function copyTo(changes: TransactionContext, to: Uint8Array): void {
  changes.isPresent();
  const { valueBytes, valueStart, valueEnd, expiryMs } = changes.store;
  changes.putAt(to, valueBytes, valueStart, valueEnd, expiryMs);
}
