/**
 * What may happen next in a simulated engine's run, by weighted chance: its use, crashes, and faults of its disk.
 */
import { randomKey } from "./engine-command.ts";
import type { EngineSim } from "./engine-sim.ts";
import { DISK_CALLS, type PlannedFault } from "./sim-disk.ts";

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
  [3, (sim) => sim.release(1)],
  [4, flushAndRelease],
  [2, expireBehindFlush],
  [1, (sim) => sim.leader.campaign()],
  [1, (sim) => sim.leader.configure()],
  [1.5, stepReplica],
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

export type StepProfile = "mixed" | "crash" | "faults" | "bitrot" | "undisturbed";

/** Long lives see what short ones never come to, so in some runs little happens to the engine. */
const INTENSITIES = [0.1, 0.4, 1];

const MISFORTUNES_OF: Readonly<Record<StepProfile, readonly Step[]>> = {
  mixed: [...CRASHES, ...FAULTS],
  crash: scaled(CRASHES, 2),
  faults: [...scaled(FAULTS, 2), [0.5, (sim) => crashAndOpen(sim, true)]],
  bitrot: scaled(CRASHES, 0.3),
  undisturbed: [],
};

/** So many steps of a profile, each drawn by its weight. */
export function takeSteps(sim: EngineSim, profile: StepProfile, stepCount: number): void {
  const intensity = INTENSITIES[sim.random.below(INTENSITIES.length)] ?? 1;
  const steps = [...USE, ...scaled(MISFORTUNES_OF[profile], intensity)];
  for (let left = stepCount; left > 0 && !sim.hasViolation; left--) {
    draw(sim, steps)(sim);
    sim.operationCount += 1;
    if (!sim.hasViolation) sim.work();
  }
}

function draw(sim: EngineSim, steps: readonly Step[]): (sim: EngineSim) => void {
  let weight = 0;
  for (const [own] of steps) weight += own;
  let dice = sim.random.fraction() * weight;
  for (const [own, run] of steps) {
    dice -= own;
    if (dice < 0) return run;
  }
  return readSome;
}

/** All comes to rest; what is then stopped in order is there again, all of it. */
export function endInOrder(sim: EngineSim): void {
  sim.rest();
  if (!sim.hasViolation) stopAndOpen(sim);
  if (!sim.hasViolation) sim.readAll();
  if (!sim.hasViolation) sim.rest();
}

/** Clients' writes are refused while the shard has no room; what a leader sends comes all the same. */
function appendIfWritable(sim: EngineSim): void {
  if (sim.host.isWritable || sim.random.chance(0.2)) sim.leader.append();
}

/** What keeps a log short: its segments come back as spares. */
function flushAndRelease(sim: EngineSim): void {
  sim.maintain("flush");
  sim.host.run((shard) => shard.turn());
  for (let i = sim.random.below(60); i > 0; i--) sim.host.run((shard) => shard.backgroundStep());
  sim.release(Math.max(1, sim.witness.appliedIndex));
}

/** A key that is in tables is added to just before it expires, and compactions go on while nobody flushes that. */
function expireBehindFlush(sim: EngineSim): void {
  const { random, leader } = sim;
  const bucket = sim.randomBucket();
  const key = randomKey(random);
  const expiresInMs = random.between(20, 60);
  leader.appendTo(bucket, key, expiresInMs);
  sim.work();
  sim.maintain("flush");
  for (let i = random.below(3); i > 0; i--) sim.work();
  leader.appendTo(bucket, key, null);
  leader.decide(true);
  sim.work();
  sim.host.pass(expiresInMs);
  leader.append();
  leader.decide(true);
  for (let i = random.below(6); i > 0; i--) sim.work();
}

/** What the engine acknowledges and may lose nevertheless is not for others. */
function stepReplica(sim: EngineSim): void {
  if (sim.leader.isSyncing) sim.replica.step();
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
