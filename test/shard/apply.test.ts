import { expect, setDefaultTimeout, test } from "bun:test";
import { decode, encode } from "@msgpack/msgpack";
import { text, utf8 } from "../../src/core/bytes.ts";
import {
  CommandType,
  MODIFIER_GET,
  MODIFIER_GT,
  MODIFIER_KEEPTTL,
  MODIFIER_LT,
  MODIFIER_NX,
  MODIFIER_PERSIST,
  MODIFIER_XX,
} from "../../src/record/command-format.ts";
import { encodeBit, encodeRange } from "../../src/record/part-format.ts";
import type { Result } from "../../src/record/result.ts";
import { command, i64, put, ShardHarness, START_MS, type TestCommand, u32 } from "./shard-harness.ts";

setDefaultTimeout(60_000);

const LATER = START_MS + 10_000;
const SOON = START_MS + 100;

/** A result in one word. */
function said(result: Result | undefined): string {
  if (result === undefined) return "nothing";
  switch (result.kind) {
    case "integer":
      return String(result.value);
    case "bytes":
      return text(result.bytes);
    case "error":
      return result.code;
    default:
      return result.kind;
  }
}

function set(key: string, value: string, modifiers: number, expiryMs = 0): TestCommand {
  return command(CommandType.conditionalPut, key, { value: utf8(value), modifiers, expiryMs });
}

function increment(key: string, by: bigint): TestCommand {
  return command(CommandType.increment, key, { value: i64(by) });
}

function range(offset: number, bytes: string): Uint8Array {
  return encodeRange(offset, { bytes: utf8(bytes), start: 0, end: utf8(bytes).length });
}

function expire(key: string, expiryMs: number, modifiers = 0): TestCommand {
  return command(CommandType.expire, key, { expiryMs, modifiers });
}

/** What happens to a key that holds "old", to one that holds "old" and expires at LATER, and to one that is not there. */
interface Row {
  readonly name: string;
  readonly command: (key: string) => TestCommand;
  readonly plain: [result: string, value: string | null];
  readonly expiring: [result: string, value: string | null];
  readonly absent: [result: string, value: string | null];
}

