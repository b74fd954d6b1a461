/**
 * `sim cluster`: runs simulated clusters, seed after seed, on as many threads as it is given. A failing seed is shrunk to
 * the least that still fails, its trace is written to a file, and the command that replays it is printed. The exit code is
 * 0 only when nothing was wrong.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type RunOrder, runOrder, type RunReport, Tally } from "../sim/run.ts";
import { describeNumbers, type Shortening } from "../sim/shortening.ts";
import type { Weather } from "../sim/weathers.ts";
import { Progress } from "./progress.ts";
import { runPool } from "./sim-pool.ts";

/** Failures beyond these are only counted and named: most likely they are the same. */
const SHRUNK_MAX = 5;
/** Real milliseconds that one run may take. */
const RUN_MS_MAX = 120_000;

export interface ClusterOptions {
  readonly weather: Weather;
  readonly firstSeed: number;
  readonly seedCount: number;
  readonly shortening: Shortening;
  /** 1: everything on this thread. */
  readonly threadCount: number;
  /** Runs that may be spent on shrinking a failure. */
  readonly triesMax: number;
  /** Where traces are written. */
  readonly traceDirectory: string;
}

export async function runSim(options: ClusterOptions): Promise<number> {
  const startedAt = performance.now();
  const campaign = new Campaign(options);
  if (options.threadCount > 1) {
    await runPool({
      threadCount: Math.min(options.threadCount, options.seedCount),
      next: () => campaign.next(),
      report: (report) => campaign.report(report),
      lost: (order, why) => campaign.lost(order, why),
      runMsMax: ({ triesMax }) => RUN_MS_MAX * (1 + triesMax),
    });
  } else {
    for (let order = campaign.next(); order !== null; order = campaign.next()) {
      campaign.report(runOrder(order));
      await Promise.resolve();
    }
  }
  return campaign.finish((performance.now() - startedAt) / 1000);
}

class Campaign {
  readonly #options: ClusterOptions;
  readonly #progress = new Progress("sim", "runs", process.stderr);
  readonly #tally = new Tally();
  #orderedCount = 0;
  #doneCount = 0;
  #lostCount = 0;

  constructor(options: ClusterOptions) {
    this.#options = options;
  }

  next(): RunOrder | null {
    const { firstSeed, seedCount, weather, shortening, triesMax } = this.#options;
    if (this.#orderedCount === seedCount) return null;
    const seed = firstSeed + this.#orderedCount;
    this.#orderedCount += 1;
    return { seed, weather, shortening, triesMax: this.#tally.failures.length < SHRUNK_MAX ? triesMax : 0 };
  }

  report(report: RunReport): void {
    this.#tally.add(report.run);
    if (report.run.violations.length > 0) this.#progress.note(this.#describe(report));
    this.#count();
  }

  lost(order: RunOrder, why: string): void {
    this.#lostCount += 1;
    this.#progress.note(`seed ${order.seed} ${why}; again: ${replay(order, order.shortening)}`);
    this.#count();
  }

  /** Prints the summary; the exit code. */
  finish(seconds: number): number {
    this.#progress.finish(this.#doneCount);
    const { weather, firstSeed } = this.#options;
    const tally = this.#tally;
    const failureCount = tally.failures.length + this.#lostCount;
    const undecided = tally.undecidedCount === 0 ? "" : `, ${tally.undecidedCount} histories undecided`;
    const simulatedSeconds = tally.simulatedMs / 1000;
    process.stdout.write(
      `${this.#doneCount} runs (${weather}) from seed ${firstSeed} in ${seconds.toFixed(1)} s: ${tally.callCount} calls, ` +
        `${tally.misfortuneCount} misfortunes, ${tally.restartCount} restarts, ${tally.stateCount} states compared, ` +
        `${failureCount} failures${undecided}\n` +
        `${simulatedSeconds.toFixed(0)} simulated seconds, ${(simulatedSeconds / seconds).toFixed(1)} a second; ` +
        `at rest ${tally.restMsMax.toFixed(0)} simulated ms after the last misfortune at the latest\n`,
    );
    return failureCount === 0 ? 0 : 1;
  }

  #count(): void {
    this.#doneCount += 1;
    this.#progress.update(this.#doneCount, this.#doneCount / this.#options.seedCount);
  }

  #describe(report: RunReport): string {
    const { order, run, least } = report;
    const failed = `seed ${run.seed} failed; again: ${replay(order, order.shortening)}`;
    const wrong = run.violations.map((what) => `  ${what}`);
    if (least === null) return [failed, ...wrong].join("\n");
    const omitted = [...least.shortening.omitted].filter((number) => number <= least.run.misfortuneCount);
    const left = least.run.misfortuneCount - omitted.length;
    const what = `${left} misfortunes, ${least.run.clientCount} clients, ${Math.ceil(least.run.troubledMs)} ms`;
    return [
      failed,
      ...wrong,
      `  shrunk to ${what} in ${least.tryCount} runs; again: ${replay(order, least.shortening)}`,
      `  its trace: ${this.#writeTrace(report)}`,
    ].join("\n");
  }

  /** Where to. */
  #writeTrace({ order, least }: RunReport): string {
    const { traceDirectory } = this.#options;
    const path = join(traceDirectory, `sim-${order.weather}-${order.seed}.trace`);
    if (least === null) return path;
    const { run, shortening, trace } = least;
    const misfortunes = trace.filter((line) => line.includes(" nemesis: "));
    const lines = [
      replay(order, shortening),
      ...section("what is wrong", run.violations),
      ...section("what went wrong before, in virtual milliseconds", misfortunes),
      ...section("everything that happened", trace),
    ];
    mkdirSync(traceDirectory, { recursive: true });
    writeFileSync(path, `${lines.join("\n")}\n`);
    return path;
  }
}

function section(title: string, lines: readonly string[]): readonly string[] {
  return ["", `== ${title}`, ...lines];
}

function replay({ weather, seed }: RunOrder, { omitted, clientsMax, troubledMsMax }: Shortening): string {
  const parts = [`bun run sim cluster --weather ${weather} --seed ${seed}`];
  if (omitted.size > 0) parts.push(`--omit ${describeNumbers(omitted)}`);
  if (clientsMax !== Infinity) parts.push(`--clients ${clientsMax}`);
  if (troubledMsMax !== Infinity) parts.push(`--trouble-ms ${troubledMsMax}`);
  return parts.join(" ");
}
