/**
 * Campaigns: one weather, many seeds. What `sim` on the command line and the tests run. A seed is run by itself alone, so
 * several threads may share a campaign (src/cli/sim-pool.ts) and come to the same.
 */
import { type ClusterRun, runClusterSim } from "./cluster-sim.ts";
import { type Shortening, WHOLE } from "./shortening.ts";
import { type Least, shrink } from "./shrink.ts";
import type { Weather } from "./weathers.ts";

/** One run to be made. */
export interface RunOrder {
  readonly seed: number;
  readonly weather: Weather;
  readonly shortening: Shortening;
  /** Runs that may be spent on shrinking it, if it fails; 0: it is left as it is. */
  readonly triesMax: number;
}

export interface RunReport {
  readonly order: RunOrder;
  readonly run: ClusterRun;
  /** What is left of a failure that was shrunk, with its whole trace. */
  readonly least: (Least & { readonly trace: readonly string[] }) | null;
}

export function runOrder(order: RunOrder): RunReport {
  const { seed, weather, shortening, triesMax } = order;
  const run = runClusterSim(seed, weather, shortening);
  if (run.violations.length === 0 || triesMax === 0) return { order, run, least: null };
  const least = shrink((shorter) => runClusterSim(seed, weather, shorter), shortening, run, triesMax);
  const trace: string[] = [];
  runClusterSim(seed, weather, least.shortening, (line) => trace.push(line));
  return { order, run, least: { ...least, trace } };
}

/** What the runs of a campaign come to. */
export class Tally {
  runCount = 0;
  callCount = 0;
  restartCount = 0;
  /** How often a bucket was emptied. */
  renewalCount = 0;
  misfortuneCount = 0;
  /** States of replicas that were compared. */
  stateCount = 0;
  /** Keys whose history took too long to check. */
  undecidedCount = 0;
  simulatedMs = 0;
  /** The longest that a cluster took to come to rest. */
  restMsMax = 0;
  /** The runs in which something was wrong; `bun run sim cluster --weather W --seed N` replays one. */
  readonly failures: ClusterRun[] = [];

  add(run: ClusterRun): void {
    this.runCount += 1;
    this.callCount += run.callCount;
    this.restartCount += run.restartCount;
    this.renewalCount += run.renewalCount;
    this.misfortuneCount += run.misfortuneCount;
    this.stateCount += run.stateCount;
    this.undecidedCount += run.undecidedCount;
    this.simulatedMs += run.simulatedMs;
    this.restMsMax = Math.max(this.restMsMax, run.restMs);
    if (run.violations.length > 0) this.failures.push(run);
  }
}

export interface CampaignOptions {
  readonly weather: Weather;
  readonly firstSeed: number;
  readonly seedCount: number;
  /** Called after every run. */
  readonly report: (run: ClusterRun) => void;
}

/** Runs consecutive seeds, one after another. It yields between runs, so that the process stays responsive. */
export async function runCampaign({ weather, firstSeed, seedCount, report }: CampaignOptions): Promise<Tally> {
  const tally = new Tally();
  for (let i = 0; i < seedCount; i++) {
    const { run } = runOrder({ seed: firstSeed + i, weather, shortening: WHOLE, triesMax: 0 });
    tally.add(run);
    report(run);
    await Promise.resolve();
  }
  return tally;
}
