/**
 * The core of one Raft group's member (Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm",
 * 2014; Ongaro's thesis for pre-vote and check-quorum; the event-driven form of etcd-io/raft). It knows no socket, file or
 * clock: it is told of ticks, messages and what the disk has done, and hands out work by `ready`. The same calls in the
 * same order give the same work.
 *
 *   tick · step · propose · readIndex ──► state in memory ──► ready() ──► save, append, send, answer
 *                                              ▲                              │
 *                                              └── hardStateSaved · persisted ┘
 *
 * What depends on the disk waits for the disk: a vote, and every message of a new term, until the hard state is saved; an
 * acknowledgement, and the leader's own share of a majority, until the entries are. So a driver may send at once.
 *
 * Elections and the gate for messages are here; a leader's work is in `leadership.ts`, a follower's in `following.ts`.
 */
import { assert, unreachable } from "../core/assert.ts";
import { type LogIndex, NO_NODE, type NodeId, type Term } from "../core/ids.ts";
import type { Random } from "../core/random.ts";
import { ElectionTimer } from "./election-timer.ts";
import { Following } from "./following.ts";
import { HardState } from "./hard-state.ts";
import { Leadership } from "./leadership.ts";
import {
  type Append,
  type Heartbeat,
  isWellFormed,
  type RaftEntry,
  type RaftMessage,
  type VoteReply,
  type VoteRequest,
} from "./messages.ts";
import { Outbox } from "./outbox.ts";
import { majorityOf, type VoteOutcome, VoteTally } from "./quorum.ts";
import { RaftLog } from "./raft-log.ts";
import type { RaftBoot, RaftOptions, ReadRefusal, Ready, Refusal, Role } from "./ready.ts";

export class Raft {
  readonly #options: RaftOptions;
  readonly #log: RaftLog;
  readonly #hardState: HardState;
  readonly #outbox: Outbox;
  readonly #following: Following;
  readonly #tally: VoteTally;
  readonly #timer: ElectionTimer;
  #leadership: Leadership | null = null;
  #role: Role = "follower";
  #leader: NodeId = NO_NODE;
  #roleChanged = true;
  #reportedCommit = -1;

  constructor(options: RaftOptions, boot: RaftBoot, random: Random) {
    assert(options.voters.includes(options.id), "a member of the group is one of its voters");
    assert(options.heartbeatTicks < options.electionTicks, "a heartbeat comes before an election");
    this.#options = options;
    this.#log = new RaftLog(boot, options.tailBytesMax);
    this.#hardState = new HardState(boot.term, boot.vote);
    // Entries of a term are on disk only after that term was entered: without a vote, or the vote would be there too.
    if (boot.lastTerm > boot.term) this.#hardState.enterTerm(boot.lastTerm, NO_NODE);
    this.#outbox = new Outbox(this.#hardState);
    this.#following = new Following(options.id, this.#hardState, this.#log, this.#outbox);
    this.#tally = new VoteTally(options.voters);
    const isNew = boot.term === 0 && boot.lastIndex === 0;
    const quietTicks = isNew || options.voters.length === 1 ? 0 : options.electionTicks;
    this.#timer = new ElectionTimer(random, options.electionTicks, quietTicks);
  }

  get role(): Role {
    return this.#role;
  }
  get term(): Term {
    return this.#hardState.term;
  }
  get vote(): NodeId {
    return this.#hardState.vote;
  }
  /** Who leads this term as far as known, or NO_NODE. */
  get leader(): NodeId {
    return this.#leader;
  }
  get commitIndex(): LogIndex {
    return this.#log.commitIndex;
  }
  get lastIndex(): LogIndex {
    return this.#log.lastIndex;
  }
  /** Leader: the index of its own first entry. Otherwise 0. */
  get termStartIndex(): LogIndex {
    return this.#leadership?.startIndex ?? (0 as LogIndex);
  }
  /** Every voter has everything below this index on disk. Never beyond commitIndex + 1, never falls. */
  get releaseIndex(): LogIndex {
    return this.#leadership?.releaseIndex ?? this.#following.releaseIndex;
  }

  termAt(index: LogIndex): Term | undefined {
    return this.#log.termAt(index);
  }

  // ---- time

