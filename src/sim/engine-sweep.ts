/**
 * Every call of the disk in one short life failed in turn: the life is lived once without a fault, to count its calls,
 * and then once for each of them. The seed names both the life and the kind of the fault, so consecutive seeds see all.
 */
import { type EngineRun, reportOf } from "./engine-report.ts";
import { EngineSim } from "./engine-sim.ts";
import { endInOrder, takeSteps } from "./engine-steps.ts";
import type { PlannedFault } from "./sim-disk.ts";

const STEP_COUNT = 24;
const FAULTS: readonly PlannedFault[] = [
  { kind: "fail", code: "IO" },
  { kind: "fail", code: "DISKFULL" },
  { kind: "crash" },
  { kind: "tear", code: null },
  { kind: "tear", code: "IO" },
  { kind: "tear", code: "DISKFULL" },
];

/** `listener` is shown the trace of every life. */
export function runSweep(seed: number, listener: ((line: string) => void) | null): EngineRun {
  const fault = FAULTS[seed % FAULTS.length] ?? { kind: "crash" };
  const whole = live(seed, 0, fault, listener);
  let report = reportOf(seed, whole);
  let { operationCount, restartCount, readCount } = report;
  const callCount = whole.host.disk.callCount;
  for (let call = 1; call <= callCount && report.violations.length === 0; call++) {
    const one = reportOf(seed, live(seed, call, fault, listener));
    operationCount += one.operationCount;
    restartCount += one.restartCount;
    readCount += one.readCount;
    const what = `${fault.kind} at call ${call} of ${callCount}`;
    report = { ...one, violations: one.violations.map((violation) => `${what}: ${violation}`) };
  }
  return { ...report, operationCount, restartCount, readCount };
}

/** The life, with a fault at a call; 0: without. */
function live(seed: number, call: number, fault: PlannedFault, listener: ((line: string) => void) | null): EngineSim {
  const sim = new EngineSim(seed, listener);
  if (call > 0) sim.host.disk.plan(call, fault);
  sim.open("nothing");
  takeSteps(sim, "undisturbed", STEP_COUNT);
  endInOrder(sim);
  return sim;
}
