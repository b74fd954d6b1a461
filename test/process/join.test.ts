/** Nodes that join a cluster while it runs: once, under a name of their own, whatever happens in between. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { replyText } from "../../src/client/reply.ts";
import { runMain } from "../cli/run-main.ts";
import { TestCluster } from "./test-cluster.ts";

setDefaultTimeout(120_000);

let cluster: TestCluster | null = null;

afterEach(async () => {
  await cluster?.stop();
  cluster = null;
});

async function membersAt(node: number): Promise<Map<string, boolean>> {
  const status = await cluster!.status(node);
  return new Map(status?.members.map(({ name, connected }) => [name, connected]));
}

async function allConnected(nodes: readonly number[], count: number): Promise<void> {
  for (const node of nodes) {
    for (;;) {
      const members = await membersAt(node);
      if (members.size === count && [...members.values()].every((connected) => connected)) break;
      await Bun.sleep(50);
    }
  }
}

test("nodes join one that was alone, and are members after every restart", async () => {
  cluster = await TestCluster.start({ nodes: 3, founders: 1, shards: 2, workers: 0 });
  await Promise.all([cluster.restart(1), cluster.restart(2)]);
  await allConnected([0, 1, 2], 3);
  for (const node of [2, 0, 1]) {
    await cluster.kill(node);
    await cluster.restart(node);
  }
  await allConnected([0, 1, 2], 3);
});

test("a node that has just joined takes any command, and hands it to whoever leads", async () => {
  cluster = await TestCluster.start({ nodes: 2, founders: 1, shards: 3, workers: 0 });
  await cluster.restart(1);
  const [old, joined] = await Promise.all([cluster.client([0]), cluster.client([1])]);
  const keys = Array.from({ length: 30 }, (_, i) => `key ${i}`);
  for (const key of keys) expect(replyText(await joined.command("SET", key, `value of ${key}`))).toBe("OK");
  for (const key of keys) expect(replyText(await joined.command("GET", key))).toBe(`value of ${key}`);
  for (const key of keys) expect(replyText(await old.command("GET", key))).toBe(`value of ${key}`);
  expect(replyText(await joined.command("BUCKET", "CREATE", "b"))).toBe("OK");
  expect(replyText(await old.command("USE", "b"))).toBe("OK");
  joined.close();
  old.close();
  await cluster.kill(0);
  await cluster.restart(0);
  const again = await cluster.client([1]);
  for (const key of keys) expect(replyText(await again.command("GET", key))).toBe(`value of ${key}`);
  again.close();
});

test("a name belongs to one data directory: who comes with another one is told so and ends", async () => {
  cluster = await TestCluster.start({ nodes: 2, founders: 1, shards: 1, workers: 0 });
  await cluster.restart(1);
  await allConnected([0, 1], 2);
  await cluster.kill(1);
  const kept = readFileSync(join(cluster.dataOf(1), "node.meta"));
  rmSync(cluster.dataOf(1), { recursive: true });
  const wiped = await cluster.startInVain(1);
  expect(wiped.code).toBe(1);
  expect(wiped.errors).toContain("the name n2 belongs to another data directory");
  expect(readFileSync(join(cluster.dataOf(1), "node.meta")).equals(kept)).toBe(false);
});

test("of two that join at once under one name, one is taken in and the other is told so", async () => {
  cluster = await TestCluster.start({ nodes: 3, founders: 1, shards: 1, workers: 0 });
  // Their standard input is closed, so whoever starts to serve stops again.
  const flags = ["--id", "twin", "--exit-with-parent"];
  const ends = await Promise.all([cluster.startInVain(1, flags), cluster.startInVain(2, flags)]);
  expect(ends.map(({ code }) => code).sort()).toEqual([0, 1]);
  const refused = ends.find(({ code }) => code === 1);
  expect(refused?.errors).toContain("MEMBER_EXISTS: the name twin belongs to another data directory");
  expect([...(await membersAt(0)).keys()]).toEqual(["n1", "twin"]);
});

test("a member that is not there yet is waited for, and not for ever; settings that must agree do", async () => {
  cluster = await TestCluster.start({ nodes: 2, founders: 1, shards: 1, workers: 0 });
  const other = await cluster.startInVain(1, ["--value-bytes-max", "1000000"]);
  expect([other.code, other.errors.includes("valueBytesMax is 16777216 in this cluster, not 1000000")]).toEqual([
    2,
    true,
  ]);
  await cluster.kill(0);
  const alone = await cluster.startInVain(1, ["--join-timeout-ms", "500"]);
  expect(alone.code).toBe(1);
  expect(alone.errors).toContain("could not join yet; trying again");
  expect(alone.errors).toContain("could not join through");
  const late = cluster.restart(1);
  await cluster.restart(0);
  await late;
  await allConnected([0, 1], 2);
});

test("a node whose first attempt came to nothing is the same one at the next", async () => {
  cluster = await TestCluster.start({ nodes: 2, founders: 1, shards: 1, workers: 0 });
  await cluster.kill(0);
  await cluster.startInVain(1, ["--join-timeout-ms", "100"]);
  const first = readFileSync(join(cluster.dataOf(1), "node.meta"));
  await cluster.startInVain(1, ["--join-timeout-ms", "100"]);
  expect(readFileSync(join(cluster.dataOf(1), "node.meta")).equals(first)).toBe(true);
  await cluster.restart(0);
  await cluster.restart(1);
  await allConnected([0, 1], 2);
});

test("members are shown, added and removed from any node; what would cost a quorum is refused", async () => {
  cluster = await TestCluster.start({ nodes: 4, founders: 3, shards: 2, workers: 0 });
  const target = ["--target", `127.0.0.1:${cluster.clientPorts[1]}`];
  const run = (...args: string[]) => runMain(["cluster", ...args, ...target]);
  await allConnected([0, 1, 2], 3);
  let shown = await run("status");
  // It is 0 once this node knows who leads each shard.
  while (shown.code !== 0) shown = await run("status");
  expect(shown.out).toMatch(/n3 +3 +127\.0\.0\.1:\d+ +member +yes/);
  expect(shown.out).toMatch(/\n1 +n[123] +\d+ +n1 n2 n3\n/);

  const follower = (await cluster.leader(1)) === 0 ? "n2" : "n1";
  expect((await run("transfer", "1", follower)).out).toBe("OK\n");
  expect((await run("status")).out).toMatch(new RegExp(`\n1 +${follower} `));
  expect((await run("transfer", "1", "n9")).err).toContain("there is no member n9");

  let added = await run("add", "n4", cluster.peerAddressOf(3));
  for (; added.code !== 0; added = await run("add", "n4", cluster.peerAddressOf(3))) {
    expect(added.err).toContain("the first members are not entered yet");
  }
  expect((await run("status")).code).toBe(1);
  await cluster.restart(3);
  await allConnected([0, 1, 2, 3], 4);

  await cluster.kill(2);
  for (;;) {
    const refused = await run("remove", "n2");
    if (refused.code === 1 && refused.err.includes("NO_QUORUM")) {
      expect(refused.err).toMatch(/would be left with 1 of 2 voters connected|has no leader/);
      break;
    }
  }
  expect((await run("remove", "n2", "--force", "n3")).code).toBe(2);
});
