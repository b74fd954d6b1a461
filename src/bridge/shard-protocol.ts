/**
 * Everything that main and a shard say to each other: two closed unions and their codec. The direct link passes the
 * objects as they are; the ring link passes their bytes. The order of requests is the order of effects.
 */
import type { ErrorCode } from "../core/errors.ts";
import type { LogIndex, NodeId, Term } from "../core/ids.ts";
import type { Stamp } from "../core/stamp.ts";
import type { LoggedConfiguration } from "../record/logged-configuration.ts";
import type { Result } from "../record/result.ts";
import type { RepairReply, RepairRequest } from "./repair-protocol.ts";

/** A read of one shard. All answer with a Result. */
export type ReadRequest =
  /** version or nil. With `metadataOnly` the value stays where it is and `value` comes back empty. */
  | { readonly type: "get"; readonly bucket: number; readonly key: Uint8Array; readonly metadataOnly: boolean }
  /** stamped or nil: the same with the stamp of the version. */
  | { readonly type: "stamped"; readonly bucket: number; readonly key: Uint8Array; readonly metadataOnly: boolean }
  /**
   * page: the visible keys of a bucket behind `after` (null: from the start). It looks at no more than `examineMax`
   * keys and returns no more than `bytesMax` bytes of keys, at least one. `pattern` is a Redis glob or null for all.
   */
  | {
      readonly type: "page";
      readonly bucket: number;
      readonly after: Uint8Array | null;
      readonly examineMax: number;
      readonly bytesMax: number;
      readonly pattern: Uint8Array | null;
      readonly mode: "keys" | "count";
    }
  /** bytes (some visible key of the bucket, chosen by `random`, a u32) or nil when there is none. */
  | { readonly type: "sample"; readonly bucket: number; readonly random: number }
  | ScanRequest;

/** An end of a range of keys. */
export interface KeyBound {
  readonly key: Uint8Array;
  readonly isInclusive: boolean;
}

/**
 * entries: the visible keys of a bucket that begin with `prefix` and lie within both bounds (null: none on that side), in
 * key order or against it, with their values unless `keysOnly`. At most `entriesMax` of them and about `bytesMax` bytes of
 * keys and values, but at least one. The next page begins behind (or before) the last key of this one. At `asOf` instead of
 * now, as long as that moment is kept: otherwise the error HISTORY_GONE.
 */
export interface ScanRequest {
  readonly type: "scan";
  readonly bucket: number;
  readonly prefix: Uint8Array;
  readonly lower: KeyBound | null;
  readonly upper: KeyBound | null;
  readonly isReverse: boolean;
  readonly keysOnly: boolean;
  readonly entriesMax: number;
  readonly bytesMax: number;
  readonly asOf: Stamp | null;
}

export type ShardRequest =
  /**
   * Consecutive verified entries (a lower index than the log's last supersedes what is there), to be written in one
   * group and made durable. The shard may apply up to `applyThrough` by itself as soon as they are. With `wantResults`
   * it sends the results of commands that have one when it applies these entries.
   */
  | {
      readonly type: "append";
      readonly entries: readonly Uint8Array[];
      readonly commitIndex: LogIndex;
      readonly applyThrough: LogIndex;
      readonly wantResults: boolean;
    }
  | { readonly type: "commit"; readonly commitIndex: LogIndex }
  | { readonly type: "saveHardState"; readonly term: Term; readonly vote: NodeId }
  /** Answered in `readResult` once the shard has applied `minIndex`, and before it applies anything sent after this. */
  | { readonly type: "read"; readonly requestId: number; readonly minIndex: LogIndex; readonly read: ReadRequest }
  /** Old entries for a follower that is behind: from `from`, at most `bytesMax` but at least one. */
  | { readonly type: "readEntries"; readonly from: LogIndex; readonly bytesMax: number }
  /**
   * No member needs entries below this index any more; and of those that are in tables no more are kept for members that
   * may still need them than so many bytes of log.
   */
  | { readonly type: "release"; readonly index: LogIndex; readonly retainedBytes: number }
  /** Memtable to tables; `done` when it is. */
  | { readonly type: "flush"; readonly requestId: number }
  /** Everything to the last level; `done` when it is. */
  | { readonly type: "compact"; readonly requestId: number }
  | { readonly type: "stats"; readonly requestId: number }
  /** Memtable to tables, and second names for these; `snapshotMade` when they can be read, or `done` with an error. */
  | { readonly type: "snapshot"; readonly requestId: number }
  /**
   * Bytes of a file, by its place in the description, fewer than asked for only at the end of the file or beyond 1 MiB:
   * `snapshotPiece`, or `done` with an error.
   */
  | {
      readonly type: "snapshotRead";
      readonly requestId: number;
      readonly id: number;
      readonly file: number;
      readonly offset: number;
      readonly byteCount: number;
    }
  /** Nobody reads the snapshot any more. */
  | { readonly type: "snapshotDrop"; readonly id: number }
  /**
   * A snapshot of another member is to take the place of what the shard holds, by its description: `installBegun`, or `done`
   * with an error. One that is not ahead of what is applied, or whose last entry the log has, is refused. The same
   * description again goes on where it was, after a restart too; another one gives the first up.
   */
  | { readonly type: "installBegin"; readonly requestId: number; readonly description: Uint8Array }
  /**
   * The next bytes of a file, by its place in the description: `done`. After an error the file may have to come again from its
   * start: `installBegin` tells.
   */
  | {
      readonly type: "installPiece";
      readonly requestId: number;
      readonly file: number;
      readonly offset: number;
      readonly bytes: Uint8Array;
    }
  /**
   * All files are there: `installed`, or `done` with an error. Entries and commit indexes sent after this and before
   * `installed` may be dropped: whoever sent them begins anew with what `installed` says.
   */
  | { readonly type: "installEnd"; readonly requestId: number }
  | RepairRequest
  /**
   * The shard gives up all it holds, and does not vote until its log reaches `votesFrom`: `emptied`, or `done` with an error.
   * What is sent meanwhile may be dropped, as behind `installEnd`.
   */
  | { readonly type: "empty"; readonly requestId: number; readonly votesFrom: LogIndex }
  /** Main no longer reads this memtable arena. */
  | { readonly type: "returnArena"; readonly arena: number }
  | { readonly type: "stop" };

