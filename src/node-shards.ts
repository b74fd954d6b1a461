/**
 * How a node's shards are housed: each on this thread behind a direct link, or several to a worker behind rings. Both
 * ways open the same shard over the same directory, so a node may change between them at any restart.
 */
import { MemtableSet } from "./bridge/memtable-set.ts";
import { createShardMemory } from "./bridge/shard-memory.ts";
import type { ShardReply } from "./bridge/shard-protocol.ts";
import { SharedState } from "./bridge/shared-state.ts";
import { DirectLink } from "./cluster/direct-link.ts";
import { ShardWorker } from "./cluster/ring-link.ts";
import type { OpenShard, ShardPort } from "./cluster/shard-port.ts";
import { compactorThreads } from "./compactor-threads.ts";
import type { NodeSettings } from "./config.ts";
import { at } from "./core/assert.ts";
import { shardId } from "./core/ids.ts";
import type { Environment } from "./env/environment.ts";
import { Compactors } from "./shard/compactors.ts";
import { Shard } from "./shard/shard.ts";
import { BlockCache } from "./storage/block-cache.ts";
import type { ValueOptions } from "./storage/value-options.ts";
import type { ShardOptions } from "./shard/shard-options.ts";

const WORKER_ENTRY = new URL("../workers/shard.worker.ts", import.meta.url);
/** Bytes of entries a shard keeps in memory until they are applied. */
const PENDING_BYTES_MAX = 64 * 1024 * 1024;
/** A group is written when this much has gathered. */
const GROUP_BYTES_MAX = 4 * 1024 * 1024;
/** An idle shard proves its last group durable after this long. */
const IDLE_PROOF_MS = 50;
/** One step of flush or compaction where nothing is written meanwhile: about a millisecond of work. */
const STEP_BYTES = 256 * 1024;
const MS_OF_HOUR = 3_600_000;

export interface RunningShards {
  readonly open: OpenShard;
  /** Begins the work of what was opened. */
  start(): void;
  /** Ends what only served the shards, once they have stopped. */
  stop(): void;
}

export interface WorkerEvents {
  /** A worker has died, and its shards with it. */
  died(reason: string): void;
  /** A batch of replies has been handed out. */
  repliesCame(): void;
}

export function shardsOnThisThread(
  environment: Environment,
  settings: NodeSettings,
  clusterId: string,
  hasPeers: boolean,
): RunningShards {
  const threads = compactorThreads(settings.compactors, 1, environment.log);
  const blockCache = new BlockCache(settings.blockCacheBytes);
  const shardEnvironment = { ...environment, blockCache, compactors: new Compactors(at(threads.ends, 0)) };
  threads.start();
  const open = (shard: number, onReply: (reply: ShardReply) => void): ShardPort => {
    const memory = createShardMemory(settings.memtableBytes, settings.memtableArenas);
    const opened = Shard.open(shardEnvironment, shardOptions(settings, shard, clusterId, hasPeers), memory, onReply);
    const state = new SharedState(memory.state);
    const link = new DirectLink(opened);
    return {
      link,
      state,
      memtables: new MemtableSet(state, memory.arenas),
      background: () => link.background(),
      stir: () => link.stir(),
      dueInMs: () => link.dueInMs,
    };
  };
  return { open, start: () => undefined, stop: threads.stop };
}

/** Shards are dealt out to the workers in turn; a worker opens its shards when it starts. */
export function shardsInWorkers(
  environment: Environment,
  settings: NodeSettings,
  clusterId: string,
  hasPeers: boolean,
  events: WorkerEvents,
): RunningShards {
  const workerCount = Math.min(settings.workers, settings.shards);
  const threads = compactorThreads(settings.compactors, workerCount, environment.log);
  const options = {
    entry: WORKER_ENTRY,
    ringBytes: settings.ringBytes,
    queueBytesMax: queueBytesMax(settings, Math.ceil(settings.shards / workerCount)),
    blockCacheBytes: settings.blockCacheBytes,
    logLevel: settings.logLevel,
    logFields: { node: settings.id },
  };
  const workers = threads.ends.map(
    (compactors) => new ShardWorker({ ...options, compactors }, events.died, events.repliesCame),
  );
  const open = (shard: number, onReply: (reply: ShardReply) => void): ShardPort => {
    const memory = createShardMemory(settings.memtableBytes, settings.memtableArenas);
    const state = new SharedState(memory.state);
    const link = at(workers, shard % workerCount).add(
      { shard: shardId(shard), memory, options: shardOptions(settings, shard, clusterId, hasPeers) },
      onReply,
    );
    return {
      link,
      state,
      memtables: new MemtableSet(state, memory.arenas),
      background: () => false,
      stir: () => undefined,
      dueInMs: () => Number.POSITIVE_INFINITY,
    };
  };
  return {
    open,
    start: () => {
      threads.start();
      for (const worker of workers) worker.start();
    },
    stop: threads.stop,
  };
}

/** Raft hands out no more than this for the shards of one worker before it hears from them. */
function queueBytesMax(settings: NodeSettings, shardsPerWorker: number): number {
  return (settings.uncommittedBytes + settings.inflightBytes + settings.valueBytesMax * 4) * shardsPerWorker;
}

export function shardOptions(
  settings: NodeSettings,
  shard: number,
  clusterId: string,
  hasPeers: boolean,
): ShardOptions {
  const identity = { shard: shardId(shard), clusterId: Uint8Array.fromHex(clusterId) };
  return {
    shard: identity.shard,
    directory: `${settings.data}/shard-${String(shard).padStart(4, "0")}`,
    hasPeers,
    log: { ...identity, segmentBytes: settings.segmentBytes, isDirect: settings.logIo === "direct" },
    tree: {
      blockBytes: settings.blockBytes,
      bloomBitsPerKey: settings.bloomBitsPerKey,
      compaction: settings.compaction,
      compression: settings.compression,
      compressionLevel: settings.compressionLevel,
      prefixFilterBytes: settings.prefixFilterBytes,
      blockChecks: settings.blockChecks,
      tableIo: settings.tableIo,
      levelBytesBase: settings.levelBytes,
      level0Tables: settings.level0Tables,
      tableBytesMax: settings.tableBytes,
      ...(settings.separateValueBytes > settings.valueBytesMax ? {} : { values: valueOptions(settings) }),
    },
    memtableAgeMs: settings.memtableAgeMs === 0 ? Number.POSITIVE_INFINITY : settings.memtableAgeMs,
    replayBytesMax: settings.replayBytes,
    valueBytesMax: settings.valueBytesMax,
    pendingBytesMax: PENDING_BYTES_MAX,
    groupBytesMax: GROUP_BYTES_MAX,
    idleProofMs: IDLE_PROOF_MS,
    debtBytesMax: settings.debtBytes,
    snapshotsMax: settings.snapshotsMax,
    snapshotAgeMs: settings.snapshotAgeMs,
    stepBytes: STEP_BYTES,
    scrubBytesPerSecond: settings.scrubBytesPerSecond,
    scrubIntervalMs: settings.scrubIntervalHours * MS_OF_HOUR,
  };
}

function valueOptions(settings: NodeSettings): ValueOptions {
  return {
    thresholdBytes: settings.separateValueBytes,
    collectBelow: settings.collectBelowPercent / 100,
    segmentBytes: settings.segmentBytes,
    hotKeyBytes: settings.hotKeyBytes,
  };
}