const ROWS: readonly Row[] = [
  {
    name: "DEL",
    command: (key) => command(CommandType.delete, key),
    plain: ["1", null],
    expiring: ["1", null],
    absent: ["0", null],
  },
  {
    name: "GETDEL",
    command: (key) => command(CommandType.getDelete, key),
    plain: ["old", null],
    expiring: ["old", null],
    absent: ["nil", null],
  },
  {
    name: "SET NX",
    command: (key) => set(key, "new", MODIFIER_NX),
    plain: ["nil", "old"],
    expiring: ["nil", "old"],
    absent: ["ok", "new"],
  },
  {
    name: "SET XX",
    command: (key) => set(key, "new", MODIFIER_XX),
    plain: ["ok", "new"],
    expiring: ["ok", "new"],
    absent: ["nil", null],
  },
  {
    name: "SET GET",
    command: (key) => set(key, "new", MODIFIER_GET),
    plain: ["old", "new"],
    expiring: ["old", "new"],
    absent: ["nil", "new"],
  },
  {
    name: "SET NX GET",
    command: (key) => set(key, "new", MODIFIER_GET | MODIFIER_NX),
    plain: ["old", "old"],
    expiring: ["old", "old"],
    absent: ["nil", "new"],
  },
  {
    name: "SET XX GET",
    command: (key) => set(key, "new", MODIFIER_GET | MODIFIER_XX),
    plain: ["old", "new"],
    expiring: ["old", "new"],
    absent: ["nil", null],
  },
  {
    name: "INCRBY 5",
    command: (key) => increment(key, 5n),
    plain: ["NOT_AN_INTEGER", "old"],
    expiring: ["NOT_AN_INTEGER", "old"],
    absent: ["5", "5"],
  },
  {
    name: "APPEND",
    command: (key) => command(CommandType.append, key, { value: utf8("er") }),
    plain: ["5", "older"],
    expiring: ["5", "older"],
    absent: ["2", "er"],
  },
  {
    name: "SETRANGE 1",
    command: (key) => command(CommandType.setRange, key, { value: range(1, "rgan") }),
    plain: ["5", "organ"],
    expiring: ["5", "organ"],
    absent: ["5", "\0rgan"],
  },
  {
    name: "SETRANGE of nothing",
    command: (key) => command(CommandType.setRange, key, { value: range(9000, "") }),
    plain: ["3", "old"],
    expiring: ["3", "old"],
    absent: ["0", null],
  },
  {
    name: "SETBIT 1 0",
    command: (key) => command(CommandType.setBit, key, { value: encodeBit(1, 0) }),
    plain: ["1", "/ld"],
    expiring: ["1", "/ld"],
    absent: ["0", "\0"],
  },
  {
    name: "INCRBYFLOAT 0.1",
    command: (key) => command(CommandType.incrementFloat, key, { value: utf8("0.1") }),
    plain: ["NOT_A_FLOAT", "old"],
    expiring: ["NOT_A_FLOAT", "old"],
    absent: ["0.1", "0.1"],
  },
  {
    name: "EXPIRE later",
    command: (key) => expire(key, LATER + 1),
    plain: ["1", "old"],
    expiring: ["1", "old"],
    absent: ["0", null],
  },
  {
    name: "EXPIRE in the past",
    command: (key) => expire(key, START_MS),
    plain: ["1", null],
    expiring: ["1", null],
    absent: ["0", null],
  },
  {
    name: "EXPIRE NX",
    command: (key) => expire(key, LATER + 1, MODIFIER_NX),
    plain: ["1", "old"],
    expiring: ["0", "old"],
    absent: ["0", null],
  },
  {
    name: "EXPIRE XX",
    command: (key) => expire(key, LATER + 1, MODIFIER_XX),
    plain: ["0", "old"],
    expiring: ["1", "old"],
    absent: ["0", null],
  },
  {
    name: "EXPIRE GT with a later time",
    command: (key) => expire(key, LATER + 1, MODIFIER_GT),
    plain: ["0", "old"],
    expiring: ["1", "old"],
    absent: ["0", null],
  },
  {
    name: "EXPIRE GT with an earlier time",
    command: (key) => expire(key, LATER - 1, MODIFIER_GT),
    plain: ["0", "old"],
    expiring: ["0", "old"],
    absent: ["0", null],
  },
  {
    name: "EXPIRE LT with a later time",
    command: (key) => expire(key, LATER + 1, MODIFIER_LT),
    plain: ["1", "old"],
    expiring: ["0", "old"],
    absent: ["0", null],
  },
  {
    name: "EXPIRE LT with an earlier time",
    command: (key) => expire(key, LATER - 1, MODIFIER_LT),
    plain: ["1", "old"],
    expiring: ["1", "old"],
    absent: ["0", null],
  },
  {
    name: "PERSIST",
    command: (key) => command(CommandType.persist, key),
    plain: ["0", "old"],
    expiring: ["1", "old"],
    absent: ["0", null],
  },
  {
    name: "GETEX",
    command: (key) => command(CommandType.getExpire, key),
    plain: ["old", "old"],
    expiring: ["old", "old"],
    absent: ["nil", null],
  },
  {
    name: "GETEX in the past",
    command: (key) => command(CommandType.getExpire, key, { expiryMs: 1 }),
    plain: ["old", null],
    expiring: ["old", null],
    absent: ["nil", null],
  },
];

test.each(ROWS)("$name", (row) => {
  using harness = new ShardHarness();
  harness.run(put("plain", "old"), put("expiring", "old", { expiryMs: LATER }));
  for (const name of ["plain", "expiring", "absent"] as const) {
    const [result] = harness.run(row.command(name));
    expect([said(result), harness.get(name)]).toEqual(row[name]);
  }
});

