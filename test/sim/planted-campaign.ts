/** Runs seeds of a simulated cluster with one mistake planted, in a child process, until something is found wrong. */
import { join } from "node:path";
import { PLANTED_BUGS } from "./planted-bugs.ts";

const ROOT = join(import.meta.dir, "../..");

export interface PlantedOutcome {
  readonly caught: { readonly seed: number; readonly violation: string } | null;
  readonly simulatedSeconds: number;
}

/** Rejects unless every change of the mistake was planted once. */
export async function runPlanted(bug: string): Promise<PlantedOutcome> {
  const planted = PLANTED_BUGS[bug];
  if (planted === undefined) throw new Error(`no mistake is called ${bug}`);
  const { changes, seedCount, weather } = planted;
  const script = [join(import.meta.dir, "campaign-until-caught.ts"), String(seedCount), weather];
  const child = Bun.spawn([process.execPath, "--preload", join(import.meta.dir, "plant-bug.ts"), ...script], {
    cwd: ROOT,
    env: { ...process.env, PLANTED_BUG: bug },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, complaints] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if (complaints !== `planted: ${bug}\n`.repeat(changes.length)) throw new Error(`${bug}: ${complaints}`);
  return JSON.parse(output) as PlantedOutcome;
}
