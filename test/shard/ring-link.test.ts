import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MemtableSet } from "../../src/bridge/memtable-set.ts";
import { createShardMemory } from "../../src/bridge/shard-memory.ts";
import type { ShardReply, ShardRequest } from "../../src/bridge/shard-protocol.ts";
import { SharedState } from "../../src/bridge/shared-state.ts";
import type { CompactorEnd } from "../../src/bridge/worker-data.ts";
import { type RingLink, ShardWorker } from "../../src/cluster/ring-link.ts";
import { compactorThreads } from "../../src/compactor-threads.ts";
import { utf8 } from "../../src/core/bytes.ts";
import { logIndex, shardId } from "../../src/core/ids.ts";
import { murmur3 } from "../../src/core/murmur3.ts";
import { CommandType } from "../../src/record/command-format.ts";
import {
  BUCKET,
  command,
  encodeEntry,
  i64,
  KIB,
  put,
  SILENT,
  Stamps,
  temporaryDirectory,
  type TestCommand,
  testOptions,
} from "./shard-harness.ts";

setDefaultTimeout(60_000);

const ENTRY = new URL("../../workers/shard.worker.ts", import.meta.url);
const RING = {
  ringBytes: 64 * KIB,
  queueBytesMax: 64 * 1024 * KIB,
  logLevel: "silent",
  logFields: {},
  compactors: [],
  blockCacheBytes: 0,
} as const;

const directories: string[] = [];

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/** Main's side of one shard of a worker. */
class RemoteShard {
  readonly replies: ShardReply[] = [];
  readonly memory = createShardMemory(256 * KIB, 3);
  readonly state = new SharedState(this.memory.state);
  readonly memtables = new MemtableSet(this.state, this.memory.arenas);
  readonly link: RingLink;
  readonly #stamps = new Stamps();
  #waiting: (() => void) | null = null;
  lastIndex = 0;
  #requestId = 1000;

  constructor(worker: ShardWorker, id: number, directory: string) {
    const options = testOptions(join(directory, `shard-${id}`), { shard: shardId(id), valueBytesMax: 128 * KIB });
    const shard = { shard: shardId(id), memory: this.memory, options };
    this.link = worker.add(shard, (reply) => {
      this.replies.push(reply);
      if (reply.type === "arenaRetired") {
        this.memtables.retire(reply.arena);
        this.link.send({ type: "returnArena", arena: reply.arena });
        this.link.flush();
      }
      if (reply.type === "arenasRecalled") {
        for (const arena of this.memtables.recall()) this.link.send({ type: "returnArena", arena });
        this.link.flush();
      }
      this.#waiting?.();
    });
  }

  /** Sends a request and waits for the answer to it. */
  async ask<Type extends ShardReply["type"]>(
    request: Extract<ShardRequest, { requestId: number }>,
    type: Type,
  ): Promise<Extract<ShardReply, { type: Type }>> {
    this.#requestId += 1;
    const requestId = this.#requestId;
    this.link.send({ ...request, requestId });
    this.link.flush();
    return await this.until(type, (reply) => "requestId" in reply && reply.requestId === requestId);
  }

