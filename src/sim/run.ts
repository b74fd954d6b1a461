/** Campaigns: one profile, many seeds. What `sim` on the command line and the tests run. */
import { type ClusterRun, runClusterSim } from "./cluster-sim.ts";
import type { Weather } from "./weathers.ts";

export interface CampaignOptions {
  readonly weather: Weather;
  readonly firstSeed: number;
  readonly seedCount: number;
  /** Called after every run. */
  readonly report: (run: ClusterRun) => void;
}

export interface CampaignResult {
  readonly runCount: number;
  readonly callCount: number;
  readonly restartCount: number;
  /** How often a bucket was emptied. */
  readonly renewalCount: number;
  /** Keys whose history took too long to check. */
  readonly undecidedCount: number;
  /** The runs in which something was wrong; `bun run sim cluster --weather W --seeds 1 --seed N` replays one. */
  readonly failures: readonly ClusterRun[];
}

/** Runs consecutive seeds. It yields between runs, so that the process stays responsive. */
export async function runCampaign(options: CampaignOptions): Promise<CampaignResult> {
  const failures: ClusterRun[] = [];
  let callCount = 0;
  let restartCount = 0;
  let undecidedCount = 0;
  let renewalCount = 0;
  for (let i = 0; i < options.seedCount; i++) {
    const run = runClusterSim(options.firstSeed + i, options.weather);
    callCount += run.callCount;
    restartCount += run.restartCount;
    undecidedCount += run.undecidedCount;
    renewalCount += run.renewalCount;
    if (run.violations.length > 0) failures.push(run);
    options.report(run);
    await Promise.resolve();
  }
  return { runCount: options.seedCount, callCount, restartCount, renewalCount, undecidedCount, failures };
}
