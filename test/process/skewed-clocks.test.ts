/**
 * Wall clocks that are an hour wrong, one ahead and one behind: what a later leader writes still replaces what an earlier
 * one wrote by a clock that was ahead of its own. Elections and reads do not look at the time of day.
 */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { type Reply, replyText } from "../../src/client/reply.ts";
import { RecordedClients } from "./recorded-clients.ts";
import { TestCluster } from "./test-cluster.ts";

setDefaultTimeout(60_000);

const AHEAD = 0;
const BEHIND = 1;
const HOUR_MS = 3_600_000;
const WRITES = 60;

let cluster: TestCluster | null = null;

afterEach(async () => {
  await cluster?.stop();
  cluster = null;
});

test("an hour ahead and an hour behind: newer writes win whoever leads, and all is linearizable", async () => {
  const running = await TestCluster.start({
    nodes: 3,
    shards: 1,
    workers: 0,
    flags: ["--election-ms", "600"],
    clockSkewMs: new Map([
      [AHEAD, HOUR_MS],
      [BEHIND, -HOUR_MS],
    ]),
  });
  cluster = running;
  // The skew is there: a node tells the time as it has it.
  const hours: number[] = [];
  for (const node of running.nodes) hours.push(await hoursOff(running, node));
  expect(hours).toEqual([1, -1, 0]);

  const clients = new RecordedClients(running, {
    clients: 6,
    keyPrefix: "",
    registers: 3,
    counters: 2,
    seed: 1,
    thinkMsMax: 8,
    replyTimeoutMs: 2_000,
    onWritten: () => undefined,
  });
  // Until the one whose clock is ahead has led and another has followed.
  for (let leader = -1; leader !== AHEAD; ) {
    await clients.written(WRITES);
    leader = await running.leader();
    await running.kill(leader);
    await running.leader();
    await clients.written(WRITES);
    await running.restart(leader);
  }
  const { wrong, undecidedCount } = await clients.verdict();
  expect(wrong).toEqual([]);
  expect(undecidedCount).toBe(0);
});

async function hoursOff(running: TestCluster, node: number): Promise<number> {
  const client = await running.client([node]);
  const reply: Reply = await client.command("TIME");
  client.close();
  const seconds = reply.kind === "array" ? Number(replyText(reply.items[0]!)) : Number.NaN;
  return Math.round((seconds * 1000 - Date.now()) / HOUR_MS) + 0;
}
