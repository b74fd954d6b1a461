/** What a log is told when it is opened. Defaults live in the configuration alone. */
import type { ShardId } from "../core/ids.ts";

/** Whose data this is. Every segment and hard state carries it, and one that carries another is refused. */
export interface LogIdentity {
  readonly shard: ShardId;
  /** 16 bytes. */
  readonly clusterId: Uint8Array;
}

export interface LogOptions extends LogIdentity {
  /** Length of a segment file; a group that does not fit gets a segment of its own length. */
  readonly segmentBytes: number;
  /** Whether segments are written past the page cache, where the disk can. */
  readonly isDirect: boolean;
}
