/** What comes of a seed does not depend on the thread that runs it, and a run that does not end is a failure. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { runPool } from "../../src/cli/sim-pool.ts";
import { runClusterSim } from "../../src/sim/cluster-sim.ts";
import type { RunOrder, RunReport } from "../../src/sim/run.ts";
import { WHOLE } from "../../src/sim/shortening.ts";

setDefaultTimeout(300_000);

function orders(seeds: readonly number[]): () => RunOrder | null {
  const left = [...seeds];
  return () => {
    const seed = left.shift();
    return seed === undefined ? null : { seed, weather: "hunt", shortening: WHOLE, triesMax: 0 };
  };
}

test("threads come to the same as this one", async () => {
  const reports: RunReport[] = [];
  await runPool({
    threadCount: 2,
    next: orders([1, 2, 3]),
    report: (report) => reports.push(report),
    lost: (order, why) => expect(`${order.seed} ${why}`).toBe(""),
    runMsMax: () => 300_000,
  });
  const found = new Map(reports.map(({ run }) => [run.seed, run.fingerprint]));
  expect(found.size).toBe(3);
  for (const [seed, fingerprint] of found) expect(runClusterSim(seed, "hunt").fingerprint).toBe(fingerprint);
});

test("a run that takes too long is lost, and the next ones are made", async () => {
  const lost: number[] = [];
  const reported: number[] = [];
  await runPool({
    threadCount: 1,
    next: orders([1, 2]),
    report: ({ run }) => reported.push(run.seed),
    lost: ({ seed }) => lost.push(seed),
    runMsMax: ({ seed }) => (seed === 1 ? 0 : 300_000),
  });
  expect({ lost, reported }).toEqual({ lost: [1], reported: [2] });
});
