/**
 * The engine benchmark: one shard, driven on one thread, beside other storage engines on the same machine in the same
 * run. Run: bun run bench engine --help
 */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { dbBenchVersion } from "./db-bench.ts";
import { type EngineName, isEnvelope } from "./job.ts";
import { type EngineBenchOptions, engineBenchOptions } from "./options.ts";
import { whyAbsent } from "./peer-stores.ts";
import { measuresOf } from "./plan.ts";
import { heading, lineOf, type Row, rowsOf } from "./report.ts";
import { Runner } from "./runner.ts";
import { RECORD_BYTES } from "./workload.ts";

const options = engineBenchOptions(process.argv.slice(2));
/** With --json, standard output is for the rows alone. */
const say = (line: string): void => void (options.json ? process.stderr : process.stdout).write(`${line}\n`);

process.exitCode = await run(options);

async function run({ only, sizes, directory, json }: EngineBenchOptions): Promise<number> {
  const measures = measuresOf(sizes);
  const unknown = only?.filter((name) => !measures.some((measure) => measure.name === name)) ?? [];
  if (unknown.length > 0) {
    say(`no measure is named ${unknown.join(", ")}; there are ${measures.map(({ name }) => name).join(", ")}`);
    return 2;
  }
  const engines = await presentEngines(options.engines);
  const ownDirectory = mkdtempSync(join(directory, "engine-bench-"));
  const runner = new Runner(options, ownDirectory, say);
  const rows: Row[] = [];
  try {
    say(heading());
    for (const measure of measures) {
      if (only !== null && !only.includes(measure.name)) continue;
      const measured = rowsOf(measure.name, await runner.run(measure, engines), RECORD_BYTES);
      for (const row of measured) say(lineOf(row));
      rows.push(...measured);
    }
  } finally {
    rmSync(ownDirectory, { recursive: true, force: true });
  }
  if (json) process.stdout.write(`${JSON.stringify(rows)}\n`);
  return 0;
}

/** Those that are installed; of the others it is said why they are left out. */
async function presentEngines(wanted: readonly EngineName[]): Promise<EngineName[]> {
  const present: EngineName[] = [];
  const dbBench = dbBenchVersion();
  for (const engine of wanted) {
    let absence: string | null = null;
    if (engine === "leveldb" || engine === "lmdb") absence = await whyAbsent(engine);
    else if (!isEnvelope(engine) && dbBench === null) absence = "db_bench is not installed";
    if (absence === null) present.push(engine);
    else say(`${engine}: skipped, ${absence}`);
  }
  if (present.includes("rocksdb") || present.includes("rocksdb-tuned")) say(dbBench ?? "");
  return present;
}
