/**
 * The threads of a campaign. Each makes one run at a time and knows nothing of the others, so what comes of a seed does not
 * depend on how many there are. A run that does not end is a failure of its seed: its thread is ended, and another begun.
 */
import { Worker } from "node:worker_threads";
import type { RunOrder, RunReport } from "../sim/run.ts";

const ENTRY = new URL("../../workers/sim.worker.ts", import.meta.url);

export interface PoolOptions {
  readonly threadCount: number;
  /** The next run to be made, or null when there is none. */
  readonly next: () => RunOrder | null;
  readonly report: (report: RunReport) => void;
  /** A run did not end in the time for it, or its thread did. */
  readonly lost: (order: RunOrder, why: string) => void;
  /** Real milliseconds that a run may take, shrinking included. */
  readonly runMsMax: (order: RunOrder) => number;
}

/** Resolves when every run has been reported or lost. */
export async function runPool(options: PoolOptions): Promise<void> {
  await Promise.all(Array.from({ length: options.threadCount }, () => runThread(options)));
}

async function runThread({ next, report, lost, runMsMax }: PoolOptions): Promise<void> {
  let worker: Worker | null = null;
  for (let order = next(); order !== null; order = next()) {
    worker ??= new Worker(ENTRY);
    const answer = await ask(worker, order, runMsMax(order));
    if (typeof answer !== "string") {
      report(answer);
      continue;
    }
    lost(order, answer);
    await worker.terminate();
    worker = null;
  }
  await worker?.terminate();
}

/** The report, or why there is none. */
function ask(worker: Worker, order: RunOrder, msMax: number): Promise<RunReport | string> {
  return new Promise((resolve) => {
    const settle = (answer: RunReport | string): void => {
      clearTimeout(timer);
      worker.removeAllListeners();
      resolve(answer);
    };
    const timer = setTimeout(() => settle(`did not end within ${msMax / 1000} s`), msMax);
    worker.on("message", (report: RunReport) => settle(report));
    worker.on("error", (error: unknown) => settle(`ended its thread: ${String(error)}`));
    worker.on("exit", (code: number) => settle(`ended its thread with exit code ${code}`));
    worker.postMessage(order);
  });
}
