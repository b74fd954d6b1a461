/**
 * Limits of clients and buckets against real nodes: a quota that holds, survives a restart and is the same through every node;
 * a rate; and memory that lengths which are only announced do not take.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { replyText } from "../../src/client/reply.ts";
import type { RespClient } from "../../src/client/resp-client.ts";
import { RawClient } from "../server/started-port.ts";
import { TestCluster } from "./test-cluster.ts";

const TEST_MS_MAX = 120_000;
const VALUE = "v".repeat(1_000);
const QUOTA_VALUES = 200;

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start({ nodes: 3, shards: 2, workers: 0, flags: ["--compactors", "0"] });
}, TEST_MS_MAX);

afterAll(() => cluster.stop(), TEST_MS_MAX);

async function said(client: RespClient, ...words: string[]): Promise<string> {
  const reply = await client.command(...(words as [string, ...string[]]));
  return reply.kind === "error" ? reply.code : (replyText(reply) ?? reply.kind);
}

async function told(client: RespClient, bucket: string, field: string): Promise<number> {
  const reply = await client.command("BUCKET", "INFO", bucket);
  if (reply.kind !== "array") throw new Error(`BUCKET INFO came as ${reply.kind}`);
  const place = reply.items.findIndex((item) => replyText(item) === field);
  return Number(replyText(reply.items[place + 1]!));
}

/** Writes new keys until one is refused; returns how many were not. */
async function fill(client: RespClient, prefix: string): Promise<number> {
  for (let i = 0; ; i++) {
    const answer = await said(client, "SET", `${prefix}${i}`, VALUE);
    if (answer === "QUOTA") return i;
    expect(answer).toBe("OK");
    expect(i).toBeLessThan(20 * QUOTA_VALUES);
  }
}

test(
  "a bucket takes about its quota, through every node, and what is deleted makes room",
  async () => {
    const clients = await Promise.all([0, 1, 2].map((node) => cluster.client([node])));
    const [first, second, third] = clients as [RespClient, RespClient, RespClient];
    expect(await said(first, "BUCKET", "CREATE", "small", "QUOTA", `${QUOTA_VALUES}KiB`)).toBe("OK");
    for (const client of clients) expect(await said(client, "USE", "small")).toBe("OK");
    await fill(second, "a");
    // Until somebody has counted, more is taken than there is room for; from then on it is not.
    while ((await said(third, "SET", "more", VALUE)) === "OK") await Bun.sleep(20);
    expect(await said(first, "GET", "a0")).toBe(VALUE);
    expect(await told(first, "small", "quota-bytes")).toBe(QUOTA_VALUES * 1024);
    expect(await told(first, "small", "bytes")).toBeGreaterThan((QUOTA_VALUES * 1024) / 3);
    const keys = await told(first, "small", "keys");
    for (let i = 0; i < keys; i++) await said(first, "DEL", `a${i}`);
    while ((await said(second, "SET", "b", VALUE)) !== "OK") await Bun.sleep(50);
    expect(await said(first, "BUCKET", "QUOTA", "small", "0")).toBe("OK");
    for (let i = 0; i < 2 * QUOTA_VALUES; i++) expect(await said(first, "SET", `c${i}`, VALUE)).toBe("OK");
    for (const client of clients) client.close();
  },
  TEST_MS_MAX,
);

test(
  "a quota holds after a restart of all nodes",
  async () => {
    const client = await cluster.client([0]);
    expect(await said(client, "BUCKET", "CREATE", "kept", "KEYS", "20", "RATE", "100000")).toBe("OK");
    client.close();
    for (const node of cluster.nodes) await cluster.end(node, "SIGTERM");
    await Promise.all(cluster.nodes.map((node) => cluster.restart(node)));
    await cluster.leader();
    const again = await cluster.client([1]);
    expect(await told(again, "kept", "quota-keys")).toBe(20);
    expect(await told(again, "kept", "rate")).toBe(100_000);
    expect(await said(again, "USE", "kept")).toBe("OK");
    for (let i = 0; (await said(again, "SET", `k${i}`, VALUE)) === "OK"; i++) await Bun.sleep(5);
    expect(await told(again, "kept", "keys")).toBeGreaterThan(0);
    again.close();
  },
  TEST_MS_MAX,
);

test(
  "a hundred sockets that announce half a gigabyte and send nothing take no memory for it",
  async () => {
    const memory = (): number =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${cluster.pid(0)}/status`, "latin1"))?.[1]) * 1024;
    const probe = await cluster.client([0]);
    const before = memory();
    const announcing = await Promise.all(Array.from({ length: 100 }, () => RawClient.open(cluster.clientPorts[0]!)));
    for (const [place, client] of announcing.entries()) {
      client.send(place % 2 === 0 ? "*1\r\n$536870912\r\n" : "*1024\r\n$3\r\nSET\r\n$1\r\nk\r\n$16777216\r\n");
    }
    for (let i = 0; i < 20; i++) expect(await said(probe, "PING")).toBe("PONG");
    expect(memory() - before).toBeLessThan(50 * 1024 * 1024);
    for (const client of announcing) client.close();
    probe.close();
  },
  TEST_MS_MAX,
);