  append(commands: readonly TestCommand[]): number {
    this.lastIndex += 1;
    const index = this.lastIndex;
    const entry = encodeEntry(index, 1, commands, this.#stamps);
    const through = logIndex(index);
    this.link.send({
      type: "append",
      entries: [entry],
      commitIndex: logIndex(0),
      applyThrough: through,
      wantResults: true,
    });
    return index;
  }

  async until<Type extends ShardReply["type"]>(
    type: Type,
    matches: (reply: Extract<ShardReply, { type: Type }>) => boolean = () => true,
  ): Promise<Extract<ShardReply, { type: Type }>> {
    for (;;) {
      for (const reply of this.replies) {
        if (reply.type === type && matches(reply as Extract<ShardReply, { type: Type }>)) {
          return reply as Extract<ShardReply, { type: Type }>;
        }
      }
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
  }

  async get(key: string, requestId: number): Promise<string | null> {
    const read = { type: "get", bucket: BUCKET, key: utf8(key), metadataOnly: false } as const;
    this.link.send({ type: "read", requestId, minIndex: logIndex(this.lastIndex), read });
    this.link.flush();
    const { result } = await this.until("readResult", (reply) => reply.requestId === requestId);
    return result.kind === "version" ? Buffer.from(result.value).toString() : null;
  }

  /** From shared memory alone. */
  peek(key: string): string | null {
    const bytes = utf8(key);
    const found = this.memtables.find(BUCKET, bytes, 0, bytes.length, murmur3(bytes, 0, bytes.length, BUCKET));
    return found === null ? null : Buffer.from(found.valueBytes.slice(found.valueStart, found.valueEnd)).toString();
  }

  async stop(): Promise<void> {
    this.link.send({ type: "stop" });
    this.link.flush();
    await this.until("stopped");
  }
}

function start(directory: string, shardCount: number, compactors: readonly CompactorEnd[] = []): RemoteShard[] {
  const worker = new ShardWorker(
    { entry: ENTRY, ...RING, compactors },
    (reason) => {
      throw new Error(reason);
    },
    () => undefined,
  );
  const shards = Array.from({ length: shardCount }, (_, id) => new RemoteShard(worker, id, directory));
  worker.start();
  return shards;
}

test("two shards in a worker: writes, results, reads through the ring and from memory, and again after a restart", async () => {
  const directory = temporaryDirectory();
  directories.push(directory);
  const shards = start(directory, 2);
  for (const [id, shard] of shards.entries()) {
    const { boot } = await shard.until("opened");
    expect(boot.lastIndex).toBe(logIndex(0));
    shard.append([put("k", `shard ${id}`)]);
    const index = shard.append([command(CommandType.increment, "n", { value: i64(7n) })]);
    shard.link.flush();
    const applied = await shard.until("applied", (reply) => reply.results.length > 0);
    expect(applied.results).toEqual([{ index: logIndex(index), ordinal: 0, result: { kind: "integer", value: 7n } }]);
    expect(await shard.get("k", 1)).toBe(`shard ${id}`);
    expect(shard.state.readable(logIndex(index))).toBe(true);
    expect(shard.peek("n")).toBe("7");
  }
  for (const shard of shards) await shard.stop();
  const again = start(directory, 2);
  for (const [id, shard] of again.entries()) {
    const { boot } = await shard.until("opened");
    expect(boot.lastIndex).toBe(logIndex(2));
    shard.lastIndex = 2;
    shard.link.send({ type: "commit", commitIndex: logIndex(2) });
    expect(await shard.get("k", 1)).toBe(`shard ${id}`);
    expect(await shard.get("n", 2)).toBe("7");
  }
  for (const shard of again) await shard.stop();
});

test("more than the rings and the memtables hold goes through, in order", async () => {
  const directory = temporaryDirectory();
  directories.push(directory);
  const [shard] = start(directory, 1);
  if (shard === undefined) throw new Error("a shard was started");
  await shard.until("opened");
  for (let i = 0; i < 100; i++) {
    shard.append([put(`big${i % 10}`, String(i % 10).repeat(100 * KIB - i))]);
    shard.link.flush();
  }
  expect(shard.link.congested).toBe(true);
  for (let i = 0; i < 10; i++) {
    const value = await shard.get(`big${i}`, 100 + i);
    expect(value?.length).toBe(100 * KIB - 90 - i);
    expect(new Set(value)).toEqual(new Set([String(i)]));
  }
  const persisted = shard.replies.filter((reply) => reply.type === "persisted").map((reply) => reply.lastIndex);
  expect(persisted).toEqual([...persisted].sort((a, b) => a - b));
  expect(shard.replies.some((reply) => reply.type === "arenaRetired")).toBe(true);
  await shard.stop();
});

test("a shard that cannot be opened says why, and its neighbour in the worker goes on", async () => {
  const directory = temporaryDirectory();
  directories.push(directory);
  const first = start(directory, 2);
  for (const shard of first) {
    await shard.until("opened");
    shard.append([put("k", "1")]);
    await shard.get("k", 1);
    await shard.stop();
  }
  for (const copy of [0, 1]) {
    const path = join(directory, "shard-1", `hard-state.${copy}.meta`);
    expect(existsSync(path)).toBe(true);
    writeFileSync(path, "x".repeat(4096));
  }
  const [whole, broken] = start(directory, 2);
  if (whole === undefined || broken === undefined) throw new Error("two shards were started");
  expect((await broken.until("failed")).code).toBe("CORRUPTION");
  await whole.until("opened");
  whole.lastIndex = 1;
  whole.link.send({ type: "commit", commitIndex: logIndex(1) });
  expect(await whole.get("k", 1)).toBe("1");
  await whole.stop();
});

test("a worker that dies is reported once, with the reason", async () => {
  const directory = temporaryDirectory();
  directories.push(directory);
  const entry = join(directory, "dying.worker.ts");
  writeFileSync(entry, 'throw new Error("no way to go on");\n');
  const reasons: string[] = [];
  const death = new Promise<void>((resolve) => {
    const worker = new ShardWorker(
      { entry, ...RING },
      (reason) => {
        reasons.push(reason);
        resolve();
      },
      () => undefined,
    );
    worker.start();
  });
  await death;
  await Bun.sleep(20);
  expect(reasons.length).toBe(1);
  expect(reasons[0]).toContain("no way to go on");
});

test("a worker's shards flush and compact through the compactors of the node", async () => {
  const directory = temporaryDirectory();
  directories.push(directory);
  const threads = compactorThreads(1, 1, SILENT);
  threads.start();
  const shards = start(directory, 2, threads.ends[0]);
  for (const shard of shards) {
    await shard.until("opened");
    for (let round = 0; round < 30; round++) {
      shard.append(Array.from({ length: 50 }, (_, i) => put(`key-${i}`, `${round}-`.padEnd(400, "v"))));
      shard.link.flush();
    }
    shard.link.send({ type: "compact", requestId: 9 });
    shard.link.flush();
  }
  for (const shard of shards) {
    await shard.until("done", (reply) => reply.requestId === 9);
    shard.link.send({ type: "stats", requestId: 10 });
    shard.link.flush();
    const { stats } = await shard.until("stats");
    expect(stats.tableEntries).toBe(50);
    expect(stats.compactionBytes).toBeGreaterThan(0);
    expect(await shard.get("key-49", 11)).toStartWith("29-");
    await shard.stop();
  }
  threads.stop();
});

test("a snapshot goes from one shard to another through the rings, while a compactor flushes and main reads memory", async () => {
  const directory = temporaryDirectory();
  directories.push(directory);
  const threads = compactorThreads(1, 1, SILENT);
  threads.start();
  const [from, to] = start(directory, 2, threads.ends[0]);
  if (from === undefined || to === undefined) throw new Error("two shards were started");
  for (const shard of [from, to]) await shard.until("opened");
  for (let round = 0; round < 20; round++) {
    from.append(Array.from({ length: 40 }, (_, i) => put(`key-${i}`, `${round}-`.padEnd(500, "v"))));
    to.append(Array.from({ length: round < 19 ? 40 : 1 }, (_, i) => put(`old-${i}`, "stale".padEnd(500, "v"))));
    if (round < 5) from.append([put("last", "one")]);
    for (const shard of [from, to]) shard.link.flush();
  }
  expect(await to.get("old-0", 1)).toStartWith("stale");
  expect(to.peek("old-0")).toStartWith("stale");
  const { id, index, description } = await from.ask({ type: "snapshot", requestId: 0 }, "snapshotMade");
  expect(index as number).toBe(from.lastIndex);
  const { files } = await to.ask({ type: "installBegin", requestId: 0, description }, "installBegun");
  for (const [file, { byteCount }] of files.entries()) {
    for (let offset = 0; offset < byteCount; ) {
      const read = { type: "snapshotRead", requestId: 0, id, file, offset, byteCount: 100 * KIB } as const;
      const bytes = (await from.ask(read, "snapshotPiece")).bytes.slice();
      const { result } = await to.ask({ type: "installPiece", requestId: 0, file, offset, bytes }, "done");
      expect(result.kind).toBe("ok");
      offset += bytes.length;
    }
  }
  const { boot } = await to.ask({ type: "installEnd", requestId: 0 }, "installed");
  expect([boot.appliedIndex, boot.lastIndex]).toEqual([index, index]);
  expect(to.state.readable(index)).toBe(true);
  expect([to.peek("old-0"), to.peek("key-0"), to.state.missIsFinal]).toEqual([null, null, false]);
  to.lastIndex = index;
  expect(await to.get("old-0", 2)).toBeNull();
  expect(await to.get("key-39", 3)).toStartWith("19-");
  expect(await to.get("last", 4)).toBe("one");
  // Memtables take turns as ever.
  for (let round = 0; round < 20; round++) {
    to.append(Array.from({ length: 40 }, (_, i) => put(`new-${i}`, `${round}-`.padEnd(500, "v"))));
    to.link.flush();
  }
  expect(await to.get("new-39", 5)).toStartWith("19-");
  expect(to.peek("new-39")).toStartWith("19-");
  expect(await to.get("key-0", 6)).toStartWith("19-");
  for (const shard of [from, to]) await shard.stop();
  threads.stop();
});
