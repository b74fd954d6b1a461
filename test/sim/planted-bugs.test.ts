/**
 * A simulator that finds nothing proves nothing. Each classic mistake, planted into production text as it is loaded,
 * must be found within its number of seeds; the same seeds find nothing in the code as it is.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { PLANTED_BUGS, type PlantedBug } from "./planted-bugs.ts";

setDefaultTimeout(300_000);

const ROOT = join(import.meta.dir, "../..");

interface Outcome {
  readonly caught: { readonly seed: number; readonly violation: string } | null;
}

async function campaign(bug: string, { changes, seedCount, weather }: PlantedBug): Promise<Outcome> {
  const child = Bun.spawn(
    [
      process.execPath,
      "--preload",
      join(import.meta.dir, "plant-bug.ts"),
      join(import.meta.dir, "campaign-until-caught.ts"),
      String(seedCount),
      weather,
    ],
    { cwd: ROOT, env: { ...process.env, PLANTED_BUG: bug }, stdout: "pipe", stderr: "pipe" },
  );
  const [output, complaints] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  expect(complaints).toBe(`planted: ${bug}\n`.repeat(changes.length));
  return JSON.parse(output) as Outcome;
}

for (const [bug, details] of Object.entries(PLANTED_BUGS)) {
  test(`the simulator finds: ${bug}`, async () => {
    const { caught } = await campaign(bug, details);
    expect(caught).not.toBeNull();
  });
}
