/**
 * Run in a child process: seeds from 1 on until one shows a violation; prints what was found, and how much time was
 * simulated until then, as one JSON line.
 */
import { runClusterSim } from "../../src/sim/cluster-sim.ts";
import { WEATHERS } from "../../src/sim/weathers.ts";

const seedCount = Number(process.argv[2]);
const weather = WEATHERS.find((one) => one === process.argv[3]) ?? "mixed";
let caught: { seed: number; violation: string } | null = null;
let simulatedMs = 0;
for (let seed = 1; seed <= seedCount && caught === null; seed++) {
  const run = runClusterSim(seed, weather);
  simulatedMs += run.simulatedMs;
  const [violation] = run.violations;
  if (violation !== undefined) caught = { seed, violation };
}
console.log(JSON.stringify({ caught, simulatedSeconds: Math.round(simulatedMs / 1000) }));
