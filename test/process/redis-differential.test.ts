/**
 * A node answers as Redis does, byte for byte, but for what is meant to differ (differential/intended-differences.ts).
 * Longer, and from other seeds: `bun test/process/redis-differential.ts`.
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findDifferences, showDifference } from "./differential/differential.ts";
import { INTENDED_DIFFERENCES } from "./differential/intended-differences.ts";
import { REDIS_SERVER, startRedis } from "./differential/redis-process.ts";
import { TestCluster } from "./test-cluster.ts";

const COMMANDS = 20_000;
const SEED = 1;
const TEST_MS_MAX = 240_000;

test.skipIf(REDIS_SERVER === null)(
  `${COMMANDS} random commands get the same replies from a node and from a real redis-server (which must be installed)`,
  async () => {
    const redis = await startRedis();
    const cluster = await TestCluster.start({ nodes: 1, shards: 1, workers: 0 });
    try {
      const ports = { redisPort: redis.port, ourPort: cluster.clientPorts[0] ?? 0 };
      const found = await findDifferences({ ...ports, seed: SEED, commands: COMMANDS, differencesMax: 3 });
      const report = [`seed ${SEED}`, ...found.map(showDifference)].join("\n\n");
      expect(report).toBe(`seed ${SEED}`);
    } finally {
      await Promise.all([redis.stop(), cluster.stop()]);
    }
  },
  TEST_MS_MAX,
);

test("docs/redis.md lists every intended difference", () => {
  const page = readFileSync(join(import.meta.dir, "../../docs/redis.md"), "utf8");
  for (const { what, why } of INTENDED_DIFFERENCES) expect(page).toContain(`| ${what} | ${why} |`);
});
