/**
 * Three real nodes under load, and one misfortune after the other. After each of them clients write again without any
 * help, all nodes come to the same index, every node shows what was acknowledged, and all that the clients were told is
 * linearizable.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Reply, replyText } from "../../src/client/reply.ts";
import { RecordedClients } from "./recorded-clients.ts";
import { TestCluster } from "./test-cluster.ts";

setDefaultTimeout(60_000);

const ELECTION_MS = 600;
const FLAGS = ["--election-ms", String(ELECTION_MS), "--request-timeout-ms", "2000"];
const WRITES = 60;

let cluster: TestCluster;
let seed = 0;

beforeAll(async () => {
  cluster = await TestCluster.start({ nodes: 3, shards: 1, workers: 1, flags: FLAGS, linked: true });
});

afterAll(() => cluster.stop());

/** Lets something happen to the cluster, which it takes back itself, while clients work. */
async function underLoad(misfortune: (clients: RecordedClients) => Promise<void>): Promise<void> {
  seed += 1;
  const clients = new RecordedClients(cluster, {
    clients: 9,
    keyPrefix: `${seed}:`,
    registers: 3,
    counters: 2,
    seed,
    thinkMsMax: 8,
    replyTimeoutMs: 4 * ELECTION_MS,
    onWritten: () => undefined,
  });
  try {
    await clients.written(WRITES);
    await misfortune(clients);
    await clients.written(WRITES);
  } finally {
    // One failed test is not to make the others fail.
    cluster.links.heal();
    await clients.stop();
  }
  const { wrong, undecidedCount } = await clients.verdict();
  expect(wrong).toEqual([]);
  expect(undecidedCount).toBe(0);
  await cluster.caughtUp(await cluster.leader());
}

function othersThan(...nodes: readonly number[]): number[] {
  return cluster.nodes.filter((node) => !nodes.includes(node));
}

/** One request through one node. */
async function ask(node: number, ...words: [string, ...string[]]): Promise<Reply> {
  const client = await cluster.client([node]);
  const reply = await client.command(...words);
  client.close();
  return reply;
}

async function expectRefused(node: number): Promise<void> {
  const [write, read] = await Promise.all([ask(node, "SET", "lonely", "1"), ask(node, "GET", "lonely")]);
  expect(write.kind === "error" && ["UNKNOWN", "TRYAGAIN"].includes(write.code)).toBe(true);
  expect(read).toMatchObject({ kind: "error", code: "TRYAGAIN" });
}

test("the leader is killed", () =>
  underLoad(async (clients) => {
    const leader = await cluster.leader();
    await cluster.kill(leader);
    await cluster.leader(0, othersThan(leader));
    await clients.written(WRITES);
    await cluster.restart(leader);
  }));

test("the leader stands still for longer than an election takes, and goes on as if nothing had been", () =>
  underLoad(async (clients) => {
    const leader = await cluster.leader();
    cluster.signal(leader, "SIGSTOP");
    // What it is asked meanwhile it finds when it goes on.
    const late = [ask(leader, "GET", "standstill"), ask(leader, "SET", "late", "1"), ask(leader, "GET", "standstill")];
    const next = await cluster.leader(0, othersThan(leader));
    expect(replyText(await ask(next, "SET", "standstill", "over"))).toBe("OK");
    await clients.written(WRITES);
    await Bun.sleep(2 * ELECTION_MS);
    cluster.signal(leader, "SIGCONT");
    const [first, , last] = await Promise.all(late);
    for (const reply of [first!, last!]) expect(reply.kind === "error" || replyText(reply) === "over").toBe(true);
  }));

test("the leader is cut off from both others: it refuses writes and reads, and they elect another", () =>
  underLoad(async (clients) => {
    const leader = await cluster.leader();
    for (const link of cluster.links.around(leader)) link.cut();
    await expectRefused(leader);
    const next = await cluster.leader(0, othersThan(leader));
    expect(next).not.toBe(leader);
    await clients.written(WRITES);
    await expectRefused(leader);
    cluster.links.heal();
  }));

test("the others do not hear the leader, which hears them", () =>
  underLoad(async (clients) => {
    const leader = await cluster.leader();
    for (const link of cluster.links.from(leader)) link.cut();
    await cluster.leader(0, othersThan(leader));
    await clients.written(WRITES);
    cluster.links.heal();
  }));

test("the leader does not hear the others, which hear it", () =>
  underLoad(async (clients) => {
    const leader = await cluster.leader();
    for (const link of cluster.links.to(leader)) link.cut();
    await cluster.leader(0, othersThan(leader));
    await clients.written(WRITES);
    cluster.links.heal();
  }));

test("a bridge: two nodes do not see each other, and the third sees both", () =>
  underLoad(async (clients) => {
    const leader = await cluster.leader();
    const [other, bridge] = othersThan(leader);
    for (const link of cluster.links.both(leader, other!)) link.cut();
    await cluster.leader(0, [leader, bridge!]);
    expect(replyText(await ask(bridge!, "SET", "over the bridge", "1"))).toBe("OK");
    await clients.written(WRITES);
    cluster.links.heal();
  }));

test("what the leader says is held for longer than an election takes, and then arrives", () =>
  underLoad(async (clients) => {
    const leader = await cluster.leader();
    for (const link of cluster.links.around(leader)) link.hold();
    await cluster.leader(0, othersThan(leader));
    await clients.written(WRITES);
    cluster.links.heal();
  }));

test("the connections between the leader and another node die without a word; new ones are as good as ever", () =>
  underLoad(async () => {
    const leader = await cluster.leader();
    const other = othersThan(leader)[0]!;
    const links = cluster.links.both(leader, other);
    for (const link of links) link.swallow();
    for (const link of links) link.heal();
    while (links.some((link) => link.deadCount > 0)) await Bun.sleep(20);
    for (const node of [leader, other]) while (!(await seesAll(node))) await Bun.sleep(20);
    expect(replyText(await ask(other, "SET", "reconnected", "1"))).toBe("OK");
  }));

async function seesAll(node: number): Promise<boolean> {
  const status = await cluster.status(node);
  return status?.members.every(({ connected }) => connected) === true;
}

test("every link is slow, narrow and loses connections now and then", () =>
  underLoad(async (clients) => {
    for (const link of cluster.links.all()) {
      link.delayMs = 10;
      link.bytesPerSecond = 1_000_000;
      link.lossChance = 0.005;
    }
    await clients.written(2 * WRITES);
    cluster.links.heal();
  }));

test("all are killed and one is restarted: it does not pretend to be whole", () =>
  underLoad(async () => {
    await Promise.all(cluster.nodes.map((node) => cluster.kill(node)));
    await cluster.restart(0);
    await expectRefused(0);
    await Promise.all([cluster.restart(1), cluster.restart(2)]);
  }));
