import { expect, setDefaultTimeout, test } from "bun:test";
import { utf8 } from "../../src/core/bytes.ts";
import { logIndex, nodeId, term } from "../../src/core/ids.ts";
import type { ReadRequest } from "../../src/bridge/shard-protocol.ts";
import { SharedState } from "../../src/bridge/shared-state.ts";
import type { DiskFile, OpenMode } from "../../src/env/disk.ts";
import { RealDisk } from "../../src/env/real-disk.ts";
import { CommandType } from "../../src/record/command-format.ts";
import { HeldSyncDisk } from "./held-sync-disk.ts";
import { BUCKET, command, encodeEntry, i64, KIB, put, ShardHarness, testOptions } from "./shard-harness.ts";

setDefaultTimeout(60_000);

function get(key: string): ReadRequest {
  return { type: "get", bucket: BUCKET, key: utf8(key), metadataOnly: false };
}

function valueRead(harness: ShardHarness, requestId: number): string | null | undefined {
  const result = harness.answerOf(requestId);
  if (result === null) return undefined;
  return result.kind === "version" ? Buffer.from(result.value).toString() : null;
}

test("write, read, write in one turn: the read sees the first write and not the second", () => {
  using harness = new ShardHarness();
  const before = harness.sendRead(get("k"));
  const first = harness.append([put("k", "1")]);
  const between = harness.sendRead(get("k"), first);
  const second = harness.append([put("k", "2")]);
  const after = harness.sendRead(get("k"), second);
  harness.shard.turn();
  expect([before, between, after].map((id) => valueRead(harness, id))).toEqual([null, "1", "2"]);
});

test("reads that wait out of order are each answered at their own index", () => {
  using harness = new ShardHarness();
  const reads = [3, 1, 2, 1].map((index) => harness.sendRead(get("k"), index));
  for (const value of ["1", "2", "3"]) harness.append([put("k", value)]);
  harness.shard.turn();
  expect(reads.map((id) => valueRead(harness, id))).toEqual(["3", "1", "2", "1"]);
  expect(harness.ofType("readResult").map((reply) => reads.indexOf(reply.requestId))).toEqual([1, 3, 2, 0]);
});

test("nothing is applied before it is durable, and nothing durable before it may be", () => {
  const disk = new HeldSyncDisk();
  using harness = new ShardHarness({ disk });
  disk.isHolding = true;
  harness.append([put("k", "1")]);
  harness.append([put("k", "2")], { applyThrough: 0 });
  harness.shard.turn();
  expect(harness.ofType("persisted")).toEqual([]);
  expect(harness.get("k")).toBeNull();
  while (disk.heldCount > 0) disk.end();
  disk.isHolding = false;
  expect(harness.ofType("persisted").map((reply) => reply.lastIndex)).toEqual([logIndex(2)]);
  expect(harness.get("k")).toBe("1");
  harness.send({ type: "commit", commitIndex: logIndex(2) });
  harness.shard.turn();
  expect(harness.get("k")).toBe("2");
});

test("reads of what is applied do not wait for a sync", () => {
  const disk = new HeldSyncDisk();
  using harness = new ShardHarness({ disk });
  harness.run(put("k", "1"));
  disk.isHolding = true;
  harness.append([put("k", "2")]);
  expect(harness.get("k")).toBe("1");
  while (disk.heldCount > 0) disk.end();
  disk.isHolding = false;
  expect(harness.get("k")).toBe("2");
});

test("a failed sync ends the shard: it says so once and acknowledges nothing any more", () => {
  const disk = new HeldSyncDisk();
  const harness = new ShardHarness({ disk });
  disk.isHolding = true;
  harness.append([put("k", "1")]);
  harness.shard.turn();
  disk.end(true);
  expect(harness.shard.stopped).toBe(true);
  harness.append([put("k", "2")]);
  harness.shard.turn();
  expect(harness.shard.backgroundStep()).toBe(false);
  expect(harness.ofType("failed").map((reply) => reply.code)).toEqual(["IO"]);
  expect(harness.ofType("persisted")).toEqual([]);
  expect(harness.ofType("applied")).toEqual([]);
  expect(new SharedState(harness.memory.state).writable).toBe(false);
  harness[Symbol.dispose]();
});

