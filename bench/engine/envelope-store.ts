/**
 * One production shard on this thread, driven as the only voter of a group drives it: commands are encoded, stamped and
 * sealed by the code of the proposal batch, the shard writes, syncs and applies them, and what it puts off gets its
 * steps in between, or is done by compactors if a core is left for them. Reads here are the shard's messages; envelope-reader.ts looks without them.
 */
import { createShardMemory } from "../../src/bridge/shard-memory.ts";
import type { ShardBoot, ShardReply, ShardStats } from "../../src/bridge/shard-protocol.ts";
import { OS_DECIDES, SYNC } from "../../src/record/durability.ts";
import { ProposalBatch } from "../../src/cluster/proposal-batch.ts";
import { assert, at } from "../../src/core/assert.ts";
import { EMPTY_BYTES } from "../../src/core/bytes.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { type LogIndex, logIndex, type Term, term } from "../../src/core/ids.ts";
import { HybridClock } from "../../src/core/stamp.ts";
import { YoungGarbage } from "../../src/core/young-garbage.ts";
import { RealClock } from "../../src/env/real-clock.ts";
import { CommandType } from "../../src/record/command-format.ts";
import { compactorThreads } from "../../src/compactor-threads.ts";
import { CompactorState } from "../../src/shard/compactor-protocol.ts";
import { Compactors } from "../../src/shard/compactors.ts";
import { Shard } from "../../src/shard/shard.ts";
import { BlockCache } from "../../src/storage/block-cache.ts";
import type { BenchStore, StoreOptions } from "./bench-store.ts";
import { BENCH_BUCKET, benchDisk, benchOptions, benchSettings, LOG } from "./envelope-settings.ts";

const ORIGIN = 1;
/** Bytes of entries for each step in the background: a step does 128 KiB of it, so an eightfold rewrite is kept up with. */
const ENTRY_BYTES_PER_STEP = 16 * 1024;
/** How long to look away while compactors work. */
const WAIT_MS = 0.2;

/** A range that is filled anew for each command: the proposer's callers hand in ranges of what a socket brought. */
interface ReusedRange {
  bytes: Uint8Array;
  start: number;
  end: number;
}

export class EnvelopeStore implements BenchStore {
  readonly #shard: Shard;
  readonly #clock = new HybridClock();
  readonly #batch = new ProposalBatch(this.#clock, ORIGIN);
  readonly #durability: number;
  readonly #garbage = new YoungGarbage(() => Bun.gc(false));
  readonly #key: ReusedRange = { bytes: EMPTY_BYTES, start: 0, end: 0 };
  readonly #value: ReusedRange = { bytes: EMPTY_BYTES, start: 0, end: 0 };
  readonly #term: Term;
  #lastIndex: LogIndex;
  #appliedIndex: LogIndex;
  /** For each compactor, what it is doing. */
  readonly #compactorStates: readonly Int32Array[];
  #found: Uint8Array | null = null;
  #stats: ShardStats | null = null;
  #isDone = false;
  #bytesSinceStep = 0;
  #owesRelease = false;

