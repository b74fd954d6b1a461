/** Writes that are answered before they are on disk: when they are, and what a power cut leaves. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { shardId } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import { durabilityText, OS_DECIDES, parseDurability, SYNC } from "../../src/record/durability.ts";
import { SimDisk } from "../../src/sim/sim-disk.ts";
import { HeldSyncDisk } from "./held-sync-disk.ts";
import { command, KIB, put, ShardHarness } from "./shard-harness.ts";
import { CommandType } from "../../src/record/command-format.ts";

setDefaultTimeout(60_000);

const NOTHING_UNSYNCED = { sector: 0 };

function write(harness: ShardHarness, key: string, durability: number, value = "v"): void {
  harness.append([put(key, value)], { durability });
  harness.shard.turn();
}

function persistedThrough(harness: ShardHarness): number {
  return harness.ofType("persisted").at(-1)?.lastIndex ?? 0;
}

test("the setting is read as it is written", () => {
  for (const text of ["sync", "os", "interval:1", "interval:60000"]) {
    expect(durabilityText(parseDurability(text) ?? -1)).toBe(text);
  }
  for (const text of ["", "none", "interval", "interval:", "interval:0", "interval:60001", "interval:1.5", "OS"]) {
    expect({ text, parsed: parseDurability(text) }).toEqual({ text, parsed: null });
  }
});

test("what the operating system may keep is answered and applied without a sync", () => {
  const disk = new HeldSyncDisk();
  using harness = new ShardHarness({ disk });
  harness.settle();
  disk.isHolding = true;
  write(harness, "a", OS_DECIDES);
  expect([disk.heldCount, persistedThrough(harness), harness.get("a")]).toEqual([0, 1, "v"]);
  // A computed result comes as early as the others.
  harness.append([command(CommandType.increment, "n", { value: new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]) })], {
    durability: OS_DECIDES,
  });
  harness.shard.turn();
  expect([disk.heldCount, harness.resultsOf(2)]).toEqual([0, [{ kind: "integer", value: 1n }]]);
  disk.isHolding = false;
});

test("one entry that is to be on disk takes the whole group there", () => {
  const disk = new HeldSyncDisk();
  using harness = new ShardHarness({ disk });
  harness.settle();
  disk.isHolding = true;
  harness.append([put("a", "v")], { durability: OS_DECIDES });
  harness.append([put("b", "v")], { durability: SYNC });
  harness.append([put("c", "v")], { durability: 1000 });
  harness.shard.turn();
  expect([disk.heldCount, persistedThrough(harness)]).toEqual([1, 0]);
  disk.end();
  expect(persistedThrough(harness)).toBe(3);
  disk.isHolding = false;
});

test("behind a sync under way nothing is answered before it, however little it asks for", () => {
  const disk = new HeldSyncDisk();
  using harness = new ShardHarness({ disk });
  harness.settle();
  disk.isHolding = true;
  write(harness, "a", SYNC);
  write(harness, "b", OS_DECIDES);
  expect(persistedThrough(harness)).toBe(0);
  disk.end();
  expect(persistedThrough(harness)).toBe(2);
  disk.isHolding = false;
});

test("after its interval a write is on disk, and the shard says when it wants to be woken for that", () => {
  const disk = new HeldSyncDisk();
  using harness = new ShardHarness({ disk, options: { idleProofMs: 10_000 } });
  harness.settle();
  disk.isHolding = true;
  write(harness, "a", 300);
  harness.clock.nowMs += 100;
  write(harness, "b", 300);
  expect(harness.shard.idleMs).toBe(200);
  harness.clock.nowMs += 199;
  harness.shard.turn();
  expect(disk.heldCount).toBe(0);
  harness.clock.nowMs += 1;
  harness.shard.turn();
  expect(disk.heldCount).toBe(1);
  disk.end();
  expect(harness.shard.idleMs).toBeGreaterThan(1000);
  disk.isHolding = false;
});

test("a quiet shard makes durable what nobody asked to be", () => {
  const disk = new HeldSyncDisk();
  using harness = new ShardHarness({ disk, options: { idleProofMs: 50 } });
  harness.settle();
  write(harness, "a", OS_DECIDES);
  disk.isHolding = true;
  harness.clock.nowMs += 50;
  harness.shard.turn();
  expect(disk.heldCount).toBe(1);
  disk.end();
  disk.isHolding = false;
});

test("a power cut takes what was not synced, and never leaves tables that know more than the log", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const disk = new SimDisk(seed, { capacityBytes: 1024 * 1024 * KIB, sync: null });
    // In large segments nothing but a flush stands between a memtable's worth of writes and the power cut.
    const segmentBytes = (seed % 3 === 0 ? 256 : 4096) * KIB;
    const log = { shard: shardId(0), clusterId: new Uint8Array(16).fill(7), segmentBytes, isDirect: false };
    const harness = new ShardHarness({ disk, directory: "/data", options: { idleProofMs: 10_000, log } });
    const random = new Random(seed);
    const synced = new Set<string>();
    let sinceSync: string[] = [];
    const count = 20 + random.below(200);
    for (let i = 0; i < count; i++) {
      const isSync = seed % 2 === 0 && random.below(20) === 0;
      write(harness, `k${i}`, isSync ? SYNC : OS_DECIDES, "x".repeat(random.below(2 * KIB)));
      sinceSync.push(`k${i}`);
      if (isSync) {
        for (const key of sinceSync) synced.add(key);
        sinceSync = [];
      }
      for (let steps = random.below(4); steps > 0; steps--) harness.shard.backgroundStep();
    }
    disk.crash(NOTHING_UNSYNCED);
    harness.reopen();
    // What is in the log is committed by the first entry of whoever leads now.
    harness.run(put("end", ""));
    const keys = harness.content();
    keys.delete("end");
    for (const key of synced) expect({ seed, key, there: keys.has(key) }).toEqual({ seed, key, there: true });
    // What is there is a prefix of what was written.
    expect({ seed, keys: [...keys.keys()].sort() }).toEqual({
      seed,
      keys: Array.from({ length: keys.size }, (_, i) => `k${i}`).sort(),
    });
    harness.stop();
  }
});

test("a clean stop leaves nothing to lose", () => {
  const disk = new SimDisk(1, { capacityBytes: 1024 * 1024 * KIB, sync: null });
  const harness = new ShardHarness({ disk, directory: "/data" });
  write(harness, "a", OS_DECIDES);
  harness.stop();
  disk.crash(NOTHING_UNSYNCED);
  harness.reopen();
  harness.run(put("end", ""));
  expect(harness.get("a")).toBe("v");
  harness.stop();
});
