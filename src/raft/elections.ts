/**
 * Who leads, as far as this member knows, and how that comes about: votes asked for and given (Raft §5.2, §5.4.1), with
 * pre-votes before them (thesis §9.6). A voter that hears a leader has promised not to help in replacing it for the least
 * election timeout (thesis §4.2.3, §6.4.1). The promise outlives the term in which it was made, because the leader's
 * lease may; only a leader that hands over itself takes it back, by a vote that says so.
 *
 * What a leader does is elsewhere; here a member only becomes one: the calls that may make it one answer true then.
 */
import { assert } from "../core/assert.ts";
import { NO_NODE, type NodeId, type Term } from "../core/ids.ts";
import type { Random } from "../core/random.ts";
import { ElectionTimer } from "./election-timer.ts";
import type { Following } from "./following.ts";
import type { HardState } from "./hard-state.ts";
import type { PreVoteRequest, VoteReply, VoteRequest } from "./messages.ts";
import type { Outbox } from "./outbox.ts";
import { VoteTally } from "./quorum.ts";
import type { RaftLog } from "./raft-log.ts";
import type { RaftOptions, Restraint, Role } from "./ready.ts";

export class Elections {
  readonly #options: RaftOptions;
  readonly #hardState: HardState;
  readonly #log: RaftLog;
  readonly #outbox: Outbox;
  readonly #following: Following;
  readonly #tally = new VoteTally();
  readonly #timer: ElectionTimer;
  #role: Role = "follower";
  #leader: NodeId = NO_NODE;
  #changed = true;
  #restraint: Restraint = { mayCampaign: true, mayVote: true };

  constructor(
    options: RaftOptions,
    hardState: HardState,
    log: RaftLog,
    outbox: Outbox,
    following: Following,
    random: Random,
    quietTicks: number,
  ) {
    this.#options = options;
    this.#hardState = hardState;
    this.#log = log;
    this.#outbox = outbox;
    this.#following = following;
    this.#timer = new ElectionTimer(random, options.electionTicks, quietTicks);
  }

  get role(): Role {
    return this.#role;
  }

  /** Who leads this term as far as known, or NO_NODE. */
  get leader(): NodeId {
    return this.#leader;
  }

