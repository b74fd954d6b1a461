/**
 * Three replicas under random commands, two of which rot in tables and value files and are killed at any call of the disk,
 * also in the midst of repairs, by which they help each other where the third does not. What they show of a key is what
 * the third one shows, or an error; and when the repairs are through there is no error any more.
 */
import { expect, test } from "bun:test";
import { SESSION_BUCKET } from "../../src/core/ids.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { Random } from "../../src/core/random.ts";
import { CommandType } from "../../src/record/command-format.ts";
import { encodeSessionTtl } from "../../src/record/session-format.ts";
import { SimulatedCrash } from "../../src/sim/sim-disk.ts";
import { BUCKET, command, i64, KIB, put, type TestCommand, testOptions } from "./shard-harness.ts";
import { repair, type Replica, Replicas } from "./replicas.ts";

const KEYS = Array.from({ length: 40 }, (_, i) => `key-${i}`);
const COUNTERS = ["n0", "n1", "n2", "n3"];
const ALL = [...KEYS, ...COUNTERS];
const SEED_COUNT = 16;
const STEPS = 260;
const CALLS_AHEAD_MAX = 80;
const SESSION = 77;
const ONCES_AGAIN = 12;
const SESSION_TTL_MS = 1_000_000;
const { tree, log } = testOptions("");
const SEPARATED = { thresholdBytes: 60, collectBelow: 0.9, segmentBytes: 8 * KIB, hotKeyBytes: 64 * KIB };

class Run {
  readonly #random: Random;
  readonly #replicas: Replicas;
  readonly #seed: number;
  readonly #hasSessions: boolean;
  #isLost = false;
  #sequence = 0;
  /** Newest first. */
  readonly #onces: TestCommand[] = [];
  repairCount = 0;
  refusalCount = 0;

  constructor(seed: number) {
    const random = new Random(seed);
    this.#seed = seed;
    this.#random = random;
    this.#hasSessions = random.chance(0.4);
    const values = random.chance(0.5) ? { values: SEPARATED } : {};
    const compaction = random.chance(0.5) ? ("leveled" as const) : ("tiered" as const);
    const small = { ...tree, compaction, levelBytesBase: 8 * KIB, tableBytesMax: 4 * KIB, ...values };
    this.#replicas = new Replicas(3, { tree: small, log: { ...log, segmentBytes: 16 * KIB } });
    const once = { session: SESSION, sequence: 0 };
    const value = encodeSessionTtl(SESSION_TTL_MS);
    this.#replicas.write(command(CommandType.openSession, "", { bucket: SESSION_BUCKET, value, once }));
  }

