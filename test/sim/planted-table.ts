/**
 * Prints how soon each planted mistake is found, as a table for docs/simulation.md:
 *
 *   bun test/sim/planted-table.ts [--parallel K] [WORD…]     K at a time; only those whose names contain every WORD
 *
 * The exit code is 0 only if all were found.
 */
import { parseArgs } from "node:util";
import { PLANTED_BUGS } from "./planted-bugs.ts";
import { runPlanted } from "./planted-campaign.ts";

const { values, positionals } = parseArgs({
  options: { parallel: { type: "string", default: "1" } },
  allowPositionals: true,
});
const bugs = Object.keys(PLANTED_BUGS).filter((bug) => positionals.every((word) => bug.includes(word)));
const rows = new Map<string, string>();
let next = 0;
let printed = 0;
let missed = 0;

console.log("| planted mistake | weather | seeds, from 1 on | simulated seconds |\n|---|---|---|---|");
await Promise.all(Array.from({ length: Number(values.parallel) }, worker));
process.exit(missed === 0 ? 0 : 1);

async function worker(): Promise<void> {
  for (let bug = bugs[next++]; bug !== undefined; bug = bugs[next++]) {
    const { caught, simulatedSeconds } = await runPlanted(bug);
    if (caught === null) missed += 1;
    const weather = PLANTED_BUGS[bug]?.weather ?? "";
    rows.set(bug, `| ${bug} | \`${weather}\` | ${caught?.seed ?? "not found"} | ${simulatedSeconds} |`);
    // In the order of the list, whichever is done first.
    for (let row = rows.get(bugs[printed] ?? ""); row !== undefined; row = rows.get(bugs[printed] ?? "")) {
      console.log(row);
      printed += 1;
    }
  }
}