  /** Whether role, leader or term is not what it was at the last call. */
  takeChanged(): boolean {
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  // ---- time

  tick(): void {
    this.#timer.tick();
  }

  /** Once every least election timeout, for a leader. */
  takeTimeout(): boolean {
    if (!this.#timer.isLeastPassed) return false;
    this.#timer.reset();
    return true;
  }

  /** Whether it is time to campaign. */
  get isDue(): boolean {
    // A candidate whose own vote is not on disk yet must not run on to the next term: a slow disk would never catch up.
    const waitsForDisk = this.#role === "candidate" && !this.#hardState.settled;
    return this.#timer.isExpired && !waitsForDisk;
  }

  // ---- roles

  /**
   * Whether this member may become the leader. One that a change has removed may until it knows that the change is
   * committed: it can be the only one whose log has it (thesis §4.2.2).
   */
  get isElectable(): boolean {
    const { mayCampaign, mayVote } = this.#restraint;
    const { current, currentIndex, previous } = this.#log.configurations;
    const { id } = this.#options;
    if (!mayCampaign || !mayVote || !this.#log.isWhole) return false;
    return current.voters.includes(id) || (currentIndex > this.#log.commitIndex && previous.voters.includes(id));
  }

  restrain(restraint: Restraint): void {
    this.#restraint = restraint;
    const campaigns = this.#role === "preCandidate" || this.#role === "candidate";
    if (campaigns && !this.isElectable) this.follow(this.#hardState.term, NO_NODE);
  }

  campaign(): void {
    this.#timer.restart();
    if (this.#options.preVote && !this.#log.configurations.isAlone(this.#options.id)) this.#becomePreCandidate();
    else this.#becomeCandidate(false);
  }

  /** The leader wants to be replaced by this voter: at once, and whatever anybody has promised it. */
  takeOver(): void {
    this.#timer.restart();
    this.#becomeCandidate(true);
  }

  lead(): void {
    assert(this.#hardState.settled && this.#hardState.vote === this.#options.id, "a leader's own vote is on disk");
    this.#timer.reset();
    this.#enterRole("leader", this.#options.id);
  }

  /** Into this term, behind this leader or nobody known. */
  follow(term: Term, leader: NodeId): void {
    if (this.#role === "leader") this.#timer.restart();
    if (term > this.#hardState.term) this.#enterTerm(term, NO_NODE);
    this.#enterRole("follower", leader);
  }

  /** The leader of this term has spoken. */
  hear(leader: NodeId): void {
    assert(this.#role !== "leader", "one leader a term");
    assert(this.#leader === NO_NODE || this.#leader === leader, "one leader a term");
    this.#timer.hear();
    if (this.#role !== "follower" || this.#leader !== leader) this.follow(this.#hardState.term, leader);
  }

  get #mayVote(): boolean {
    return this.#restraint.mayVote && this.#log.isWhole;
  }

  /** Whether this voter must not help to replace a leader now. */
  get isLoyal(): boolean {
    return this.#role === "leader" || this.#timer.isQuiet || this.#timer.isPromised;
  }

  // ---- votes

  onPreVote(message: PreVoteRequest): void {
    const { term } = this.#hardState;
    const granted = message.term > term && this.#mayVote && !this.isLoyal && this.#isWorthy(message);
    this.reply("preVoteReply", message.from, granted ? message.term : term, granted);
  }

  onVote(message: VoteRequest): void {
    const { vote } = this.#hardState;
    if (this.#timer.isQuiet && !message.isTransfer) return;
    const isFree = vote === message.from || (vote === NO_NODE && this.#leader === NO_NODE);
    const granted = isFree && this.#mayVote && (message.isTransfer || !this.isLoyal) && this.#isWorthy(message);
    if (granted) {
      this.#hardState.voteFor(message.from);
      this.#timer.reset();
      if (this.#role === "preCandidate") this.#enterRole("follower", NO_NODE);
    }
    this.reply("voteReply", message.from, this.#hardState.term, granted);
  }

  /** Whether a log that ends there has all that this one has, or ever had. */
  #isWorthy({ lastIndex, lastTerm }: PreVoteRequest | VoteRequest): boolean {
    const { lostEnd } = this.#restraint;
    const isBehindLost =
      lostEnd !== undefined &&
      (lastTerm < lostEnd.lastTerm || (lastTerm === lostEnd.lastTerm && lastIndex < lostEnd.lastIndex));
    return !isBehindLost && this.#log.isUpToDate(lastIndex, lastTerm);
  }

  onPreVoteReply(message: VoteReply): void {
    const { term } = this.#hardState;
    const isAnswer = message.term === (message.granted ? term + 1 : term);
    if (this.#role === "preCandidate" && isAnswer) this.#countPreVote(message.from, message.granted);
  }

  onVoteReply(message: VoteReply): boolean {
    return this.#role === "candidate" && this.#countVote(message.from, message.granted);
  }

  /** The hard state is on disk, and with it a candidate's vote for itself. */
  onSaved(): boolean {
    return this.#role === "candidate" && this.#countVote(this.#options.id, true);
  }

  reply(type: "preVoteReply" | "voteReply", to: NodeId, term: Term, granted: boolean): void {
    this.#outbox.send({ type, from: this.#options.id, to, term, granted });
  }

  #becomePreCandidate(): void {
    const term = (this.#hardState.term + 1) as Term;
    this.#enterRole("preCandidate", NO_NODE);
    this.#tally.reset(this.#log.configurations.current.voters);
    for (const to of this.#others()) this.#outbox.send({ type: "preVote", to, ...this.#request(term) });
    this.#countPreVote(this.#options.id, true);
  }

  #becomeCandidate(isTransfer: boolean): void {
    const term = (this.#hardState.term + 1) as Term;
    this.#enterTerm(term, this.#options.id);
    this.#enterRole("candidate", NO_NODE);
    this.#tally.reset(this.#log.configurations.current.voters);
    for (const to of this.#others()) this.#outbox.send({ type: "vote", to, ...this.#request(term), isTransfer });
  }

  #others(): readonly NodeId[] {
    return this.#log.configurations.current.voters.filter((voter) => voter !== this.#options.id);
  }

  #request(term: Term) {
    return { from: this.#options.id, term, lastIndex: this.#log.lastIndex, lastTerm: this.#log.lastTerm };
  }

  #countPreVote(voter: NodeId, granted: boolean): void {
    const outcome = this.#tally.record(voter, granted);
    if (outcome === "lost") this.follow(this.#hardState.term, NO_NODE);
    else if (outcome === "won") this.#becomeCandidate(false);
  }

  #countVote(voter: NodeId, granted: boolean): boolean {
    const outcome = this.#tally.record(voter, granted);
    if (outcome === "lost") this.follow(this.#hardState.term, NO_NODE);
    return outcome === "won";
  }

  #enterTerm(term: Term, vote: NodeId): void {
    this.#hardState.enterTerm(term, vote);
    this.#following.enterTerm();
    this.#changed = true;
  }

  #enterRole(role: Role, leader: NodeId): void {
    if (role === this.#role && leader === this.#leader) return;
    this.#role = role;
    this.#leader = leader;
    this.#changed = true;
  }
}
