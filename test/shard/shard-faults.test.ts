import { expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, cpSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { logIndex } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import { SharedState } from "../../src/bridge/shared-state.ts";
import { HeldSyncDisk } from "./held-sync-disk.ts";
import { encodeEntry, KIB, put, ShardHarness, type TestCommand, testOptions } from "./shard-harness.ts";

setDefaultTimeout(60_000);

test("on a full disk writes are announced as refused, none is lost, and there are more when there is room", () => {
  const disk = new HeldSyncDisk();
  using harness = new ShardHarness({ disk });
  const isWritable = (): boolean => new SharedState(harness.memory.state).writable;
  harness.run(put("k", "0"));
  expect(isWritable()).toBe(true);
  disk.isFull = true;
  for (let i = 0; i < 100; i++) {
    harness.append([put(`k${i}`, "x".repeat(10_000))]);
    harness.shard.turn();
    harness.settle();
  }
  expect(harness.shard.stopped).toBe(false);
  expect(isWritable()).toBe(false);
  expect(harness.get("k")).toBe("0");
  const persisted = harness.ofType("persisted").at(-1)?.lastIndex ?? 0;
  expect(persisted).toBeLessThan(101);
  disk.isFull = false;
  for (let i = 0; i < 20; i++) {
    harness.clock.nowMs += 1000;
    harness.shard.turn();
    harness.settle();
  }
  expect(isWritable()).toBe(true);
  expect(harness.ofType("persisted").at(-1)?.lastIndex).toBe(logIndex(101));
  expect(harness.content().size).toBe(101);
  expect(harness.ofType("failed")).toEqual([]);
});

test("a shard that is sent nothing while it has no room says by itself that there is some again", () => {
  const disk = new HeldSyncDisk();
  using harness = new ShardHarness({ disk });
  const isWritable = (): boolean => new SharedState(harness.memory.state).writable;
  disk.isFull = true;
  // It looks at the disk once in a while.
  for (let i = 0; i < 200; i++) {
    harness.shard.turn();
    harness.settle();
  }
  expect(isWritable()).toBe(false);
  disk.isFull = false;
  // As a worker does: a turn, steps, and then sleep, for ever if nothing is due.
  do {
    harness.clock.nowMs += harness.shard.idleMs;
    harness.shard.turn();
    harness.settle();
  } while (harness.shard.idleMs < 60_000);
  expect(isWritable()).toBe(true);
});

test("entries that wait for room are written by and by even if nobody sends anything more", () => {
  const disk = new HeldSyncDisk();
  using harness = new ShardHarness({ disk });
  const value = "x".repeat(10_000);
  for (let i = 0; i < 3; i++) harness.append([put(`k${i}`, value)]);
  harness.shard.turn();
  disk.isFull = true;
  for (let i = 3; i < 100; i++) harness.append([put(`k${i}`, value)]);
  harness.shard.turn();
  harness.settle();
  // There is room again before the shard looks, and its own work takes note of that: a follower's leader waits for it.
  disk.isFull = false;
  harness.settle();
  while ((harness.ofType("persisted").at(-1)?.lastIndex ?? 0) < 100) {
    const { idleMs } = harness.shard;
    expect(idleMs).toBeLessThan(60_000);
    harness.clock.nowMs += idleMs;
    harness.shard.turn();
    harness.settle();
  }
  expect(harness.content().size).toBe(100);
});

test("what is superseded by entries that wait for room is never applied, however far the log is read back", () => {
  const disk = new HeldSyncDisk();
  using harness = new ShardHarness({ disk });
  for (const value of ["a", "b", "c"]) harness.append([put("k", value)], { applyThrough: 0 });
  harness.shard.turn();
  harness.stop();
  harness.reopen();
  disk.isFull = true;
  // Another leader's second entry, too large for what is left, and its third.
  harness.lastIndex = 1;
  const large = Array.from({ length: 20 }, (_, i) => put(`large${i}`, "x".repeat(15 * KIB)));
  harness.append([...large, put("k", "B")], { term: 2, applyThrough: 0 });
  harness.append([put("after", "C")], { term: 2, applyThrough: 0 });
  harness.send({ type: "commit", commitIndex: logIndex(3) });
  harness.shard.turn();
  harness.settle();
  expect(harness.get("k")).toBe("a");
  disk.isFull = false;
  for (let i = 0; i < 20; i++) {
    harness.clock.nowMs += 1000;
    harness.shard.turn();
    harness.settle();
  }
  expect([harness.get("k"), harness.get("after"), harness.get("large19")?.length]).toEqual(["B", "C", 15 * KIB]);
});

/** Stops the shard after each of two days; its files on the evening of the first are kept, those of the second are there. */
function twoDays(run: (harness: ShardHarness, directory: string, firstDay: string) => void): void {
  const harness = new ShardHarness({ options: { log: { ...testOptions("").log, segmentBytes: 64 * KIB } } });
  const directory = join(harness.directory, "shard-0000");
  const firstDay = join(harness.directory, "first-day");
  try {
    for (const day of ["first", "second"]) {
      for (let i = 0; i < 50; i++) harness.run(put(`${day}${i}`, "x".repeat(5000)));
      harness.maintain("flush");
      harness.release(harness.lastIndex);
      harness.shard.turn();
      harness.settle();
      harness.stop();
      if (day === "first") cpSync(directory, firstDay, { recursive: true });
      if (day === "first") harness.reopen();
    }
    run(harness, directory, firstDay);
  } finally {
    rmSync(harness.directory, { recursive: true, force: true });
  }
}

/** Puts the files of one kind back as they were. */
function putBack(directory: string, from: string, isOfKind: (name: string) => boolean): void {
  for (const name of readdirSync(directory).filter(isOfKind)) rmSync(join(directory, name));
  for (const name of readdirSync(from).filter(isOfKind)) copyFileSync(join(from, name), join(directory, name));
}

const isOfLog = (name: string): boolean => name.endsWith(".evp") || name.endsWith(".hint");
const isOfTables = (name: string): boolean => name.endsWith(".sst") || name.endsWith(".manifest");
const CORRUPTION = expect.objectContaining({ code: "CORRUPTION" });

test("a log that is gone, or put back from an earlier day, is not taken for the log of these tables", () => {
  twoDays((harness, directory, firstDay) => {
    putBack(directory, firstDay, isOfLog);
    expect(() => harness.reopen()).toThrow(CORRUPTION);
    for (const name of readdirSync(directory).filter(isOfLog)) rmSync(join(directory, name));
    expect(() => harness.reopen()).toThrow(expect.objectContaining({ code: "MISSING_FILE" }));
  });
});

test("tables put back from an earlier day are refused where the log has let go of what they lack", () => {
  twoDays((harness, directory, firstDay) => {
    putBack(directory, firstDay, isOfTables);
    expect(() => harness.reopen()).toThrow(CORRUPTION);
    expect(readdirSync(directory).filter(isOfTables)).toEqual(readdirSync(firstDay).filter(isOfTables));
  });
});

test("a log whose entries are as many as the tables', but of another term, is not taken for their log", () => {
  const harnesses = [new ShardHarness(), new ShardHarness()] as const;
  try {
    const [one, other] = harnesses.map((harness, i) => {
      for (let entry = 0; entry < 3; entry++) harness.append([put(`k${entry}`, `${i}`)], { term: i + 1 });
      harness.shard.turn();
      harness.maintain("flush");
      harness.stop();
      return join(harness.directory, "shard-0000");
    });
    for (const name of readdirSync(other ?? "")) {
      if (isOfTables(name)) copyFileSync(join(other ?? "", name), join(one ?? "", name));
    }
    expect(() => harnesses[0].reopen()).toThrow(CORRUPTION);
    harnesses[1].reopen();
    expect(harnesses[1].content().size).toBe(3);
  } finally {
    for (const { directory } of harnesses) rmSync(directory, { recursive: true, force: true });
  }
});

test("a damaged table is an error and never a wrong value", () => {
  const harness = new ShardHarness();
  try {
    for (let i = 0; i < 20; i++) harness.run(put(`k${i}`, "x".repeat(1000)));
    harness.maintain("flush");
    harness.stop();
    const directory = join(harness.directory, "shard-0000");
    for (const name of readdirSync(directory)) {
      if (name.endsWith(".sst")) truncateSync(join(directory, name), 100);
    }
    expect(() => harness.reopen()).toThrow(expect.objectContaining({ code: "CORRUPTION" }));
  } finally {
    rmSync(harness.directory, { recursive: true, force: true });
  }
});

/** What a follower lives through: entries that are superseded, syncs that end late, commits, restarts. */
test("random conflicts: what is committed is applied in order, and nothing else ever is", () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const random = new Random(seed);
  const disk = new HeldSyncDisk();
  using harness = new ShardHarness({ disk, options: { pendingBytesMax: 4 * KIB } });
  const log: TestCommand[][] = [];
  let committed = 0;
  let term = 1;
  for (let step = 0; step < 400; step++) {
    disk.isHolding = random.chance(0.5);
    const dice = random.below(100);
    if (dice < 45) appendAt(log.length + 1);
    else if (dice < 60 && log.length > committed) {
      term += 1;
      appendAt(random.between(committed + 1, log.length));
    } else if (dice < 80) {
      committed = random.between(committed, log.length);
      harness.send({ type: "commit", commitIndex: logIndex(committed) });
    } else if (dice < 95) {
      while (disk.heldCount > 0) disk.end();
    } else if (dice < 97) restart();
    harness.shard.turn();
    if (random.chance(0.3)) harness.shard.backgroundStep();
    checkApplied();
  }
  while (disk.heldCount > 0) disk.end();
  disk.isHolding = false;
  harness.shard.turn();
  harness.settle();
  expect(harness.content(), `seed ${seed}`).toEqual(contentOf(committed));

  function appendAt(firstIndex: number): void {
    log.length = firstIndex - 1;
    const entries: Uint8Array[] = [];
    for (let count = random.between(1, 4); count > 0; count--) {
      harness.stamps.pass(1);
      const commands = [put(`k${random.below(30)}`, `${term}.${log.length}.${"x".repeat(random.below(900))}`)];
      log.push(commands);
      entries.push(encodeEntry(log.length, term, commands, harness.stamps));
    }
    const commitIndex = logIndex(committed);
    harness.send({ type: "append", entries, commitIndex, applyThrough: commitIndex, wantResults: false });
  }

  function restart(): void {
    harness.shard.turn();
    disk.forget();
    disk.isHolding = false;
    harness.reopen();
    expect(harness.boot.lastIndex, `seed ${seed}`).toBe(logIndex(log.length));
    expect(harness.boot.commitIndex, `seed ${seed}`).toBeLessThanOrEqual(committed);
    harness.send({ type: "commit", commitIndex: logIndex(committed) });
  }

  function checkApplied(): void {
    const applied = harness.ofType("applied").at(-1)?.appliedIndex ?? 0;
    const persisted = harness.ofType("persisted").at(-1)?.lastIndex ?? 0;
    expect(applied, `seed ${seed}`).toBeLessThanOrEqual(committed);
    if (harness.ofType("opened").length === 0) expect(applied, `seed ${seed}`).toBeLessThanOrEqual(persisted);
  }

  function contentOf(lastIndex: number): Map<string, string> {
    const content = new Map<string, string>();
    for (const commands of log.slice(0, lastIndex)) {
      for (const { key, value = new Uint8Array(0) } of commands) {
        content.set(Buffer.from(key).toString(), Buffer.from(value).toString());
      }
    }
    return new Map([...content].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
});
