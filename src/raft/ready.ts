/**
 * The boundary of the pure core: what it is told at birth and the work it hands out. The driver performs a Ready in any
 * order (save, append, send, apply, answer) and reports what the disk has done; the core itself holds back every message
 * that depends on the disk. The manner is that of etcd-io/raft.
 */
import type { LogIndex, NodeId, Term } from "../core/ids.ts";
import type { PlacedConfiguration } from "./configuration.ts";
import type { RaftEntry, RaftMessage, Snapshot } from "./messages.ts";

export interface RaftOptions {
  readonly id: NodeId;
  /** The least election timeout; the actual one is uniform in [electionTicks, 2 × electionTicks). */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** Entry bytes in one append; a single entry may be larger and then travels alone. */
  readonly appendBytesMax: number;
  /** Entry bytes, and appends, on the way to one follower and not yet acknowledged. */
  readonly inflightBytesMax: number;
  readonly inflightCountMax: number;
  /** Entry bytes proposed and not yet committed; beyond it proposals are refused as "full". */
  readonly uncommittedBytesMax: number;
  /** Entry bytes kept in memory behind min(committed, on disk), where there is another member to send them to. */
  readonly tailBytesMax: number;
  readonly preVote: boolean;
  /**
   * How long after its sending an answered round of a majority makes reads safe without another one, on this node's
   * monotonic clock; 0: never. Less than the shortest time in which a voter's clock can count the ticks of its promise:
   * electionTicks − 1 whole ones, by the fastest clock.
   */
  readonly leaseMs: number;
  /** The bytes of the entry a new leader appends first. */
  readonly emptyEntry: (index: LogIndex, term: Term) => Uint8Array;
}

/** A term of the log and the first index that has it. */
export interface TermRun {
  readonly firstIndex: LogIndex;
  readonly term: Term;
}

/** What the disk holds when the core is made: all of it proven durable. */
export interface RaftBoot {
  readonly term: Term;
  readonly vote: NodeId;
  /** First entry still in the log; lastIndex + 1 when there is none. */
  readonly firstIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** Term of the entry before firstIndex, 0 at the start of time. */
  readonly previousTerm: Term;
  /** The terms of the whole retained log, ascending. */
  readonly termRuns: readonly TermRun[];
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  /**
   * What this member once had it has given up: until its log reaches this entry again it neither votes nor campaigns, because
   * it does not know what it has acknowledged. 0: it has never given up anything.
   */
  readonly votesFrom: LogIndex;
  /** Ascending: the configuration in force before firstIndex (index 0: the first members) and all in the log. */
  readonly configurations: readonly PlacedConfiguration[];
}

export type Role = "leader" | "follower" | "candidate" | "preCandidate";
export type Refusal = "notLeader" | "full" | "transferring";
export type ReadRefusal = "notLeader" | "notReady";
/**
 * notReady: nothing of this term is committed yet; pending: the configuration before this one is not; invalid: it is more
 * than a single change.
 */
export type ConfigurationRefusal = "notLeader" | "transferring" | "notReady" | "pending" | "invalid";

/** What a member may do in elections, for what its own disk is worth. */
export interface Restraint {
  readonly mayCampaign: boolean;
  /** False where the end of the log is not sure: a vote promises that it was compared. Then it may not campaign, either. */
  readonly mayVote: boolean;
  /** Absent: the log here. Otherwise votes go only to those who are not behind this end either, which a part of the log that is lost had. */
  readonly lostEnd?: { readonly lastIndex: LogIndex; readonly lastTerm: Term };
}

export interface HardStateRecord {
  readonly term: Term;
  readonly vote: NodeId;
}

export interface ReadState {
  readonly context: number;
  /** The read is linearizable once the state has applied this index. */
  readonly index: LogIndex;
}

export interface EntryRead {
  readonly from: LogIndex;
  readonly bytesMax: number;
}

/** A snapshot and who has it. */
export interface SnapshotOffer extends Snapshot {
  readonly from: NodeId;
}

export interface Ready {
  /** To be saved, then reported by hardStateSaved. */
  readonly hardState: HardStateRecord | null;
  /** To be appended to the log, then reported by persisted. The first may be lower than the log's last: it supersedes. */
  readonly entries: readonly RaftEntry[];
  /** May all leave now. */
  readonly messages: readonly RaftMessage[];
  /**
   * Committed, and handed out as `entries` by now. While entries that supersede a write in flight are held back, the
   * index at which they stand still means something else on disk.
   */
  readonly commitIndex: LogIndex;
  readonly readStates: readonly ReadState[];
  /** Contexts of reads that can no longer be confirmed: nothing was read, they may be asked again elsewhere. */
  readonly readFailures: readonly number[];
  /** Old entries wanted for a follower, answered by entriesRead; never more than one outstanding. */
  readonly reads: readonly EntryRead[];
  /** Members that need a snapshot, each named once until it is answered: by offerSnapshot or by snapshotFailed. */
  readonly snapshotsWanted: readonly NodeId[];
  /**
   * A snapshot to be fetched from a member, news each time and in the place of any before it; then startInstall, and
   * snapshotInstalled or installAbandoned.
   */
  readonly install: SnapshotOffer | null;
  /** Role, leader or term is not what it was at the last Ready. */
  readonly roleChanged: boolean;
}
