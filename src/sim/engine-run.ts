/**
 * The profiles of a simulated engine's run, by what befalls it:
 *
 *   mixed     all of it by weighted chance
 *   crash     power cuts and kills, also in the midst of any call of the disk
 *   faults    calls of the disk that fail, and disks without room
 *   bitrot    a short life, a stop or a crash, and then one bit of one file flipped
 *   sweep     every single call of one short life failed in turn (`engine-sweep.ts`)
 */
import { runBitrot } from "./engine-bitrot.ts";
import { EngineSim } from "./engine-sim.ts";
import { runSweep } from "./engine-sweep.ts";
import { DISK_CALLS, type PlannedFault } from "./sim-disk.ts";

export const ENGINE_PROFILES = ["mixed", "crash", "faults", "bitrot", "sweep"] as const;
export type EngineProfile = (typeof ENGINE_PROFILES)[number];

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
}

const STEPS = { min: 60, max: 260 };
const BITROT_STEPS = { min: 20, max: 120 };
const TAIL_LINES = 40;
/** How far ahead in the count of calls a fault is planned. */
const CALLS_AHEAD_MAX = 60;
const CALLS_OF_KIND_AHEAD_MAX = 8;

type Step = readonly [weight: number, run: (sim: EngineSim) => void];

const USE: readonly Step[] = [
  [40, appendIfWritable],
  [4, (sim) => sim.leader.conflict()],
  [12, (sim) => sim.leader.decide(sim.random.chance(0.5))],
  [24, readSome],
  [3, (sim) => sim.randomEntryRead()],
  [2, (sim) => sim.maintain("flush")],
  [0.7, (sim) => sim.maintain("compact")],
  [3, (sim) => sim.release()],
  [1, (sim) => sim.leader.campaign()],
  [4, (sim) => sim.host.pass(sim.random.between(30, 120))],
  [0.5, (sim) => sim.host.pass(1500)],
  [1, stopAndOpen],
];

const CRASHES: readonly Step[] = [
  [1, (sim) => crashAndOpen(sim, true)],
  [0.5, (sim) => crashAndOpen(sim, false)],
  [2, (sim) => plan(sim, { kind: "crash" })],
  [2, (sim) => plan(sim, { kind: "tear", code: null })],
];

const FAULTS: readonly Step[] = [
  [1, (sim) => planOfKind(sim, { kind: "fail", code: "IO" })],
  [1, (sim) => planOfKind(sim, { kind: "fail", code: "DISKFULL" })],
  [0.5, (sim) => planOfKind(sim, { kind: "tear", code: "IO" })],
  [0.5, (sim) => planOfKind(sim, { kind: "tear", code: "DISKFULL" })],
  [1, (sim) => sim.host.disk.leaveRoom(sim.random.below(200_000))],
  [1.5, (sim) => sim.host.disk.giveRoom()],
];

const STEPS_OF: Readonly<Record<"mixed" | "crash" | "faults" | "bitrot", readonly Step[]>> = {
  mixed: [...USE, ...CRASHES, ...FAULTS],
  crash: [...USE, ...scaled(CRASHES, 2)],
  faults: [...USE, ...scaled(FAULTS, 2), [0.5, (sim) => crashAndOpen(sim, true)]],
  bitrot: [...USE, ...scaled(CRASHES, 0.3)],
};

/** `listener` is shown every line of the trace. */
export function runEngineSim(
  seed: number,
  profile: EngineProfile,
  listener: ((line: string) => void) | null,
): EngineRun {
  if (profile === "sweep") return runSweep(seed, listener);
  const sim = new EngineSim(seed, listener);
  sim.open("nothing");
  const range = profile === "bitrot" ? BITROT_STEPS : STEPS;
  const steps = STEPS_OF[profile];
  for (let left = sim.random.between(range.min, range.max); left > 0 && !sim.hasViolation; left--) {
    takeStep(sim, steps);
  }
  if (!sim.hasViolation) sim.rest();
  const isDamaged = profile === "bitrot" || (profile === "mixed" && sim.random.chance(0.2));
  if (isDamaged && !sim.hasViolation) runBitrot(sim);
  else if (!sim.hasViolation) endInOrder(sim);
  return reportOf(seed, sim);
}

export function reportOf(seed: number, sim: EngineSim): EngineRun {
  return {
    seed,
    violations: sim.witness.violations.slice(0, 3),
    fingerprint: sim.trace.fingerprint,
    tail: sim.trace.tail(TAIL_LINES),
    operationCount: sim.operationCount,
    restartCount: sim.restartCount,
    readCount: sim.witness.readCount,
  };
}

function takeStep(sim: EngineSim, steps: readonly Step[]): void {
  let weight = 0;
  for (const [own] of steps) weight += own;
  let dice = sim.random.fraction() * weight;
  for (const [own, run] of steps) {
    dice -= own;
    if (dice >= 0) continue;
    run(sim);
    break;
  }
  sim.operationCount += 1;
  if (!sim.hasViolation) sim.work();
}

/** An undisturbed life of so many steps, and its end. */
export function useSteps(sim: EngineSim, stepCount: number): void {
  for (let left = stepCount; left > 0 && !sim.hasViolation; left--) takeStep(sim, USE);
  if (!sim.hasViolation) sim.rest();
  if (!sim.hasViolation) endInOrder(sim);
}

/** What was stopped in order is there again, all of it. */
function endInOrder(sim: EngineSim): void {
  stopAndOpen(sim);
  if (!sim.hasViolation) sim.readAll();
  if (!sim.hasViolation) sim.rest();
}

/** Clients' writes are refused while the shard has no room; what a leader sends comes all the same. */
function appendIfWritable(sim: EngineSim): void {
  if (sim.host.isWritable || sim.random.chance(0.2)) sim.leader.append();
}

function readSome(sim: EngineSim): void {
  for (let count = sim.random.between(1, 8); count > 0; count--) sim.randomRead();
}

function stopAndOpen(sim: EngineSim): void {
  sim.stop();
  if (sim.hasViolation) return;
  if (sim.host.condition.kind !== "stopped") return sim.revive();
  sim.crash(sim.random.chance(0.5) ? null : sim.randomSurvival());
  sim.open("nothing");
}

function crashAndOpen(sim: EngineSim, isPowerCut: boolean): void {
  sim.crash(isPowerCut ? sim.randomSurvival() : null);
  sim.open("nothing");
  if (!sim.hasViolation && sim.random.chance(0.3)) sim.readAll();
}

function plan(sim: EngineSim, fault: PlannedFault): void {
  sim.host.disk.plan(sim.random.between(1, CALLS_AHEAD_MAX), fault);
}

function planOfKind(sim: EngineSim, fault: PlannedFault): void {
  const call = DISK_CALLS[sim.random.below(DISK_CALLS.length)] ?? "write";
  sim.trace.note(`planned: ${fault.kind} at a ${call}`);
  sim.host.disk.planCall(call, sim.random.between(1, CALLS_OF_KIND_AHEAD_MAX), fault);
}

function scaled(steps: readonly Step[], factor: number): readonly Step[] {
  return steps.map(([weight, run]) => [weight * factor, run] as const);
}
