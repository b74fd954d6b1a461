/**
 * One run of a simulated engine, named by its seed and its profile: the production shard on a simulated disk, driven by
 * random operations, with crashes, faults and stops between them, and a witness that compares all it says with a model.
 * In the end every fault is over, and the engine must have come to rest with everything that was sent; then it is
 * stopped, opened once more and read from end to end.
 *
 * What must hold is said in `engine-witness.ts`. Not checked: how long anything takes, beyond coming to an end.
 */
import { type LogIndex, logIndex } from "../core/ids.ts";
import { Random } from "../core/random.ts";
import type { ReadRequest } from "../bridge/shard-protocol.ts";
import { allKeys, bytesOfText, randomKey } from "./engine-command.ts";
import { EngineHost, VALUE_BYTES_MAX } from "./engine-host.ts";
import { EngineLeader } from "./engine-leader.ts";
import type { Tolerance } from "./engine-log.ts";
import { EngineReplica } from "./engine-replica.ts";
import { EngineWitness } from "./engine-witness.ts";
import { Scheduler } from "./scheduler.ts";
import type { Survival } from "./sim-inode.ts";
import { Trace } from "./trace.ts";

/** Work that comes to no end within so many rounds is a hang. */
const ROUNDS_MAX = 2000;
const BACKGROUND_STEPS_MAX = 20_000;
const ALL_KEYS = allKeys().map(bytesOfText);
const PATTERNS = ["*", "user:*", "n?", "*0", "user:1*", "\xff*", "zzz*"];

/** A simulated engine with its leader and its witness, and the steps that every profile is made of. */
export class EngineSim {
  readonly random: Random;
  readonly trace: Trace;
  readonly host: EngineHost;
  readonly witness: EngineWitness;
  readonly leader: EngineLeader;
  readonly replica: EngineReplica;
  restartCount = 0;
  operationCount = 0;
  /** How soon main lets go of versions and arenas; one that is slow makes the writer wait for room. */
  readonly #mainPace: number;
  /** Log that is kept for members that are behind. */
  readonly #retainedBytes: number;
  /** Power was cut since the engine was last up. */
  #isPowerCut = false;

  constructor(seed: number, listener: ((line: string) => void) | null) {
    const scheduler = new Scheduler(seed);
    this.random = scheduler.random;
    this.trace = new Trace(scheduler, listener);
    const host: EngineHost = new EngineHost(
      new Random(this.random.u32()),
      scheduler,
      this.trace,
      (reply) => {
        this.replica.heardEngine(reply);
        this.witness.heard(reply);
      },
      (what) => this.witness.violations.push(what),
    );
    this.host = host;
    this.#mainPace = host.fillsMemtables ? 0.05 : 0.8;
    this.witness = new EngineWitness(VALUE_BYTES_MAX, () => host.wallMs);
    this.witness.mayReadsFail = () => host.mayReadsFail;
    this.#retainedBytes = this.random.chance(0.3) ? this.random.below(200_000) : Number.MAX_SAFE_INTEGER;
    this.witness.isTruncated = this.#retainedBytes < Number.MAX_SAFE_INTEGER;
    this.leader = new EngineLeader(new Random(this.random.u32()), host, this.witness, this.trace);
    this.replica = new EngineReplica(new Random(this.random.u32()), host, this.witness, this.trace);
  }

  get hasViolation(): boolean {
    return this.witness.violations.length > 0;
  }

  /** Opens the engine; after failures that the disk was told to have, again, until there is nothing left to fail. */
  open(tolerance: Tolerance): void {
    for (let attempt = 1; attempt <= 10 && !this.hasViolation; attempt++) {
      this.restartCount += 1;
      this.trace.note("open");
      this.witness.boot = null;
      this.witness.mayLag = false;
      this.host.open();
      if (this.host.isUp) {
        const mayBeLost = this.#isPowerCut && tolerance === "nothing" ? "what was not synced" : tolerance;
        const found = this.witness.judgeBoot(mayBeLost);
        this.#isPowerCut = false;
        if (found === null || this.witness.boot === null) return;
        const { firstIndex, lastIndex, commitIndex } = this.witness.boot;
        this.trace.note(`opened with ${firstIndex} to ${lastIndex}, committed ${commitIndex}`);
        this.readLog();
        this.leader.begin(this.witness.boot, found);
        return;
      }
      if (!this.host.isExcused) return this.#complain("would not open");
      this.#bury();
      if (attempt >= 3) this.endFaults();
    }
    if (!this.hasViolation) this.#complain("did not open though nothing was wrong any more");
  }

