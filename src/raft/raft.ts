/**
 * The core of one Raft group's member (Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm",
 * 2014; Ongaro's thesis for pre-vote, check-quorum and transfer; the event-driven form of etcd-io/raft). It knows no socket, file or
 * clock: it is told of ticks, messages and what the disk has done, and hands out work by `ready`, which is told the time
 * for the sake of leases alone. The same calls in the same order give the same work.
 *
 *   tick · step · propose · readIndex ──► state in memory ──► ready() ──► save, append, send, answer
 *                                              ▲                              │
 *                                              └── hardStateSaved · persisted ┘
 *
 * What depends on the disk waits for the disk: a vote, and every message of a new term, until the hard state is saved; an
 * acknowledgement, and the leader's own share of a majority, until the entries are. So a driver may send at once.
 *
 * The gate for messages is here; who leads is decided in `elections.ts`, a leader's work is in `leadership.ts`, a
 * follower's in `following.ts`.
 *
 * Length: one method for each thing the driver may say or ask, and those delegate.
 */
import { assert, unreachable } from "../core/assert.ts";
import { type LogIndex, NO_NODE, type NodeId, type Term } from "../core/ids.ts";
import type { Random } from "../core/random.ts";
import { type Configuration, isMember } from "./configuration.ts";
import { Elections } from "./elections.ts";
import { Following } from "./following.ts";
import { HardState } from "./hard-state.ts";
import { Leadership } from "./leadership.ts";
import { isReply, isWellFormed, isWithinReach, type RaftEntry, type RaftMessage, type Snapshot } from "./messages.ts";
import { Outbox } from "./outbox.ts";
import type { MemberProgress } from "./progress.ts";
import { majorityOf } from "./quorum.ts";
import { RaftLog } from "./raft-log.ts";
import type {
  ConfigurationRefusal,
  RaftBoot,
  RaftOptions,
  ReadRefusal,
  Ready,
  Refusal,
  Restraint,
  Role,
} from "./ready.ts";

const NO_ENTRIES: readonly RaftEntry[] = [];

export class Raft {
  readonly #options: RaftOptions;
  readonly #log: RaftLog;
  readonly #hardState: HardState;
  readonly #outbox: Outbox;
  readonly #following: Following;
  readonly #elections: Elections;
  #leadership: Leadership | null = null;
  #reportedCommit = -1;

