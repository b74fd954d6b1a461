/** The cluster keeps its promises under every misfortune of some seeds, and a seed replays its run exactly. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { runClusterSim } from "../../src/sim/cluster-sim.ts";
import { runCampaign } from "../../src/sim/run.ts";

setDefaultTimeout(300_000);

const SEED_COUNT = 25;
const RENEWALS_SEED_COUNT = 8;

test("a seed replays the same run, another seed is another run", () => {
  const first = runClusterSim(3, "mixed");
  expect(runClusterSim(3, "mixed").fingerprint).toBe(first.fingerprint);
  expect(runClusterSim(4, "mixed").fingerprint).not.toBe(first.fingerprint);
});

test("crashes, partitions and lost messages break no promise", async () => {
  const reported: number[] = [];
  const result = await runCampaign({
    weather: "mixed",
    firstSeed: 1001,
    seedCount: SEED_COUNT,
    report: ({ seed }) => reported.push(seed),
  });
  expect(result.failures.map(({ seed, violations }) => ({ seed, violations }))).toEqual([]);
  expect(reported.length).toBe(SEED_COUNT);
  expect(result.callCount).toBeGreaterThan(SEED_COUNT * 50);
  expect(result.restartCount).toBeGreaterThan(SEED_COUNT);
  expect(result.renewalCount).toBeGreaterThan(0);
  expect(result.undecidedCount).toBe(0);
});

test("a bucket that is emptied again and again while leaders change keeps the order of every connection", async () => {
  const result = await runCampaign({
    weather: "renewals",
    firstSeed: 1001,
    seedCount: RENEWALS_SEED_COUNT,
    report: () => undefined,
  });
  expect(result.failures.map(({ seed, violations }) => ({ seed, violations }))).toEqual([]);
  expect(result.renewalCount).toBeGreaterThan(RENEWALS_SEED_COUNT);
  expect(result.undecidedCount).toBe(0);
});
