/**
 * A member that was away until the log no longer reaches back to it gets a snapshot, through the threads and connections of
 * real processes, and afterwards it is as good as the others.
 */
import { afterEach, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { RespClient } from "../../src/client/resp-client.ts";
import { replyText } from "../../src/client/reply.ts";
import { TestCluster } from "./test-cluster.ts";

/** Small files, so that the log of a thousand writes is many segments, and none of it is kept for members that are away. */
const FLAGS = [
  ...["--value-bytes-max", "16KiB", "--memtable-bytes", "256KiB", "--table-bytes", "64KiB"],
  ...["--segment-bytes", "256KiB", "--log-retain-bytes", "0"],
];
const VALUE = "v".repeat(2048);

let cluster: TestCluster | null = null;

afterEach(async () => {
  await cluster?.stop();
  cluster = null;
});

async function write(client: RespClient, from: number, count: number): Promise<void> {
  for (let i = from; i < from + count; i += 50) {
    const batch = Array.from({ length: Math.min(50, from + count - i) }, (_, j) => i + j);
    const replies = await Promise.all(batch.map((key) => client.command("SET", `key${key}`, `${key}/${VALUE}`)));
    expect(replies.map(replyText)).toEqual(batch.map(() => "OK"));
  }
}

async function expectAll(client: RespClient, count: number): Promise<void> {
  for (let i = 0; i < count; i += 50) {
    const batch = Array.from({ length: Math.min(50, count - i) }, (_, j) => i + j);
    const replies = await Promise.all(batch.map((key) => client.command("GET", `key${key}`)));
    expect(replies.map((reply) => (replyText(reply) ?? "").split("/")[0])).toEqual(batch.map(String));
  }
}

for (const workers of [0, 1]) {
  test(`a member that was away for long installs a snapshot and leads afterwards, workers: ${workers}`, async () => {
    const running = await TestCluster.start({ nodes: 3, shards: 1, workers, flags: FLAGS });
    cluster = running;
    const leader = await running.leader();
    const away = running.nodes.find((node) => node !== leader)!;
    const client = await running.client([leader]);
    await write(client, 0, 200);
    await running.caughtUp(leader);
    await running.kill(away);
    await write(client, 200, 2000);
    await client.command("FLUSH");
    await write(client, 2200, 100);
    await running.restart(away);
    await running.caughtUp(leader);
    expect(readdirSync(join(running.dataOf(away), "shard-0000"))).toContain("generation-00000001");
    await write(client, 2300, 50);
    client.close();
    // Whoever is left has to be a majority with the one that was away.
    await running.kill(leader);
    const others = await running.client([away]);
    await write(others, 2350, 50);
    await expectAll(others, 2400);
    others.close();
    // What it has installed is there after a restart.
    await running.restart(leader);
    await running.kill(away);
    await running.restart(away);
    await running.caughtUp(await running.leader());
    const again = await running.client([away]);
    await expectAll(again, 2400);
    again.close();
  }, 120_000);
}

test("over a narrow link a snapshot takes its time, and the leader stays", async () => {
  const flags = [...FLAGS, "--election-ms", "600"];
  const running = await TestCluster.start({ nodes: 3, shards: 1, workers: 1, flags, linked: true });
  cluster = running;
  const leader = await running.leader();
  const away = running.nodes.find((node) => node !== leader)!;
  const client = await running.client([leader]);
  await running.kill(away);
  await write(client, 0, 1000);
  await client.command("FLUSH");
  await write(client, 1000, 100);
  const before = await running.status(leader);
  // A piece of it takes as long as half an election.
  for (const link of running.links.both(leader, away)) link.bytesPerSecond = 400_000;
  await running.restart(away);
  const caughtUp = running.caughtUp(leader);
  await write(client, 1100, 50);
  await caughtUp;
  expect(readdirSync(join(running.dataOf(away), "shard-0000"))).toContain("generation-00000001");
  const after = await running.status(leader);
  expect([after?.shards[0]?.role, after?.shards[0]?.term]).toEqual(["leader", before?.shards[0]?.term]);
  client.close();
  const there = await running.client([away]);
  await expectAll(there, 1150);
  there.close();
}, 120_000);
