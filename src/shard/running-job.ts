/** A flush, compaction or collection under way, wherever it is carried out: on the shard's thread in steps, or by a compactor. */
import type { Job } from "../storage/job.ts";

/**
 * working  there is more to do here            waiting  it is being worked on elsewhere
 * done     it has been published               lost     whoever worked on it is gone: abort it and begin anew
 * outgrown it is too large for what was given with it: abort it and begin anew on the shard's thread
 */
export type Progress = "working" | "waiting" | "done" | "lost" | "outgrown";

export interface RunningJob {
  readonly isElsewhere: boolean;
  /** What was worked off here. */
  readonly doneBytes: number;
  /** Throws what the disk or the files got wrong; then, as after "lost" and "outgrown", the only thing left to call is `abort`. */
  step(budgetBytes: number): Progress;
  abort(): void;
}

export function runHere(job: Job): RunningJob {
  return {
    isElsewhere: false,
    get doneBytes() {
      return job.doneBytes;
    },
    step: (budgetBytes) => (job.step(budgetBytes) ? "working" : "done"),
    abort: () => job.abort(),
  };
}
