/**
 * Clients that others have written work unmodified against every port of a cluster, the leader's and the followers':
 * the same commands, the same replies, and what one node has acknowledged the others show at once.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { TestCluster } from "./test-cluster.ts";

const TEST_MS_MAX = 60_000;
const NODES = [0, 1, 2];
const RECORDS = 300;

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start({ nodes: 3, shards: 2, workers: 1 });
}, TEST_MS_MAX);

afterAll(() => cluster.stop(), TEST_MS_MAX);

describe("works on every node:", () => {
  test(
    "ioredis",
    async () => {
      for (const node of NODES) await withIoredis(cluster, node, (client) => exerciseIoredis(client, `io${node}`));
    },
    TEST_MS_MAX,
  );

  test(
    "redis, in RESP2 and RESP3",
    async () => {
      for (const node of NODES) for (const resp of [2, 3] as const) await exerciseRedis(node, resp);
    },
    TEST_MS_MAX,
  );

  test(
    "Bun.RedisClient",
    async () => {
      for (const node of NODES) {
        const client = new Bun.RedisClient(`redis://127.0.0.1:${cluster.clientPorts[node]}`);
        await client.connect();
        await exerciseBun(client, `bun${node}`);
        client.close();
      }
    },
    TEST_MS_MAX,
  );

  const cli = Bun.which("redis-cli");
  test.skipIf(cli === null)(
    "redis-cli",
    () => {
      for (const node of NODES) {
        const port = String(cluster.clientPorts[node]);
        const run = (...args: string[]): string => output([cli ?? "", "-p", port, ...args]);
        expect(run("SET", `cli${node}`, "by hand")).toBe("OK\n");
        expect(run("GET", `cli${node}`)).toBe("by hand\n");
        expect(run("-3", "GET", `cli${node}`)).toBe("by hand\n");
        expect(run("--scan", "--pattern", `cli${node}*`)).toBe(`cli${node}\n`);
      }
    },
    TEST_MS_MAX,
  );

  const benchmark = Bun.which("redis-benchmark");
  test.skipIf(benchmark === null)(
    "redis-benchmark",
    () => {
      for (const node of NODES) {
        const load = ["-t", "ping,set,get,incr,mset", "-n", "2000", "-c", "10", "-P", "4", "-q"];
        const said = output([benchmark ?? "", "-p", String(cluster.clientPorts[node]), ...load]);
        for (const name of ["PING", "SET", "GET", "INCR", "MSET"]) expect(said).toContain(`${name}`);
        expect(said).toContain("requests per second");
        expect(said).not.toMatch(/error/i);
      }
    },
    TEST_MS_MAX,
  );
});

test(
  "what one node has acknowledged, the others show at once",
  async () => {
    await withAll(cluster, async (clients) => {
      for (let i = 0; i < 100; i++) {
        const writer = pick(clients, i);
        expect(await writer.set(`fresh${i % 7}`, String(i))).toBe("OK");
        for (const reader of clients) expect(await reader.get(`fresh${i % 7}`)).toBe(String(i));
        expect(await writer.del(`fresh${i % 7}`)).toBe(1);
        for (const reader of clients) expect(await reader.exists(`fresh${i % 7}`)).toBe(0);
      }
    });
  },
  TEST_MS_MAX,
);

test(
  "counters that all nodes increment at once lose nothing and give no number twice",
  async () => {
    await withAll(cluster, async (clients) => {
      const replies = Array.from({ length: RECORDS }, (_, i) => pick(clients, i).incr("shared-counter"));
      const numbers = await Promise.all(replies);
      expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: RECORDS }, (_, i) => i + 1));
    });
  },
  TEST_MS_MAX,
);

test(
  "FLUSHDB through one node empties the bucket on all, and only that bucket",
  async () => {
    await withAll(cluster, async (clients) => {
      for (const flusher of NODES) {
        for (const client of clients) expect(await client.call("USE", "emptied")).toBe("OK");
        await Promise.all(Array.from({ length: RECORDS }, (_, i) => pick(clients, i).set(`gone${i}`, "x")));
        await pick(clients, 0).call("USE", "kept");
        await pick(clients, 0).set("gone0", "still here");
        await pick(clients, 0).call("USE", "emptied");
        expect(await pick(clients, flusher).flushdb()).toBe("OK");
        for (const client of clients) {
          const values = await client.mget(Array.from({ length: RECORDS }, (_, i) => `gone${i}`));
          expect(values.every((value) => value === null)).toBe(true);
          expect(await client.dbsize()).toBe(0);
          expect(await client.keys("*")).toEqual([]);
        }
        for (const client of clients) {
          await client.call("USE", "kept");
          expect(await client.get("gone0")).toBe("still here");
        }
      }
    });
  },
  TEST_MS_MAX,
);

test(
  "buckets keep their keys apart, on every node and after a restart of the whole cluster",
  async () => {
    const names = ["orders", "Übersicht", "orders.2", "0", "7"];
    const own = await TestCluster.start({ nodes: 3, shards: 2, workers: 1 });
    const everywhere = async (): Promise<void> => {
      await withAll(own, async (clients) => {
        for (const client of clients) {
          for (const name of names) {
            expect(await client.call("USE", name)).toBe("OK");
            expect(await client.get("same-key")).toBe(`of ${name}`);
            expect(await client.dbsize()).toBe(1);
          }
          expect(await client.select(7)).toBe("OK");
          expect(await client.get("same-key")).toBe("of 7");
        }
      });
    };
    try {
      await withIoredis(own, 1, async (client) => {
        for (const name of names) {
          expect(await client.call("USE", name)).toBe("OK");
          expect(await client.set("same-key", `of ${name}`)).toBe("OK");
        }
      });
      await everywhere();
      await Promise.all(NODES.map((node) => own.kill(node)));
      await Promise.all(NODES.map((node) => own.restart(node)));
      await Promise.all([own.leader(0), own.leader(1)]);
      await everywhere();
    } finally {
      await own.stop();
    }
  },
  TEST_MS_MAX,
);

async function exerciseIoredis(client: Redis, prefix: string): Promise<void> {
  expect(await client.set(prefix, "1", "EX", 100)).toBe("OK");
  expect(await client.get(prefix)).toBe("1");
  expect(await client.ttl(prefix)).toBeWithin(1, 101);
  expect(await client.incr(prefix)).toBe(2);
  expect(await client.mset({ [`${prefix}:a`]: "A", [`${prefix}:b`]: "B" })).toBe("OK");
  expect(await client.mget(`${prefix}:a`, `${prefix}:none`, `${prefix}:b`)).toEqual(["A", null, "B"]);
  expect(await client.del(`${prefix}:a`, `${prefix}:b`)).toBe(2);
  const binary = Buffer.from([0, 13, 10, 255, 254, 36, 42]);
  await client.set(`${prefix}:binary`, binary);
  expect(await client.getBuffer(`${prefix}:binary`)).toEqual(binary);
  const pipeline = client.pipeline();
  for (let i = 0; i < RECORDS; i++) pipeline.set(`${prefix}:many:${i}`, i).get(`${prefix}:many:${i}`);
  const replies = (await pipeline.exec()) ?? [];
  expect(
    replies.every(([error], i) => error === null && replies[i]?.[1] === (i % 2 === 0 ? "OK" : String(i >> 1))),
  ).toBe(true);
  const seen = new Set<string>();
  for await (const keys of client.scanStream({ match: `${prefix}:many:*`, count: 50 })) {
    for (const key of keys as string[]) seen.add(key);
  }
  expect(seen.size).toBe(RECORDS);
  expect(await client.expire(`${prefix}:many:0`, 0)).toBe(1);
  expect(await client.get(`${prefix}:many:0`)).toBeNull();
}

async function exerciseRedis(node: number, resp: 2 | 3): Promise<void> {
  const client = createClient({ url: `redis://127.0.0.1:${cluster.clientPorts[node]}`, RESP: resp });
  await client.connect();
  const prefix = `node${node}:${resp}`;
  expect(await client.set(prefix, "value", { expiration: { type: "PX", value: 60_000 } })).toBe("OK");
  expect(await client.get(prefix)).toBe("value");
  expect(await client.pTTL(prefix)).toBeWithin(1, 60_001);
  expect(await client.persist(prefix)).toBe(1);
  expect(await client.incrBy(`${prefix}:counter`, 41)).toBe(41);
  expect(await client.incr(`${prefix}:counter`)).toBe(42);
  expect(await client.mGet([prefix, `${prefix}:none`])).toEqual(["value", null]);
  const replies = await Promise.all(
    Array.from({ length: RECORDS }, (_, i) => client.set(`${prefix}:many:${i}`, `${i}`)),
  );
  expect(replies.every((reply) => reply === "OK")).toBe(true);
  const seen = new Set<string>();
  for await (const keys of client.scanIterator({ MATCH: `${prefix}:many:*`, COUNT: 40 })) {
    for (const key of keys) seen.add(key);
  }
  expect(seen.size).toBe(RECORDS);
  expect(await client.expire(`${prefix}:many:1`, 0)).toBe(1);
  expect(await client.exists(`${prefix}:many:1`)).toBe(0);
  await client.close();
}

async function exerciseBun(client: Bun.RedisClient, prefix: string): Promise<void> {
  expect(await client.set(prefix, "value")).toBe("OK");
  expect(await client.get(prefix)).toBe("value");
  expect(await client.exists(prefix)).toBe(true);
  expect(await client.incr(`${prefix}:counter`)).toBe(1);
  expect(await client.mget(prefix, `${prefix}:none`)).toEqual(["value", null]);
  expect(await client.expire(prefix, 100)).toBe(1);
  expect(await client.ttl(prefix)).toBeWithin(1, 101);
  await Promise.all(Array.from({ length: RECORDS }, (_, i) => client.set(`${prefix}:many:${i}`, `${i}`)));
  const values = await Promise.all(Array.from({ length: RECORDS }, (_, i) => client.get(`${prefix}:many:${i}`)));
  expect(values).toEqual(Array.from({ length: RECORDS }, (_, i) => `${i}`));
  const seen = new Set<string>();
  let cursor = "0";
  do {
    const [next, keys] = (await client.send("SCAN", [cursor, "MATCH", `${prefix}:many:*`])) as [string, string[]];
    for (const key of keys) seen.add(key);
    cursor = next;
  } while (cursor !== "0");
  expect(seen.size).toBe(RECORDS);
  expect(await client.del(prefix)).toBe(1);
}

async function withIoredis(of: TestCluster, node: number, run: (client: Redis) => Promise<void>): Promise<void> {
  const client = new Redis({ port: of.clientPorts[node] ?? 0, host: "127.0.0.1", retryStrategy: () => null });
  try {
    await run(client);
  } finally {
    client.disconnect();
  }
}

/** With one client for each node. */
function withAll(of: TestCluster, run: (clients: readonly Redis[]) => Promise<void>): Promise<void> {
  const collected: Redis[] = [];
  const next = async (node: number): Promise<void> => {
    if (node === NODES.length) return run(collected);
    await withIoredis(of, node, (client) => {
      collected.push(client);
      return next(node + 1);
    });
  };
  return next(0);
}

function pick(clients: readonly Redis[], i: number): Redis {
  const client = clients[i % clients.length];
  if (client === undefined) throw new Error("there is no client");
  return client;
}

function output(command: string[]): string {
  const { stdout, stderr, exitCode } = Bun.spawnSync(command);
  expect({ command, exitCode, stderr: stderr.toString() }).toMatchObject({ exitCode: 0, stderr: "" });
  return stdout.toString();
}
