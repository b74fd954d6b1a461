/**
 * Five nodes with three replicas of each shard: how leaders, replicas and data are spread over them, what an operation costs
 * all nodes together, and how a node that is lost for good is replaced by an empty one under a load of clients. What the
 * clients were told is judged afterwards. Needs redis-benchmark (Debian: redis-tools).
 *
 *   bun bench/five-nodes.ts [--shards 15] [--keys 200000] [--requests 400000] [--clients 50]
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { RecordedClients } from "../test/process/recorded-clients.ts";
import { TestCluster } from "../test/process/test-cluster.ts";

const TIMEOUTS = ["--heartbeat-ms", "150", "--election-ms", "300", "--compactors", "0"];
const TICKS_PER_SECOND = 100;
/** Several rounds of the leaders' spreading. */
const SPREAD_MS_MAX = 120_000;
const WRITES = 2_000;
const FOUNDERS = [0, 1, 2, 3, 4];
const LOST = 2;
const REPLACEMENT = 5;

const { values } = parseArgs({
  options: {
    shards: { type: "string", default: "15" },
    keys: { type: "string", default: "200000" },
    requests: { type: "string", default: "400000" },
    clients: { type: "string", default: "50" },
  },
});

const shards = Number(values.shards);
const cluster = await TestCluster.start({ nodes: 6, founders: 5, shards, workers: 0, flags: TIMEOUTS });
try {
  await settled(FOUNDERS);
  for (const command of ["set", "get"]) {
    const before = ticks();
    const port = String(cluster.clientPorts[0]);
    const load = ["-p", port, "-c", values.clients, "-d", "100", "-r", values.keys, "-n", values.requests, "-P", "16"];
    const rate = run("redis-benchmark", ...load, "-t", command, "--csv")
      .trimEnd()
      .split("\n")
      .at(-1)
      ?.split(",")[1];
    const micros = ((ticks() - before) / TICKS_PER_SECOND / Number(values.requests)) * 1e6;
    console.log(
      `${command}: ${rate?.replaceAll('"', "")}/s by one node, ${micros.toFixed(1)} µs of processor an operation`,
    );
  }
  for (const node of FOUNDERS) run("redis-cli", "-p", String(cluster.clientPorts[node]), "FLUSH");
  await showSpread(FOUNDERS);

  let longestMs = 0;
  let lastAt = performance.now();
  const clients = new RecordedClients(cluster, {
    clients: Number(values.clients),
    keyPrefix: "five:",
    registers: 60,
    counters: 20,
    seed: 1,
    thinkMsMax: 0,
    replyTimeoutMs: 2_000,
    onWritten: () => {
      const now = performance.now();
      longestMs = Math.max(longestMs, now - lastAt);
      lastAt = now;
    },
  });
  await clients.written(WRITES);
  longestMs = 0;
  const startedAt = performance.now();
  await cluster.kill(LOST);
  run("redis-cli", "-p", String(cluster.clientPorts[0]), "MEMBER", "REMOVE", `n${LOST + 1}`);
  await cluster.restart(REPLACEMENT);
  const nodes = [...FOUNDERS.filter((node) => node !== LOST), REPLACEMENT];
  await settled(nodes);
  const seconds = (performance.now() - startedAt) / 1000;
  await clients.written(WRITES);
  const { wrong, undecidedCount } = await clients.verdict(nodes);
  console.log(`replaced in ${seconds.toFixed(1)} s, longest time between two writes ${longestMs.toFixed(0)} ms`);
  console.log(`${clients.writtenCount} writes, ${wrong.length} keys wrong, ${undecidedCount} undecided`);
  await showSpread(nodes);
  process.exitCode = wrong.length > 0 ? 1 : 0;
} finally {
  await cluster.stop();
}

/** Until these nodes hold three replicas of every shard, as many each, and lead as many each. */
async function settled(nodes: readonly number[]): Promise<void> {
  const deadline = performance.now() + SPREAD_MS_MAX;
  while (performance.now() < deadline) {
    const spread = await spreadOf(nodes);
    const even = (counts: readonly number[]): boolean => Math.max(...counts) - Math.min(...counts) <= 1;
    const replicas = spread.map((one) => one.replicas);
    const isWhole = replicas.reduce((sum, count) => sum + count, 0) === 3 * shards;
    if (isWhole && even(replicas) && even(spread.map(({ leads }) => leads))) return;
    await Bun.sleep(100);
  }
  console.log("not evenly spread in time");
}

async function spreadOf(nodes: readonly number[]): Promise<{ leads: number; replicas: number }[]> {
  const status = await cluster.status(nodes[0]!);
  return nodes.map((node) => {
    const name = `n${node + 1}`;
    const led = status?.shards.filter(({ leader }) => leader === name) ?? [];
    const held = status?.shards.filter(({ voters, learners }) => [...voters, ...learners].includes(name)) ?? [];
    return { leads: led.length, replicas: held.length };
  });
}

async function showSpread(nodes: readonly number[]): Promise<void> {
  for (const [i, { leads, replicas }] of (await spreadOf(nodes)).entries()) {
    const node = nodes[i]!;
    const tables = run("sh", "-c", `find ${cluster.dataOf(node)} -name '*.sst' -printf '%s\\n'`);
    const bytes = tables.split("\n").reduce((sum, size) => sum + Number(size), 0);
    console.log(`n${node + 1}: leads ${leads}, ${replicas} replicas, ${(bytes / 1e6).toFixed(1)} MB of tables`);
  }
}

/** Processor time that all nodes have used. */
function ticks(): number {
  return FOUNDERS.reduce((sum, node) => {
    const fields = readFileSync(`/proc/${cluster.pid(node)}/stat`, "utf8").split(" ");
    return sum + Number(fields[13]) + Number(fields[14]);
  }, 0);
}

function run(...command: string[]): string {
  const { stdout, stderr, exitCode } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  return stdout.toString();
}
