/**
 * `sim`: runs simulated clusters, seed after seed, and reports what was wrong, with the seed that shows it again. The
 * exit code is 0 only when nothing was.
 */
import type { ClusterRun } from "../sim/cluster-sim.ts";
import { runCampaign } from "../sim/run.ts";
import { Progress } from "./progress.ts";

export interface SimOptions {
  readonly profile: "cluster";
  readonly firstSeed: number;
  readonly seedCount: number;
}

export async function runSim(options: SimOptions): Promise<number> {
  const startedAt = performance.now();
  const progress = new Progress("sim", "runs", process.stderr);
  let doneCount = 0;
  const result = await runCampaign({
    ...options,
    report: (run) => {
      doneCount += 1;
      if (run.violations.length > 0) progress.note(describeFailure(options.profile, run));
      progress.update(doneCount, doneCount / options.seedCount);
    },
  });
  progress.finish(doneCount);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const undecided = result.undecidedCount === 0 ? "" : `, ${result.undecidedCount} histories undecided`;
  process.stdout.write(
    `${result.runCount} runs from seed ${options.firstSeed} in ${seconds} s: ${result.callCount} calls, ` +
      `${result.restartCount} restarts, ${result.failures.length} failures${undecided}\n`,
  );
  return result.failures.length === 0 ? 0 : 1;
}

function describeFailure(profile: string, run: ClusterRun): string {
  const lines = [`seed ${run.seed} failed; again: bun run sim ${profile} --seeds 1 --seed ${run.seed}`];
  return lines
    .concat(
      run.tail.map((line) => `    ${line}`),
      run.violations.map((what) => `  ${what}`),
    )
    .join("\n");
}
