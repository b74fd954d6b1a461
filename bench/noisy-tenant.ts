/**
 * What a tenant notices of another one on the same node. A quiet one sets and gets 100 bytes in a bucket of its own, one at a
 * time with a pause between; a noisy one has 64 connections with pipelines 64 deep, or moves values of 1 MB, or lists all
 * keys of a large bucket again and again. In turn, several rounds: the quiet one alone, beside the noise, and, as a measure of
 * what the two cost each other by sharing the machine, while the same noise is made on another node.
 *
 *   bun bench/noisy-tenant.ts [--seconds 3] [--rounds 3] [--workers 0] [--shards 1] [--keys 100000]
 *
 * Noise is redis-benchmark's (Debian: redis-tools). Figures are medians over the rounds.
 */
import { parseArgs } from "node:util";
import { build } from "hdr-histogram-js";
import { TestCluster } from "../test/process/test-cluster.ts";

const PAUSE_MS = 1;
/** The noise has begun by then. */
const BEGIN_MS = 1_000;
const VALUE = "v".repeat(100);

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "3" },
    rounds: { type: "string", default: "3" },
    workers: { type: "string", default: "0" },
    shards: { type: "string", default: "1" },
    keys: { type: "string", default: "100000" },
  },
});
const NOISES: readonly (readonly [string, readonly string[]])[] = [
  ["64 × 64 SETs of 100 bytes", ["-c", "64", "-P", "64", "-d", "100", "-t", "set"]],
  ["64 × 64 GETs of 100 bytes", ["-c", "64", "-P", "64", "-d", "100", "-t", "get"]],
  ["16 × 4 GETs of 1 MB", ["-c", "16", "-P", "4", "get", "large"]],
  ["16 × KEYS of a large bucket", ["-c", "16", "keys", "*0"]],
];

const shape = {
  nodes: 1,
  shards: Number(values.shards),
  workers: Number(values.workers),
  flags: ["--compactors", "0"],
};
const [cluster, other] = [await TestCluster.start(shape), await TestCluster.start(shape)];
try {
  for (const one of [cluster, other]) await fill(one);
  console.log(
    "quiet tenant beside                     alone: p50 ms    p99   beside: p50    p99   elsewhere: p50    p99",
  );
  for (const [name, noise] of NOISES) {
    const [alone, beside, elsewhere]: Figures[][] = [[], [], []];
    for (let round = 0; round < Number(values.rounds); round++) {
      alone!.push(await quiet());
      beside!.push(await during(cluster, noise));
      elsewhere!.push(await during(other, noise));
    }
    const shown = [median(alone!), median(beside!), median(elsewhere!)].map(
      ({ p50, p99 }) => `${p50.toFixed(2).padStart(14)} ${p99.toFixed(2).padStart(6)}`,
    );
    console.log(`${name.padEnd(36)} ${shown.join("")}`);
  }
} finally {
  await cluster.stop();
  await other.stop();
}

interface Figures {
  readonly p50: number;
  readonly p99: number;
}

async function during(noisy: TestCluster, noise: readonly string[]): Promise<Figures> {
  const command = ["redis-benchmark", "-p", String(noisy.clientPorts[0]), "--dbnum", "1", "-l", ...noise];
  const child = Bun.spawn(command, { stdout: "ignore", stderr: "ignore" });
  await Bun.sleep(BEGIN_MS);
  const figures = await quiet();
  child.kill();
  await child.exited;
  return figures;
}

/** SETs and GETs in turn; how long each took. */
async function quiet(): Promise<Figures> {
  const client = await cluster.client([0]);
  await client.command("SELECT", "2");
  const histogram = build();
  const endMs = performance.now() + Number(values.seconds) * 1000;
  for (let i = 0; performance.now() < endMs; i++) {
    const key = `quiet${i % 1000}`;
    const startedMs = performance.now();
    await (i % 2 === 0 ? client.command("SET", key, VALUE) : client.command("GET", key));
    histogram.recordValue(Math.round((performance.now() - startedMs) * 1000));
    await Bun.sleep(PAUSE_MS);
  }
  client.close();
  return { p50: histogram.getValueAtPercentile(50) / 1000, p99: histogram.getValueAtPercentile(99) / 1000 };
}

async function fill(one: TestCluster): Promise<void> {
  const client = await one.client([0]);
  await client.command("SELECT", "1");
  await client.command("SET", "large", "v".repeat(1_000_000));
  for (let from = 0; from < Number(values.keys); from += 500) {
    const pairs = Array.from({ length: 500 }, (_, i) => [`key:${String(from + i).padStart(12, "0")}`, VALUE]);
    await client.command("MSET", ...pairs.flat());
  }
  client.close();
}

function median(figures: readonly Figures[]): Figures {
  const middle = (of: (one: Figures) => number): number =>
    figures.map(of).sort((a, b) => a - b)[Math.floor(figures.length / 2)]!;
  return { p50: middle(({ p50 }) => p50), p99: middle(({ p99 }) => p99) };
}
