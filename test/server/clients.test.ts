import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { FakeCoordinator } from "./fake-coordinator.ts";
import { type StartedPort, startPort } from "./started-port.ts";

let server: StartedPort;
beforeAll(() => {
  server = startPort();
});
afterAll(() => server.stop());

describe("clients of others work as they come", () => {
  test("ioredis", async () => {
    const client = new Redis({ port: server.port, host: "127.0.0.1", retryStrategy: () => null });
    expect(await client.set("io", "1", "EX", 100)).toBe("OK");
    expect(await client.get("io")).toBe("1");
    expect(await client.mget("io", "none")).toEqual(["1", null]);
    expect(await client.incr("io")).toBe(2);
    const values = await Promise.all(Array.from({ length: 100 }, (_, i) => client.set(`io${i}`, i)));
    expect(values.every((value) => value === "OK")).toBe(true);
    const seen = new Set<string>();
    for await (const keys of client.scanStream({ match: "io*", count: 7 })) for (const key of keys) seen.add(key);
    expect(seen.size).toBe(101);
    client.disconnect();
  });

  test("redis", async () => {
    for (const RESP of [2, 3] as const) {
      const client = createClient({ url: `redis://127.0.0.1:${server.port}`, RESP });
      await client.connect();
      expect(await client.set("node", "value")).toBe("OK");
      expect(await client.get("node")).toBe("value");
      expect(await client.get("none")).toBeNull();
      expect(await client.configGet("appendonly")).toMatchObject({ appendonly: "yes" });
      expect(await client.dbSize()).toBeGreaterThan(0);
      expect(await client.ttl("node")).toBe(-1);
      await client.close();
    }
  });

  test("Bun.RedisClient", async () => {
    const client = new Bun.RedisClient(`redis://127.0.0.1:${server.port}`);
    await client.connect();
    expect(await client.set("bun", "value")).toBe("OK");
    expect(await client.get("bun")).toBe("value");
    expect(await client.get("none")).toBeNull();
    expect(await client.exists("bun")).toBe(true);
    expect(await client.incr("bun-counter")).toBe(1);
    client.close();
  });

  test("transactions of ioredis and redis, with keys of one shard", async () => {
    const single = startPort({}, { coordinator: new FakeCoordinator(1) });
    const io = new Redis({ port: single.port, host: "127.0.0.1", retryStrategy: () => null });
    expect<unknown>(await io.multi().set("a", "1").incr("a").get("a").exec()).toEqual([
      [null, "OK"],
      [null, 2],
      [null, "2"],
    ]);
    await io.watch("a");
    const node = createClient({ url: `redis://127.0.0.1:${single.port}`, RESP: 3 });
    await node.connect();
    expect<unknown>(await node.multi().set("a", "3").rename("a", "b").exists("a").exec()).toEqual(["OK", "OK", 0]);
    expect<unknown>(await io.multi().get("a").exec()).toBeNull();
    expect<unknown>(await node.multi().get("b").exec()).toEqual(["3"]);
    io.disconnect();
    await node.close();
    single.stop();
  });
});