test("what a table holds is seen by commands like what memory holds", () => {
  using harness = new ShardHarness();
  harness.run(put("n", "41"), put("t", "ab"), put("gone", "x", { expiryMs: SOON }));
  harness.maintain("flush");
  expect(harness.stats().tableEntries).toBeGreaterThan(0);
  harness.stamps.pass(100);
  const results = harness.run(
    increment("n", 1n),
    command(CommandType.append, "t", { value: utf8("c") }),
    command(CommandType.delete, "gone"),
  );
  expect(results.map(said)).toEqual(["42", "3", "0"]);
});

test("a key is gone at the very stamp at which it expires, and not a millisecond before", () => {
  using harness = new ShardHarness();
  harness.run(put("a", "1", { expiryMs: SOON }), put("b", "1", { expiryMs: SOON }));
  harness.stamps.pass(99);
  expect(harness.run(increment("a", 1n)).map(said)).toEqual(["2"]);
  harness.stamps.pass(1);
  expect(harness.run(increment("a", 1n), command(CommandType.delete, "b")).map(said)).toEqual(["1", "0"]);
});

test("what changes a part of a value keeps the expiry, SET drops it unless told to keep it", () => {
  using harness = new ShardHarness();
  const expiryOf = (key: string): number => {
    const result = harness.read({ type: "get", bucket: 1, key: utf8(key), metadataOnly: true });
    return result.kind === "version" ? result.expiryMs : -1;
  };
  harness.run(...["n", "a", "r", "b", "f", "kept", "dropped"].map((key) => put(key, "1", { expiryMs: LATER })));
  harness.run(
    increment("n", 1n),
    command(CommandType.setRange, "r", { value: range(3, "x") }),
    command(CommandType.setBit, "b", { value: encodeBit(30, 1) }),
    command(CommandType.incrementFloat, "f", { value: utf8("1") }),
    command(CommandType.append, "a", { value: utf8("0") }),
    set("kept", "2", MODIFIER_KEEPTTL),
    set("dropped", "2", 0),
    set("fresh", "2", MODIFIER_KEEPTTL),
  );
  expect(["n", "a", "r", "b", "f", "kept"].map(expiryOf)).toEqual(new Array<number>(6).fill(LATER));
  expect(["dropped", "fresh"].map(expiryOf)).toEqual([0, 0]);
  harness.run(command(CommandType.getExpire, "n", { modifiers: MODIFIER_PERSIST }));
  expect(expiryOf("n")).toBe(0);
});

test.each([
  ["0", "1"],
  ["-1", "0"],
  ["9223372036854775806", "9223372036854775807"],
  ["-9223372036854775808", "-9223372036854775807"],
  ["123456789012345678", "123456789012345679"],
  ["9223372036854775807", "OVERFLOW"],
  ["9223372036854775808", "NOT_AN_INTEGER"],
  ["-9223372036854775809", "NOT_AN_INTEGER"],
  ["-0", "NOT_AN_INTEGER"],
  ["01", "NOT_AN_INTEGER"],
  ["+1", "NOT_AN_INTEGER"],
  [" 11", "NOT_AN_INTEGER"],
  ["11 ", "NOT_AN_INTEGER"],
  ["1.5", "NOT_AN_INTEGER"],
  ["-", "NOT_AN_INTEGER"],
  ["", "NOT_AN_INTEGER"],
  ["123456789012345678901", "NOT_AN_INTEGER"],
])("INCR of %j gives %s", (value, expected) => {
  using harness = new ShardHarness();
  harness.run(put("n", value));
  expect(said(harness.run(increment("n", 1n))[0])).toBe(expected);
});

test("DECRBY of the least integer there is works where the sum exists", () => {
  using harness = new ShardHarness();
  expect(harness.run(increment("n", -(2n ** 63n)), increment("n", -1n)).map(said)).toEqual([
    "-9223372036854775808",
    "OVERFLOW",
  ]);
});

test("APPEND stops at the longest value", () => {
  using harness = new ShardHarness();
  const half = utf8("x".repeat(8 * 1024));
  const append = command(CommandType.append, "k", { value: half });
  expect(harness.run(append, append, append).map(said)).toEqual(["8192", "16384", "TOO_LARGE"]);
});