  tick(): void {
    this.#timer.tick();
    if (this.#leadership !== null) {
      this.#leadership.tick();
      if (!this.#timer.isLeastPassed) return;
      this.#timer.reset();
      if (!this.#leadership.checkQuorum()) this.#follow(this.term, NO_NODE);
      return;
    }
    // A candidate whose own vote is not on disk yet must not run on to the next term: a slow disk would never catch up.
    const waitsForDisk = this.#role === "candidate" && !this.#hardState.settled;
    if (this.#timer.isExpired && !waitsForDisk) this.campaign();
  }

  /** Starts an election now. */
  campaign(): void {
    if (this.#leadership !== null) return;
    this.#timer.restart();
    if (this.#options.preVote && this.#options.voters.length > 1) this.#becomePreCandidate();
    else this.#becomeCandidate();
  }

  // ---- requests

  /**
   * Leader only: appends an entry of `byteCount` bytes, which `seal` makes for the index and term it got. Refused when
   * too much is not yet committed: the caller waits for commits.
   */
  propose(
    byteCount: number,
    seal: (index: LogIndex, term: Term) => Uint8Array,
  ): { index: LogIndex; term: Term } | Refusal {
    if (this.#leadership === null) return "notLeader";
    const index = this.#leadership.propose(byteCount, seal);
    return typeof index === "string" ? index : { index, term: this.term };
  }

  /**
   * Leader only: the index a linearizable read must wait for, answered in Ready.readStates (or readFailures) under
   * `context`. Refused until an entry of this term is committed, because only then is the commit index known.
   */
  readIndex(context: number): true | ReadRefusal {
    return this.#leadership === null ? "notLeader" : this.#leadership.readIndex(context);
  }

  /**
   * Leader only: whether a read that `asker`, a voter, has handed over to it as the leader it follows needs no round. When
   * the two are a majority, the handing over proves what a round would: had a later leader been elected before it, one of
   * the two would have voted for it, and would be in its term, where the asker follows somebody else and this node does
   * not lead. So whatever was acknowledged before the question was asked is in this log and committed here.
   */
  isConfirmedBy(asker: NodeId): boolean {
    const { id, voters } = this.#options;
    const supporters = asker !== id && voters.includes(asker) ? 2 : 1;
    return supporters >= majorityOf(voters.length);
  }

  // ---- the disk's word

  /** Everything up to this entry is on disk for good. */
  persisted(lastIndex: LogIndex, lastTerm: Term): void {
    this.#log.persisted(lastIndex, lastTerm);
    if (this.#leadership !== null) this.#leadership.advanceCommit();
    else if (this.#leader !== NO_NODE) this.#following.onPersisted(this.#leader);
  }

  hardStateSaved(term: Term, vote: NodeId): void {
    const wasSettled = this.#hardState.settled;
    if (!this.#hardState.saved(term, vote) || wasSettled) return;
    this.#outbox.releaseHeld();
    if (this.#role === "candidate") this.#count(this.#options.id, true);
  }

  /** The answer to Ready.reads; empty when the entries are no longer in the log. */
  entriesRead(from: LogIndex, entries: readonly RaftEntry[]): void {
    this.#outbox.entriesArrived();
    this.#leadership?.onEntries(from, entries);
  }

  /** The work gathered since the last call, or null if there is none. */
  ready(): Ready | null {
    this.#leadership?.prepare();
    const ready: Ready = {
      hardState: this.#hardState.take(),
      entries: this.#log.takeUnwritten(),
      messages: this.#outbox.takeMessages(),
      commitIndex: this.#log.tellableCommit,
      readStates: this.#outbox.takeReadStates(),
      readFailures: this.#outbox.takeReadFailures(),
      reads: this.#outbox.takeReads(),
      roleChanged: this.#roleChanged,
    };
    const isEmpty =
      ready.hardState === null &&
      ready.entries.length === 0 &&
      ready.messages.length === 0 &&
      ready.commitIndex === this.#reportedCommit &&
      ready.readStates.length === 0 &&
      ready.readFailures.length === 0 &&
      ready.reads.length === 0 &&
      !ready.roleChanged;
    if (isEmpty) return null;
    this.#reportedCommit = ready.commitIndex;
    this.#roleChanged = false;
    return ready;
  }

  // ---- messages

  /** A message from a peer. Strangers, misaddressed and malformed messages are ignored. */
  step(message: RaftMessage): void {
    if (message.to !== this.#options.id || message.from === message.to) return;
    if (!this.#options.voters.includes(message.from)) return;
    if (message.type === "append" && !isWellFormed(message)) return;
    if (message.term < this.term) this.#answerThePast(message);
    else if (message.term === this.term || this.#entersTermOf(message)) this.#handle(message);
  }

  /** A message of a higher term: true if it is to be handled, after entering its term where it calls for that. */
  #entersTermOf(message: RaftMessage): boolean {
    switch (message.type) {
      case "preVote":
        return true;
      case "preVoteReply":
        if (message.granted) return true;
        break;
      case "vote":
        // Who hears a leader, or has just promised one to keep still, is not drawn into a term by somebody cut off.
        if (this.#isLoyal()) return false;
        break;
      case "voteReply":
      case "append":
      case "appendReply":
      case "heartbeat":
      case "heartbeatReply":
        break;
      default:
        unreachable(message);
    }
    this.#follow(message.term, NO_NODE);
    return true;
  }

  #handle(message: RaftMessage): void {
    switch (message.type) {
      case "preVote":
        this.#onPreVote(message);
        break;
      case "vote":
        this.#onVote(message);
        break;
      case "preVoteReply":
        this.#onPreVoteReply(message);
        break;
      case "voteReply":
        if (this.#role === "candidate") this.#count(message.from, message.granted);
        break;
      case "append":
        this.#hearLeader(message);
        this.#following.onAppend(message);
        break;
      case "heartbeat":
        this.#hearLeader(message);
        this.#following.onHeartbeat(message);
        break;
      case "appendReply":
        this.#leadership?.onAppendReply(message);
        break;
      case "heartbeatReply":
        this.#leadership?.onHeartbeatReply(message);
        break;
      default:
        unreachable(message);
    }
  }

  /** A leader or candidate of an older term is told that time has gone on; old replies mean nothing any more. */
  #answerThePast(message: RaftMessage): void {
    if (message.type === "append" || message.type === "heartbeat") this.#following.answerHeartbeat(message.from);
    else if (message.type === "vote") this.#reply("voteReply", message.from, this.term, false);
    else if (message.type === "preVote") this.#reply("preVoteReply", message.from, this.term, false);
  }

  #hearLeader(message: Append | Heartbeat): void {
    assert(this.#leadership === null, "one leader a term");
    assert(this.#leader === NO_NODE || this.#leader === message.from, "one leader a term");
    this.#timer.reset();
    if (this.#role !== "follower" || this.#leader !== message.from) this.#follow(this.term, message.from);
  }

  // ---- elections

  #becomePreCandidate(): void {
    this.#enterRole("preCandidate", NO_NODE);
    this.#tally.reset();
    this.#requestVotes("preVote", (this.term + 1) as Term);
    this.#count(this.#options.id, true);
  }

  #becomeCandidate(): void {
    this.#enterTerm((this.term + 1) as Term, this.#options.id);
    this.#enterRole("candidate", NO_NODE);
    this.#tally.reset();
    this.#requestVotes("vote", this.term);
  }

  #becomeLeader(): void {
    assert(this.#hardState.settled && this.vote === this.#options.id, "a leader's own vote is on disk");
    this.#timer.reset();
    this.#enterRole("leader", this.#options.id);
    this.#leadership = new Leadership(this.#options, this.term, this.#log, this.#outbox, this.releaseIndex);
  }

  #follow(term: Term, leader: NodeId): void {
    if (this.#leadership !== null) {
      this.#following.noteRelease(this.#leadership.releaseIndex);
      this.#leadership.end();
      this.#leadership = null;
      this.#timer.restart();
    }
    if (term > this.term) this.#enterTerm(term, NO_NODE);
    this.#enterRole("follower", leader);
  }

  #enterTerm(term: Term, vote: NodeId): void {
    this.#hardState.enterTerm(term, vote);
    this.#following.enterTerm();
    this.#roleChanged = true;
  }

  #enterRole(role: Role, leader: NodeId): void {
    if (role === this.#role && leader === this.#leader) return;
    this.#role = role;
    this.#leader = leader;
    this.#roleChanged = true;
  }

  #requestVotes(type: "preVote" | "vote", term: Term): void {
    const from = this.#options.id;
    const lastIndex = this.#log.lastIndex;
    const lastTerm = this.#log.lastTerm;
    for (const to of this.#options.voters) {
      if (to !== from) this.#outbox.send({ type, from, to, term, lastIndex, lastTerm });
    }
  }

  #onPreVote(message: VoteRequest): void {
    const granted =
      message.term > this.term && !this.#isLoyal() && this.#log.isUpToDate(message.lastIndex, message.lastTerm);
    this.#reply("preVoteReply", message.from, granted ? message.term : this.term, granted);
  }

  #onVote(message: VoteRequest): void {
    if (this.#timer.isQuiet) return;
    const isFree = this.vote === message.from || (this.vote === NO_NODE && this.#leader === NO_NODE);
    const granted = isFree && this.#log.isUpToDate(message.lastIndex, message.lastTerm);
    if (granted) {
      this.#hardState.voteFor(message.from);
      this.#timer.reset();
      if (this.#role === "preCandidate") this.#enterRole("follower", NO_NODE);
    }
    this.#reply("voteReply", message.from, this.term, granted);
  }

  #onPreVoteReply(message: VoteReply): void {
    const isAnswer = message.term === (message.granted ? this.term + 1 : this.term);
    if (this.#role === "preCandidate" && isAnswer) this.#count(message.from, message.granted);
  }

  #count(voter: NodeId, granted: boolean): void {
    const outcome: VoteOutcome = this.#tally.record(voter, granted);
    if (outcome === "lost") this.#follow(this.term, NO_NODE);
    else if (outcome === "won" && this.#role === "preCandidate") this.#becomeCandidate();
    else if (outcome === "won") this.#becomeLeader();
  }

  /** Whether this voter must not help to replace a leader now (thesis §4.2.3 and §6.4.1). */
  #isLoyal(): boolean {
    return this.#timer.isQuiet || (this.#leader !== NO_NODE && !this.#timer.isLeastPassed);
  }

  #reply(type: "preVoteReply" | "voteReply", to: NodeId, term: Term, granted: boolean): void {
    this.#outbox.send({ type, from: this.#options.id, to, term, granted });
  }
}
