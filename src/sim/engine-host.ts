/**
 * The production shard over all its lives on one simulated disk, with everything small so that a few hundred operations
 * see rotations, recycling, flushes, compactions and several levels. A life ends by a stop, by a failure that the shard
 * reports, or by a crash inside a call of the disk; whatever else is thrown is a violation.
 */
import { createShardMemory, type ShardMemory } from "../bridge/shard-memory.ts";
import { SharedState } from "../bridge/shared-state.ts";
import type { ShardReply, ShardRequest } from "../bridge/shard-protocol.ts";
import { EnvelopeError } from "../core/errors.ts";
import { shardId } from "../core/ids.ts";
import type { Random } from "../core/random.ts";
import { Shard } from "../shard/shard.ts";
import { BlockCache } from "../storage/block-cache.ts";
import type { ShardEnvironment } from "../shard/shard-environment.ts";
import type { ShardOptions } from "../shard/shard-options.ts";
import type { ValueOptions } from "../storage/value-options.ts";
import { type Scheduler, SimProcess } from "./scheduler.ts";
import { SimClock } from "./sim-clock.ts";
import { SimDisk, SimulatedCrash } from "./sim-disk.ts";
import type { Survival } from "./sim-inode.ts";
import type { Trace } from "./trace.ts";

export const DIRECTORY = "/shard-0000";
const CAPACITY_BYTES = 1 << 28;
const KIB = 1024;
export const VALUE_BYTES_MAX = KIB;
/** So often values are left in the log. */
const SEPARATING = 0.4;
/** So often tables are read past the page cache. */
const READING_DIRECTLY = 0.4;

/** How a life stands. */
export type Condition =
  | { readonly kind: "up" }
  | { readonly kind: "stopped" }
  /** A call of the disk has crashed the process. */
  | { readonly kind: "dead" }
  /** It has said `failed`, or would not open. */
  | { readonly kind: "failed"; readonly code: string; readonly message: string };

export class EngineHost {
  readonly disk: SimDisk;
  readonly #scheduler: Scheduler;
  readonly #trace: Trace;
  readonly #options: ShardOptions;
  /** Whether memtables are flushed when they are full, and not before for the length of the replay. */
  readonly fillsMemtables: boolean;
  readonly #memtableBytes: number;
  readonly #onReply: (reply: ShardReply) => void;
  readonly #onViolation: (what: string) => void;
  #process = new SimProcess("engine");
  #shard: Shard | null = null;
  #state: SharedState | null = null;
  condition: Condition = { kind: "stopped" };
  /** A call of the disk was made to fail in an earlier life. */
  #hadFailedCalls = false;

  constructor(
    random: Random,
    scheduler: Scheduler,
    trace: Trace,
    onReply: (reply: ShardReply) => void,
    onViolation: (what: string) => void,
  ) {
    this.#scheduler = scheduler;
    this.#trace = trace;
    this.fillsMemtables = random.chance(0.2);
    const shape = shapeOf(random, this.fillsMemtables);
    this.#memtableBytes = random.between(36, 44) * KIB;
    this.#onReply = onReply;
    this.#onViolation = onViolation;
    const delayMs = { min: 0, max: random.between(1, 30) };
    const sync = random.chance(0.8) ? { scheduler, delayMs } : null;
    this.disk = new SimDisk(random.u32(), { capacityBytes: CAPACITY_BYTES, sync });
    const tableIo = random.chance(READING_DIRECTLY) ? "direct" : "mmap";
    this.#options = { ...shape, tree: { ...shape.tree, tableIo } };
  }

  get isUp(): boolean {
    return this.condition.kind === "up";
  }

  /** Wall-clock milliseconds as the engine sees them. */
  get wallMs(): number {
    return this.#clock().wallMs();
  }

  /** Whether clients' writes are taken. */
  get isWritable(): boolean {
    return this.#state?.writable === true;
  }

