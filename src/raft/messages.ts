/**
 * What the members of one group say to each other: a closed union. The network may lose, repeat, delay and reorder any of
 * them. `term` is the sender's term when it spoke, except in `preVote` (the term the sender would campaign in) and in a
 * granted `preVoteReply` (the same term, echoed).
 */
import type { LogIndex, NodeId, Term } from "../core/ids.ts";
import type { Configuration } from "./configuration.ts";

/** An entry as the core sees it: the bytes are the record codec's business. */
export interface RaftEntry {
  readonly index: LogIndex;
  readonly term: Term;
  readonly bytes: Uint8Array;
  /** Who belongs to the group from this entry on; null in every entry that does not say. */
  readonly configuration: Configuration | null;
}

interface Envelope {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly term: Term;
}

export interface PreVoteRequest extends Envelope {
  readonly type: "preVote";
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
}

export interface VoteRequest extends Envelope {
  readonly type: "vote";
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** The leader has asked for this campaign: what was promised to it does not stand in its way. */
  readonly isTransfer: boolean;
}

export interface VoteReply extends Envelope {
  readonly type: "preVoteReply" | "voteReply";
  readonly granted: boolean;
}

export interface Append extends Envelope {
  readonly type: "append";
  readonly previousIndex: LogIndex;
  readonly previousTerm: Term;
  /** Consecutive from previousIndex + 1. Empty: a question whether the log matches there, always answered. */
  readonly entries: readonly RaftEntry[];
  readonly commitIndex: LogIndex;
  readonly readRound: number;
  readonly releaseIndex: LogIndex;
}

export interface AppendReply extends Envelope {
  readonly type: "appendReply";
  readonly rejected: boolean;
  /** Accepted: the last index known to match the leader's log and to be on disk. Rejected: the previousIndex refused. */
  readonly matchIndex: LogIndex;
  /** Accepted: the last index known to match, on disk or not. Rejected: where the follower suggests to look next. */
  readonly hintIndex: LogIndex;
  /** Rejected: the follower's term at hintIndex. Accepted: 0. */
  readonly hintTerm: Term;
  readonly readRound: number;
}

export interface Heartbeat extends Envelope {
  readonly type: "heartbeat";
  /** At most what the leader knows to be in the receiver's log. */
  readonly commitIndex: LogIndex;
  /** 0: only news of the commit, no reply wanted. */
  readonly readRound: number;
  readonly releaseIndex: LogIndex;
}

export interface HeartbeatReply extends Envelope {
  readonly type: "heartbeatReply";
  readonly readRound: number;
  /** The last index known to match the leader's log, on disk or not: it tells the leader what was lost on the way. */
  readonly lastIndex: LogIndex;
}

/** The leader hands over: the receiver has everything, and is to campaign now. */
export interface TimeoutNow extends Envelope {
  readonly type: "timeoutNow";
}

/** A state of the group as of an entry, complete: what a member needs whose next entry is in no log any more. */
export interface Snapshot {
  /** Names it at the member that has it. */
  readonly id: number;
  readonly index: LogIndex;
  readonly term: Term;
  /** In force at that index. */
  readonly configuration: Configuration;
}

/** An offer, not the state itself: the receiver fetches that. */
export interface InstallSnapshot extends Envelope {
  readonly type: "installSnapshot";
  readonly snapshot: Snapshot;
}

export type RaftMessage =
  | PreVoteRequest
  | VoteRequest
  | VoteReply
  | Append
  | AppendReply
  | Heartbeat
  | HeartbeatReply
  | TimeoutNow
  | InstallSnapshot;

/** Whether a message answers one of the receiver's own. */
export function isReply({ type }: RaftMessage): boolean {
  return type === "preVoteReply" || type === "voteReply" || type === "appendReply" || type === "heartbeatReply";
}

/**
 * How far ahead of one's own a term may be: more elections than a group can have while a member is away. Who took over any
 * term there is would be left, by a single message that is wrong, without a next one to campaign in.
 */
const TERMS_AHEAD_MAX = 2 ** 32;

/** Whether somebody who is in term `own` may be told of this one. */
export function isWithinReach(term: Term, own: Term): boolean {
  return term - own <= TERMS_AHEAD_MAX;
}

/** Whether what a message says can be, whoever says it. */
export function isWellFormed(message: RaftMessage): boolean {
  if (message.type === "append") return isConsecutive(message);
  return message.type !== "installSnapshot" || message.snapshot.term <= message.term;
}

/** Whether the entries follow each other and the place named, with terms that neither fall nor exceed the message's. */
function isConsecutive(message: Append): boolean {
  let index: number = message.previousIndex;
  let term: number = message.previousTerm;
  for (const entry of message.entries) {
    index += 1;
    if (entry.index !== index || entry.term < term || entry.term > message.term) return false;
    term = entry.term;
  }
  return true;
}