  get #whole(): Replica {
    return this.#replicas.all[2]!;
  }

  step(): void {
    const random = this.#random;
    const replica = this.#replicas.all[random.below(2)]!;
    const draw = random.below(100);
    if (draw < 70) this.#replicas.write(this.#command());
    else if (draw < 78) this.#survive(replica, () => replica.maintain("flush"));
    else if (draw < 80) this.#whole.maintain("flush");
    else if (draw < 83) this.#survive(replica, () => replica.settle());
    else if (draw < 87) this.#rot(replica);
    else if (draw < 90) this.#survive(replica, () => this.#replicas.reopen(replica));
    else if (draw < 96) this.#repair(replica);
    else this.#judge(replica);
  }

  /** Without what is remembered of sessions a replica decides nothing more, and says so: there is no going on with it. */
  get isOver(): boolean {
    if (this.#isLost) return true;
    return this.#replicas.all.some((replica) => replica.ofType("failed").some(({ code }) => code === "CORRUPTION"));
  }

  end(): void {
    const shows = `seed ${this.#seed}`;
    for (const replica of this.#replicas.all.slice(0, 2)) {
      // A new life reads everything anew.
      this.#survive(replica, () => this.#replicas.reopen(replica));
      for (let attempt = 0; !this.isOver && this.#isDamaged(replica); attempt++) {
        expect(repair(this.#whole, replica, attempt), shows).toBe("repaired");
        replica.settle();
        this.#judge(replica);
        this.repairCount += 1;
      }
      if (this.isOver) return;
      this.#replicas.reopen(replica);
      expect(replica.shown(ALL), shows).toBe(this.#whole.shown(ALL));
      expect(replica.content(), shows).toEqual(this.#whole.content());
    }
  }

  /** Having looked everywhere. */
  #isDamaged(replica: Replica): boolean {
    this.#judge(replica);
    replica.read({
      type: "page",
      bucket: BUCKET,
      after: null,
      examineMax: 1000,
      bytesMax: 0,
      pattern: null,
      mode: "count",
    });
    return replica.quarantined > 0;
  }

  #command(): TestCommand {
    const random = this.#random;
    this.#replicas.stamps.pass(random.below(3));
    const key = KEYS[random.below(KEYS.length)]!;
    const draw = random.below(100);
    if (draw < 40) return put(key, `${this.#replicas.lastIndex}`.padEnd(random.below(400), "-"));
    if (draw < 50) return command(CommandType.delete, key);
    if (draw < 60) return put(key, "brief", { expiryMs: this.#replicas.stamps.ms + random.below(200) });
    if (draw < 70) return command(CommandType.append, key, { value: i64(1n) });
    if (draw < 80) return command(CommandType.persist, key);
    const counter = COUNTERS[random.below(COUNTERS.length)]!;
    const increment = command(CommandType.increment, counter, { value: i64(1n) });
    if (draw < 90 || !this.#hasSessions) return increment;
    // Now and then one of the last commands of the session comes again.
    const again = this.#onces[random.below(ONCES_AGAIN)];
    if (again !== undefined && random.chance(0.5)) return again;
    this.#sequence += 1;
    this.#onces.unshift({ ...increment, once: { session: SESSION, sequence: this.#sequence } });
    return this.#onces[0]!;
  }

  #rot(replica: Replica): void {
    const random = this.#random;
    replica.damage(
      random.chance(0.8) ? /\d\.sst$/ : /(kept|values)\.evp$/,
      random.u32(),
      0.2 + 0.5 * random.fraction(),
    );
    if (random.chance(0.5)) this.#survive(replica, () => this.#replicas.reopen(replica));
  }

  /** From whoever comes first, and perhaps with a death in the midst of it. */
  #repair(replica: Replica): void {
    const random = this.#random;
    const from = random.chance(0.4) ? this.#replicas.all.find((one) => one !== replica)! : this.#whole;
    if (random.chance(0.3)) replica.disk.plan(1 + random.below(CALLS_AHEAD_MAX), { kind: "crash" });
    const write = (): void => {
      for (let i = random.below(3); i > 0; i--) this.#replicas.write(this.#command());
    };
    this.#survive(replica, () => {
      // What is asked of one that has failed meanwhile is not answered.
      if (repair(from, replica, random.below(3), write) === "repaired") this.repairCount += 1;
    });
    replica.disk.cancelPlans();
    this.#judge(replica);
  }

  /** What the disk ends is gone on with by a new life. */
  #survive(replica: Replica, run: () => void): void {
    try {
      run();
    } catch (cause) {
      // Of a table without a footer it is not known what it held: such a start is refused.
      const isDamage = cause instanceof EnvelopeError && cause.code === "CORRUPTION";
      this.#isLost = isDamage && (this.#hasSessions || cause.message.includes("footer"));
      if (this.#isLost) return;
      if (!(cause instanceof SimulatedCrash)) throw cause;
      replica.disk.cancelPlans();
      replica.disk.crash({ sector: 0 });
      this.#survive(replica, () => this.#replicas.reopen(replica));
    }
  }

  #judge(replica: Replica): void {
    for (const one of [replica, this.#whole]) this.#replicas.feed(one);
    if (this.isOver) return;
    const shown = replica.shown(ALL).split("\n");
    const expected = this.#whole.shown(ALL).split("\n");
    for (const [i, line] of shown.entries()) {
      if (line.endsWith("CORRUPTION")) this.refusalCount += 1;
      else expect(line, `seed ${this.#seed} at ${this.#replicas.lastIndex}`).toBe(expected[i]!);
    }
  }
}

test("whatever rots, and whenever a replica dies, it shows what the others do or says that it cannot", () => {
  let repairCount = 0;
  let refusalCount = 0;
  for (let seed = 1; seed <= SEED_COUNT; seed++) {
    const run = new Run(seed);
    for (let step = 0; step < STEPS && !run.isOver; step++) run.step();
    if (!run.isOver) run.end();
    repairCount += run.repairCount;
    refusalCount += run.refusalCount;
  }
  expect(repairCount).toBeGreaterThan(SEED_COUNT);
  expect(refusalCount).toBeGreaterThan(SEED_COUNT);
}, 300_000);