test("a superseded entry is never applied, even when its sync ends after its successor was appended", () => {
  const disk = new HeldSyncDisk();
  using harness = new ShardHarness({ disk });
  disk.isHolding = true;
  harness.append([put("k", "old")], { applyThrough: 0 });
  harness.append([put("late", "old")], { applyThrough: 0 });
  harness.shard.turn();
  const replacement = encodeEntry(1, 2, [put("k", "new")], harness.stamps);
  harness.send({
    type: "append",
    entries: [replacement],
    commitIndex: logIndex(1),
    applyThrough: logIndex(1),
    wantResults: false,
  });
  harness.shard.turn();
  disk.end();
  expect(harness.get("k")).toBeNull();
  while (disk.heldCount > 0) disk.end();
  disk.isHolding = false;
  expect(harness.content()).toEqual(new Map([["k", "new"]]));
  expect(harness.ofType("persisted").at(-1)).toEqual({ type: "persisted", lastIndex: logIndex(1), lastTerm: term(2) });
});

test("results come only for commands that have one, and only when they are wanted", () => {
  using harness = new ShardHarness();
  const index = harness.append([put("n", "1"), command(CommandType.increment, "n", { value: i64(1n) })]);
  harness.shard.turn();
  const [applied] = harness.ofType("applied");
  expect(applied?.results).toEqual([{ index: logIndex(index), ordinal: 1, result: { kind: "integer", value: 2n } }]);
  const quiet = encodeEntry(2, 1, [command(CommandType.increment, "n", { value: i64(1n) })], harness.stamps);
  harness.send({
    type: "append",
    entries: [quiet],
    commitIndex: logIndex(0),
    applyThrough: logIndex(2),
    wantResults: false,
  });
  harness.shard.turn();
  expect(harness.resultsOf(2)).toEqual([]);
  expect(harness.get("n")).toBe("3");
});

test("everything sent in one turn is one group and one sync", () => {
  using harness = new ShardHarness();
  const before = harness.stats();
  for (let i = 0; i < 20; i++) harness.append([put(`k${i}`, "v")]);
  harness.shard.turn();
  const after = harness.stats();
  expect([after.groupCount - before.groupCount, after.syncCount - before.syncCount]).toEqual([1, 1]);
  expect(harness.ofType("persisted").length).toBe(1);
});

test("the hard state is durable when its reply comes, and back after a restart", () => {
  using harness = new ShardHarness();
  harness.send({ type: "saveHardState", term: term(4), vote: nodeId(2) });
  harness.shard.turn();
  expect(harness.ofType("hardStateSaved")).toEqual([{ type: "hardStateSaved", term: term(4), vote: nodeId(2) }]);
  harness.stop();
  harness.reopen();
  expect([harness.boot.hardTerm, harness.boot.hardVote]).toEqual([term(4), nodeId(2)]);
});

test("old entries are read back as they were written, and none when they are gone", () => {
  using harness = new ShardHarness();
  const entry = encodeEntry(1, 1, [put("k", "1")], harness.stamps);
  harness.send({
    type: "append",
    entries: [entry],
    commitIndex: logIndex(0),
    applyThrough: logIndex(1),
    wantResults: false,
  });
  harness.send({ type: "readEntries", from: logIndex(1), bytesMax: 1 });
  harness.shard.turn();
  const [read] = harness.ofType("entriesRead");
  expect(read?.entries.map((bytes) => Buffer.from(bytes).toString("hex"))).toEqual([
    Buffer.from(entry).toString("hex"),
  ]);
});

test("entries that are not committed come back after a restart and wait for the commit", () => {
  using harness = new ShardHarness();
  harness.run(put("k", "1"));
  harness.append([put("k", "2")], { applyThrough: 0 });
  harness.shard.turn();
  harness.stop();
  harness.reopen();
  expect(harness.boot.lastIndex).toBe(logIndex(2));
  const { commitIndex, appliedIndex } = harness.boot;
  expect(appliedIndex).toBe(commitIndex);
  expect(harness.get("k")).not.toBe("2");
  harness.send({ type: "commit", commitIndex: logIndex(2) });
  harness.shard.turn();
  expect(harness.get("k")).toBe("2");
});

