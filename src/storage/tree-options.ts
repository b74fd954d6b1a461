/**
 * What a tree is told when it is opened: sizes, and whose data it holds. Defaults live in the configuration alone.
 */
import type { ShardId } from "../core/ids.ts";
import type { ValueOptions } from "./value-options.ts";

export interface TreeOptions {
  /** A block is ended when it has reached this size; an entry that is larger by itself gets a block of its own. */
  readonly blockBytes: number;
  /** Bits of bloom filter for each distinct key of a table. */
  readonly bloomBitsPerKey: number;
  /** Leveled: the least space and the quickest reads. Tiered: the fewest bytes written. */
  readonly compaction: "leveled" | "tiered";
  /** Blocks written from now on: as they are, or packed if that makes them smaller by an eighth. */
  readonly compression: "none" | "zstd";
  /** 1 to 22. */
  readonly compressionLevel: number;
  /** The first bytes of keys for which tables written from now on have a filter of their own; 0: none. */
  readonly prefixFilterBytes: number;
  /** When the checksum of a block is verified. */
  readonly blockChecks: BlockChecks;
  /** Tables are mapped, or read past the page cache; then what is kept of them is what the block cache keeps. */
  readonly tableIo: "mmap" | "direct";
  /** The largest that the level may be into which level 0 goes; each deeper one holds ten times the one above. */
  readonly levelBytesBase: number;
  /** Runs in level 0 that make a compaction due; tiered: twice as many in the whole tree. */
  readonly level0Tables: number;
  /** A table is ended at the first key behind this size. As much memory is held by a job that writes one. */
  readonly tableBytesMax: number;
  /** Replaced files from this size on are removed one a step, others at once; absent: 1 MiB. */
  readonly slowRemovalBytes?: number;
  /** Absent: every value lies in the tables. */
  readonly values?: ValueOptions;
}

/** always: at every read. first: at the first since the table was opened. never: at none, and damage may pass for data. */
export type BlockChecks = "always" | "first" | "never";

/** Whose data this is. Every table and manifest carries it, and one that carries another is refused. */
export interface TreeIdentity {
  /** 16 bytes. */
  readonly clusterId: Uint8Array;
  readonly shard: ShardId;
}
