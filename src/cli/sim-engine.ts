/**
 * `sim engine`: runs simulated engines, seed after seed, and reports what was wrong, with the seed that shows it again. The
 * exit code is 0 only when nothing was.
 */
import type { EngineRun } from "../sim/engine-report.ts";
import type { EngineProfile } from "../sim/engine-profiles.ts";
import { runEngineCampaign } from "../sim/engine-run.ts";
import { Progress } from "./progress.ts";

export interface EngineOptions {
  readonly profile: EngineProfile;
  readonly firstSeed: number;
  readonly seedCount: number;
  readonly verbose: boolean;
}

export async function runEngine({ profile, firstSeed, seedCount, verbose }: EngineOptions): Promise<number> {
  const startedAt = performance.now();
  const progress = new Progress("sim engine", "runs", process.stderr);
  let doneCount = 0;
  let [operationCount, restartCount, readCount] = [0, 0, 0];
  const failures = await runEngineCampaign({
    profile,
    firstSeed,
    seedCount,
    listener: verbose ? (line) => process.stdout.write(`${line}\n`) : null,
    report: (run) => {
      doneCount += 1;
      operationCount += run.operationCount;
      restartCount += run.restartCount;
      readCount += run.readCount;
      if (run.violations.length > 0) progress.note(describeEngineFailure(profile, run));
      progress.update(doneCount, doneCount / seedCount);
    },
  });
  progress.finish(doneCount);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  process.stdout.write(
    `${seedCount} runs (${profile}) from seed ${firstSeed} in ${seconds} s: ${operationCount} operations, ` +
      `${readCount} reads judged, ${restartCount} restarts, ${failures.length} failures\n`,
  );
  return failures.length === 0 ? 0 : 1;
}

function describeEngineFailure(profile: string, run: EngineRun): string {
  const again = `bun run sim engine --profile ${profile} --seeds 1 --seed ${run.seed}`;
  return [`seed ${run.seed} failed; again: ${again}`]
    .concat(
      run.tail.map((line) => `    ${line}`),
      run.violations.map((what) => `  ${what}`),
    )
    .join("\n");
}
