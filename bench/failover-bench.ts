/**
 * How long a three-node cluster with default timeouts accepts no writes when something befalls its leader, under a load
 * of clients that write and read through all nodes: the longest gap between two acknowledged writes of any of them, once
 * from the moment it happens, and once from the moment it is over. All that the clients were told is judged afterwards, so
 * that a write that was acknowledged and lost, or a stale read, makes the run fail.
 *
 *   bun bench/failover-bench.ts [--faults kill,stop,partition] [--rounds 10] [--clients 50]
 *
 * test/process/misfortune.ts says what each fault is, and which others there are. It lasts three seconds.
 */
import { parseArgs } from "node:util";
import { isMisfortune, MISFORTUNES, type Misfortune } from "../test/process/misfortune.ts";
import { RecordedClients } from "../test/process/recorded-clients.ts";
import { TestCluster } from "../test/process/test-cluster.ts";

const TIMEOUTS = ["--heartbeat-ms", "150", "--election-ms", "300"];
const FAULT_MS = 3_000;
const AFTER_MS = 2_000;
/** Of a stopped node's clients. */
const REPLY_TIMEOUT_MS = 2_000;
const WARM_UP_WRITES = 2_000;
const STEADY_WRITES = 200;

interface Round {
  readonly gapMs: number;
  readonly gapAfterMs: number;
  readonly writes: number;
  readonly undecidedCount: number;
  readonly wrong: readonly string[];
}

const { values } = parseArgs({
  options: {
    faults: { type: "string", default: "kill,stop,partition" },
    rounds: { type: "string", default: "10" },
    clients: { type: "string", default: "50" },
  },
});
const names = values.faults.split(",").map((name) => {
  if (!isMisfortune(name)) throw new Error(`${name} is none of ${Object.keys(MISFORTUNES).join(", ")}`);
  return name;
});
const roundCount = Number(values.rounds);
const clientCount = Number(values.clients);

const cluster = await TestCluster.start({ nodes: 3, shards: 1, workers: 1, flags: TIMEOUTS, linked: true });
const lines: string[] = [];
let wrongCount = 0;
for (const name of names) {
  const rounds: Round[] = [];
  for (let i = 1; i <= roundCount; i++) {
    const round = await play(MISFORTUNES[name], `${name}:${i}:`, i);
    rounds.push(round);
    for (const wrong of round.wrong) console.log(wrong);
    console.log(`${name} ${i}: ${round.gapMs.toFixed(0)} ms, and ${round.gapAfterMs.toFixed(0)} ms when it was over`);
  }
  wrongCount += rounds.reduce((sum, { wrong }) => sum + wrong.length, 0);
  lines.push(lineOf(name, rounds));
}
await cluster.stop();
console.log("\n| fault | rounds | gap, median | worst | when over, median | worst | writes | keys wrong | undecided |");
console.log("|---|---|---|---|---|---|---|---|---|");
for (const line of lines) console.log(line);
process.exitCode = wrongCount > 0 ? 1 : 0;

async function play(fault: Misfortune, keyPrefix: string, seed: number): Promise<Round> {
  const gap = new Gap();
  const clients = new RecordedClients(cluster, {
    clients: clientCount,
    keyPrefix,
    registers: 20,
    counters: 5,
    seed,
    thinkMsMax: 0,
    replyTimeoutMs: REPLY_TIMEOUT_MS,
    onWritten: () => gap.note(),
  });
  await clients.written(WARM_UP_WRITES);
  const leader = await cluster.leader();
  gap.restart();
  await fault.begin(cluster, leader);
  await Bun.sleep(FAULT_MS);
  await clients.written(STEADY_WRITES);
  const gapMs = gap.longestMs;
  gap.restart();
  await fault.end(cluster, leader);
  await Bun.sleep(AFTER_MS);
  await clients.written(STEADY_WRITES);
  const gapAfterMs = gap.longestMs;
  const { wrong, undecidedCount } = await clients.verdict();
  await cluster.caughtUp(await cluster.leader());
  return { gapMs, gapAfterMs, writes: clients.writtenCount, wrong, undecidedCount };
}

/** The longest time between two writes, or between the restart and the first one. */
class Gap {
  longestMs = 0;
  #lastAt = performance.now();

  note(): void {
    const now = performance.now();
    this.longestMs = Math.max(this.longestMs, now - this.#lastAt);
    this.#lastAt = now;
  }

  restart(): void {
    this.longestMs = 0;
    this.#lastAt = performance.now();
  }
}

function lineOf(name: string, rounds: readonly Round[]): string {
  const sum = (of: (round: Round) => number): number => rounds.reduce((total, round) => total + of(round), 0);
  const gaps = rounds.map(({ gapMs }) => gapMs);
  const gapsAfter = rounds.map(({ gapAfterMs }) => gapAfterMs);
  const times = [median(gaps), Math.max(...gaps), median(gapsAfter), Math.max(...gapsAfter)];
  const counts = [sum(({ writes }) => writes), sum(({ wrong }) => wrong.length), sum((one) => one.undecidedCount)];
  return `| ${[name, rounds.length, ...times.map((ms) => `${ms.toFixed(0)} ms`), ...counts].join(" | ")} |`;
}

function median(figures: readonly number[]): number {
  const sorted = figures.toSorted((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.ceil((sorted.length - 1) / 2)]!) / 2;
}
