import { expect, setDefaultTimeout, test } from "bun:test";
import { text, utf8 } from "../../src/core/bytes.ts";
import type { PageResult } from "../../src/record/result.ts";
import { CommandType } from "../../src/record/command-format.ts";
import { BUCKET, command, put, ShardHarness, START_MS } from "./shard-harness.ts";

setDefaultTimeout(60_000);

/** Keys in a table, in a second table and in memory, with some deleted, overwritten, expired. */
function filled(): ShardHarness {
  const harness = new ShardHarness();
  harness.run(...["a:1", "a:2", "b:1", "gone"].map((key) => put(key, "old")));
  harness.maintain("flush");
  harness.run(put("a:3", "x"), put("a:2", "new"), put("brief", "x", { expiryMs: START_MS + 1000 }));
  harness.run(put("other", "x", { bucket: 2 }), put("low", "x", { bucket: 0 }));
  harness.maintain("flush");
  harness.run(put("a:4", "x"), command(CommandType.delete, "gone"));
  for (let i = 0; i < 40; i++) harness.run(put("often", String(i)));
  return harness;
}

interface PageQuery {
  readonly after?: string;
  readonly examineMax?: number;
  readonly bytesMax?: number;
  readonly pattern?: string;
  readonly mode?: "keys" | "count";
}

function page(harness: ShardHarness, query: PageQuery): PageResult {
  const { after, examineMax = 100, bytesMax = 10_000, pattern, mode = "keys" } = query;
  const result = harness.read({
    type: "page",
    bucket: BUCKET,
    after: after === undefined ? null : utf8(after),
    examineMax,
    bytesMax,
    pattern: pattern === undefined ? null : utf8(pattern),
    mode,
  });
  if (result.kind !== "page") throw new Error(`a page came as ${result.kind}`);
  return result;
}

function keysOf(result: PageResult): string[] {
  return result.keys.map(text);
}

test("a page holds the visible keys of its bucket, once each and in order", () => {
  using harness = filled();
  expect(keysOf(page(harness, {}))).toEqual(["a:1", "a:2", "a:3", "a:4", "b:1", "brief", "often"]);
  harness.clock.nowMs = START_MS + 1000;
  expect(keysOf(page(harness, {}))).toEqual(["a:1", "a:2", "a:3", "a:4", "b:1", "often"]);
});

test("a page begins behind the given key, whether that key is there or not", () => {
  using harness = filled();
  expect(keysOf(page(harness, { after: "a:4" }))).toEqual(["b:1", "brief", "often"]);
  expect(keysOf(page(harness, { after: "b" }))).toEqual(["b:1", "brief", "often"]);
  expect(keysOf(page(harness, { after: "zzz" }))).toEqual([]);
});

test("a pattern chooses, and the walk ends where nothing can match any more", () => {
  using harness = filled();
  const found = page(harness, { pattern: "a:[13]" });
  expect(keysOf(found)).toEqual(["a:1", "a:3"]);
  expect(found.next).toBeNull();
  expect(keysOf(page(harness, { pattern: "*e*" }))).toEqual(["brief", "often"]);
});

test("counting gives the number and the bytes, and no keys", () => {
  using harness = filled();
  expect(page(harness, { mode: "count" })).toEqual({
    kind: "page",
    keys: [],
    matchCount: 7,
    byteCount: 39,
    next: null,
  });
});

test("bounded pages, one after the other, add up to the whole", () => {
  using harness = filled();
  const whole = keysOf(page(harness, {}));
  for (const bounds of [{ examineMax: 1 }, { examineMax: 3 }, { bytesMax: 1 }, { bytesMax: 7 }]) {
    const found: string[] = [];
    let next: PageResult["next"] = null;
    do {
      const result = page(harness, next === null ? bounds : { ...bounds, after: text(next) });
      found.push(...keysOf(result));
      next = result.next;
    } while (next !== null);
    expect(found).toEqual(whole);
  }
});

test("a sample is a visible key, every key has its chance, and an empty bucket gives none", () => {
  using harness = filled();
  const found = new Set<string>();
  for (let random = 0; random < 400; random++) {
    const result = harness.read({ type: "sample", bucket: BUCKET, random });
    if (result.kind !== "bytes") throw new Error("there is a key");
    found.add(text(result.bytes));
  }
  expect([...found].sort()).toEqual(["a:1", "a:2", "a:3", "a:4", "b:1", "brief", "often"]);
  expect(harness.read({ type: "sample", bucket: 77, random: 5 }).kind).toBe("nil");
});

test("metadata comes without the value", () => {
  using harness = filled();
  const result = harness.read({ type: "get", bucket: BUCKET, key: utf8("brief"), metadataOnly: true });
  expect(result).toEqual({ kind: "version", valueBytes: 1, expiryMs: START_MS + 1000, value: new Uint8Array(0) });
});

test("keys of any bytes, the empty one too, are found and walked", () => {
  using harness = new ShardHarness();
  const keys = [new Uint8Array(0), Uint8Array.of(0), Uint8Array.of(0, 0), Uint8Array.of(0xff), utf8("../etc/passwd")];
  harness.run(...keys.map((key) => ({ type: CommandType.put, key, value: utf8("v") })));
  for (const isFlushed of [false, true]) {
    if (isFlushed) harness.maintain("compact");
    const found = page(harness, {}).keys.map((key) => Buffer.from(key).toString("hex"));
    expect(found).toEqual(keys.map((key) => Buffer.from(key).toString("hex")).sort());
  }
});

test("what a command found expired stays so for a reader whose clock is behind", () => {
  using harness = new ShardHarness();
  const expiryMs = START_MS + 1000;
  harness.run(put("brief", "x", { expiryMs }));
  harness.stamps.pass(2000);
  expect(harness.run(command(CommandType.delete, "brief"))).toEqual([{ kind: "integer", value: 0n }]);
  harness.clock.nowMs = expiryMs - 500;
  const read = { type: "get", bucket: BUCKET, key: utf8("brief"), metadataOnly: false } as const;
  expect(harness.read(read)).toEqual({ kind: "nil" });
  expect(keysOf(page(harness, {}))).toEqual([]);
});
