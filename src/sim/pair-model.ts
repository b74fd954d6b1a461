/**
 * Two keys of one shard whose values add up to nothing, as one object of a history: only transactions touch them. What one
 * key gains the other one loses, and each answer shows both, so one that is half done, that sees half of another one, or
 * does not see what it has done itself, has an answer that no order explains.
 */
import { unreachable } from "../core/assert.ts";
import { EMPTY_BYTES, utf8, viewOf } from "../core/bytes.ts";
import { CommandType } from "../record/command-format.ts";
import type { Transaction, TransactionOperation } from "../record/transaction-format.ts";

export type PairInput =
  /** What the first key gains, on condition that the pair is there or not. */
  | { readonly kind: "move"; readonly by: bigint; readonly guard: "absent" | "present" | null }
  | { readonly kind: "look" }
  /** Both are removed: the first one under another name. */
  | { readonly kind: "clear" };

/** `sum`: what the first key holds; null: neither is there. */
export function pairEffect(sum: string | null, input: PairInput): readonly [after: string | null, output: string] {
  switch (input.kind) {
    case "move": {
      const { guard, by } = input;
      if (guard !== null && (guard === "present") !== (sum !== null)) return [sum, "error CONFLICT"];
      const after = BigInt(sum ?? 0) + by;
      return [String(after), `[${after} ${-after} =${after} =${-after}]`];
    }
    case "look":
      return [sum, sum === null ? "[nil nil]" : `[=${sum} =${-BigInt(sum)}]`];
    case "clear":
      return [null, sum === null ? "[error NO_KEY nil 0 0]" : `[ok nil 1 1]`];
    default:
      return unreachable(input);
  }
}

export function isPairInput(input: { readonly kind: string }): input is PairInput {
  return input.kind === "move" || input.kind === "look" || input.kind === "clear";
}

/** The key of the transaction, too. */
export function firstOf(pair: string): Uint8Array {
  return utf8(`{${pair}}gains`);
}

export function pairTransaction(pair: string, input: PairInput): Transaction {
  const first = firstOf(pair);
  const second = utf8(`{${pair}}loses`);
  const read = (key: Uint8Array): TransactionOperation => ({ kind: "read", key, metadataOnly: false });
  switch (input.kind) {
    case "move": {
      const conditions = input.guard === null ? [] : [{ kind: input.guard, key: first } as const];
      const operations = [increment(first, input.by), increment(second, -input.by), read(first), read(second)];
      return { conditions, operations };
    }
    case "look":
      return { conditions: [], operations: [read(first), read(second)] };
    case "clear": {
      const other = utf8(`{${pair}}gone`);
      const operations = [write(CommandType.rename, first, other), read(first), remove(other), remove(second)];
      return { conditions: [], operations };
    }
    default:
      return unreachable(input);
  }
}

function increment(key: Uint8Array, by: bigint): TransactionOperation {
  const value = new Uint8Array(8);
  viewOf(value).setBigInt64(0, by, true);
  return write(CommandType.increment, key, value);
}

function remove(key: Uint8Array): TransactionOperation {
  return write(CommandType.delete, key, EMPTY_BYTES);
}

function write(type: CommandType, key: Uint8Array, value: Uint8Array): TransactionOperation {
  return { kind: "write", type, modifiers: 0, key, value, expiryMs: 0 };
}