  endFaults(): void {
    this.host.disk.cancelPlans();
    this.host.disk.giveRoom();
  }

  /** Lets the engine work for a moment, as its driver would, and brings it back if that was its end. */
  work(): void {
    const { random, host } = this;
    this.witness.mayLag ||= host.disk.isSqueezed || host.disk.hasFailed;
    if (random.chance(this.#mainPace)) host.noteReaderTurn();
    if (random.chance(0.7)) host.run((shard) => shard.turn());
    else {
      host.run((shard) => shard.takeAndWrite());
      if (random.chance(0.5)) host.pass(random.below(5));
      host.run((shard) => shard.settle());
    }
    for (let i = random.chance(0.3) ? random.below(30) : random.below(3); i > 0; i--) {
      host.run((shard) => shard.backgroundStep());
    }
    if (random.chance(0.6)) host.pass(random.below(12));
    if (random.chance(this.#mainPace)) this.returnArenas();
    this.revive();
  }

  /** If the engine is down: judges whether it may be, and opens it again. */
  revive(): void {
    if (this.host.isUp || this.hasViolation) return;
    if (!this.host.isExcused) return this.#complain("went down");
    this.#bury();
    this.open("nothing");
  }

  returnArenas(): void {
    this.host.returnArenas(this.witness.retiredArenas);
  }

  /** Power is cut, or the process killed. */
  crash(survival: Survival | null): void {
    this.trace.note(survival === null ? "kill" : `power cut, sectors survive by ${survival.sector}`);
    if (survival !== null) this.#isPowerCut = true;
    this.host.end(survival);
    this.replica.ended();
  }

  /** Unsynced sectors survive by chance: none, all, or each by its own. */
  randomSurvival(): Survival {
    const { random } = this;
    return { sector: random.chance(0.3) ? 0 : random.chance(0.3) ? 1 : random.fraction() };
  }

  /** An orderly end: all that was sent is there afterwards. The faults are over, or the engine may fail. */
  stop(): void {
    const { host } = this;
    this.trace.note("stop");
    host.send({ type: "stop" });
    for (let round = 0; round < ROUNDS_MAX && host.isUp; round++) {
      host.run((shard) => shard.turn());
      host.pass(5);
      this.returnArenas();
    }
    if (host.isUp) this.#complain("did not stop");
  }

  // ---- reading ---------------------------------------------------------------------------------------------------

  sendRead(read: ReadRequest, minIndex: number): void {
    const requestId = this.witness.sentRead(read, minIndex);
    this.host.send({ type: "read", requestId, minIndex: minIndex as LogIndex, read });
  }

  randomRead(): void {
    const { random, witness } = this;
    const bucket = this.randomBucket();
    // Beyond what is applied the answer has to wait; it must not come before its entry.
    const last = Math.min(witness.decidedIndex, witness.log.lastIndex);
    const minIndex = random.chance(0.3) ? random.between(Math.min(witness.appliedIndex, last), last) : 0;
    const dice = random.below(10);
    if (dice < 6) {
      const key = bytesOfText(randomKey(random));
      return this.sendRead({ type: "get", bucket, key, metadataOnly: random.chance(0.2) }, minIndex);
    }
    if (dice === 6) return this.sendRead({ type: "sample", bucket, random: random.u32() }, minIndex);
    const pattern = random.chance(0.5) ? null : bytesOfText(PATTERNS[random.below(PATTERNS.length)] ?? "*");
    const after = random.chance(0.4) ? null : bytesOfText(randomKey(random));
    const mode = random.chance(0.6) ? "keys" : "count";
    const examineMax = random.between(1, 30);
    const bytesMax = random.between(1, 400);
    this.sendRead({ type: "page", bucket, after, examineMax, bytesMax, pattern, mode }, minIndex);
  }

  randomBucket(): number {
    const { buckets } = this.leader;
    return buckets[this.random.below(buckets.length)] ?? 1;
  }

  randomEntryRead(): void {
    const { random, witness } = this;
    const from = random.between(1, Math.max(1, witness.log.lastIndex));
    const bytesMax = random.between(1, 8000);
    witness.sentEntryRead(from, bytesMax);
    this.host.send({ type: "readEntries", from: logIndex(from), bytesMax });
  }

  maintain(type: "flush" | "compact"): void {
    this.trace.note(type);
    this.host.send({ type, requestId: this.witness.sentMaintenance() });
  }

  /** Nobody needs the entries below some index from `least` on. */
  release(least: number): void {
    const { witness, random } = this;
    const index = random.between(least, witness.appliedIndex + 1);
    witness.releasedBelow = Math.max(witness.releasedBelow, index);
    const retainedBytes = this.#retainedBytes;
    this.trace.note(`release below ${index}, retain ${retainedBytes}`);
    this.host.send({ type: "release", index: logIndex(index), retainedBytes });
  }

  /** Every entry that the log still has. */
  readLog(): void {
    const { witness, host } = this;
    const first = witness.boot?.firstIndex ?? 1;
    if (first > witness.log.lastIndex) return;
    witness.sentEntryRead(first, Number.MAX_SAFE_INTEGER);
    host.send({ type: "readEntries", from: logIndex(first), bytesMax: Number.MAX_SAFE_INTEGER });
    host.run((shard) => shard.takeAndWrite());
  }

  /** Every key by itself, and every bucket page by page. */
  readAll(): void {
    const { host, witness, random } = this;
    for (const bucket of witness.model.openBuckets) {
      for (const key of ALL_KEYS) this.sendRead({ type: "get", bucket, key, metadataOnly: false }, 0);
      for (const mode of ["keys", "count"] as const) {
        const page = { bucket, after: null, examineMax: 1000, bytesMax: 100_000, pattern: null } as const;
        this.sendRead({ type: "page", ...page, mode }, 0);
        const part = { ...page, after: bytesOfText(randomKey(random)), examineMax: random.between(1, 20) };
        this.sendRead({ type: "page", ...part, mode }, 0);
      }
    }
    host.run((shard) => shard.turn());
    const isHeard = witness.unanswered(false) === 0 || !host.isUp || this.hasViolation;
    if (!isHeard) this.#complain("left reads unanswered");
  }

  // ---- rest ------------------------------------------------------------------------------------------------------

  /** The faults are over: everything sent becomes durable, everything decided applied, every request answered. */
  rest(): void {
    const { host, witness } = this;
    this.trace.note("rest");
    this.endFaults();
    this.revive();
    for (let round = 0; round < ROUNDS_MAX && host.isUp && !this.hasViolation; round++) {
      this.leader.decide(true);
      host.run((shard) => shard.turn());
      host.pass(round < 20 ? 25 : 300);
      this.returnArenas();
      this.#runBackground();
      this.revive();
      if (this.#isAtRest()) break;
    }
    if (this.hasViolation) return;
    if (!this.#isAtRest()) {
      const { acknowledgedIndex, lastIndex } = witness.log;
      const applied = `applied ${witness.appliedIndex} of ${witness.decidedIndex}`;
      const state = `writable ${host.isWritable}, unanswered ${witness.unanswered(true)}`;
      return this.#complain(`came to no rest: durable ${acknowledgedIndex} of ${lastIndex}, ${applied}, ${state}`);
    }
    witness.judgeSystem();
    host.send({ type: "stats", requestId: 0 });
    this.readAll();
  }

  #isAtRest(): boolean {
    const { host, witness } = this;
    const isApplied = witness.appliedIndex >= Math.min(witness.decidedIndex, witness.log.lastIndex);
    return host.isUp && witness.log.isAcknowledged && isApplied && host.isWritable && witness.unanswered(true) === 0;
  }

  #runBackground(): void {
    let isMore = true;
    for (let i = 0; isMore && this.host.isUp; i++) {
      isMore = false;
      this.host.run((shard) => {
        isMore = shard.backgroundStep();
      });
      this.returnArenas();
      if (i === BACKGROUND_STEPS_MAX) return this.#complain("its work in the background comes to no end");
    }
  }

  #bury(): void {
    const { host, random } = this;
    const { condition } = host;
    if (condition.kind === "failed") this.trace.note(`down: ${condition.code} ${condition.message}`);
    this.crash(random.chance(0.4) ? null : this.randomSurvival());
  }

  #complain(what: string): void {
    const { condition } = this.host;
    const why = condition.kind === "failed" ? `: ${condition.code} ${condition.message}` : "";
    this.witness.violations.push(`${what}${why}`);
  }
}
