/** What flushes and compactions tell their shard, and ask of it. Shard thread. */
import type { FlushedPosition } from "../storage/manifest-format.ts";

export interface MaintenanceEvents {
  /** Where the active memtable ends now. */
  position(): FlushedPosition;
  /** The tables have everything of the arena, and nothing here reads it any more. */
  arenaFlushed(arena: number): void;
  /** A compaction has thrown this. True: it was about a table, which is quarantined now. */
  damaged(cause: unknown): boolean;
}
