import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { text, utf8 } from "../../src/core/bytes.ts";
import { logIndex, SESSION_BUCKET } from "../../src/core/ids.ts";
import { MemtableWriter } from "../../src/bridge/memtable.ts";
import { CommandType, MODIFIER_GET, MODIFIER_NX } from "../../src/record/command-format.ts";
import type { Result } from "../../src/record/result.ts";
import { encodeSessionTtl } from "../../src/record/session-format.ts";
import {
  type Condition,
  encodeTransaction,
  type Transaction,
  type TransactionOperation,
} from "../../src/record/transaction-format.ts";
import { BUCKET, command, i64, KIB, put, ShardHarness, START_MS, type TestCommand } from "./shard-harness.ts";

setDefaultTimeout(60_000);

function said(result: Result | undefined): string {
  if (result === undefined) return "nothing";
  switch (result.kind) {
    case "integer":
      return String(result.value);
    case "bytes":
      return text(result.bytes);
    case "version":
      return `=${text(result.value)}`;
    case "error":
      return result.code;
    case "results":
      return `[${result.results.map(said).join(" ")}]`;
    default:
      return result.kind;
  }
}

const read = (key: string): TransactionOperation => ({ kind: "read", key: utf8(key), metadataOnly: false });

function write(type: CommandType, key: string, value: string | Uint8Array = "", modifiers = 0, expiryMs = 0) {
  const bytes = typeof value === "string" ? utf8(value) : value;
  return { kind: "write", type, modifiers, key: utf8(key), value: bytes, expiryMs } as const;
}

const set = (key: string, value: string): TransactionOperation => write(CommandType.put, key, value);
const add = (key: string, by: bigint): TransactionOperation => write(CommandType.increment, key, i64(by));
const remove = (key: string): TransactionOperation => write(CommandType.delete, key);
const rename = (key: string, to: string, modifiers = 0): TransactionOperation =>
  write(CommandType.rename, key, to, modifiers);
const copy = (key: string, to: string, modifiers = 0): TransactionOperation =>
  write(CommandType.copy, key, to, modifiers);
const within = (inner: Transaction): TransactionOperation =>
  write(CommandType.transaction, "", encodeTransaction(inner));

const absent = (key: string): Condition => ({ kind: "absent", key: utf8(key) });
const present = (key: string): Condition => ({ kind: "present", key: utf8(key) });
const valued = (key: string, value: string): Condition => ({ kind: "value", key: utf8(key), value: utf8(value) });

function transaction(operations: readonly TransactionOperation[], conditions: readonly Condition[] = []): TestCommand {
  return command(CommandType.transaction, "", { value: encodeTransaction({ conditions, operations }) });
}

function run(
  shard: ShardHarness,
  operations: readonly TransactionOperation[],
  conditions: readonly Condition[] = [],
): string {
  return said(shard.run(transaction(operations, conditions))[0]);
}

function stamped(shard: ShardHarness, key: string): Condition {
  const found = shard.read({ type: "stamped", bucket: BUCKET, key: utf8(key), metadataOnly: true });
  if (found.kind !== "stamped") return absent(key);
  return { kind: "stamp", key: utf8(key), high: found.stampHigh, low: found.stampLow };
}

test("each operation sees what those before it did, and reads see it too", () => {
  using shard = new ShardHarness();
  expect(run(shard, [set("a", "1"), add("a", 5n), read("a"), set("a", "x"), add("a", 1n), read("a")])).toBe(
    "[ok 6 =6 ok NOT_AN_INTEGER =x]",
  );
  expect(run(shard, [remove("a"), read("a"), remove("a"), add("a", 2n), write(CommandType.append, "a", "7")])).toBe(
    "[1 nil 0 2 2]",
  );
  expect(shard.get("a")).toBe("27");
  expect(
    run(shard, [write(CommandType.getDelete, "a"), write(CommandType.conditionalPut, "a", "n", MODIFIER_GET)]),
  ).toBe("[27 nil]");
  expect(shard.get("a")).toBe("n");
});

