/**
 * Looks for differences between a node and a real Redis:
 *
 *   bun test/process/redis-differential.ts --commands 100000 --seed 1 [--differences 10] [--self]
 *
 * `--self` compares Redis with itself, which shows what the machine takes for a difference and is none.
 */
import { parseArgs } from "node:util";
import { findDifferences, showDifference } from "./differential/differential.ts";
import { startRedis } from "./differential/redis-process.ts";
import { TestCluster } from "./test-cluster.ts";

const { values } = parseArgs({
  options: {
    commands: { type: "string", default: "100000" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    differences: { type: "string", default: "1" },
    self: { type: "boolean", default: false },
  },
});
const redis = await startRedis();
const other = values.self ? await startRedis() : null;
const cluster = values.self ? null : await TestCluster.start({ nodes: 1, shards: 1, workers: 0 });
const seed = Number(values.seed);
process.stdout.write(`seed ${seed}\n`);
let exitCode = 1;
try {
  const differences = await findDifferences({
    redisPort: redis.port,
    ourPort: other?.port ?? cluster?.clientPorts[0] ?? 0,
    seed,
    commands: Number(values.commands),
    differencesMax: Number(values.differences),
    onProgress: (done) => process.stderr.write(`\r${done} commands`),
  });
  process.stderr.write("\n");
  for (const difference of differences) process.stdout.write(`${showDifference(difference)}\n\n`);
  process.stdout.write(`${differences.length} differences\n`);
  exitCode = differences.length === 0 ? 0 : 1;
} finally {
  await Promise.all([redis.stop(), other?.stop(), cluster?.stop()]);
}
process.exit(exitCode);
