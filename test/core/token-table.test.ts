/** Keys find their shard, the same one on every node and in every client, and shards get fair shares. */
import { expect, test } from "bun:test";
import { utf8 } from "../../src/core/bytes.ts";
import { Random } from "../../src/core/random.ts";
import { TokenTable } from "../../src/core/token-table.ts";

function shardOf(table: TokenTable, key: string, bucket = 1): number {
  const bytes = utf8(`..${key}..`);
  return table.shardOf(bucket, bytes, 2, bytes.length - 2);
}

test("a key's shard is part of the format: these never change", () => {
  const table = new TokenTable(8);
  const keys = ["", "a", "user:1", "user:2", "{user}:1", "café", "key:000000000001"];
  expect(keys.map((key) => shardOf(table, key))).toMatchInlineSnapshot(`
    [
      6,
      7,
      3,
      2,
      4,
      5,
      6,
    ]
  `);
});

test("keys with one {tag} share a shard; an empty or open tag is no tag", () => {
  const table = new TokenTable(16);
  for (let i = 0; i < 100; i++) expect(shardOf(table, `a${i}{tag}b${i}`)).toBe(shardOf(table, "{tag}"));
  const spread = (make: (i: number) => string): number =>
    new Set(Array.from({ length: 100 }, (_, i) => shardOf(table, make(i)))).size;
  expect(spread((i) => `{}${i}`)).toBeGreaterThan(8);
  expect(spread((i) => `{${i}`)).toBeGreaterThan(8);
});

test("every token has an owner, and no shard has more than twice its share", () => {
  for (const shardCount of [1, 2, 3, 16, 64]) {
    const table = new TokenTable(shardCount);
    const random = new Random(shardCount);
    const counts = new Array<number>(shardCount).fill(0);
    for (let i = 0; i < 100_000; i++) counts[table.ownerOf(random.u32())]! += 1;
    for (const edge of [0, 1, 0xffffffff]) expect(table.ownerOf(edge)).toBeLessThan(shardCount);
    expect(Math.max(...counts) / (100_000 / shardCount)).toBeLessThan(2);
    expect(Math.min(...counts)).toBeGreaterThan(0);
  }
});
