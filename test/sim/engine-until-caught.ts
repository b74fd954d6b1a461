/** Run in a child process: seeds from 1 on until one shows a violation; prints what was found as one JSON line. */
import { ENGINE_PROFILES } from "../../src/sim/engine-profiles.ts";
import { runEngineSim } from "../../src/sim/engine-run.ts";

const seedCount = Number(process.argv[2]);
const profile = ENGINE_PROFILES.find((one) => one === process.argv[3]) ?? "mixed";
let caught: { seed: number; violation: string } | null = null;
for (let seed = 1; seed <= seedCount && caught === null; seed++) {
  const [violation] = runEngineSim(seed, profile, null).violations;
  if (violation !== undefined) caught = { seed, violation };
}
console.log(JSON.stringify({ caught }));
