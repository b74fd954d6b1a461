/** The memory main and a shard share, made by main before the shard opens. It never moves, and lives as long as both. */
import { assert } from "../core/assert.ts";
import { STATE_BYTES } from "./shared-state.ts";

export interface ShardMemory {
  readonly state: SharedArrayBuffer;
  /** One memtable each; see memtable-set.ts for how they take turns. */
  readonly arenas: readonly SharedArrayBuffer[];
}

const ARENA_COUNT_MIN = 3;

/** `arenaCount` at least 3: one being written, one being flushed, one whose return main still owes. */
export function createShardMemory(memtableBytes: number, arenaCount: number): ShardMemory {
  assert(arenaCount >= ARENA_COUNT_MIN, "a shard has three arenas or more");
  return {
    state: new SharedArrayBuffer(STATE_BYTES),
    arenas: Array.from({ length: arenaCount }, () => new SharedArrayBuffer(memtableBytes)),
  };
}
