/** The shard of a simulated node: the production one, on the node's own thread, so small that a short run sees all it does. */
import { createShardMemory } from "../bridge/shard-memory.ts";
import { MemtableSet } from "../bridge/memtable-set.ts";
import type { ShardReply } from "../bridge/shard-protocol.ts";
import { SharedState } from "../bridge/shared-state.ts";
import { DirectLink } from "../cluster/direct-link.ts";
import type { ShardPort } from "../cluster/shard-port.ts";
import { shardId } from "../core/ids.ts";
import type { Environment } from "../env/environment.ts";
import { Shard } from "../shard/shard.ts";
import { BlockCache } from "../storage/block-cache.ts";
import { type NodeLog, WatchedLink } from "./node-log.ts";

const KIB = 1024;

/** A shard on the node's own thread, with everything small so that a short run sees rotations, flushes, compactions. */
export function openSimShard(
  env: Environment,
  directory: string,
  clusterIdHex: string,
  shard: number,
  hasPeers: boolean,
  log: NodeLog,
  reply: (reply: ShardReply) => void,
): { shard: Shard; port: ShardPort } {
  const id = shardId(shard);
  const memory = createShardMemory(64 * KIB, 3);
  const clusterId = new Uint8Array(Buffer.from(clusterIdHex, "hex"));
  const options = {
    shard: id,
    directory: `${directory}/shard-${String(shard).padStart(4, "0")}`,
    log: { shard: id, clusterId, segmentBytes: 64 * KIB, isDirect: false },
    tree: {
      blockBytes: 512,
      bloomBitsPerKey: 10,
      // Both, in one cluster.
      compaction: shard % 2 === 0 ? ("leveled" as const) : ("tiered" as const),
      compression: "none" as const,
      compressionLevel: 1,
      prefixFilterBytes: 0,
      blockChecks: "first" as const,
      tableIo: "mmap" as const,
      levelBytesBase: 64 * KIB,
      level0Tables: 2,
      tableBytesMax: 16 * KIB,
    },
    memtableAgeMs: 1500,
    valueBytesMax: 16 * KIB,
    replayBytesMax: 1024 * KIB,
    pendingBytesMax: 16 * KIB,
    groupBytesMax: 64 * KIB,
    idleProofMs: 50,
    debtBytesMax: 1024 * KIB,
    snapshotsMax: 16,
    snapshotAgeMs: 0,
    stepBytes: 4 * KIB,
    scrubBytesPerSecond: 0,
    hasPeers,
    scrubIntervalMs: 0,
  };
  const opened = Shard.open({ ...env, blockCache: new BlockCache(64 * KIB) }, options, memory, reply);
  const link = new DirectLink(opened);
  const state = new SharedState(memory.state);
  const memtables = new MemtableSet(state, memory.arenas);
  return {
    shard: opened,
    port: {
      link: new WatchedLink(link, log),
      state,
      memtables,
      background: () => link.background(),
      stir: () => link.stir(),
      dueInMs: () => link.dueInMs,
    },
  };
}
