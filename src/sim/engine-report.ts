/** What is told of one run of a simulated engine. */
import type { EngineSim } from "./engine-sim.ts";

const VIOLATIONS_MAX = 3;
const TAIL_LINES = 40;

export interface EngineRun {
  readonly seed: number;
  /** What was wrong; empty: nothing. */
  readonly violations: readonly string[];
  /** Equal for two runs of one seed. */
  readonly fingerprint: string;
  /** The last lines of the trace. */
  readonly tail: readonly string[];
  readonly operationCount: number;
  readonly restartCount: number;
  readonly readCount: number;
  /** Compactions of the lives that came to rest. */
  readonly compactionCount: number;
  readonly deepestLevel: number;
}

export function reportOf(seed: number, sim: EngineSim): EngineRun {
  const { witness, trace, operationCount, restartCount } = sim;
  return {
    seed,
    // What goes wrong first is what is wrong: the rest may follow from it.
    violations: witness.violations
      .slice(0, VIOLATIONS_MAX)
      .map((what) => `after ${operationCount} operations, ${what}`),
    fingerprint: trace.fingerprint,
    tail: trace.tail(TAIL_LINES),
    operationCount,
    restartCount,
    readCount: witness.readCount,
    compactionCount: witness.compactionCount,
    deepestLevel: witness.deepestLevel,
  };
}
