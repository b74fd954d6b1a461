/** Run in a child process: seeds from 1 on until one shows a violation; prints what was found as one JSON line. */
import { runClusterSim } from "../../src/sim/cluster-sim.ts";
import { WEATHERS } from "../../src/sim/weathers.ts";

const seedCount = Number(process.argv[2]);
const weather = WEATHERS.find((one) => one === process.argv[3]) ?? "mixed";
let caught: { seed: number; violation: string } | null = null;
for (let seed = 1; seed <= seedCount && caught === null; seed++) {
  const [violation] = runClusterSim(seed, weather).violations;
  if (violation !== undefined) caught = { seed, violation };
}
console.log(JSON.stringify({ caught }));
