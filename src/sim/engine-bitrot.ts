/**
 * One flipped bit. After a stop or a power cut one bit of one file is turned over, the kind of file drawn first, so that
 * the few small ones have their share. Then the shard may refuse to open or fail, with a code that means damage; or every
 * answer is right, also after all of it has been compacted and read again. It may never answer anything wrong.
 */
import { DIRECTORY } from "./engine-host.ts";
import type { EngineSim } from "./engine-sim.ts";

/** What damage may be called. */
const CODES = ["CORRUPTION", "MISSING_FILE", "FOREIGN_DIRECTORY", "NEWER_FORMAT"];
/** Headers and what stands behind them: where a bit is more likely to be one that counts. */
const HEAD_BYTES = 256;

export function runBitrot(sim: EngineSim): void {
  const { random, host, witness } = sim;
  const isStopped = random.chance(0.5);
  sim.rest();
  if (isStopped && !sim.hasViolation) sim.stop();
  if (sim.hasViolation) return;
  sim.crash(isStopped ? null : sim.randomSurvival());
  flipOneBit(sim);
  witness.mayReadsFail = () => true;
  // A damaged segment leaves the log with all before it, released or not.
  witness.isTruncated = true;
  witness.boot = null;
  sim.restartCount += 1;
  host.open();
  if (host.isUp) useAll(sim, isStopped);
  const { condition } = host;
  if (condition.kind !== "failed") return;
  sim.trace.note(`damage was found: ${condition.code} ${condition.message}`);
  if (!CODES.includes(condition.code))
    witness.violations.push(`damage is called ${condition.code}: ${condition.message}`);
}

function flipOneBit(sim: EngineSim): void {
  const { random, trace } = sim;
  const { disk } = sim.host;
  const files = disk.files().filter((path) => path.startsWith(`${DIRECTORY}/`) && disk.byteCount(path) > 0);
  const kinds = [...new Set(files.map(kindOf))];
  const kind = kinds[random.below(kinds.length)] ?? "";
  const ofKind = files.filter((path) => kindOf(path) === kind);
  const path = ofKind[random.below(ofKind.length)] ?? "";
  const byteCount = disk.byteCount(path);
  const position = random.below(random.chance(0.5) ? Math.min(HEAD_BYTES, byteCount) : byteCount);
  const bit = random.below(8);
  trace.note(`bit ${bit} of byte ${position} in ${path} is flipped`);
  disk.flipBit(path, position, bit);
}

function kindOf(path: string): string {
  return path.slice(path.lastIndexOf("."));
}

function useAll(sim: EngineSim, isStopped: boolean): void {
  const { host, witness, leader } = sim;
  const found = witness.judgeBoot(isStopped ? "nothing" : "what was not proven");
  if (found === null || witness.boot === null) return;
  sim.readLog();
  if (host.isUp) sim.readAll();
  if (!host.isUp || sim.hasViolation) return;
  leader.begin(witness.boot, found);
  sim.maintain("compact");
  for (let round = 0; round < 400 && host.isUp && !sim.hasViolation && witness.unanswered(true) > 0; round++) {
    leader.decide(true);
    host.run((shard) => shard.turn());
    host.pass(25);
    sim.returnArenas();
    for (let i = 0; i < 50; i++) host.run((shard) => shard.backgroundStep());
  }
  if (!host.isUp || sim.hasViolation) return;
  if (witness.unanswered(true) > 0) witness.violations.push("a compaction of damaged tables comes to no end");
  sim.readAll();
}