  constructor(options: StoreOptions) {
    this.#durability = options.isSynced ? SYNC : OS_DECIDES;
    const settings = benchSettings(options);
    const memory = createShardMemory(settings.memtableBytes, settings.memtableArenas);
    const blockCache = new BlockCache(settings.blockCacheBytes);
    const threads = compactorThreads(settings.compactors, 1, LOG);
    const ends = at(threads.ends, 0);
    threads.start();
    this.#compactorStates = ends.map(({ state }) => new Int32Array(state));
    const compactors = new Compactors(ends);
    const env = { disk: benchDisk(options.isSynced), clock: new RealClock(), log: LOG, blockCache, compactors };
    const opened: { boot: ShardBoot | null } = { boot: null };
    this.#shard = Shard.open(env, benchOptions(settings), memory, (reply) => {
      if (reply.type === "opened") opened.boot = reply.boot;
      else this.#take(reply);
    });
    const { boot } = opened;
    assert(boot !== null, "a shard that opens says so");
    this.#clock.observe(boot.stampHigh, boot.stampLow);
    this.#lastIndex = boot.lastIndex;
    this.#appliedIndex = boot.appliedIndex;
    this.#term = term(Math.max(1, boot.lastTerm));
    // What the log holds and no group has proven committed is committed now: there is no other voter to ask.
    this.#shard.handle({ type: "commit", commitIndex: boot.lastIndex });
    this.#shard.turn();
  }

  /** Adds a record to the entry that is being filled. */
  add(key: Uint8Array, value: Uint8Array): void {
    const [keyRange, valueRange] = [this.#key, this.#value];
    keyRange.bytes = key;
    keyRange.end = key.length;
    valueRange.bytes = value;
    valueRange.end = value.length;
    this.#batch.add(CommandType.put, 0, BENCH_BUCKET, keyRange, valueRange, 0, this.#durability, Date.now());
  }

  /** Writes the entry and, when it returns, has applied it. */
  commit(): void {
    const index = logIndex(this.#lastIndex + 1);
    const entry = this.#batch.seal(index, this.#term);
    this.#lastIndex = index;
    this.#shard.handle({
      type: "append",
      entries: [entry],
      commitIndex: index,
      applyThrough: index,
      wantResults: true,
    });
    this.#shard.turn();
    this.#bytesSinceStep += entry.length;
    this.#garbage.note(entry.length);
    if (this.#bytesSinceStep >= ENTRY_BYTES_PER_STEP) {
      this.#bytesSinceStep = 0;
      this.step();
    }
    // The memtables are full, and a compactor writes the oldest.
    while (this.#appliedIndex < index) if (!this.step()) Bun.sleepSync(WAIT_MS);
  }

  /** One step of flush, compaction or the log's upkeep; true: there is more. */
  step(): boolean {
    if (this.#owesRelease) {
      this.#owesRelease = false;
      this.#shard.handle({ type: "release", index: this.#lastIndex, retainedBytes: Number.MAX_SAFE_INTEGER });
      this.#shard.turn();
    }
    this.#garbage.collectIfDue();
    return this.#shard.backgroundStep();
  }

  put(key: Uint8Array, value: Uint8Array): undefined {
    this.add(key, value);
    this.commit();
  }

  putBatch(keys: readonly Uint8Array[], values: readonly Uint8Array[]): undefined {
    for (let i = 0; i < keys.length; i++) this.add(keys[i]!, values[i]!);
    this.commit();
  }

  putOutstanding(keys: readonly Uint8Array[], values: readonly Uint8Array[]): undefined {
    this.putBatch(keys, values);
  }

  get(key: Uint8Array): Uint8Array | null {
    this.#found = null;
    const read = { type: "get", bucket: BENCH_BUCKET, key, metadataOnly: false } as const;
    this.#shard.handle({ type: "read", requestId: 1, minIndex: this.#lastIndex, read });
    this.#shard.takeAndWrite();
    const found = this.#found as Uint8Array | null;
    this.#garbage.note(key.length + (found?.length ?? 0));
    return found;
  }

  drain(): undefined {
    // A step may have given a compactor its next job, or missed by a moment that one has ended.
    let wasIdle = false;
    for (;;) {
      if (this.step()) {
        wasIdle = false;
        continue;
      }
      const isIdle = this.#compactorStates.every((state) => Atomics.load(state, 0) === CompactorState.idle);
      if (isIdle && wasIdle) return;
      wasIdle = isIdle;
      if (!isIdle) Bun.sleepSync(WAIT_MS);
    }
  }

  flush(): undefined {
    this.#isDone = false;
    this.#shard.handle({ type: "flush", requestId: 1 });
    this.#shard.turn();
    while (!this.#isDone) if (!this.step()) Bun.sleepSync(WAIT_MS);
  }

  stats(): ShardStats {
    this.#stats = null;
    this.#shard.handle({ type: "stats", requestId: 1 });
    this.#shard.takeAndWrite();
    const stats = this.#stats as ShardStats | null;
    assert(stats !== null, "a shard answers within the turn");
    return stats;
  }

  syncCount(): number {
    return this.stats().syncCount;
  }

  close(): undefined {
    this.#shard.handle({ type: "stop" });
    this.#shard.turn();
    assert(this.#shard.stopped, "a shard whose disk syncs at once stops at once");
  }

  #take(reply: ShardReply): void {
    switch (reply.type) {
      case "readResult":
        this.#found = reply.result.kind === "version" ? reply.result.value : null;
        return;
      case "applied":
        this.#appliedIndex = reply.appliedIndex;
        return;
      case "arenaRetired":
        this.#shard.handle({ type: "returnArena", arena: reply.arena });
        this.#owesRelease = true;
        return;
      case "stats":
        this.#stats = reply.stats;
        return;
      case "done":
        this.#isDone = true;
        return;
      case "failed":
        throw new EnvelopeError(reply.code, reply.message);
      default:
        return;
    }
  }
}
