/**
 * Carries out the measures: makes the data they need, runs each job in a process of its own, short ones several times in
 * turn with the other engines, and removes what is not needed any more.
 */
import { existsSync, lstatSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runDbBench } from "./db-bench.ts";
import type { EngineName, Job, Outcome } from "./job.ts";
import { limitedMemory } from "./memory-group.ts";
import type { EngineBenchOptions } from "./options.ts";
import type { Measure, PlannedJob } from "./plan.ts";
import type { Measured } from "./report.ts";
import { runWatched } from "./watched-process.ts";

const CHILD = join(import.meta.dir, "child.ts");
const BLOCK_BYTES = 512;

export class Runner {
  readonly #options: EngineBenchOptions;
  readonly #directory: string;
  readonly #say: (line: string) => void;
  #writesPerSecond: number | null = null;

  /** Everything is made below `directory`. */
  constructor(options: EngineBenchOptions, directory: string, say: (line: string) => void) {
    this.#options = options;
    this.#directory = directory;
    this.#say = say;
  }

  /** The median of each engine that could be measured. */
  async run(measure: Measure, engines: readonly EngineName[]): Promise<Map<EngineName, Measured>> {
    using group = measure.isLimited ? limitedMemory(this.#options.memoryBytes) : null;
    if (measure.isLimited && group === null) {
      this.#say(`${measure.name}: skipped, no memory limit can be set for a process here`);
      return new Map();
    }
    const results = new Map<EngineName, Measured[]>();
    const rounds = measure.isShort ? this.#options.rounds : 1;
    for (let round = 0; round < rounds; round++) {
      for (const engine of engines) {
        if (!measure.engines.includes(engine)) continue;
        const measured = await this.#runOne(measure, engine, group?.processFile ?? null);
        if (measured !== null) results.set(engine, [...(results.get(engine) ?? []), measured]);
      }
    }
    return new Map([...results].map(([engine, all]) => [engine, median(all)]));
  }

  async #runOne(measure: Measure, engine: EngineName, groupFile: string | null): Promise<Measured | null> {
    const { source, prepare, job } = measure;
    const directory = join(this.#directory, `${engine}-${source}-${job.keyCount}`);
    if (source === "fresh" && existsSync(directory)) rmSync(directory, { recursive: true });
    try {
      if (prepare !== null && !existsSync(directory)) await this.#perform(prepare, engine, directory, groupFile);
      return await this.#perform(job, engine, directory, groupFile);
    } catch (cause) {
      if (!(cause instanceof Error)) throw cause;
      this.#say(`${measure.name} ${engine}: failed: ${cause.message}`);
      return null;
    } finally {
      if (source === "fresh") rmSync(directory, { recursive: true, force: true });
    }
  }

  /** The first engine finds the rate of a mixed load, the others get the same. */
  #withRate(planned: PlannedJob): PlannedJob {
    return planned.type === "mixed" ? { ...planned, writesPerSecond: this.#writesPerSecond ?? 0 } : planned;
  }

  async #perform(planned: PlannedJob, engine: EngineName, directory: string, groupFile: string | null) {
    const memoryBytes = groupFile === null ? null : this.#options.memoryBytes;
    const job: Job = { ...this.#withRate(planned), engine, directory, memoryBytes };
    mkdirSync(directory, { recursive: true });
    const done = engine.startsWith("rocksdb") ? await runDbBench(job, groupFile) : await runChild(job, groupFile);
    if (done === null) return null;
    if (job.type === "mixed") this.#writesPerSecond ??= done.outcome.ops / 2 / done.outcome.seconds;
    const { residentBytes, anonymousBytes } = done.watched;
    const directoryBytes = done.outcome.liveBytes === null ? null : bytesOnDisk(directory);
    return { outcome: done.outcome, residentBytes, anonymousBytes, directoryBytes };
  }
}

async function runChild(job: Job, groupFile: string | null) {
  const watched = await runWatched([process.execPath, CHILD, JSON.stringify(job)], groupFile);
  if (job.type === "crash") return null;
  if (watched.exitCode !== 0) throw new Error(watched.errors.slice(-500));
  const outcome = JSON.parse(watched.output.trim().split("\n").at(-1) ?? "") as Outcome;
  return { outcome, watched };
}

/** Blocks that are really there: logs are often longer than what is in them. */
function bytesOnDisk(path: string): number {
  const { blocks } = lstatSync(path);
  let sum = blocks * BLOCK_BYTES;
  if (!lstatSync(path).isDirectory()) return sum;
  for (const name of readdirSync(path)) sum += bytesOnDisk(join(path, name));
  return sum;
}

/** By operations a second; of an even number the slower of the two in the middle. */
function median(all: readonly Measured[]): Measured {
  const sorted = all.toSorted((a, b) => a.outcome.ops / a.outcome.seconds - b.outcome.ops / b.outcome.seconds);
  return sorted[(sorted.length - 1) >>> 1]!;
}