  constructor(options: RaftOptions, boot: RaftBoot, random: Random) {
    assert(options.heartbeatTicks < options.electionTicks, "a heartbeat comes before an election");
    this.#options = options;
    this.#log = new RaftLog(boot, options.tailBytesMax);
    this.#hardState = new HardState(boot.term, boot.vote);
    // Entries of a term are on disk only after that term was entered: without a vote, or the vote would be there too.
    if (boot.lastTerm > boot.term) this.#hardState.enterTerm(boot.lastTerm, NO_NODE);
    this.#outbox = new Outbox(this.#hardState);
    this.#following = new Following(options.id, this.#hardState, this.#log, this.#outbox);
    const isNew = boot.term === 0 && boot.lastIndex === 0;
    this.#elections = new Elections(
      options,
      this.#hardState,
      this.#log,
      this.#outbox,
      this.#following,
      random,
      isNew || this.isAlone ? 0 : options.electionTicks,
    );
  }

  get role(): Role {
    return this.#elections.role;
  }
  get term(): Term {
    return this.#hardState.term;
  }
  get vote(): NodeId {
    return this.#hardState.vote;
  }
  /** Who leads this term as far as known, or NO_NODE. */
  get leader(): NodeId {
    return this.#elections.leader;
  }
  get commitIndex(): LogIndex {
    return this.#log.commitIndex;
  }
  /** Whether this member leads, or has heard a leader lately. */
  get isLed(): boolean {
    return this.#elections.isLoyal;
  }
  /** The first entry that is still in the log; lastIndex + 1 when there is none. */
  get firstIndex(): LogIndex {
    return this.#log.firstIndex;
  }
  get lastIndex(): LogIndex {
    return this.#log.lastIndex;
  }
  /** The last entry that this member's disk has for good. */
  get persistedIndex(): LogIndex {
    return this.#log.persistedIndex;
  }
  /** Who belongs to the group, as far as this member's log says, committed or not. */
  get configuration(): Configuration {
    return this.#log.configurations.current;
  }
  /** The newest that is committed, as far as this member knows. */
  get settledConfiguration(): Configuration {
    const { current, currentIndex, previous } = this.#log.configurations;
    return currentIndex <= this.#log.commitIndex ? current : previous;
  }
  /** Where the present one stands in the log; 0 for the first members. */
  get configurationIndex(): LogIndex {
    return this.#log.configurations.currentIndex;
  }
  /** Whether what is on this member's disk is committed by that: nobody else votes. */
  get isAlone(): boolean {
    return this.#log.configurations.isAlone(this.#options.id);
  }
  /** Leader: the index of its own first entry. Otherwise 0. */
  get termStartIndex(): LogIndex {
    return this.#leadership?.startIndex ?? (0 as LogIndex);
  }
  /** Every member it was counted with had everything below this index on disk. Never beyond commitIndex + 1, never falls. */
  get releaseIndex(): LogIndex {
    return this.#leadership?.releaseIndex ?? this.#following.releaseIndex;
  }

  termAt(index: LogIndex): Term | undefined {
    return this.#log.termAt(index);
  }

  // ---- time

  /** True: something may have come of it that `ready` hands out. */
  tick(): boolean {
    this.#elections.tick();
    if (this.#leadership === null) {
      if (!this.#elections.isDue) return false;
      this.campaign();
      return true;
    }
    const hasWork = this.#leadership.tick();
    if (!this.#elections.takeTimeout() || this.#leadership.checkQuorum()) return hasWork;
    this.#follow(this.term, NO_NODE);
    return true;
  }

  /** Leader only: heartbeats go now, and again in as many ticks as they should; true: they had not gone just now. */
  beat(): boolean {
    return this.#leadership?.beat() ?? false;
  }

  /**
   * Starts an election now, if this member may be elected; where leases count on what voters promise, not before a promise to
   * a leader has run out.
   */
  campaign(): void {
    const isBound = this.#options.leaseMs > 0 && this.#elections.isLoyal;
    if (this.#leadership === null && !isBound && this.#mayLead) this.#elections.campaign();
  }

  // ---- requests

  /**
   * Leader only: appends an entry of `byteCount` bytes, which `seal` makes for the index and term it got. Refused when
   * too much is not yet committed, and during a transfer: the caller waits.
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
   * Leader only: appends an entry, made by `seal`, from which on the group is as `configuration` says. At most one voter
   * may come or go, one such change be uncommitted, and none be made before an entry of this term is committed.
   */
  proposeConfiguration(
    configuration: Configuration,
    seal: (index: LogIndex, term: Term) => Uint8Array,
  ): { index: LogIndex; term: Term } | ConfigurationRefusal {
    if (this.#leadership === null) return "notLeader";
    const index = this.#leadership.proposeConfiguration(configuration, seal);
    return typeof index === "string" ? index : { index, term: this.term };
  }

  /**
   * Leader only: hands the leadership over to another voter as soon as that one has everything. Nothing is proposed
   * meanwhile, and for the least election timeout at most: after it the transfer is off.
   */
  transferLeadership(to: NodeId): true | "notLeader" | "notVoter" {
    if (this.#leadership === null) return "notLeader";
    return this.#leadership.transferTo(to) ? true : "notVoter";
  }

  /** Leader only: what is known of another member; null: it is none. */
  progressOf(id: NodeId): MemberProgress | null {
    return this.#leadership?.progressOf(id) ?? null;
  }

  get isTransferring(): boolean {
    return this.#leadership?.isTransferring ?? false;
  }

  /** Leader only: the other voter among the eligible whose disk has most of the log, NO_NODE if there is none. */
  successor(isEligible: (voter: NodeId) => boolean): NodeId {
    return this.#leadership?.successor(isEligible) ?? NO_NODE;
  }

  /**
   * Leader only: the index a linearizable read must wait for, answered in Ready.readStates (or readFailures) under
   * `context`. Refused until an entry of this term is committed, because only then is the commit index known.
   */
  readIndex(context: number): true | ReadRefusal {
    return this.#leadership === null ? "notLeader" : this.#leadership.readIndex(context);
  }

  /**
   * Leader only: the index a linearizable read must wait for without any round, while a lease holds; otherwise null. To be
   * asked again after the read, with a clock read after it, before anybody is told what was read.
   */
  leaseIndex(nowMs: number): LogIndex | null {
    return this.#leadership?.leaseIndex(nowMs) ?? null;
  }

  /**
   * Leader only: whether a read that `asker`, a voter, has handed over to it as the leader it follows needs no round. When
   * the two are a majority, the handing over proves what a round would: had a later leader been elected before it, one of
   * the two would have voted for it, and would be in its term, where the asker follows somebody else and this node does
   * not lead. So whatever was acknowledged before the question was asked is in this log and committed here.
   */
  isConfirmedBy(asker: NodeId): boolean {
    const { id } = this.#options;
    const { voters } = this.#log.configurations.current;
    const supporters = (voters.includes(id) ? 1 : 0) + (asker !== id && voters.includes(asker) ? 1 : 0);
    return supporters >= majorityOf(voters.length);
  }

  // ---- the disk's word

  /** Everything up to this entry is on disk for good. */
  persisted(lastIndex: LogIndex, lastTerm: Term): void {
    this.#log.persisted(lastIndex, lastTerm);
    if (this.#leadership !== null) return this.#leadership.advanceCommit();
    this.#log.commitTo(this.#log.decidedAlone);
    if (this.leader !== NO_NODE) this.#following.onPersisted(this.leader);
  }

  hardStateSaved(term: Term, vote: NodeId): void {
    const wasSettled = this.#hardState.settled;
    if (!this.#hardState.saved(term, vote) || wasSettled) return;
    this.#outbox.releaseHeld();
    if (this.#elections.onSaved()) this.#lead();
  }

  /** The answer to Ready.reads; empty when the entries are no longer in the log. */
  entriesRead(from: LogIndex, entries: readonly RaftEntry[]): void {
    this.#outbox.entriesArrived();
    this.#leadership?.onEntries(from, entries);
  }

  /** The disk has let go of all entries below `firstIndex`; the one before it has `previousTerm`. */
  logReleased(firstIndex: LogIndex, previousTerm: Term): void {
    this.#log.release(firstIndex, previousTerm);
    this.#leadership?.logReleased();
  }

  // ---- snapshots

  /** Leader only: what a member of Ready.snapshotsWanted is to install. False: it needs none any more. */
  offerSnapshot(to: NodeId, snapshot: Snapshot): boolean {
    return this.#leadership?.offerSnapshot(to, snapshot) ?? false;
  }

  /** Leader only: there is no snapshot for it, or it could not get it; wanted again when the member is heard. */
  snapshotFailed(to: NodeId): void {
    this.#leadership?.snapshotFailed(to);
  }

  /** Leader only: whether a member still needs what it was offered. */
  needsSnapshot(member: NodeId): boolean {
    return this.#leadership?.needsSnapshot(member) ?? false;
  }

  /**
   * The snapshot of the last Ready.install is here in full: may it take the log's place? False: it is not news any more, or
   * the next Ready has another one. After true the driver lets the disk do it, and until it says snapshotInstalled or
   * installAbandoned no entries are taken or written.
   */
  startInstall(): boolean {
    if (this.#leadership !== null || !this.#following.startInstall()) return false;
    if (this.role !== "follower") this.#follow(this.term, NO_NODE);
    return true;
  }

  /** The log on disk is another one now: it starts behind the snapshot. Term and vote stay. */
  snapshotInstalled(boot: RaftBoot): void {
    assert(this.#following.isInstalling, "an installation was begun");
    assert(boot.lastTerm <= this.term, "a snapshot is of a term that was entered");
    this.#log.restart(boot);
    this.#following.installed(this.leader);
  }

  /** The snapshot of Ready.install could not be fetched or installed; the next offer is news again. */
  installAbandoned(): void {
    this.#following.installAbandoned();
  }

  // ---- the end of a membership

  /**
   * The leader of `term` says that the configuration at `index` is committed and does not name this member: may it give up
   * all it has? After true the hard state of the next Ready is saved, then the disk gives up the log, for good and with the
   * promise of RaftBoot.votesFrom, and until it says gaveUp or installAbandoned no entries are taken or written.
   *
   * It may, because what it gives up is counted nowhere any more. Whoever leads from that term on has that configuration, and
   * asks a member that it does not name for no vote; whoever has not gets none (`RaftLog.isWhole`). A leader that has made
   * this a member again, by an entry that is not here yet, may lean on what was acknowledged before that entry: all of that
   * was committed without this member.
   */
  startGivingUp(index: LogIndex, term: Term): boolean {
    const isBetterLed = this.#leadership !== null ? term <= this.term : this.isLed;
    if (isBetterLed || !isWithinReach(term, this.term) || !this.#following.startGivingUp(index, term)) return false;
    this.#follow(term, NO_NODE);
    return true;
  }

  /** The log on disk is empty. Term and vote stay. */
  gaveUp(boot: RaftBoot): void {
    assert(this.#following.isInstalling, "a log is given up when that was begun");
    this.#log.giveUp(boot);
    this.#following.gaveUp();
    this.#reportedCommit = -1;
  }

  /** The work gathered since the last call, or null if there is none. `nowMs`: the monotonic clock, read before. */
  ready(nowMs: number): Ready | null {
    this.#leadership?.prepare(nowMs);
    if (this.#leadership?.isRemoved === true) this.#follow(this.term, NO_NODE);
    const ready: Ready = {
      hardState: this.#hardState.take(),
      entries: this.#following.isInstalling ? NO_ENTRIES : this.#log.takeUnwritten(),
      messages: this.#outbox.takeMessages(),
      commitIndex: this.#log.tellableCommit,
      readStates: this.#outbox.takeReadStates(),
      readFailures: this.#outbox.takeReadFailures(),
      reads: this.#outbox.takeReads(),
      snapshotsWanted: this.#outbox.takeSnapshotsWanted(),
      install: this.#outbox.takeInstall(),
      roleChanged: this.#elections.takeChanged(),
    };
    const isEmpty =
      ready.hardState === null &&
      ready.entries.length === 0 &&
      ready.messages.length === 0 &&
      ready.commitIndex === this.#reportedCommit &&
      ready.readStates.length === 0 &&
      ready.readFailures.length === 0 &&
      ready.reads.length === 0 &&
      ready.snapshotsWanted.length === 0 &&
      ready.install === null &&
      !ready.roleChanged;
    if (isEmpty) return null;
    this.#reportedCommit = ready.commitIndex;
    return ready;
  }

  // ---- messages

  /** From now on; a leader stays one. */
  restrain(restraint: Restraint): void {
    this.#elections.restrain(restraint);
  }

  /**
   * A message from a peer. Who leads or campaigns may be unknown here, where the configuration is an old one; answers count
   * only from members. Misaddressed and malformed messages are ignored.
   */
  step(message: RaftMessage): void {
    if (message.to !== this.#options.id || message.from === message.to) return;
    if (isReply(message) && !isMember(this.#log.configurations.current, message.from)) return;
    if (!isWellFormed(message) || !isWithinReach(message.term, this.term)) return;
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
        if (this.#elections.isLoyal && !message.isTransfer) return false;
        break;
      case "voteReply":
      case "append":
      case "appendReply":
      case "heartbeat":
      case "heartbeatReply":
      case "timeoutNow":
      case "installSnapshot":
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
        this.#elections.onPreVote(message);
        break;
      case "vote":
        this.#elections.onVote(message);
        break;
      case "preVoteReply":
        this.#elections.onPreVoteReply(message);
        break;
      case "voteReply":
        if (this.#elections.onVoteReply(message)) this.#lead();
        break;
      case "append":
        this.#elections.hear(message.from);
        if (!this.#following.isInstalling) this.#following.onAppend(message);
        break;
      case "installSnapshot":
        this.#elections.hear(message.from);
        if (!this.#following.isInstalling) this.#following.onOffer(message);
        break;
      case "heartbeat":
        this.#elections.hear(message.from);
        this.#following.onHeartbeat(message);
        break;
      case "appendReply":
        this.#leadership?.onAppendReply(message);
        break;
      case "heartbeatReply":
        this.#leadership?.onHeartbeatReply(message);
        break;
      case "timeoutNow":
        this.#takeOver(message.from);
        break;
      default:
        unreachable(message);
    }
  }

  /** A leader or candidate of an older term is told that time has gone on; old replies mean nothing any more. */
  #answerThePast(message: RaftMessage): void {
    if (message.type === "append" || message.type === "heartbeat" || message.type === "installSnapshot")
      this.#following.answerHeartbeat(message.from);
    else if (message.type === "vote") this.#elections.reply("voteReply", message.from, this.term, false);
    else if (message.type === "preVote") this.#elections.reply("preVoteReply", message.from, this.term, false);
  }

  get #mayLead(): boolean {
    return this.#elections.isElectable && !this.#following.isInstalling;
  }

  #takeOver(leader: NodeId): void {
    if (this.role === "follower" && this.leader === leader && this.#mayLead) this.#elections.takeOver();
  }

  #lead(): void {
    this.#elections.lead();
    this.#leadership = new Leadership(this.#options, this.term, this.#log, this.#outbox, this.releaseIndex);
  }

  #follow(term: Term, leader: NodeId): void {
    if (this.#leadership !== null) {
      this.#following.noteRelease(this.#leadership.releaseIndex);
      this.#leadership.end();
      this.#leadership = null;
    }
    this.#elections.follow(term, leader);
  }
}