test("what it reads is the same in memory, in tables and behind a restart", () => {
  using shard = new ShardHarness();
  shard.run(put("a", "1"), put("b", "10"));
  shard.maintain("flush");
  expect(run(shard, [add("a", 1n), add("b", -1n), read("a"), read("b")])).toBe("[2 9 =2 =9]");
  shard.maintain("compact");
  expect(run(shard, [add("a", 1n), rename("a", "c"), read("a"), read("c")])).toBe("[3 ok nil =3]");
  shard.stop();
  shard.reopen();
  expect([shard.get("a"), shard.get("b"), shard.get("c")]).toEqual([null, "9", "3"]);
});

describe("conditions", () => {
  test("all hold, or nothing is done", () => {
    using shard = new ShardHarness();
    shard.run(put("a", "1"));
    const operations = [set("a", "2"), set("b", "2")];
    for (const wrong of [absent("a"), present("b"), valued("a", "2"), valued("b", ""), valued("a", "")]) {
      expect(run(shard, operations, [present("a"), wrong])).toBe("CONFLICT");
    }
    expect([shard.get("a"), shard.get("b")]).toEqual(["1", null]);
    expect(run(shard, operations, [present("a"), absent("b"), valued("a", "1")])).toBe("[ok ok]");
    expect([shard.get("a"), shard.get("b")]).toEqual(["2", "2"]);
  });

  test("a stamp is that of one version: the same value written again has another, wherever the versions lie", () => {
    using shard = new ShardHarness();
    shard.run(put("a", "1"));
    const first = stamped(shard, "a");
    shard.maintain("flush");
    expect(stamped(shard, "a")).toEqual(first);
    expect(run(shard, [read("a")], [first])).toBe("[=1]");
    shard.run(put("a", "1"));
    expect(run(shard, [read("a")], [first])).toBe("CONFLICT");
    const second = stamped(shard, "a");
    shard.run(command(CommandType.delete, "a"));
    expect(run(shard, [set("a", "2")], [second])).toBe("CONFLICT");
    shard.maintain("compact");
    expect(run(shard, [set("a", "2")], [second])).toBe("CONFLICT");
    expect(run(shard, [set("a", "2")], [absent("a")])).toBe("[ok]");
  });

  test("keys that a transaction has written have one stamp, each under its own key", () => {
    using shard = new ShardHarness();
    run(shard, [set("a", "1"), set("b", "2")]);
    const conditions = [stamped(shard, "a"), stamped(shard, "b")];
    expect(run(shard, [set("a", "3")], conditions)).toBe("[ok]");
    expect(run(shard, [set("a", "4")], conditions)).toBe("CONFLICT");
  });

  test("what has expired is not there", () => {
    using shard = new ShardHarness();
    shard.run(put("a", "1", { expiryMs: START_MS + 100 }));
    const version = stamped(shard, "a");
    shard.stamps.pass(200);
    expect(run(shard, [read("a")], [version])).toBe("CONFLICT");
    expect(run(shard, [read("a")], [absent("a")])).toBe("[nil]");
  });
});

describe("RENAME and COPY", () => {
  test("they take the value and its expiry along", () => {
    using shard = new ShardHarness();
    const until = START_MS + 5000;
    shard.run(put("a", "1", { expiryMs: until }), put("b", "2"));
    expect(run(shard, [rename("a", "b"), read("a"), read("b")])).toBe("[ok nil =1]");
    expect(run(shard, [copy("b", "c", MODIFIER_NX), copy("b", "c", MODIFIER_NX), read("c")])).toBe("[1 0 =1]");
    const found = shard.read({ type: "get", bucket: BUCKET, key: utf8("c"), metadataOnly: true });
    expect(found).toMatchObject({ kind: "version", expiryMs: until });
  });

  test("without a key, onto another one, onto itself", () => {
    using shard = new ShardHarness();
    shard.run(put("a", "1"), put("b", "2"));
    expect(run(shard, [rename("none", "x"), copy("none", "x"), rename("a", "b", MODIFIER_NX)])).toBe("[NO_KEY 0 0]");
    expect(run(shard, [rename("a", "a"), rename("a", "a", MODIFIER_NX), read("a")])).toBe("[ok 0 =1]");
    expect(run(shard, [rename("a", "n", MODIFIER_NX), copy("n", "b"), read("b"), read("a")])).toBe("[1 1 =1 nil]");
  });

  test("outside a transaction they are refused, and so is what belongs into the catalog within one", () => {
    using shard = new ShardHarness();
    shard.run(put("a", "1"));
    expect(said(shard.run(command(CommandType.rename, "a", { value: utf8("b") }))[0])).toBe("INVALID_ARGUMENT");
    expect(run(shard, [write(CommandType.fence, "a", "xxxx"), read("a")])).toBe("[INVALID_ARGUMENT =1]");
  });
});