test("SETRANGE and SETBIT stop at the longest value, INCRBYFLOAT too", () => {
  using harness = new ShardHarness({ options: { valueBytesMax: 300 } });
  const setRange = (offset: number): TestCommand => command(CommandType.setRange, "k", { value: range(offset, "ab") });
  const setBit = (offset: number): TestCommand => command(CommandType.setBit, "k", { value: encodeBit(offset, 1) });
  const most = 300 * 8 - 1;
  expect(harness.run(setRange(298), setRange(299), setRange(2 ** 32 - 1)).map(said)).toEqual([
    "300",
    "TOO_LARGE",
    "TOO_LARGE",
  ]);
  expect(harness.run(setBit(most), setBit(most), setBit(most + 1), setBit(2 ** 32 - 1)).map(said)).toEqual([
    "0",
    "1",
    "TOO_LARGE",
    "TOO_LARGE",
  ]);
  expect(harness.get("k")).toBe(`${"\0".repeat(298)}ac`);
  const add = (text: string): TestCommand => command(CommandType.incrementFloat, "f", { value: utf8(text) });
  expect(harness.run(add("1e300"), add("inf"), add("1e4932")).map(said)).toEqual([
    "TOO_LARGE",
    "OVERFLOW",
    "TOO_LARGE",
  ]);
  expect(harness.get("f")).toBeNull();
});

test("refusals have Redis's own words", () => {
  using harness = new ShardHarness({ options: { valueBytesMax: 300 } });
  const words = (one: TestCommand): string => {
    const [result] = harness.run(one);
    return result?.kind === "error" ? result.message : "no error";
  };
  harness.run(put("k", "x".repeat(300)));
  const [append, add] = [CommandType.append, CommandType.incrementFloat];
  expect(words(command(append, "k", { value: utf8("y") }))).toBe(
    "string exceeds maximum allowed size (proto-max-bulk-len)",
  );
  expect(words(command(add, "k", { value: utf8("1") }))).toBe("value is not a valid float");
  expect(words(command(add, "none", { value: utf8("inf") }))).toBe("increment would produce NaN or Infinity");
});

test("values that no range and no bit have are refused", () => {
  using harness = new ShardHarness();
  harness.run(put("k", "old"));
  const values: [CommandType, Uint8Array][] = [
    [CommandType.setRange, utf8("abc")],
    [CommandType.setBit, encodeBit(0, 2)],
    [CommandType.setBit, u32(1)],
    [CommandType.setBit, utf8("123456")],
  ];
  for (const [type, value] of values)
    expect(said(harness.run(command(type, "k", { value }))[0])).toBe("INVALID_ARGUMENT");
  expect(harness.get("k")).toBe("old");
});

test("a fenced bucket takes nothing any more, and only the fence is to be seen", () => {
  using harness = new ShardHarness();
  harness.run(put("k", "1", { bucket: 70 }));
  expect(said(harness.run(command(CommandType.fence, "fence/70", { bucket: 0, value: u32(70) }))[0])).toBe("ok");
  const late = harness.run(
    put("k", "2", { bucket: 70 }),
    command(CommandType.increment, "k", { bucket: 70, value: i64(1n) }),
    command(CommandType.delete, "k", { bucket: 70 }),
  );
  expect(late.map(said)).toEqual(["FENCED", "FENCED"]);
  const changes = harness.ofType("applied").flatMap((reply) => reply.system);
  expect(changes.map(({ key }) => text(key))).toEqual(["fence/70"]);
});

test("a fence holds after a restart, from the log and from the tables", () => {
  using harness = new ShardHarness();
  harness.run(command(CommandType.fence, "", { bucket: 0, value: u32(70) }));
  harness.stop();
  harness.reopen();
  expect(harness.boot.system.map(({ key }) => text(key))).toEqual(["fence/70"]);
  harness.maintain("flush");
  harness.stop();
  harness.reopen();
  expect(harness.boot.system.map(({ key }) => text(key))).toEqual(["fence/70"]);
  expect(said(harness.run(command(CommandType.delete, "k", { bucket: 70 }))[0])).toBe("FENCED");
});

