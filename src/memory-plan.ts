/**
 * How a node divides the memory that it may take. About a third is for what cannot be divided (the runtime, filters and
 * indexes of tables); what is left over is the page cache's, which mapped tables live on.
 */

/** Of the whole. */
const MEMTABLES_SHARE = 1 / 8;
const LOG_TAILS_SHARE = 1 / 64;
const UNPACKED_BLOCKS_SHARE = 1 / 16;
/** Past the page cache there is no other memory for blocks. */
const DIRECT_BLOCKS_SHARE = 1 / 4;

export interface MemoryUsers {
  readonly shards: number;
  /** Threads that host shards, the main thread if there are no others. */
  readonly hosts: number;
  readonly memtableArenas: number;
  readonly tableIo: "mmap" | "direct";
}

export interface MemoryPlan {
  readonly memtableBytes: number;
  readonly blockCacheBytes: number;
  readonly logTailBytes: number;
}

/** No larger than `usual`, except for the blocks of direct reads. */
export function planMemory(memoryBytes: number, users: MemoryUsers, usual: MemoryPlan): MemoryPlan {
  const isDirect = users.tableIo === "direct";
  const part = (share: number, count: number): number => Math.floor((memoryBytes * share) / count);
  const blocks = part(isDirect ? DIRECT_BLOCKS_SHARE : UNPACKED_BLOCKS_SHARE, users.hosts);
  return {
    memtableBytes: Math.min(usual.memtableBytes, part(MEMTABLES_SHARE, users.shards * users.memtableArenas)),
    blockCacheBytes: isDirect ? blocks : Math.min(usual.blockCacheBytes, blocks),
    logTailBytes: Math.min(usual.logTailBytes, part(LOG_TAILS_SHARE, users.shards)),
  };
}
