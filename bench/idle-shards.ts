/**
 * What shards cost that nobody uses: three nodes with many shards and no clients, and the processor time of each process as a
 * share of one core; of all its threads, and of its main thread alone. Heartbeats and elections as by default.
 *
 *   bun bench/idle-shards.ts [--shards 64] [--workers 0,1] [--seconds 20] [--rest 10] [--profile DIRECTORY]
 *
 * `rest`: seconds after the start that are not counted: opening, elections, leaders that spread, the runtime's warming up.
 * `profile`: every node writes a profile of its main thread there (`--cpu-prof`), the start included.
 */
import { readFileSync } from "node:fs";
import { mkdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { TestCluster } from "../test/process/test-cluster.ts";

const TIMEOUTS = ["--heartbeat-ms", "150", "--election-ms", "300"];
const TICKS_PER_SECOND = 100;

const { values } = parseArgs({
  options: {
    shards: { type: "string", default: "64" },
    workers: { type: "string", default: "0,1" },
    seconds: { type: "string", default: "20" },
    rest: { type: "string", default: "10" },
    profile: { type: "string" },
  },
});
const seconds = Number(values.seconds);
const profile = values.profile;
if (profile !== undefined) {
  mkdirSync(profile, { recursive: true });
  process.env["BUN_OPTIONS"] = `--cpu-prof --cpu-prof-dir=${profile}`;
}

console.log("workers  node  share of a core  main thread");
for (const workers of values.workers.split(",").map(Number)) {
  const flags = [...TIMEOUTS, "--compactors", "0"];
  const cluster = await TestCluster.start({ nodes: 3, shards: Number(values.shards), workers, flags });
  await Bun.sleep(Number(values.rest) * 1000);
  const pids = cluster.nodes.map((node) => cluster.pid(node));
  const paths = pids.flatMap((pid) => [`/proc/${pid}/stat`, `/proc/${pid}/task/${pid}/stat`]);
  const before = paths.map(processorTicks);
  await Bun.sleep(seconds * 1000);
  const shares = paths.map((path, i) => (processorTicks(path) - before[i]!) / TICKS_PER_SECOND / seconds);
  for (const [i] of pids.entries()) {
    const [whole, main] = [shares[2 * i]!, shares[2 * i + 1]!].map((share) => `${(share * 100).toFixed(1)} %`);
    console.log(`${String(workers).padStart(7)}  n${i + 1}    ${whole!.padStart(15)}  ${main!.padStart(11)}`);
  }
  if (profile !== undefined) for (const node of cluster.nodes) await cluster.end(node, "SIGTERM");
  await cluster.stop();
}

/** What a process or thread has used, in user and system, by its `stat` file. */
function processorTicks(path: string): number {
  const fields = readFileSync(path, "latin1").split(") ").at(-1)!.split(" ");
  return Number(fields[11]) + Number(fields[12]);
}
