/**
 * What a tree is told when it is opened: sizes, and whose data it holds. Defaults live in the configuration alone.
 */
import type { ShardId } from "../core/ids.ts";

export interface TreeOptions {
  /** A block is ended when it has reached this size; an entry that is larger by itself gets a block of its own. */
  readonly blockBytes: number;
  /** Bits of bloom filter for each distinct key of a table. */
  readonly bloomBitsPerKey: number;
  /** Leveled: the least space and the quickest reads. Tiered: the fewest bytes written. */
  readonly compaction: "leveled" | "tiered";
  /** The largest that the level may be into which level 0 goes; each deeper one holds ten times the one above. */
  readonly levelBytesBase: number;
  /** Runs in level 0 that make a compaction due; tiered: twice as many in the whole tree. */
  readonly level0Tables: number;
  /** A table is ended at the first key behind this size. As much memory is held by a job that writes one. */
  readonly tableBytesMax: number;
}

/** Whose data this is. Every table and manifest carries it, and one that carries another is refused. */
export interface TreeIdentity {
  /** 16 bytes. */
  readonly clusterId: Uint8Array;
  readonly shard: ShardId;
}
