/**
 * A cluster that grows from one node to five and shrinks to one again while clients work, and loses a node for good on the
 * way. Nothing that was acknowledged is lost, nothing is answered wrongly, and nobody comes back who should not.
 */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, rmSync } from "node:fs";
import { runMain } from "../cli/run-main.ts";
import { RecordedClients } from "./recorded-clients.ts";
import { TestCluster } from "./test-cluster.ts";

setDefaultTimeout(300_000);

const ELECTION_MS = 600;
const FLAGS = ["--election-ms", String(ELECTION_MS), "--request-timeout-ms", "2000"];
const SHARDS = 3;
const WRITES = 40;

let cluster: TestCluster;
let clients: RecordedClients;

afterEach(async () => {
  await clients.stop();
  await cluster.stop();
});

/** Waits until these are the members, all connected, and every shard has as many voters among them as it should. */
async function settled(nodes: readonly number[]): Promise<void> {
  const names = nodes.map((node) => `n${node + 1}`);
  const voterCount = Math.min(3, nodes.length);
  for (;;) {
    const statuses = await Promise.all(nodes.map((node) => cluster.status(node)));
    const isSettled = statuses.every(
      (status) =>
        status?.members
          .map(({ name }) => name)
          .sort()
          .join() === names.join() &&
        status.members.every(({ connected }) => connected) &&
        status.shards.every(
          ({ leader, voters, learners }) =>
            leader !== null &&
            learners.length === 0 &&
            voters.length === voterCount &&
            voters.every((name) => names.includes(name)),
        ),
    );
    if (isSettled) return;
    await Bun.sleep(50);
  }
}

async function removed(node: number, asked: number): Promise<void> {
  const target = ["--target", `127.0.0.1:${cluster.clientPorts[asked]}`];
  for (;;) {
    const { code, err } = await runMain(["cluster", "remove", `n${node + 1}`, ...target]);
    if (code === 0) return;
    // A shard that elects its leader just now is not known to have a quorum.
    expect(err).toContain("NO_QUORUM");
  }
}

test("from one to five and back, with a node lost for good in between", async () => {
  cluster = await TestCluster.start({ nodes: 6, founders: 1, shards: SHARDS, workers: 0, flags: FLAGS });
  clients = new RecordedClients(cluster, {
    clients: 6,
    keyPrefix: "k:",
    registers: 4,
    counters: 3,
    seed: 1,
    thinkMsMax: 8,
    replyTimeoutMs: 6 * ELECTION_MS,
    onWritten: () => undefined,
  });
  await clients.written(WRITES);
  await Promise.all([cluster.restart(1), cluster.restart(2)]);
  await settled([0, 1, 2]);
  await clients.written(WRITES);
  await Promise.all([cluster.restart(3), cluster.restart(4)]);
  await settled([0, 1, 2, 3, 4]);
  await clients.written(WRITES);

  // n3 dies, and its disk with it; under its name nobody is taken in, under a new one an empty node takes its place.
  await cluster.kill(2);
  const lost = `${cluster.dataOf(2)}-lost`;
  cpSync(cluster.dataOf(2), lost, { recursive: true });
  rmSync(cluster.dataOf(2), { recursive: true });
  const wiped = await cluster.startInVain(2);
  expect([wiped.code, wiped.errors.includes("the name n3 belongs to another data directory")]).toEqual([1, true]);
  await removed(2, 0);
  await cluster.restart(5);
  await settled([0, 1, 3, 4, 5]);
  await clients.written(WRITES);

  // The disk was not lost after all. Whoever has been removed learns so from the first it reaches.
  rmSync(cluster.dataOf(2), { recursive: true });
  cpSync(lost, cluster.dataOf(2), { recursive: true });
  const late = await cluster.startInVain(2);
  expect([late.code, late.errors.includes("this node has been removed from the cluster")]).toEqual([1, true]);

  const staying = [0, 1, 3, 4, 5];
  for (const leaving of [0, 4, 1, 5]) {
    staying.splice(staying.indexOf(leaving), 1);
    await removed(leaving, staying[0]!);
    const { code, errors } = await cluster.ended(leaving);
    expect([code, errors.includes("this node has been removed from the cluster")]).toEqual([1, true]);
    await settled(staying);
    await clients.written(WRITES);
  }
  expect(staying).toEqual([3]);
  const { wrong, undecidedCount } = await clients.verdict(staying);
  expect(wrong).toEqual([]);
  expect(undecidedCount).toBe(0);
});
