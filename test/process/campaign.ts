/**
 * As many misfortunes as there is time for: seasons in which a cluster of real nodes under load suffers a few of them, two
 * at once now and then, and is judged at the end of each. Which ones, whom and for how long is drawn from the seed; what the
 * processes make of it is up to the machine, so a seed repeats the misfortunes, not the run.
 *
 *   bun test/process/campaign.ts [--seconds 600] [--seed 1] [--nodes 3] [--workers 1]
 *
 * A season is wrong if what the clients were told is not linearizable, or if after two minutes the nodes have not all come
 * to the same index with clients writing again.
 */
import { parseArgs } from "node:util";
import { Random } from "../../src/core/random.ts";
import { MISFORTUNES, type MisfortuneName } from "./misfortune.ts";
import { RecordedClients } from "./recorded-clients.ts";
import { TestCluster } from "./test-cluster.ts";

const ELECTION_MS = 600;
const FLAGS = ["--election-ms", String(ELECTION_MS), "--request-timeout-ms", "2000", "--memtable-bytes", "1MiB"];
const SMALL = ["--value-bytes-max", "64KiB", "--segment-bytes", "1MiB", "--table-bytes", "1MiB"];
/** Troubles and what comes after them. */
const SEASON_MS_MAX = 120_000;
const WRITES = 100;
const TROUBLES_MAX = 4;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "600" },
    seed: { type: "string", default: "1" },
    nodes: { type: "string", default: "3" },
    workers: { type: "string", default: "1" },
  },
});
const NAMES = Object.keys(MISFORTUNES) as MisfortuneName[];
const random = new Random(Number(values.seed));
const until = performance.now() + Number(values.seconds) * 1000;
const cluster = await TestCluster.start({
  nodes: Number(values.nodes),
  shards: 1,
  workers: Number(values.workers),
  flags: [...FLAGS, ...SMALL],
  linked: true,
});
let wrongCount = 0;
let undecidedCount = 0;
for (let season = 1; performance.now() < until && wrongCount === 0; season++) {
  const clients = new RecordedClients(cluster, {
    clients: 12,
    keyPrefix: `${season}:`,
    registers: 4,
    counters: 2,
    seed: season,
    thinkMsMax: 8,
    replyTimeoutMs: 4 * ELECTION_MS,
    onWritten: () => undefined,
  });
  await clients.written(WRITES);
  const story: string[] = [];
  const rested = await Promise.race([
    suffer(story).then(() => comeToRest(clients)),
    Bun.sleep(SEASON_MS_MAX).then(() => false),
  ]);
  if (!rested) {
    console.log(`season ${season}: ${story.join(", ")}: the cluster does not come to rest`);
    for (const node of cluster.nodes) console.log(JSON.stringify(await cluster.status(node)));
    wrongCount += 1;
    break;
  }
  const verdict = await clients.verdict();
  console.log(
    `season ${season}: ${story.join(", ")}; ${clients.writtenCount} writes, ${verdict.wrong.length} keys wrong`,
  );
  for (const wrong of verdict.wrong) console.log(wrong);
  wrongCount += verdict.wrong.length;
  undecidedCount += verdict.undecidedCount;
}
console.log(`${wrongCount} wrong, ${undecidedCount} keys undecided`);
await cluster.stop();
process.exit(wrongCount > 0 ? 1 : 0);

async function suffer(story: string[]): Promise<void> {
  for (let trouble = random.between(1, TROUBLES_MAX); trouble > 0; trouble--) story.push(await makeTrouble());
}

/** One misfortune, or two at once to different nodes; in words. */
async function makeTrouble(): Promise<string> {
  const { nodes } = cluster;
  const first = random.chance(0.5) ? await cluster.leader() : random.below(nodes.length);
  const victims = random.chance(0.3) ? [first, (first + random.between(1, nodes.length - 1)) % nodes.length] : [first];
  const troubles = victims.map((victim) => ({ victim, name: NAMES[random.below(NAMES.length)]! }));
  const ms = random.between(100, 6 * ELECTION_MS);
  for (const { victim, name } of troubles) await MISFORTUNES[name].begin(cluster, victim);
  await Bun.sleep(ms);
  for (const { victim, name } of troubles) await MISFORTUNES[name].end(cluster, victim);
  return `${troubles.map(({ victim, name }) => `${name} n${victim + 1}`).join(" and ")} for ${ms} ms`;
}

async function comeToRest(clients: RecordedClients): Promise<boolean> {
  await clients.written(WRITES);
  await clients.stop();
  await cluster.caughtUp(await cluster.leader());
  return true;
}
