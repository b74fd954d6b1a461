/** Files that a compaction has replaced: gone one by one while the shard goes on, and at the latest when it stops. */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { put, ShardHarness, testOptions } from "./shard-harness.ts";

/** Every file is large. */
function slowlyRemoved(): ShardHarness {
  const { tree } = testOptions("");
  return new ShardHarness({ options: { tree: { ...tree, slowRemovalBytes: 1 } } });
}

function tablesOf(shard: ShardHarness): string[] {
  return readdirSync(join(shard.directory, "shard-0000")).filter((name) => name.endsWith(".sst"));
}

function write(shard: ShardHarness, round: number): void {
  for (let i = 0; i < 40; i++) shard.run(put(`key${i % 10}`, `${round}/${i}`));
  shard.maintain("flush");
}

test("they leave one by one", () => {
  using shard = slowlyRemoved();
  for (let round = 0; round < 4; round++) write(shard, round);
  shard.maintain("compact");
  const counts = new Set([tablesOf(shard).length]);
  for (let i = 0; i < 100; i++) {
    shard.shard.backgroundStep();
    counts.add(tablesOf(shard).length);
  }
  expect([...counts].at(-1)).toBe(1);
  expect(counts.size).toBeGreaterThan(2);
  expect(shard.get("key9")).toBe("3/39");
});

test("those that are left go when the shard stops", () => {
  using shard = slowlyRemoved();
  for (let round = 0; round < 4; round++) write(shard, round);
  shard.maintain("compact");
  expect(tablesOf(shard).length).toBeGreaterThan(1);
  shard.stop();
  expect(tablesOf(shard)).toHaveLength(1);
  shard.reopen();
  expect(shard.get("key9")).toBe("3/39");
});