/** A term of the log and the first index that has it. */
export interface TermRun {
  readonly firstIndex: LogIndex;
  readonly term: Term;
}

/** What a shard knows when it has recovered: where Raft goes on. */
export interface ShardBoot {
  readonly hardTerm: Term;
  readonly hardVote: NodeId;
  /** What it once held it has given up: its member does not vote until the log reaches this entry; 0: never. */
  readonly votesFrom: LogIndex;
  /** First entry still in the log; lastIndex + 1 when the log is empty. */
  readonly firstIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** Term of the entry before firstIndex, 0 at the start of time. */
  readonly previousTerm: Term;
  /** The terms of the whole retained log, ascending. */
  readonly termRuns: readonly TermRun[];
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly stampHigh: number;
  readonly stampLow: number;
  /**
   * Ascending: the configuration in force where the tables end, unless that is still the first one, and those of the log
   * behind it, applied or not.
   */
  readonly configurations: readonly LoggedConfiguration[];
  /** Not null: entries that this member may have acknowledged are gone from its log. */
  readonly lostEnd: LostEnd | null;
  /** The shard's system bucket as applied: key text → value. */
  readonly system: readonly SystemChange[];
}

/** Where a log ended of which a part is lost; index 0: that is not known. */
export interface LostEnd {
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
}

/** A file of a snapshot that is being installed. */
export interface InstallFile {
  readonly byteCount: number;
  /** Of these, from the start, so many are there: the next piece begins behind them. */
  readonly heldBytes: number;
}

