/** The figures of a shard at this moment. Shard thread. */
import type { ShardStats } from "../bridge/shard-protocol.ts";
import type { Recovered } from "./recovery.ts";

export function statsOf(parts: Recovered, appliedIndex: number): ShardStats {
  const { tree, log, store, state } = parts;
  const tables = tree.stats();
  const segments = log.stats();
  return {
    appliedIndex,
    flushedIndex: tree.flushed.index,
    memtableBytes: store.active.bytesUsed,
    memtableEntries: store.active.entryCount,
    tableCount: tables.tableCount,
    tableBytes: tables.tableBytes,
    runCount: tables.runCount,
    oldestRunBytes: tables.oldestRunBytes,
    tableEntries: tables.tableEntries,
    segmentCount: segments.segmentCount,
    segmentBytes: segments.segmentBytes,
    syncCount: segments.syncCount,
    groupCount: segments.groupCount,
    flushCount: tables.flushCount,
    compactionCount: tables.compactionCount,
    arenasInUse: store.arenas.inUseCount,
    logBytes: segments.writtenBytes,
    flushBytes: tables.flushBytes,
    compactionBytes: tables.compactionBytes,
    debtBytes: tree.debtBytes,
    writeDelayMicros: state.writeDelayMicros,
    stallCount: state.stallCount,
    quarantinedTables: tree.damagedTables.length,
    quarantinedSegments: log.damagedSegments.length,
    blockCacheBytes: parts.blockCache.stats.byteCount,
    blockCacheHits: parts.blockCache.stats.hitCount,
    blockCacheMisses: parts.blockCache.stats.missCount,
    snapshotCount: store.snapshots.count,
    oldestSnapshotAgeMs: Math.floor(store.snapshots.oldestAgeMs),
    valueFileCount: tables.valueFileCount,
    valueFileBytes: tables.valueFileBytes,
    valueBytesLive: tables.valueBytesLive,
    quarantinedValueFiles: tree.valueFiles.live.filter(({ damage }) => damage !== null).length,
    hotKeyCount: tables.hotKeyCount,
    hotKeyBytes: tables.hotKeyBytes,
    hotKeyHits: tables.hotKeyHits,
    tablesPerLevel: tables.tablesPerLevel,
  };
}
