/**
 * One production shard on this thread, driven as the only voter of a group drives it: commands are encoded, stamped and
 * sealed by the code of the proposal batch, the shard writes, syncs and applies them, and what it puts off gets its
 * steps in between. Reads here are the shard's messages; envelope-reader.ts looks without them.
 */
import { createShardMemory } from "../../src/bridge/shard-memory.ts";
import type { ShardBoot, ShardReply, ShardStats } from "../../src/bridge/shard-protocol.ts";
import { OS_DECIDES, SYNC } from "../../src/record/durability.ts";
import { ProposalBatch } from "../../src/cluster/proposal-batch.ts";
import { assert } from "../../src/core/assert.ts";
import { EMPTY_BYTES } from "../../src/core/bytes.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { type LogIndex, logIndex, type Term, term } from "../../src/core/ids.ts";
import { HybridClock } from "../../src/core/stamp.ts";
import { RealClock } from "../../src/env/real-clock.ts";
import { CommandType } from "../../src/record/command-format.ts";
import { Shard } from "../../src/shard/shard.ts";
import { BlockCache } from "../../src/storage/block-cache.ts";
import type { BenchStore, StoreOptions } from "./bench-store.ts";
import { BENCH_BUCKET, benchDisk, benchOptions, benchSettings, LOG } from "./envelope-settings.ts";

const ORIGIN = 1;
/** Bytes of entries for each step in the background: a step does 128 KiB of it, so an eightfold rewrite is kept up with. */
const ENTRY_BYTES_PER_STEP = 16 * 1024;

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
  readonly #key: ReusedRange = { bytes: EMPTY_BYTES, start: 0, end: 0 };
  readonly #value: ReusedRange = { bytes: EMPTY_BYTES, start: 0, end: 0 };
  readonly #term: Term;
  #lastIndex: LogIndex;
  #found: Uint8Array | null = null;
  #stats: ShardStats | null = null;
  #isDone = false;
  #bytesSinceStep = 0;
  #owesRelease = false;

  constructor(options: StoreOptions) {
    this.#durability = options.isSynced ? SYNC : OS_DECIDES;
    const settings = benchSettings(options.directory);
    const memory = createShardMemory(settings.memtableBytes, settings.memtableArenas);
    const blockCache = new BlockCache(settings.blockCacheBytes);
    const env = { disk: benchDisk(options.isSynced), clock: new RealClock(), log: LOG, blockCache };
    const opened: { boot: ShardBoot | null } = { boot: null };
    this.#shard = Shard.open(env, benchOptions(settings), memory, (reply) => {
      if (reply.type === "opened") opened.boot = reply.boot;
      else this.#take(reply);
    });
    const { boot } = opened;
    assert(boot !== null, "a shard that opens says so");
    this.#clock.observe(boot.stampHigh, boot.stampLow);
    this.#lastIndex = boot.lastIndex;
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
    if (this.#bytesSinceStep < ENTRY_BYTES_PER_STEP) return;
    this.#bytesSinceStep = 0;
    this.step();
  }

  /** One step of flush, compaction or the log's upkeep; true: there is more. */
  step(): boolean {
    if (this.#owesRelease) {
      this.#owesRelease = false;
      this.#shard.handle({ type: "release", index: this.#lastIndex });
      this.#shard.turn();
    }
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
    return this.#found;
  }

  drain(): undefined {
    while (this.step());
  }

  flush(): undefined {
    this.#isDone = false;
    this.#shard.handle({ type: "flush", requestId: 1 });
    this.#shard.turn();
    while (!this.#isDone) this.step();
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
