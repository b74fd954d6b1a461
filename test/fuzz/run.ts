/**
 * A campaign as long as one likes:
 *
 *   bun test/fuzz/run.ts --inputs 1000000 --seed 7 [--target resp]
 *
 * The inputs are shared out among the targets. Findings are printed as hex, with the seed of each input.
 */
import { parseArgs } from "node:util";
import { runCampaign } from "./campaign.ts";
import { TARGETS } from "./targets.ts";

const { values } = parseArgs({
  options: {
    inputs: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
    target: { type: "string" },
  },
});
const chosen = TARGETS.filter(({ name }) => values.target === undefined || name === values.target);
if (chosen.length === 0) throw new Error(`the targets are ${TARGETS.map(({ name }) => name).join(", ")}`);
const each = Math.ceil(Number(values.inputs) / chosen.length);
let findingCount = 0;

for (const target of chosen) {
  const begunMs = performance.now();
  const result = await runCampaign(target, each, Number(values.seed));
  const { inputCount, acceptedCount, messageCount, findings, heapBytesEarly, heapBytesLate, slowestMs } = result;
  const heap = `heap ${mebibytes(heapBytesEarly)} → ${mebibytes(heapBytesLate)} MiB`;
  const time = `${Math.round(performance.now() - begunMs)} ms, slowest ${slowestMs.toFixed(1)} ms`;
  const counts = `${inputCount} inputs, ${acceptedCount} accepted with ${messageCount} messages`;
  console.log(`${target.name}: ${counts}; ${heap}; ${time}; ${findings.length} findings`);
  for (const { inputSeed, what, input } of findings) {
    console.log(`  input seed ${inputSeed}: ${what}\n  ${Buffer.from(input).toString("hex")}`);
  }
  findingCount += findings.length;
}
if (findingCount > 0) process.exitCode = 1;

function mebibytes(byteCount: number): string {
  return (byteCount / 1024 / 1024).toFixed(1);
}
