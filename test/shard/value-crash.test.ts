/** Power cuts, kills, failing calls and a full disk at any call of the disk, while values move from memtables to files and on. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { text } from "../../src/core/bytes.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { Random } from "../../src/core/random.ts";
import { CommandType } from "../../src/record/command-format.ts";
import { SimDisk, SimulatedCrash } from "../../src/sim/sim-disk.ts";
import type { ValueOptions } from "../../src/storage/value-options.ts";
import { COLLECTED, EVERY_VALUE, HOT_AND_COLD, LARGE_VALUES, separated } from "./separation-kit.ts";
import { command, KIB, put, ShardHarness, type TestCommand } from "./shard-harness.ts";

setDefaultTimeout(120_000);

const KEY_COUNT = 25;
const LIVES = 6;
const STEPS = 60;

/** What a shard must hold after each entry, and how far it has promised to hold it. */
class Promises {
  readonly states: Map<string, string>[] = [new Map()];
  persisted = 0;

  add(commands: readonly TestCommand[]): void {
    const state = new Map(this.states.at(-1));
    for (const { type, key, value = new Uint8Array(0) } of commands) {
      if (type === CommandType.delete) state.delete(text(key));
      else if (type === CommandType.append) state.set(text(key), (state.get(text(key)) ?? "") + text(value));
      else state.set(text(key), text(value));
    }
    this.states.push(state);
  }

  /** A crash may have taken what was not promised. */
  cutTo(lastIndex: number): Map<string, string> {
    this.states.length = lastIndex + 1;
    return new Map([...(this.states[lastIndex] ?? [])].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

function batch(random: Random): TestCommand[] {
  return Array.from({ length: random.between(1, 6) }, () => {
    const key = `k${random.below(KEY_COUNT)}`;
    if (random.chance(0.15)) return command(CommandType.delete, key);
    const value = `${random.below(1e9)}`.padEnd(random.below(random.chance(0.3) ? 4000 : 300), ".");
    return put(key, value, random.chance(0.1) ? { type: CommandType.append } : {});
  });
}

/** Random work until it is done, or the planned fault has ended it. Now and then the disk is full for a while. */
function live(harness: ShardHarness, disk: SimDisk, random: Random, promises: Promises): void {
  for (let step = 0; step < STEPS && !harness.shard.stopped; step++) {
    harness.clock.nowMs += 500;
    if (random.chance(0.05)) disk.leaveRoom(random.below(64 * KIB));
    else if (random.chance(0.2)) disk.giveRoom();
    const commands = batch(random);
    promises.add(commands);
    harness.append(commands);
    harness.shard.turn();
    promises.persisted = Math.max(promises.persisted, harness.ofType("persisted").at(-1)?.lastIndex ?? 0);
    for (let steps = random.below(6); steps > 0; steps--) harness.shard.backgroundStep();
    if (random.chance(0.1)) maintain(harness, "flush");
    if (random.chance(0.05)) maintain(harness, "compact");
    if (random.chance(0.2)) harness.release(harness.lastIndex);
    if (random.chance(0.1)) harness.settle();
  }
}

/** Asks for it and works on; what a full disk has interrupted is done later. */
function maintain(harness: ShardHarness, what: "flush" | "compact"): void {
  harness.send({ type: what, requestId: 1_000_000 });
  harness.shard.turn();
  harness.settle();
}

/** Work in the midst of which the process may die, or a call fail and the shard with it. */
function attempt(disk: SimDisk, work: () => void): void {
  try {
    work();
  } catch (cause) {
    if (cause instanceof SimulatedCrash) return;
    if (!disk.hasFailed || !(cause instanceof EnvelopeError)) throw cause;
  }
}

function runLives(seed: number, values: ValueOptions): { kept: number; collected: number } {
  const random = new Random(seed);
  const disk = new SimDisk(seed, { capacityBytes: 1 << 30, sync: null });
  const promises = new Promises();
  const settings = { directory: "/d", disk, options: separated(values) };
  const seen = new Set<string>();
  let harness: ShardHarness | null = null;
  for (let life = 0; life < LIVES; life++) {
    const said = `seed ${seed}, life ${life}`;
    disk.plan(random.between(1, 1500), random.chance(0.7) ? { kind: "crash" } : { kind: "fail", code: "IO" });
    attempt(disk, () => {
      harness = reopened(harness, settings);
      expect(harness.boot.lastIndex as number, said).toBeGreaterThanOrEqual(promises.persisted);
      const expected = promises.cutTo(harness.boot.lastIndex);
      harness.send({ type: "commit", commitIndex: harness.boot.lastIndex });
      harness.shard.turn();
      expect(harness.content(), said).toEqual(expected);
      live(harness, disk, random, promises);
    });
    for (const path of disk.files()) if (/\.(kept|values)\.evp$/.test(path)) seen.add(path);
    disk.cancelPlans();
    disk.giveRoom();
    if (random.chance(0.3)) disk.kill();
    else disk.crash({ sector: random.below(11) / 10 });
  }
  harness = reopened(harness, settings);
  const expected = promises.cutTo(harness.boot.lastIndex);
  harness.send({ type: "commit", commitIndex: harness.boot.lastIndex });
  harness.shard.turn();
  expect(harness.content(), `seed ${seed}, at the end`).toEqual(expected);
  harness.stop();
  const paths = [...seen];
  return {
    kept: paths.filter((path) => path.endsWith(".kept.evp")).length,
    collected: paths.filter((path) => path.endsWith(".values.evp")).length,
  };
}

function reopened(harness: ShardHarness | null, settings: ConstructorParameters<typeof ShardHarness>[0]): ShardHarness {
  if (harness === null) return new ShardHarness(settings);
  const { stamps } = harness;
  harness.reopen();
  expect(harness.stamps).toBe(stamps);
  return harness;
}

test.each([
  ["every value", EVERY_VALUE],
  ["large values", LARGE_VALUES],
  ["collected values", COLLECTED],
  ["hot and cold values", HOT_AND_COLD],
])("%s in the log: what was promised is there after any crash, and nothing else", (_, values) => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  let kept = 0;
  let collected = 0;
  for (let run = 0; run < 12; run++) {
    const seen = runLives(seed + run, values);
    kept += seen.kept;
    collected += seen.collected;
  }
  if (values.collectBelow === 0) expect(kept, `seed ${seed}: segments left the log`).toBeGreaterThan(0);
  expect(collected > 0, `seed ${seed}: values were moved`).toBe(values.collectBelow > 0);
});
