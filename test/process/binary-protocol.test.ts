/** The binary protocol against real nodes: over three shards led by three nodes, with forwarding, failover and retries. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { text, utf8 } from "../../src/core/bytes.ts";
import { TokenTable } from "../../src/core/token-table.ts";
import type { BinaryReply, KeyOperation, Topology } from "../../src/wire/binary-messages.ts";
import { BinaryClient, HELLO, operation } from "../server/binary-client.ts";
import { TestCluster } from "./test-cluster.ts";

const SHARDS = 3;
const KEY_COUNT = 300;

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start({ nodes: 3, shards: SHARDS, workers: 1 });
}, 120_000);

afterAll(async () => {
  await cluster.stop();
});

function open(node: number, watchesTopology = false): Promise<BinaryClient> {
  return BinaryClient.open(cluster.clientPorts[node]!, { ...HELLO, watchesTopology });
}

function put(key: string, value: string): KeyOperation {
  const rest = { expiry: { kind: "none" }, condition: { kind: "always" }, returnOld: false } as const;
  return { type: "put", key: utf8(key), value: utf8(value), ...rest };
}

function get(key: string): KeyOperation {
  return { type: "get", key: utf8(key), versioned: false };
}

function isWhole({ members, leaders }: Topology): boolean {
  return members.every(({ clientAddress }) => clientAddress !== "") && leaders.every((leader) => leader >= 0);
}

/** The topology once each node has said where it is, and each shard has a leader. */
async function settledTopology(client: BinaryClient): Promise<Topology> {
  for (;;) {
    const reply = await client.call({ type: "topology", deadlineMs: 0 });
    if (reply.type !== "topology") throw new Error(reply.type);
    if (isWhole(reply.topology)) return reply.topology;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function bucketSeed(client: BinaryClient): Promise<number> {
  const reply = await client.call({ type: "describeBucket", deadlineMs: 0, bucket: "0", countKeys: false });
  if (reply.type !== "buckets") throw new Error(reply.type);
  return reply.buckets[0]!.seed;
}

test("every node answers for every shard, many requests at a time, and reads what its client wrote", async () => {
  const keys = Array.from({ length: KEY_COUNT }, (_, i) => `key:${String(i).padStart(4, "0")}`);
  const client = await open(1);
  const expected = new Map<number, string>();
  for (const key of keys) {
    expected.set(client.send(operation(put(key, `of ${key}`))), "done");
    expected.set(client.send(operation(get(key))), `of ${key}`);
  }
  for (const [id, value] of expected) {
    const reply = await client.reply(id);
    expect(reply.type === "value" ? text(reply.value) : reply.type).toBe(value);
  }
  client.close();
});

test("a scan over all shards is in order, by whichever node", async () => {
  for (const isReverse of [false, true]) {
    const client = await open(2);
    const id = client.send({
      type: "scan",
      deadlineMs: 30_000,
      bucket: "0",
      prefix: utf8("key:"),
      lower: null,
      upper: null,
      isReverse,
      keysOnly: false,
      limit: 0,
      pageEntries: 50,
      credits: 1,
    });
    const seen: string[] = [];
    for (let isLast = false; !isLast; ) {
      const page: BinaryReply = await client.reply(id);
      if (page.type !== "page") throw new Error(JSON.stringify(page));
      for (const { key, value } of page.entries) {
        expect(text(value)).toBe(`of ${text(key)}`);
        seen.push(text(key));
      }
      isLast = page.isLast;
      client.send({ type: "credit", target: id, credits: 1 }, 0);
    }
    expect(seen.length).toBe(KEY_COUNT);
    expect(seen).toEqual(isReverse ? seen.toSorted().reverse() : seen.toSorted());
    client.close();
  }
});

test("by the topology a client finds the leader of a key, as the nodes do", async () => {
  const client = await open(0);
  const topology = await settledTopology(client);
  expect(topology.shardCount).toBe(SHARDS);
  expect(topology.members.map(({ clientAddress }) => clientAddress)).toEqual(cluster.targets.split(","));
  const seed = await bucketSeed(client);
  const tokens = new TokenTable(topology.shardCount);
  const found = new Set<number>();
  for (let i = 0; i < KEY_COUNT; i++) {
    const key = utf8(`key:${i}`);
    found.add(tokens.shardOf(seed, key, 0, key.length));
  }
  expect(found.size).toBe(SHARDS);
  client.close();
});

test("keys in one shard change together or not at all, in two shards they are told apart", async () => {
  const client = await open(0);
  const batch = { type: "batch", deadlineMs: 0, bucket: "0", mode: "linearizable", staleMs: 0, once: null } as const;
  const add = (key: string): KeyOperation => ({ type: "increment", key: utf8(key), by: 1n });
  const guarded: KeyOperation = {
    type: "put",
    key: utf8("{t}guard"),
    value: utf8("1"),
    expiry: { kind: "none" },
    condition: { kind: "absent" },
    returnOld: false,
  };
  const operations = [guarded, add("{t}a"), add("{t}b")];
  const first = await client.call({ ...batch, isAtomic: true, operations });
  expect(first).toMatchObject({ results: [{ type: "done" }, { value: 1n }, { value: 1n }] });
  expect(await client.call({ ...batch, isAtomic: true, operations })).toMatchObject({ code: "CONFLICT" });
  expect(await client.do(get("{t}a"))).toMatchObject({ value: utf8("1") });
  const many = Array.from({ length: 1025 }, () => add("{t}a"));
  expect(await client.call({ ...batch, isAtomic: true, operations: many })).toMatchObject({ code: "TOO_LARGE" });
  const large = Array.from({ length: 2 }, (_, i) => put(`{t}large${i}`, "x".repeat(9 * 1024 * 1024)));
  expect(await client.call({ ...batch, isAtomic: true, operations: large })).toMatchObject({ code: "TOO_LARGE" });
  expect(await client.do(get("{t}a"))).toMatchObject({ value: utf8("1") });
  const apart = Array.from({ length: 20 }, (_, i) => add(`n${i}`));
  expect(await client.call({ ...batch, isAtomic: true, operations: apart })).toMatchObject({ code: "CROSS_SHARD" });
  client.close();
});

test("a bucket that nobody has made is known by no node, and one that was made by each", async () => {
  const client = await open(0);
  const elsewhere = { bucket: "made later" };
  expect(await client.do(get("a"), elsewhere)).toMatchObject({ code: "NO_BUCKET" });
  expect(await client.do(put("a", "1"), elsewhere)).toMatchObject({ code: "NO_BUCKET" });
  expect((await client.call({ type: "createBucket", deadlineMs: 0, ...elsewhere, durability: "" })).type).toBe("done");
  for (const node of cluster.nodes) {
    const other = await open(node);
    expect((await other.do(put("a", String(node)), elsewhere)).type).toBe("done");
    expect(await other.do(get("a"), elsewhere)).toMatchObject({ value: utf8(String(node)) });
    other.close();
  }
  const described = await client.call({ type: "describeBucket", deadlineMs: 0, ...elsewhere, countKeys: true });
  expect(described).toMatchObject({ buckets: [{ name: "made later", keyCount: 1 }] });
  expect((await client.call({ type: "dropBucket", deadlineMs: 0, ...elsewhere })).type).toBe("done");
  expect(await client.do(get("a"), elsewhere)).toMatchObject({ code: "NO_BUCKET" });
  client.close();
});

test("a version that was read by one client is a condition of another's write through another node", async () => {
  const one = await open(0);
  const other = await open(1);
  await one.do(put("cas", "1"));
  const read = await other.do({ type: "get", key: utf8("cas"), versioned: true });
  if (read.type !== "value") throw new Error(read.type);
  const swap = (value: string): KeyOperation => ({
    type: "put",
    key: utf8("cas"),
    value: utf8(value),
    expiry: { kind: "none" },
    condition: { kind: "version", version: read.version },
    returnOld: false,
  });
  expect((await one.do(swap("2"))).type).toBe("done");
  expect(await other.do(swap("3"))).toMatchObject({ code: "CONFLICT" });
  one.close();
  other.close();
});

test("a write of a session is carried out once, however often it is sent and through whichever node", async () => {
  const first = await open(0);
  const opened = await first.call({ type: "openSession", deadlineMs: 0, ttlMs: 60_000 });
  if (opened.type !== "session") throw new Error(JSON.stringify(opened));
  const { session } = opened;
  const increment: KeyOperation = { type: "increment", key: utf8("once"), by: 1n };
  for (const node of [0, 1, 2, 0]) {
    const client = await open(node);
    for (let sequence = 1; sequence <= 3; sequence++) {
      const reply = await client.do(increment, { once: { session, sequence } });
      expect(reply).toEqual({ type: "integer", value: BigInt(sequence) });
    }
    client.close();
  }
  expect(await first.do(get("once"))).toMatchObject({ value: utf8("3") });
  expect((await first.call({ type: "closeSession", deadlineMs: 0, session })).type).toBe("done");
  first.close();
});

test("a request with a deadline is answered by then, a node without a majority or not; the others are told who leads", async () => {
  const watcher = await open(0, true);
  const before = await settledTopology(watcher);
  await Promise.all([cluster.kill(1), cluster.kill(2)]);
  const reply = await watcher.do(put("lonely", "1"), { deadlineMs: 200 });
  expect(reply).toMatchObject({ type: "error" });
  await Promise.all([cluster.restart(1), cluster.restart(2)]);
  const pushed: Topology[] = [];
  while (pushed.length === 0 || !isWhole(pushed.at(-1)!)) {
    const told = await watcher.reply(0);
    if (told.type !== "topology") throw new Error(told.type);
    pushed.push(told.topology);
  }
  const versions = pushed.map(({ version }) => version);
  expect(versions).toEqual(versions.toSorted((a, b) => a - b));
  expect(versions[0]).toBeGreaterThan(before.version);
  expect((await watcher.do(put("company", "1"))).type).toBe("done");
  watcher.close();
}, 120_000);