test("a transaction within one decides for itself, and not deeper", () => {
  using shard = new ShardHarness();
  const guarded = within({ conditions: [absent("a")], operations: [set("a", "1"), set("b", "1")] });
  expect(run(shard, [guarded, guarded, read("b")])).toBe("[[ok ok] CONFLICT =1]");
  const deeper = within({ conditions: [], operations: [guarded, read("a")] });
  expect(run(shard, [deeper])).toBe("[[INVALID_ARGUMENT =1]]");
});

test("bytes that are no transaction, and one of more than a value's bytes, do nothing", () => {
  using shard = new ShardHarness();
  expect(said(shard.run(command(CommandType.transaction, "", { value: utf8("nonsense") }))[0])).toBe(
    "INVALID_ARGUMENT",
  );
  const large = "x".repeat(6 * KIB);
  expect(run(shard, [set("a", large), set("b", large), set("c", large)])).toBe("TOO_LARGE");
  expect(shard.get("a")).toBe(null);
  const doubled = Array.from({ length: 2 }, () => write(CommandType.append, "a", large));
  expect(run(shard, [set("a", large), ...doubled, write(CommandType.delete, "a")])).toBe("[ok 12288 TOO_LARGE 1]");
  expect(run(shard, [set("a", large)])).toBe("[ok]");
  expect(run(shard, [set("b", "1"), ...Array.from({ length: 11 }, () => read("a"))])).toBe("TOO_LARGE");
  expect(shard.get("b")).toBe(null);
});

test("main reads no memtable while a part of a transaction is in it", () => {
  using shard = new ShardHarness();
  shard.run(put("a", "1"));
  const { insert } = MemtableWriter.prototype;
  const seen: boolean[] = [];
  const isReadable = (): boolean => shard.state.readable(logIndex(0));
  MemtableWriter.prototype.insert = function (...all) {
    const isDone = insert.apply(this, all);
    seen.push(isReadable());
    return isDone;
  };
  try {
    expect(run(shard, [rename("a", "b"), set("c", "1")])).toBe("[ok ok]");
    expect([seen.splice(0), isReadable()]).toEqual([[false, false, false], true]);
    shard.run(put("a", "1"));
    expect([seen, isReadable()]).toEqual([[true], true]);
  } finally {
    MemtableWriter.prototype.insert = insert;
  }
});

test("it waits as a whole for room in a memtable", () => {
  using shard = new ShardHarness();
  const value = "v".repeat(7 * KIB);
  for (let i = 0; i < 60; i++) {
    expect(run(shard, [set(`a${i}`, value), set(`b${i}`, value), add("n", 1n)])).toBe(`[ok ok ${i + 1}]`);
  }
  expect(shard.get("n")).toBe("60");
  for (let i = 0; i < 60; i++) expect(shard.get(`a${i}`)).toBe(shard.get(`b${i}`));
});

test("in a session it is carried out once, and a retry is told what it came to", () => {
  using shard = new ShardHarness();
  const session = 77;
  const value = encodeSessionTtl(10_000);
  shard.run(command(CommandType.openSession, "", { bucket: SESSION_BUCKET, value, once: { session, sequence: 0 } }));
  const once = (sequence: number, one: TestCommand): string =>
    said(shard.run({ ...one, once: { session, sequence } })[0]);
  const move = transaction([add("a", -1n), add("b", 1n)]);
  expect([once(1, move), once(1, move), once(2, move)]).toEqual(["[-1 1]", "[-1 1]", "[-2 2]"]);
  const refused = transaction([add("a", 1n)], [absent("a")]);
  expect([once(3, refused), once(3, refused)]).toEqual(["CONFLICT", "CONFLICT"]);
  shard.maintain("flush");
  expect(once(2, move)).toBe("[-2 2]");
  for (let i = 0; i < 40; i++) {
    const large = transaction([set("l", "x".repeat(7 * KIB)), set("m", "x".repeat(7 * KIB)), add("a", -1n)]);
    expect(once(4 + i, large)).toBe(`[ok ok ${-3 - i}]`);
  }
});
