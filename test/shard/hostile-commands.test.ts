/**
 * Commands that no member would send, and that are whole all the same: every type with values that are none of its own, in
 * every bucket. Once in the log they are applied by every replica, and again at every start: each has to come to something.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { logIndex } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import { anyCommand, entryOf } from "../fuzz/targets/record-samples.ts";
import { ShardHarness, START_MS } from "./shard-harness.ts";

setDefaultTimeout(60_000);

const SEEDS = 6;
const ENTRIES = 150;
const COMMANDS_MAX = 4;

test("whatever is committed is applied, alike everywhere, and again after a restart", () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new Random(seed);
    using one = new ShardHarness();
    using other = new ShardHarness();
    for (let index = 1; index <= ENTRIES; index++) {
      const commands = Array.from({ length: random.between(1, COMMANDS_MAX) }, () => anyCommand(random));
      const stamp = Math.floor(START_MS / 0x1_0000) + index;
      for (const shard of [one, other]) apply(shard, index, entryOf(index, 1, commands, stamp));
    }
    const results = [one, other].map((shard) =>
      shard.replies.filter(({ type }) => type === "applied").flatMap(outcome),
    );
    expect({ seed, results: results[0] }).toEqual({ seed, results: results[1] });
    expect(one.replies.filter(({ type }) => type === "failed")).toEqual([]);
    one.reopen();
    one.shard.turn();
    expect({ seed, failed: one.replies.filter(({ type }) => type === "failed") }).toEqual({ seed, failed: [] });
    expect(Number(one.boot.lastIndex)).toBe(ENTRIES);
  }
});

function apply(shard: ShardHarness, index: number, entry: Uint8Array): void {
  shard.send({
    type: "append",
    entries: [entry],
    commitIndex: logIndex(0),
    applyThrough: logIndex(index),
    wantResults: true,
  });
  shard.shard.turn();
}

function outcome(reply: ShardHarness["replies"][number]): string[] {
  return reply.type === "applied" ? reply.results.map(({ result }) => JSON.stringify(result, shown)) : [];
}

function shown(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? `${value}n` : value;
}
