import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { MessageChannel, type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { type CompactorThreads, compactorThreads } from "../../src/compactor-threads.ts";
import { type FileNumber, fileNumber } from "../../src/core/ids.ts";
import { carryOut } from "../../src/shard/compactor-loop.ts";
import {
  type CompactorOrder,
  type CompactorReply,
  CompactorState,
  JobControl,
  WORD_BYTES,
} from "../../src/shard/compactor-protocol.ts";
import { Compactors } from "../../src/shard/compactors.ts";
import { RealDisk } from "../../src/env/real-disk.ts";
import { KIB, put, ShardHarness, SILENT, testOptions } from "./shard-harness.ts";

setDefaultTimeout(60_000);

const STEPS_MAX = 1_000_000;

const threads: CompactorThreads[] = [];

afterEach(() => {
  for (const started of threads.splice(0)) started.stop();
});

function startedCompactors(count: number): Compactors {
  const started = compactorThreads(count, 1, SILENT);
  threads.push(started);
  started.start();
  return new Compactors(started.ends[0] ?? []);
}

/** A compactor that the test itself plays. */
class PlayedCompactor {
  readonly state = new Int32Array(new SharedArrayBuffer(WORD_BYTES));
  readonly compactors: Compactors;
  readonly #port: MessagePort;

  constructor() {
    const { port1, port2 } = new MessageChannel();
    this.#port = port2;
    this.compactors = new Compactors([{ port: port1, state: this.state.buffer as SharedArrayBuffer }]);
  }

  /** The order that was given, or null. */
  take(): CompactorOrder | null {
    const received: { message: CompactorOrder } | undefined = receiveMessageOnPort(this.#port);
    return received?.message ?? null;
  }

  reply(order: CompactorOrder, reply: CompactorReply): void {
    this.#port.postMessage(reply);
    Atomics.store(new Int32Array(order.control), 0, JobControl.ended);
    Atomics.store(this.state, 0, CompactorState.idle);
  }

  die(): void {
    Atomics.store(this.state, 0, CompactorState.dead);
  }

  close(): void {
    this.#port.close();
  }
}

function fill(harness: ShardHarness, rounds: number, from = 0): Map<string, string> {
  const expected = new Map<string, string>();
  for (let round = from; round < from + rounds; round++) {
    const commands = Array.from({ length: 40 }, (_, i) => {
      const key = `key-${(round * 40 + i) % 1000}`;
      const value = `${round}-`.padEnd(150, "v");
      expected.set(key, value);
      return put(key, value);
    });
    harness.append(commands);
    harness.shard.turn();
    harness.shard.backgroundStep();
  }
  return expected;
}

/** The loop goes round meanwhile: threads need it to start. */
async function until(harness: ShardHarness, condition: () => boolean): Promise<void> {
  for (let i = 0; i < STEPS_MAX; i++) {
    if (condition()) return;
    if (!harness.shard.backgroundStep()) await new Promise<void>((resolve) => setImmediate(resolve));
  }
  throw new Error("it never came to be");
}

function answered(harness: ShardHarness, requestId: number): boolean {
  return harness.replies.some((reply) => reply.type === "done" && reply.requestId === requestId);
}

function tableNames(harness: ShardHarness): string[] {
  return readdirSync(join(harness.directory, "shard-0000")).filter((name) => name.endsWith(".sst"));
}

describe("on a thread of their own", () => {
  test.each(["mmap", "direct"] as const)(
    "flushes and compactions come out as here, and a restart without compactors finds the same: %s",
    async (tableIo) => {
      const tree = { ...testOptions("").tree, tableIo };
      const compactors = startedCompactors(2);
      using harness = new ShardHarness({ memtableBytes: 64 * KIB, compactors, options: { tree } });
      const expected = fill(harness, 120);
      harness.send({ type: "compact", requestId: 77 });
      harness.shard.turn();
      await until(harness, () => answered(harness, 77));
      const stats = harness.stats();
      expect(stats.flushCount).toBeGreaterThan(3);
      expect(stats.compactionCount).toBeGreaterThan(0);
      expect(stats.tableEntries).toBe(1000);
      expect(harness.content()).toEqual(expected);
      expect(tableNames(harness).length).toBe(stats.tableCount);
      harness.stop();
      using again = new ShardHarness({ directory: harness.directory });
      expect(again.content()).toEqual(expected);
    },
  );

  test("what grows beyond the numbers reserved for it is compacted here, and the compactor lives", async () => {
    const { tree } = testOptions("");
    const packed = { tree: { ...tree, compression: "zstd" as const } };
    using before = new ShardHarness({ memtableBytes: 64 * KIB, options: packed });
    const expected = fill(before, 120);
    before.maintain("compact");
    const { tableBytes } = before.stats();
    before.stop();
    const compactors = startedCompactors(1);
    using harness = new ShardHarness({ directory: before.directory, memtableBytes: 64 * KIB, compactors });
    // A compaction of everything takes in what has been overwritten and unpacks the rest.
    harness.stamps.pass(1000);
    harness.run(put("key-0", "new"));
    expected.set("key-0", "new");
    harness.send({ type: "compact", requestId: 77 });
    harness.shard.turn();
    await until(harness, () => answered(harness, 77));
    expect(harness.stats().tableBytes).toBeGreaterThan(4 * tableBytes);
    expect(compactors.aliveCount).toBe(1);
    expect(harness.content()).toEqual(expected);
    expect(tableNames(harness).length).toBe(harness.stats().tableCount);
  });

  test("a shard that stops in the midst of a job leaves no file of it", async () => {
    using harness = new ShardHarness({ memtableBytes: 1024 * KIB, compactors: startedCompactors(1) });
    const expected = fill(harness, 100);
    harness.send({ type: "flush", requestId: 5 });
    harness.shard.turn();
    harness.shard.backgroundStep();
    const before = harness.stats().tableCount;
    harness.stop();
    expect(tableNames(harness).length).toBe(before);
    harness.reopen();
    expect(harness.content()).toEqual(expected);
  });
});

describe("a compactor that", () => {
  test("dies leaves its job to the shard's own thread", async () => {
    const played = new PlayedCompactor();
    using harness = new ShardHarness({ memtableBytes: 64 * KIB, compactors: played.compactors });
    const expected = fill(harness, 12);
    harness.send({ type: "flush", requestId: 5 });
    harness.shard.turn();
    await until(harness, () => played.take() !== null);
    expect(harness.shard.backgroundStep()).toBe(false);
    expect(harness.shard.idleMs).toBeLessThan(10);
    played.die();
    await until(harness, () => answered(harness, 5));
    expect(harness.stats().flushCount).toBeGreaterThan(0);
    expect(harness.content()).toEqual(expected);
    played.close();
  });

  test("finds no room fails the job, which is tried again after a while", async () => {
    const played = new PlayedCompactor();
    using harness = new ShardHarness({ memtableBytes: 256 * KIB, compactors: played.compactors });
    fill(harness, 5);
    harness.send({ type: "flush", requestId: 5 });
    harness.shard.turn();
    let order: CompactorOrder | null = null;
    await until(harness, () => {
      order ??= played.take();
      return order !== null;
    });
    played.reply(given(order), {
      type: "failed",
      jobId: given(order).jobId,
      code: "DISKFULL",
      message: "no room",
      place: null,
    });
    harness.shard.backgroundStep();
    expect(harness.ofType("failed")).toEqual([]);
    expect(played.take()).toBeNull();
    harness.clock.nowMs += 1500;
    order = null;
    await until(harness, () => {
      order ??= played.take();
      return order !== null;
    });
    const reply = carryOut(new RealDisk(), given(order), () => false);
    if (reply === null) throw new Error("it was not cancelled");
    played.reply(given(order), reply);
    await until(harness, () => answered(harness, 5));
    expect(harness.stats().tableCount).toBeGreaterThan(0);
    played.close();
  });

  test("finds damage fails the shard", async () => {
    const played = new PlayedCompactor();
    using harness = new ShardHarness({ memtableBytes: 256 * KIB, compactors: played.compactors });
    fill(harness, 5);
    harness.send({ type: "flush", requestId: 5 });
    harness.shard.turn();
    let order: CompactorOrder | null = null;
    await until(harness, () => {
      order ??= played.take();
      return order !== null;
    });
    played.reply(given(order), {
      type: "failed",
      jobId: given(order).jobId,
      code: "CORRUPTION",
      message: "damage",
      place: null,
    });
    harness.shard.backgroundStep();
    expect(harness.ofType("failed").map((reply) => reply.code)).toEqual(["CORRUPTION"]);
    played.close();
  });
});

describe("an order", () => {
  test("that is cancelled, or fails, leaves nothing behind", async () => {
    const played = new PlayedCompactor();
    using harness = new ShardHarness({ memtableBytes: 256 * KIB, compactors: played.compactors });
    fill(harness, 20);
    harness.send({ type: "flush", requestId: 5 });
    harness.shard.turn();
    let order: CompactorOrder | null = null;
    await until(harness, () => {
      order ??= played.take();
      return order !== null;
    });
    expect(carryOut(new RealDisk(), given(order), () => true)).toBeNull();
    expect(tableNames(harness)).toEqual([]);
    const missing = { ...given(order), source: { kind: "tables", runs: [[recordOf(fileNumber(99_999))]] } } as const;
    expect(carryOut(new RealDisk(), missing, () => false)).toMatchObject({ type: "failed", code: "MISSING_FILE" });
    expect(tableNames(harness)).toEqual([]);
    played.die();
    played.close();
  });
});

function given(order: CompactorOrder | null): CompactorOrder {
  if (order === null) throw new Error("there is an order");
  return order;
}

function recordOf(number: FileNumber) {
  return { number, level: 0, run: 1, fileBytes: 1000, headerBytes: 64, footerBytes: 128, footerChecksum: 1 };
}
