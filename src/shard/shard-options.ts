/** What a shard is told when it is opened. Defaults live in the configuration alone. */
import type { ShardId } from "../core/ids.ts";
import type { LogOptions } from "../log/log-options.ts";
import type { TreeOptions } from "../storage/tree-options.ts";

export interface ShardOptions {
  readonly shard: ShardId;
  /** The shard's own directory; it is created when it is not there. */
  readonly directory: string;
  /** Whether other members may have what this one loses. */
  readonly hasPeers: boolean;
  readonly log: LogOptions;
  readonly tree: TreeOptions;
  /** A memtable that is not empty is flushed at this age, full or not; 0: age does not count. */
  readonly memtableAgeMs: number;
  /** A memtable is flushed when so many bytes of log would have to be replayed into it, full or not. */
  readonly replayBytesMax: number;
  /** The longest value that a computed one (APPEND) may reach. The same on every node: it decides results. */
  readonly valueBytesMax: number;
  /** Bytes of entries kept in memory while they wait to be applied; more are read back from the log. */
  readonly pendingBytesMax: number;
  /** Appended bytes after which a turn writes the group it has instead of gathering more. */
  readonly groupBytesMax: number;
  /** Quiet time after which an idle shard writes the group that proves its last one durable. */
  readonly idleProofMs: number;
  /** Bytes that compaction is behind from which writers are slowed. */
  readonly debtBytesMax: number;
  /** Snapshots there may be at once. */
  readonly snapshotsMax: number;
  /** A snapshot that is older is ended, and reads through it are refused; 0: age does not count. */
  readonly snapshotAgeMs: number;
  /** Work of one background step. */
  readonly stepBytes: number;
  /** Bytes a second at which files that nobody reads are checked; 0: they are not. */
  readonly scrubBytesPerSecond: number;
  /** From the beginning of one pass over all files to that of the next, at least. */
  readonly scrubIntervalMs: number;
}
