/** Runs and campaigns of a simulated engine. */
import { runBitrot } from "./engine-bitrot.ts";
import type { EngineProfile } from "./engine-profiles.ts";
import { type EngineRun, reportOf } from "./engine-report.ts";
import { EngineSim } from "./engine-sim.ts";
import { endInOrder, takeSteps } from "./engine-steps.ts";
import { runSweep } from "./engine-sweep.ts";

const STEPS = { min: 40, max: 160 };
const BITROT_STEPS = { min: 20, max: 120 };
const BITROT_IN_MIXED = 0.2;

export interface EngineCampaign {
  readonly profile: EngineProfile;
  readonly firstSeed: number;
  readonly seedCount: number;
  /** Is shown every line of every trace. */
  readonly listener: ((line: string) => void) | null;
  /** Called after every run. */
  readonly report: (run: EngineRun) => void;
}

/** Runs consecutive seeds; returns the runs in which something was wrong. It yields between runs. */
export async function runEngineCampaign(campaign: EngineCampaign): Promise<readonly EngineRun[]> {
  const failures: EngineRun[] = [];
  for (let i = 0; i < campaign.seedCount; i++) {
    const run = runEngineSim(campaign.firstSeed + i, campaign.profile, campaign.listener);
    if (run.violations.length > 0) failures.push(run);
    campaign.report(run);
    await Promise.resolve();
  }
  return failures;
}

/** `listener` is shown every line of the trace. */
export function runEngineSim(
  seed: number,
  profile: EngineProfile,
  listener: ((line: string) => void) | null,
): EngineRun {
  if (profile === "sweep") return runSweep(seed, listener);
  const sim = new EngineSim(seed, listener);
  const { random } = sim;
  const range = profile === "bitrot" ? BITROT_STEPS : STEPS;
  sim.open("nothing");
  takeSteps(sim, profile, random.between(range.min, range.max));
  const isDamaged = profile === "bitrot" || (profile === "mixed" && random.chance(BITROT_IN_MIXED));
  if (isDamaged) runBitrot(sim);
  else endInOrder(sim);
  return reportOf(seed, sim);
}