/** A key of the shard's system bucket; null value: removed. */
export interface SystemChange {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** The result of one command, named by its entry and its place in it (from 0). */
export interface CommandResult {
  readonly index: LogIndex;
  readonly ordinal: number;
  readonly result: Result;
}

export interface ShardStats {
  readonly appliedIndex: number;
  readonly flushedIndex: number;
  readonly memtableBytes: number;
  readonly memtableEntries: number;
  readonly tableCount: number;
  readonly tableBytes: number;
  /** Runs of tables that a look-up may have to ask: read amplification. */
  readonly runCount: number;
  /** Of the oldest run: `tableBytes` over these is space amplification, at most. */
  readonly oldestRunBytes: number;
  readonly tableEntries: number;
  readonly segmentCount: number;
  readonly segmentBytes: number;
  readonly syncCount: number;
  readonly groupCount: number;
  readonly flushCount: number;
  readonly compactionCount: number;
  readonly arenasInUse: number;
  /** Written since the shard was opened; write amplification is the sum of these over the bytes that clients wrote. */
  readonly logBytes: number;
  readonly flushBytes: number;
  readonly compactionBytes: number;
  /** What compaction still has to rewrite, and what that makes a MiB of writes wait. */
  readonly debtBytes: number;
  readonly writeDelayMicros: number;
  /** How often the shard could not apply because no arena was free. */
  readonly stallCount: number;
  /** Files that are known to be damaged. */
  readonly quarantinedTables: number;
  readonly quarantinedSegments: number;
  /** Of all shards of the thread together. */
  readonly blockCacheBytes: number;
  readonly blockCacheHits: number;
  readonly blockCacheMisses: number;
  readonly snapshotCount: number;
  /** 0 when there is none. */
  readonly oldestSnapshotAgeMs: number;
  /** Files outside the tables that hold values, their bytes, and how many of these are pointed to. */
  readonly valueFileCount: number;
  readonly valueFileBytes: number;
  readonly valueBytesLive: number;
  /** Those among them that are known to be damaged, segments of the log too. */
  readonly quarantinedValueFiles: number;
  /** Keys whose places are in memory, the memory set aside for them, and how many look-ups they have answered. */
  readonly hotKeyCount: number;
  readonly hotKeyBytes: number;
  readonly hotKeyHits: number;
  /** Tables of each level, level 0 first. */
  readonly tablesPerLevel: readonly number[];
}

export type ShardReply =
  | { readonly type: "opened"; readonly boot: ShardBoot }
  /** Everything up to this entry is on disk for good. */
  | { readonly type: "persisted"; readonly lastIndex: LogIndex; readonly lastTerm: Term }
  | { readonly type: "hardStateSaved"; readonly term: Term; readonly vote: NodeId }
  | {
      readonly type: "applied";
      readonly appliedIndex: LogIndex;
      /** The largest stamp applied. */
      readonly stampHigh: number;
      readonly stampLow: number;
      readonly results: readonly CommandResult[];
      readonly system: readonly SystemChange[];
    }
  | { readonly type: "readResult"; readonly requestId: number; readonly result: Result }
  /** Empty when the entries are no longer in the log. */
  | { readonly type: "entriesRead"; readonly from: LogIndex; readonly entries: readonly Uint8Array[] }
  /** The log begins at this entry from now on; the one before it, which is gone, was of this term. */
  | { readonly type: "logReleased"; readonly firstIndex: LogIndex; readonly previousTerm: Term }
  | { readonly type: "done"; readonly requestId: number; readonly result: Result }
  | { readonly type: "stats"; readonly requestId: number; readonly stats: ShardStats }
  | {
      readonly type: "snapshotMade";
      readonly requestId: number;
      readonly id: number;
      /** The last entry in it. */
      readonly index: LogIndex;
      readonly term: Term;
      /** The body of the configuration in force there; empty: still the first one. */
      readonly configuration: Uint8Array;
      /** What the receiver's shard needs to be told (`installBegin`), its files among it. */
      readonly description: Uint8Array;
    }
  | { readonly type: "snapshotPiece"; readonly requestId: number; readonly bytes: Uint8Array }
  /** The files that are to be sent, in the order of the description, and how much of each is there already. */
  | { readonly type: "installBegun"; readonly requestId: number; readonly files: readonly InstallFile[] }
  /** Main reads no memtable any more, and returns all of them, the one being written last: see memtable-set.ts. */
  | { readonly type: "arenasRecalled" }
  /**
   * The shard holds the snapshot now, and nothing else: all that Raft and the catalog know of it begins anew with this. Hard
   * state is as it was.
   */
  | { readonly type: "installed"; readonly requestId: number; readonly boot: ShardBoot }
  | RepairReply
  /** The shard holds nothing now, as if it had never been; but hard state is as it was. */
  | { readonly type: "emptied"; readonly requestId: number; readonly boot: ShardBoot }
  /** The shard reads this arena no longer; main answers `returnArena` when it does not either. */
  | { readonly type: "arenaRetired"; readonly arena: number }
  /** The shard has failed and does nothing more. */
  | { readonly type: "failed"; readonly code: ErrorCode; readonly message: string }
  /** What was lost of the log has been made up for. */
  | { readonly type: "logWhole" }
  | { readonly type: "stopped" };

/** Main's side of one shard, whatever lies between: a ring to a worker, or the same thread. */
export interface ShardLink {
  /** Hands over a request; it takes effect no later than the next `flush`. */
  send(request: ShardRequest): void;
  /** Publishes everything sent since the last flush. On the direct link it is taken and written now. */
  flush(): void;
  /** On the direct link: applies what is durable and decided, after the answers that need not wait for it have left. */
  settle(): void;
  /** Whether the shard is behind by more than the link holds: clients that feed it must be paused. */
  readonly congested: boolean;
}