test("the catalog gives out ids from 64, once each", () => {
  using harness = new ShardHarness();
  const create = (name: string): TestCommand =>
    command(CommandType.createBucket, name, { bucket: 0, value: encode({ consistency: "raft" }) });
  const drop = (name: string): TestCommand => command(CommandType.dropBucket, name, { bucket: 0 });
  const renew = (name: string): TestCommand => command(CommandType.renewBucket, name, { bucket: 0 });
  expect(harness.run(create("a"), create("b"), create("a"), create("0")).map(said)).toEqual([
    "64",
    "65",
    "BUCKET_EXISTS",
    "BUCKET_EXISTS",
  ]);
  expect(
    harness.run(drop("a"), drop("a"), drop("3"), create("a"), renew("b"), renew("3"), renew("x")).map(said),
  ).toEqual(["64", "NO_BUCKET", "INVALID_ARGUMENT", "66", "65", "4", "NO_BUCKET"]);
  const content = new Map<string, unknown>();
  for (const { key, value } of harness.ofType("applied").flatMap((reply) => reply.system)) {
    if (value === null) content.delete(text(key));
    else content.set(text(key), text(key).startsWith("bucket/") ? decode(value) : [...value].join());
  }
  expect(Object.fromEntries(content)).toEqual({
    "bucket/a": { id: 66, profile: { consistency: "raft" } },
    "bucket/b": { id: 67, seed: 65, profile: { consistency: "raft" } },
    "bucket/3": { id: 68, seed: 4, profile: {} },
    "next-bucket": "69,0,0,0",
    "pending/64": "97",
    "pending/65": "98",
    "pending/4": "51",
  });
  expect(said(harness.run(command(CommandType.fenceDone, "", { bucket: 0, value: u32(64) }))[0])).toBe("ok");
  harness.stop();
  harness.reopen();
  const names = harness.boot.system.map(({ key }) => text(key)).sort();
  expect(names).toEqual(["bucket/3", "bucket/a", "bucket/b", "next-bucket", "pending/4", "pending/65"]);
});

test("what is chosen for a bucket changes field by field, stays when it is emptied, and is counted", () => {
  using harness = new ShardHarness();
  const alter = (name: string, value: Uint8Array): TestCommand =>
    command(CommandType.alterBucket, name, { bucket: 0, value });
  const entry = (name: string): unknown => {
    const changes = harness.ofType("applied").flatMap((reply) => reply.system);
    const last = changes.findLast(({ key }) => text(key) === `bucket/${name}`)?.value;
    return last === undefined || last === null ? null : decode(last);
  };
  harness.run(command(CommandType.createBucket, "a", { bucket: 0, value: encode({ consistency: "raft" }) }));
  expect(
    harness.run(alter("a", encode({ quotaBytes: 5 })), alter("a", encode({ quotaKeys: 7, quotaBytes: 6 }))).map(said),
  ).toEqual(["64", "64"]);
  const profile = { consistency: "raft", quotaBytes: 6, quotaKeys: 7 };
  expect(entry("a")).toEqual({ id: 64, seed: 64, profile, revision: 2 });
  harness.run(command(CommandType.renewBucket, "a", { bucket: 0 }));
  expect(entry("a")).toEqual({ id: 65, seed: 64, profile, revision: 2 });
  expect(said(harness.run(alter("3", encode({ rate: 1 })))[0])).toBe("4");
  expect(entry("3")).toEqual({ id: 4, seed: 4, profile: { rate: 1 }, revision: 1 });
  const refused = [alter("x", encode({})), alter("a", Uint8Array.of(0xc1)), alter("a", encode([1]))];
  expect(harness.run(...refused).map(said)).toEqual(["NO_BUCKET", "INVALID_ARGUMENT", "INVALID_ARGUMENT"]);
  expect(said(harness.run(alter("a", encode({ long: "x".repeat(5_000) })))[0])).toBe("TOO_LARGE");
});
