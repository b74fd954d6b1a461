/** The engine keeps its promises through some seeds of each profile, and a seed replays its run exactly. */
import { expect, setDefaultTimeout, test } from "bun:test";
import type { EngineProfile } from "../../src/sim/engine-profiles.ts";
import { runEngineCampaign, runEngineSim } from "../../src/sim/engine-run.ts";

setDefaultTimeout(120_000);

test("a seed replays the same run, another seed is another run", () => {
  const first = runEngineSim(3, "mixed", null);
  expect(runEngineSim(3, "mixed", null).fingerprint).toBe(first.fingerprint);
  expect(runEngineSim(4, "mixed", null).fingerprint).not.toBe(first.fingerprint);
});

test("a listener is shown the whole trace", () => {
  const lines: string[] = [];
  const run = runEngineSim(5, "crash", (line) => lines.push(line));
  expect(lines.slice(-run.tail.length)).toEqual([...run.tail]);
});

const CAMPAIGNS: readonly (readonly [EngineProfile, number])[] = [
  ["mixed", 20],
  ["crash", 12],
  ["faults", 12],
  ["bitrot", 20],
];

test.each(CAMPAIGNS)("%s: no promise is broken by any of %i seeds", async (profile, seedCount) => {
  let restartCount = 0;
  let readCount = 0;
  let compactionCount = 0;
  let deepestLevel = 0;
  const failures = await runEngineCampaign({
    profile,
    firstSeed: 5001,
    seedCount,
    listener: null,
    report: (run) => {
      restartCount += run.restartCount;
      readCount += run.readCount;
      compactionCount += run.compactionCount;
      deepestLevel = Math.max(deepestLevel, run.deepestLevel);
    },
  });
  expect(failures.map(({ seed, violations }) => ({ seed, violations }))).toEqual([]);
  expect(restartCount).toBeGreaterThan(2 * seedCount);
  expect(readCount).toBeGreaterThan(200 * seedCount);
  expect(compactionCount).toBeGreaterThan(seedCount / 2);
  expect(deepestLevel).toBeGreaterThanOrEqual(2);
});
