/**
 * What connections cost that nobody uses: thousands of idle ones on one node, their memory in the node's process, how long
 * a PING on one of them takes, and what a thousand active ones get done with and without them.
 *
 *   ulimit -n 20000; bun bench/connections.ts [--idle 10000] [--active 1000] [--shards 1] [--workers 0]
 *                                             [--requests 200000] [--rounds 3]
 *
 * The active ones are redis-benchmark's (Debian: redis-tools): SETs and GETs of 100 bytes, one at a time. The idle ones are
 * held by this process, which pings one of them at a time. Memory is that of the process (VmRSS) and of its heap (INFO),
 * after everything has come to rest; what the kernel holds for a socket is in neither.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { build } from "hdr-histogram-js";
import { replyText } from "../src/client/reply.ts";
import { TestCluster } from "../test/process/test-cluster.ts";

const OPENED_AT_ONCE = 200;
const REST_MS = 5_000;
const PING_PAUSE_MS = 2;
const PING = "*1\r\n$4\r\nPING\r\n";

const { values } = parseArgs({
  options: {
    idle: { type: "string", default: "10000" },
    active: { type: "string", default: "1000" },
    shards: { type: "string", default: "1" },
    workers: { type: "string", default: "0" },
    requests: { type: "string", default: "200000" },
    rounds: { type: "string", default: "3" },
  },
});
const idleCount = Number(values.idle);
const flags = ["--connections-max", String(idleCount + Number(values.active) + 100), "--compactors", "0"];
const shape = { nodes: 1, shards: Number(values.shards), workers: Number(values.workers), flags };

interface Idle {
  readonly socket: Bun.Socket<undefined>;
  answered: (() => void) | null;
}

const cluster = await TestCluster.start(shape);
const port = cluster.clientPorts[0]!;
try {
  await costs();
  await load();
  console.log("idle       SET/s  p50 ms  p99 ms      GET/s  p50 ms  p99 ms   PING p50 ms  p99 ms");
  for (let round = 0; round < Number(values.rounds); round++) {
    await measure([]);
    const idle = await open();
    await measure(idle);
    close(idle);
  }
} finally {
  await cluster.stop();
}

/** What an idle connection takes, unused and after a SET and a GET of its own, in a node that has done nothing else. */
async function costs(): Promise<void> {
  await Bun.sleep(REST_MS);
  const before = await memory();
  const idle = await open();
  await Bun.sleep(REST_MS);
  const unused = await memory();
  for (const one of idle) await ask(one, `*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\n${"v".repeat(100)}\r\n`);
  for (const one of idle) await ask(one, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
  await Bun.sleep(REST_MS);
  const used = await memory();
  const each = (now: number, then: number): string => `${((now - then) / idleCount / 1024).toFixed(1)} KiB`;
  for (const [what, now] of [
    ["unused", unused],
    ["used once", used],
  ] as const) {
    console.log(
      `an idle connection, ${what}: ${each(now.rss, before.rss)}, of its heap ${each(now.heap, before.heap)}`,
    );
  }
  close(idle);
}

/** One line: what the active ones get done, and how long the idle ones wait for a PING meanwhile. */
async function measure(idle: readonly Idle[]): Promise<void> {
  const histogram = build();
  let isLoaded = true;
  const loaded = load().finally(() => {
    isLoaded = false;
  });
  for (let i = 0; isLoaded && idle.length > 0; i = (i + 7919) % idle.length) {
    const startedMs = performance.now();
    await ask(idle[i]!, PING);
    histogram.recordValue(Math.round((performance.now() - startedMs) * 1000));
    await Bun.sleep(PING_PAUSE_MS);
  }
  const pings = [50, 99].map((share) => (histogram.getValueAtPercentile(share) / 1000).toFixed(2).padStart(8));
  const shown = (await loaded).map(
    ({ rate, p50, p99 }) => `${rate.padStart(10)} ${p50.padStart(7)} ${p99.padStart(7)}`,
  );
  console.log(`${String(idle.length).padStart(6)} ${shown.join(" ")}      ${idle.length > 0 ? pings.join("") : ""}`);
}

async function load(): Promise<{ rate: string; p50: string; p99: string }[]> {
  const sizes = ["-c", values.active, "-n", values.requests, "-d", "100", "-r", "100000"];
  const command = ["redis-benchmark", "-p", String(port), ...sizes, "-t", "set,get", "--csv"];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "ignore" });
  const lines = (await new Response(child.stdout).text()).trim().split("\n").slice(1);
  return lines.map((line) => {
    const fields = line.split(",").map((field) => field.replaceAll('"', ""));
    return { rate: fields[1]!, p50: fields[4]!, p99: fields[6]! };
  });
}

async function open(): Promise<Idle[]> {
  const idle: Idle[] = [];
  while (idle.length < idleCount) {
    const count = Math.min(OPENED_AT_ONCE, idleCount - idle.length);
    idle.push(...(await Promise.all(Array.from({ length: count }, openOne))));
  }
  // Whoever has been answered has been accepted.
  await ask(idle.at(-1)!, PING);
  return idle;
}

async function openOne(): Promise<Idle> {
  const slot: { idle: Idle | null } = { idle: null };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: { data: () => slot.idle?.answered?.(), error: (_socket, error) => console.error(error.message) },
  });
  slot.idle = { socket, answered: null };
  return slot.idle;
}

function close(idle: readonly Idle[]): void {
  for (const { socket } of idle) socket.terminate();
}

/** Sends a request whose answer comes in one piece. */
function ask(idle: Idle, request: string): Promise<void> {
  return new Promise((resolve) => {
    idle.answered = resolve;
    idle.socket.write(request);
  });
}

async function memory(): Promise<{ rss: number; heap: number }> {
  const client = await cluster.client([0]);
  const reply = await client.command("INFO", "memory");
  client.close();
  const text = replyText(reply) ?? "";
  const status = readFileSync(`/proc/${cluster.pid(0)}/status`, "latin1");
  return {
    rss: Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024,
    heap: Number(/used_memory_heap:(\d+)/.exec(text)?.[1]),
  };
}
