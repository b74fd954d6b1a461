/** What becomes a command of one shard, and what is refused before anything is proposed. */
import { expect, test } from "bun:test";
import { TokenTable } from "../../src/core/token-table.ts";
import { Catalog } from "../../src/cluster/catalog.ts";
import { transactionCommand } from "../../src/cluster/transaction-command.ts";
import { text, utf8 } from "../../src/core/bytes.ts";
import { CommandType } from "../../src/record/command-format.ts";
import {
  type Condition,
  decodeTransaction,
  encodeTransaction,
  type Transaction,
  TRANSACTION_OPERATIONS_MAX,
  type TransactionOperation,
} from "../../src/record/transaction-format.ts";

const TOKENS = new TokenTable(4);
const BUCKET = new Catalog(0).ref("0");
const SEED = BUCKET.seed;
const shardOf = (key: string): number => TOKENS.shardOf(SEED, utf8(key), 0, key.length);
const OTHER = Array.from({ length: 100 }, (_, i) => `k${i}`).find((key) => shardOf(key) !== shardOf("{t}a")) ?? "";

const read = (key: string): TransactionOperation => ({ kind: "read", key: utf8(key), metadataOnly: false });
const absent = (key: string): Condition => ({ kind: "absent", key: utf8(key) });

function write(type: CommandType, key: string, value: string | Uint8Array): TransactionOperation {
  const bytes = typeof value === "string" ? utf8(value) : value;
  return { kind: "write", type, modifiers: 0, key: utf8(key), value: bytes, expiryMs: 0 };
}

/** The key of the command, or how it was refused. */
function placed(transaction: Transaction): string {
  const command = transactionCommand(TOKENS, BUCKET, transaction, 4096);
  if (!("kind" in command)) return text(command.key.bytes.subarray(command.key.start, command.key.end));
  return command.kind === "error" ? command.code : command.kind;
}

test("keys of one shard are one command, on the first of them", () => {
  const transaction = { conditions: [absent("{t}a")], operations: [read("{t}b"), write(CommandType.put, "{t}c", "1")] };
  expect(placed(transaction)).toBe("{t}a");
  const command = transactionCommand(TOKENS, BUCKET, transaction, 4096);
  const value = "kind" in command ? new Uint8Array(0) : command.value.bytes;
  expect(decodeTransaction(value).operations).toHaveLength(2);
});

test("a key of another shard is found wherever it stands", () => {
  const inner = (transaction: Transaction): TransactionOperation =>
    write(CommandType.transaction, "{t}a", encodeTransaction(transaction));
  for (const operation of [
    read(OTHER),
    write(CommandType.put, OTHER, "1"),
    write(CommandType.rename, "{t}b", OTHER),
    write(CommandType.copy, "{t}b", OTHER),
    inner({ conditions: [absent(OTHER)], operations: [] }),
    inner({ conditions: [], operations: [write(CommandType.rename, "{t}c", OTHER)] }),
  ]) {
    expect(placed({ conditions: [], operations: [read("{t}a"), operation] })).toBe("CROSS_SHARD");
  }
  expect(placed({ conditions: [absent(OTHER)], operations: [read("{t}a")] })).toBe("CROSS_SHARD");
  expect(placed({ conditions: [], operations: [read("{t}a"), write(CommandType.put, "{t}a", OTHER)] })).toBe("{t}a");
});

test("what is no transaction, or too much of one, is refused", () => {
  expect(placed({ conditions: [], operations: [] })).toBe("results");
  expect(placed({ conditions: [], operations: [write(CommandType.transaction, "{t}a", "?")] })).toBe(
    "INVALID_ARGUMENT",
  );
  expect(placed({ conditions: [], operations: [write(CommandType.put, "{t}a", "x".repeat(4096))] })).toBe("TOO_LARGE");
  const many = Array.from({ length: TRANSACTION_OPERATIONS_MAX + 1 }, () => read("{t}a"));
  expect(placed({ conditions: [], operations: many })).toBe("TOO_LARGE");
});