  /** A new life on what the disk holds; `condition` says what came of it. */
  open(): void {
    this.#process = new SimProcess("engine");
    this.disk.mount(this.#process);
    const memory = createShardMemory(this.#memtableBytes, 3);
    this.#state = new SharedState(memory.state);
    this.condition = { kind: "up" };
    try {
      this.#shard = Shard.open(this.#environment("shard"), this.#options, memory, (reply) => this.#replied(reply));
    } catch (thrown) {
      this.#thrown(thrown);
    }
  }

  /** Another shard of this process, in a directory of its own; null: it did not come to be, and `onReply` or `condition` says why. */
  openBeside(
    directory: string,
    onReply: (reply: ShardReply) => void,
  ): { readonly shard: Shard | null; readonly memory: ShardMemory } {
    const memory = createShardMemory(this.#memtableBytes, 3);
    let shard: Shard | null = null;
    this.guard(() => {
      try {
        shard = Shard.open(this.#environment("beside"), { ...this.#options, directory }, memory, onReply);
      } catch (cause) {
        if (!(cause instanceof EnvelopeError)) throw cause;
        onReply({ type: "failed", code: cause.code, message: cause.message });
      }
    });
    return { shard, memory };
  }

  /** Runs what may crash the process. */
  guard(work: () => void): void {
    if (!this.isUp) return;
    try {
      work();
    } catch (thrown) {
      this.#thrown(thrown);
    }
  }

  returnArenas(arenas: number[]): void {
    for (const arena of arenas.splice(0)) this.send({ type: "returnArena", arena });
  }

  send(request: ShardRequest): void {
    this.#shard?.handle(request);
  }

  /** Main begins a turn of its loop: it looks at no memtable any more. */
  noteReaderTurn(): void {
    this.#state?.noteReaderTurn();
  }

  /** Lets the shard work. What it throws ends its life. */
  run(work: (shard: Shard) => void): void {
    if (this.#shard === null || !this.isUp) return;
    try {
      work(this.#shard);
    } catch (thrown) {
      this.#thrown(thrown);
    }
  }

  /** Time passes, and syncs end. */
  pass(ms: number): void {
    try {
      this.#scheduler.runUntil(this.#scheduler.nowMs + ms, () => !this.isUp);
    } catch (thrown) {
      this.#thrown(thrown);
    }
  }

  /** The end of the process, and by a power cut of what it had not synced. */
  end(survival: Survival | null): void {
    this.#process.end();
    this.#shard = null;
    this.#hadFailedCalls ||= this.disk.hasFailed;
    if (survival === null) this.disk.kill();
    else this.disk.crash(survival);
    this.condition = { kind: "stopped" };
  }

  /** Whether the disk was told to do what the shard has failed of. */
  get isExcused(): boolean {
    const { condition } = this;
    if (condition.kind !== "failed") return condition.kind === "dead";
    return this.excuses(condition.code, condition.message);
  }

  /** Whether the disk was told to do what has led to this. */
  excuses(code: string, message: string): boolean {
    if (message.includes("planned")) return true;
    if (code === "DISKFULL" && this.disk.isSqueezed) return true;
    return this.disk.hasFailed && (code === "IO" || code === "DISKFULL");
  }

  /** A call has failed, or one has in an earlier life and the engine still takes the file for damaged. */
  get mayReadsFail(): boolean {
    if (this.disk.hasFailed) return true;
    return this.#hadFailedCalls && this.disk.files().some((path) => path.endsWith(".quarantine"));
  }

  #environment(name: string): ShardEnvironment {
    const log = this.#trace.logger(name);
    return { disk: this.disk, clock: this.#clock(), log, blockCache: new BlockCache(8 * KIB) };
  }

  #clock(): SimClock {
    return new SimClock(this.#scheduler, this.#process, 1, 0);
  }

  #replied(reply: ShardReply): void {
    if (reply.type === "failed") this.condition = { kind: "failed", code: reply.code, message: reply.message };
    else if (reply.type === "stopped") this.condition = { kind: "stopped" };
    this.#onReply(reply);
  }

  #thrown(thrown: unknown): void {
    if (thrown instanceof SimulatedCrash) {
      this.#trace.note(`died ${thrown.message}`);
      this.condition = { kind: "dead" };
    } else if (thrown instanceof EnvelopeError) {
      this.#trace.note(`refused: ${thrown.code} ${thrown.message}`);
      this.condition = { kind: "failed", code: thrown.code, message: thrown.message };
    } else {
      this.condition = { kind: "dead" };
      this.#onViolation(`threw ${thrown instanceof Error ? thrown.stack : String(thrown)}`);
    }
  }
}

/** Every value, or large ones alone; collected soon, late or never; with and without memory for hot keys. */
function valuesOf(random: Random): ValueOptions {
  return {
    thresholdBytes: random.chance(0.4) ? 0 : random.between(1, 200),
    collectBelow: random.chance(0.2) ? 0 : random.between(1, 9) / 10,
    segmentBytes: random.between(1, 16) * KIB,
    hotKeyBytes: random.chance(0.5) ? random.between(1, 4) * KIB : 0,
  };
}

/** With tables that are mapped. */
function shapeOf(random: Random, fillsMemtables: boolean): ShardOptions {
  const shard = shardId(0);
  return {
    shard,
    directory: DIRECTORY,
    log: {
      shard,
      clusterId: new Uint8Array(16).fill(7),
      segmentBytes: random.between(3, 8) * 4 * KIB,
      isDirect: false,
    },
    tree: {
      blockBytes: 128 << random.below(3),
      bloomBitsPerKey: random.between(4, 12),
      compaction: random.chance(0.3) ? "tiered" : "leveled",
      compression: random.chance(0.4) ? "zstd" : "none",
      compressionLevel: 1,
      prefixFilterBytes: random.chance(0.3) ? random.between(1, 4) : 0,
      blockChecks: random.chance(0.3) ? "always" : "first",
      tableIo: "mmap",
      levelBytesBase: 256 << random.below(5),
      level0Tables: random.between(1, 4),
      tableBytesMax: 512 << random.below(4),
      slowRemovalBytes: 256 << random.below(6),
      ...(random.chance(SEPARATING) ? { values: valuesOf(random) } : {}),
    },
    memtableAgeMs: random.chance(0.3) ? random.between(50, 1000) : 0,
    valueBytesMax: VALUE_BYTES_MAX,
    replayBytesMax: fillsMemtables ? 1024 * KIB : random.between(2, 16) * KIB,
    pendingBytesMax: random.between(1, 8) * KIB,
    groupBytesMax: random.between(1, 16) * KIB,
    idleProofMs: random.between(5, 50),
    scrubBytesPerSecond: random.chance(0.5) ? 64 * KIB : 0,
    hasPeers: false,
    scrubIntervalMs: random.between(50, 1000),
    snapshotsMax: 16,
    snapshotAgeMs: 0,
    debtBytesMax: random.between(16, 256) * KIB,
    stepBytes: 256 << random.below(5),
  };
}
