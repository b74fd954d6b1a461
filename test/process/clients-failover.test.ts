/**
 * Clients that others have written go through the loss of a leader by themselves: ioredis with several nodes to choose
 * from, redis and Bun.RedisClient connected to a node that stays. What was acknowledged is there afterwards.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { TestCluster } from "./test-cluster.ts";

const TEST_MS_MAX = 90_000;
const WRITES_BEFORE = 50;
const WRITES_AFTER = 50;
const RETRY_MS = 50;

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start({ nodes: 3, shards: 1, workers: 1 });
}, TEST_MS_MAX);

afterAll(() => cluster.stop(), TEST_MS_MAX);

test(
  "ioredis reconnects to another node when the one it talks to dies, and loses nothing that was acknowledged",
  async () => {
    const leader = await cluster.leader();
    const order = [leader, ...cluster.nodes.filter((node) => node !== leader)];
    let attempt = 0;
    const first = cluster.clientPorts[leader] ?? 0;
    const client = new Redis({ port: first, host: "127.0.0.1", maxRetriesPerRequest: null, retryStrategy: nextNode });
    // Each new attempt goes to the next node of the list.
    function nextNode(): number {
      attempt += 1;
      client.options.port = cluster.clientPorts[order[attempt % order.length] ?? 0] ?? first;
      return RETRY_MS;
    }
    client.on("error", () => undefined);
    for (let i = 0; i < WRITES_BEFORE; i++) expect(await client.set(`fail:${i}`, i)).toBe("OK");
    await cluster.kill(leader);
    for (let i = WRITES_BEFORE; i < WRITES_BEFORE + WRITES_AFTER; i++) await untilOk(() => client.set(`fail:${i}`, i));
    expect(attempt).toBeGreaterThan(0);
    const pipeline = client.pipeline();
    for (let i = 0; i < WRITES_BEFORE + WRITES_AFTER; i++) pipeline.get(`fail:${i}`);
    const replies = (await pipeline.exec()) ?? [];
    expect(replies.map(([, value]) => value)).toEqual(replies.map((_, i) => String(i)));
    client.disconnect();
    await cluster.restart(leader);
    await cluster.leader();
  },
  TEST_MS_MAX,
);

test(
  "redis and Bun.RedisClient on a node that stays write on after the leader's death",
  async () => {
    const leader = await cluster.leader();
    const url = `redis://127.0.0.1:${cluster.clientPorts[(leader + 1) % cluster.nodes.length]}`;
    const redis = createClient({ url, RESP: 3 });
    redis.on("error", () => undefined);
    await redis.connect();
    const bun = new Bun.RedisClient(url);
    await bun.connect();
    expect(await redis.set("stays", "before")).toBe("OK");
    await cluster.kill(leader);
    await untilOk(() => redis.set("stays", "after"));
    expect(await redis.get("stays")).toBe("after");
    await untilOk(() => bun.set("stays", "again"));
    expect(await bun.get("stays")).toBe("again");
    await redis.close();
    bun.close();
    await cluster.restart(leader);
  },
  TEST_MS_MAX,
);

/** While there is no leader a write is refused or its fate unknown; a SET may be sent again either way. */
async function untilOk(write: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      expect(await write()).toBe("OK");
      return;
    } catch (cause) {
      if (!/TRYAGAIN|UNKNOWN|Connection|closed/i.test(String(cause))) throw cause;
      await Bun.sleep(RETRY_MS);
    }
  }
}