test("the last stamp after a restart is at least that of the last entry in the log, applied or not", () => {
  using harness = new ShardHarness();
  harness.run(put("k", "1"));
  harness.stamps.pass(5000);
  harness.append([put("k", "2")], { applyThrough: 0 });
  harness.shard.turn();
  const { high, low } = harness.stamps.next();
  harness.stop();
  harness.reopen();
  expect([harness.boot.stampHigh, harness.boot.stampLow]).toEqual([high, low - 1]);
});

test("more pending entries than memory may hold are read back from the log, in order", () => {
  using harness = new ShardHarness({ options: { pendingBytesMax: 2 * KIB } });
  const value = "x".repeat(500);
  for (let i = 1; i <= 30; i++) harness.append([put(`k${i}`, `${value}${i}`)], { applyThrough: 0 });
  harness.shard.turn();
  harness.send({ type: "commit", commitIndex: logIndex(30) });
  harness.shard.turn();
  harness.settle();
  expect(harness.content().size).toBe(30);
  expect(harness.get("k17")).toBe(`${value}17`);
  const applied = harness.ofType("applied").map((reply) => reply.appliedIndex);
  expect(applied).toEqual([...applied].sort((a, b) => a - b));
  expect(applied.at(-1)).toBe(logIndex(30));
});

test("an idle shard proves its last group durable once, and then rests", () => {
  using harness = new ShardHarness();
  harness.run(put("k", "1"));
  const groups = harness.stats().groupCount;
  harness.clock.nowMs += 10;
  harness.shard.turn();
  expect(harness.stats().groupCount).toBe(groups);
  harness.clock.nowMs += 100;
  harness.shard.turn();
  harness.clock.nowMs += 1000;
  harness.shard.turn();
  expect(harness.stats().groupCount).toBe(groups + 1);
  expect(harness.ofType("persisted").length).toBe(1);
});

/** Syncs are taken as done: these tests make many. */
class UnsyncedDisk extends RealDisk {
  override open(path: string, mode: OpenMode): DiskFile {
    const file = super.open(path, mode);
    file.sync = () => undefined;
    file.beginSync = (done) => done(null);
    return file;
  }
}

test("a shard under load keeps its level 0 short and its writer never without an arena, one step a turn", () => {
  const tree = { ...testOptions("").tree, tableBytesMax: 256 * KIB, levelBytesBase: 1024 * KIB };
  const disk = new UnsyncedDisk();
  using harness = new ShardHarness({ disk, memtableBytes: 256 * KIB, options: { stepBytes: 4 * KIB, tree } });
  let most = 0;
  for (let round = 0; round < 300; round++) {
    harness.append(Array.from({ length: 80 }, (_, i) => put(`key-${(round * 80 + i) * 7919}`, "v".repeat(100))));
    harness.shard.turn();
    harness.shard.backgroundStep();
    harness.replies = [];
    if (round % 20 === 0) most = Math.max(most, harness.stats().tablesPerLevel[0] ?? 0);
  }
  const stats = harness.stats();
  expect(stats.stallCount).toBe(0);
  expect(stats.compactionCount).toBeGreaterThan(5);
  expect(most).toBeLessThan(8);
  expect(stats.flushBytes).toBeGreaterThan(0);
  expect(stats.compactionBytes).toBeGreaterThan(stats.flushBytes / 2);
  expect(stats.logBytes).toBeGreaterThan(stats.flushBytes);
});

test("a writer that finds no arena free is counted, and goes on when the flush has ended", () => {
  const disk = new UnsyncedDisk();
  using harness = new ShardHarness({ disk, memtableBytes: 64 * KIB, options: { stepBytes: 128 } });
  for (let round = 0; round < 40; round++) {
    harness.append(Array.from({ length: 40 }, (_, i) => put(`key-${round}-${i}`, "v".repeat(100))));
    harness.shard.turn();
    harness.replies = [];
  }
  expect(harness.stats().stallCount).toBeGreaterThan(0);
  harness.settle();
  expect(harness.stats().appliedIndex).toBe(40);
  expect(harness.get("key-39-39")).toBe("v".repeat(100));
});
