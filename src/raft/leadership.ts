/**
 * One leadership: from the won election to the step down. Made anew for every term, so nothing of an older one can leak
 * into it. It replicates (probing, then pipelined), counts what is on disk where, commits, and proves to readers that it
 * still leads. It never truncates its log, and counts itself like everyone else: by what its own disk has reported.
 *
 * Proposals only append to the log; `prepare`, called once for each Ready, turns whatever has gathered into messages, so
 * everything of one turn travels together.
 *
 * Length: what is here looks at the same few counters; what does not is in roster, progress, read-rounds and transfer.
 */
import { assert } from "../core/assert.ts";
import { type LogIndex, NO_NODE, type NodeId, type Term } from "../core/ids.ts";
import { type Configuration, isSingleChange } from "./configuration.ts";
import type { AppendReply, HeartbeatReply, RaftEntry, Snapshot } from "./messages.ts";
import type { Outbox } from "./outbox.ts";
import type { MemberProgress, Progress } from "./progress.ts";
import type { RaftLog } from "./raft-log.ts";
import { ReadRounds } from "./read-rounds.ts";
import type { ConfigurationRefusal, RaftOptions, ReadRefusal, Refusal } from "./ready.ts";
import { Roster } from "./roster.ts";
import { Transfer } from "./transfer.ts";

const NO_ENTRIES: readonly RaftEntry[] = [];

export class Leadership {
  /** Index of this leader's first entry: everything from there on has its term. */
  readonly startIndex: LogIndex;
  readonly #options: RaftOptions;
  readonly #term: Term;
  readonly #log: RaftLog;
  readonly #outbox: Outbox;
  readonly #roster: Roster;
  readonly #rounds = new ReadRounds();
  #uncommittedBytes = 0;
  #heartbeatElapsed = 0;
  #heartbeatDue = false;
  /** Where the search for a follower that needs old entries goes on, so that each gets its turn. */
  #nextReader = 0;
  #releaseIndex: number;
  readonly #transfer: Transfer;
  /** When the newest read round that a majority has answered was sent. */
  #supportedMs = Number.NEGATIVE_INFINITY;

  constructor(options: RaftOptions, term: Term, log: RaftLog, outbox: Outbox, releaseIndex: LogIndex) {
    this.#options = options;
    this.#term = term;
    this.#log = log;
    this.#outbox = outbox;
    this.#releaseIndex = releaseIndex;
    this.#transfer = new Transfer(options.electionTicks);
    this.#roster = new Roster(options);
    this.startIndex = (log.lastIndex + 1) as LogIndex;
    this.#append(options.emptyEntry(this.startIndex, term), null);
    this.#configure();
  }

  /** Every member has everything below this index on disk, and it is committed. Never falls, whoever comes later. */
  get releaseIndex(): LogIndex {
    const least = Math.min(this.#log.persistedIndex, this.#log.commitIndex, this.#roster.leastMatch);
    this.#releaseIndex = Math.max(this.#releaseIndex, least + 1);
    return this.#releaseIndex as LogIndex;
  }

  propose(byteCount: number, seal: (index: LogIndex, term: Term) => Uint8Array): Refusal | LogIndex {
    if (this.#transfer.isOn) return "transferring";
    const full = this.#uncommittedBytes + byteCount > this.#options.uncommittedBytesMax;
    if (full && this.#uncommittedBytes > 0) return "full";
    const index = (this.#log.lastIndex + 1) as LogIndex;
    const bytes = seal(index, this.#term);
    assert(bytes.length === byteCount, "an entry has the size it was announced with");
    this.#append(bytes, null);
    return index;
  }

  proposeConfiguration(
    configuration: Configuration,
    seal: (index: LogIndex, term: Term) => Uint8Array,
  ): ConfigurationRefusal | LogIndex {
    const { configurations, commitIndex } = this.#log;
    if (this.#transfer.isOn) return "transferring";
    if (commitIndex < this.startIndex) return "notReady";
    if (configurations.currentIndex > commitIndex) return "pending";
    if (!isSingleChange(configurations.current, configuration)) return "invalid";
    const index = (this.#log.lastIndex + 1) as LogIndex;
    if (this.#roster.isAlone) this.#log.decideAlone(index - 1);
    this.#append(seal(index, this.#term), configuration);
    this.#configure();
    return index;
  }

  /** The change that removes this leader is committed: it has led until then, and does no longer (Raft §6). */
  get isRemoved(): boolean {
    return !this.#roster.isVoter && this.#log.configurations.currentIndex <= this.#log.commitIndex;
  }

  readIndex(context: number): true | ReadRefusal {
    if (this.#log.commitIndex < this.startIndex) return "notReady";
    if (this.#roster.isAlone) this.#outbox.confirmRead(context, this.#log.commitIndex);
    else this.#rounds.add(context);
    return true;
  }

  /** The commit index, as long as nobody else can have been elected and committed more; null when that is not sure. */
  leaseIndex(nowMs: number): LogIndex | null {
    const { leaseMs } = this.#options;
    if (leaseMs === 0 || !this.#transfer.keepsPromises || this.#log.commitIndex < this.startIndex) return null;
    const holds = this.#roster.isAlone || nowMs < this.#supportedMs + leaseMs;
    return holds ? this.#log.commitIndex : null;
  }

  /** What is known of another member; null: it is none. */
  progressOf(id: NodeId): MemberProgress | null {
    return this.#roster.find(id) ?? null;
  }

  get isTransferring(): boolean {
    return this.#transfer.isOn;
  }

  /** False: `to` is not another voter. */
  transferTo(to: NodeId): boolean {
    if (!this.#roster.isOtherVoter(to)) return false;
    this.#transfer.begin(to);
    return true;
  }

  /** The other voter among the eligible whose disk has most of the log. */
  successor(isEligible: (voter: NodeId) => boolean): NodeId {
    return this.#roster.successor(isEligible) ?? NO_NODE;
  }

  /** True: there is something to send, or a transfer that may be over. */
  tick(): boolean {
    const wasTransferring = this.#transfer.isOn;
    this.#transfer.tick();
    for (const peer of this.#roster.peers) peer.silentTicks += 1;
    this.#heartbeatElapsed += 1;
    if (this.#heartbeatElapsed < this.#options.heartbeatTicks) return wasTransferring;
    return this.beat();
  }

  /** Heartbeats are due. False: they have just been. */
  beat(): boolean {
    if (this.#heartbeatElapsed === 0) return false;
    this.#heartbeatElapsed = 0;
    this.#heartbeatDue = true;
    for (const peer of this.#roster.peers) peer.beat();
    return true;
  }

  /** Whether a quorum has been heard of since the last call. */
  checkQuorum(): boolean {
    return this.#roster.checkQuorum();
  }

  /** The reads that can no longer be confirmed fail. */
  end(): void {
    this.#rounds.fail(this.#outbox);
  }

  // ---- what the followers answer

  onAppendReply(message: AppendReply): void {
    const peer = this.#heardFrom(message.from, message.readRound);
    if (message.rejected) {
      if (this.#hasGivenUp(peer, message.matchIndex)) peer.forget();
      else if (!peer.isRefused(message.matchIndex)) return;
      const highest = Math.min(message.hintIndex, message.matchIndex - 1);
      if (highest < this.#log.firstIndex - 1) this.#needSnapshot(peer);
      else peer.probeAt(this.#log.lastAtOrBelow(highest, message.hintTerm) + 1);
      return;
    }
    if (message.matchIndex > this.#log.lastIndex || message.hintIndex > this.#log.lastIndex) return;
    if (peer.acknowledge(message.matchIndex, message.hintIndex)) this.advanceCommit();
    if (peer.state === "snapshot") this.#goOnAfterSnapshot(peer, message.hintIndex);
  }

  /** A sign of life, with how far the follower's memory matches: whatever was lost beyond that is sent again. */
  onHeartbeatReply(message: HeartbeatReply): void {
    const peer = this.#heardFrom(message.from, message.readRound);
    peer.isStarved = false;
    if (message.lastIndex > this.#log.lastIndex) return;
    if (peer.state === "probe") {
      if (!peer.found(message.lastIndex)) peer.paused = false;
      return;
    }
    if (peer.state === "snapshot") return this.#goOnAfterSnapshot(peer, message.lastIndex);
    if (!peer.stalled) return;
    peer.stalled = false;
    if (message.lastIndex < peer.nextIndex - 1) this.#resume(peer, message.lastIndex);
    else this.#sendAppend(peer, NO_ENTRIES);
  }

  /** What is below the log's first entry is gone: who needs it next needs a snapshot. */
  logReleased(): void {
    for (const peer of this.#roster.peers) {
      if (peer.state !== "snapshot" && peer.nextIndex < this.#log.firstIndex) this.#needSnapshot(peer);
    }
  }

  /** False: it is not wanted, or not any more. */
  offerSnapshot(to: NodeId, snapshot: Snapshot): boolean {
    assert(snapshot.index <= this.#log.commitIndex, "a snapshot holds what is committed");
    const peer = this.#inNeedOfSnapshot(to);
    peer?.offer(snapshot);
    return peer !== undefined;
  }

  snapshotFailed(to: NodeId): void {
    const peer = this.#inNeedOfSnapshot(to);
    if (peer === undefined) return;
    peer.needSnapshot();
    peer.hasSnapshotFailed = true;
  }

  needsSnapshot(member: NodeId): boolean {
    return this.#inNeedOfSnapshot(member) !== undefined;
  }

  /** Old entries from disk. Those that are not this log's any more are left out. */
  onEntries(from: LogIndex, entries: readonly RaftEntry[]): void {
    let valid = 0;
    while (valid < entries.length && this.#isOwn(entries[valid]!, from + valid)) valid += 1;
    for (const peer of this.#roster.peers) {
      if (valid === 0 && peer.nextIndex === from) peer.isStarved = true;
      const skip = peer.nextIndex - from;
      if (skip < 0 || skip >= valid || !peer.canSend) continue;
      this.#sendAppend(peer, entries.slice(skip, valid));
    }
  }

  /**
   * Commits what a majority has on disk, if it is of this term (Raft §5.4.2): older entries follow it, never lead. And what
   * this node has on disk of what it has appended as the only voter.
   */
  advanceCommit(): void {
    const { persistedIndex, decidedAlone, commitIndex: committed } = this.#log;
    const reached = this.#roster.matchReached(persistedIndex);
    const index = Math.max(reached < this.startIndex ? 0 : reached, decidedAlone);
    if (index <= committed) return;
    if (index >= this.startIndex) {
      this.#uncommittedBytes -= this.#log.bytesOf(Math.max(committed + 1, this.startIndex), index);
    }
    this.#log.commitTo(index);
  }

  /**
   * A learner that was a member before may have given up its log in between (`Raft.startGivingUp`), and refuses what it has
   * acknowledged. So may an old refusal say, and then it is asked in vain: what a learner has counts for nothing.
   */
  #hasGivenUp(peer: Progress, refusedIndex: number): boolean {
    return peer.state !== "snapshot" && refusedIndex <= peer.matchIndex && !this.#roster.isOtherVoter(peer.id);
  }

  // ---- what goes out

  /** Turns what has gathered since the last Ready into messages. */
  prepare(nowMs: number): void {
    const renewsLease = this.#heartbeatDue && this.#options.leaseMs > 0 && !this.#roster.isAlone;
    const newRound = this.#rounds.begin(this.#log.commitIndex, nowMs, this.#heartbeatDue, renewsLease);
    // Reads that were asked while others still voted.
    if (this.#roster.isAlone && this.#rounds.waiting) this.#confirmReads();
    for (const peer of this.#roster.peers) {
      const sent = this.#replicate(peer);
      if (this.#heartbeatDue || (newRound && !sent)) this.#sendHeartbeat(peer, this.#rounds.number);
      else if (!sent && peer.toldCommit < Math.min(this.#log.commitIndex, peer.matchIndex))
        this.#sendHeartbeat(peer, 0);
      if (peer.snapshot !== null && (peer.isOfferDue || this.#heartbeatDue)) this.#sendOffer(peer, peer.snapshot);
    }
    if (this.#transfer.isOn) this.#handOver(this.#transfer.to);
    else if (this.isRemoved) this.#handOver(this.successor(() => true));
    this.#heartbeatDue = false;
    this.#askForOldEntries();
  }

  /** Once the successor has everything: an election it would not win only costs time (thesis §3.10). */
  #handOver(to: NodeId): void {
    const isReady = this.#roster.find(to)?.matchIndex === this.#log.lastIndex;
    if (!isReady || !this.#transfer.tell(this.#heartbeatDue)) return;
    this.#outbox.send({ type: "timeoutNow", from: this.#options.id, to, term: this.#term });
  }

  #sendOffer(peer: Progress, snapshot: Snapshot): void {
    peer.isOfferDue = false;
    const { id: to } = peer;
    this.#outbox.send({ type: "installSnapshot", from: this.#options.id, to, term: this.#term, snapshot });
  }

  #inNeedOfSnapshot(member: NodeId): Progress | undefined {
    const peer = this.#roster.find(member);
    return peer?.state === "snapshot" ? peer : undefined;
  }

  #needSnapshot(peer: Progress): void {
    peer.needSnapshot();
    this.#outbox.wantSnapshot(peer.id);
  }

  /** The member's log matches up to `received`: everything behind that is sent. */
  #resume(peer: Progress, received: number): void {
    peer.resumeAt(received + 1);
    if (peer.nextIndex < this.#log.firstIndex) this.#needSnapshot(peer);
  }

  /** Whether it got there by what it was offered or otherwise, entries go on where they can. */
  #goOnAfterSnapshot(peer: Progress, received: number): void {
    const { snapshot, hasSnapshotFailed } = peer;
    const isOver = received >= this.#log.firstIndex - 1 || (snapshot !== null && received >= snapshot.index);
    if (isOver) this.#resume(peer, received);
    else if (hasSnapshotFailed) this.#needSnapshot(peer);
  }

  /** Sends what the follower's window takes; true if it was anything. */
  #replicate(peer: Progress): boolean {
    let sent = false;
    while (peer.canSend && peer.nextIndex <= this.#log.lastIndex && peer.nextIndex >= this.#log.tailFirstIndex) {
      const bytesMax = Math.min(this.#options.appendBytesMax, peer.inflight.room);
      this.#sendAppend(peer, this.#log.entriesFrom(peer.nextIndex, bytesMax));
      sent = true;
    }
    return sent;
  }

  #askForOldEntries(): void {
    const { peers } = this.#roster;
    for (let i = 0; i < peers.length; i++) {
      const position = (this.#nextReader + i) % peers.length;
      const peer = peers[position]!;
      if (!peer.canSend || peer.isStarved || peer.nextIndex >= this.#log.tailFirstIndex) continue;
      if (this.#outbox.askEntries(peer.nextIndex as LogIndex, this.#options.appendBytesMax)) {
        this.#nextReader = (position + 1) % peers.length;
      }
      return;
    }
  }

  /** Without entries it is a question: does the log match there, and how much of it is on disk? */
  #sendAppend(peer: Progress, entries: readonly RaftEntry[]): void {
    const previousIndex = peer.nextIndex - 1;
    const previousTerm = this.#log.termAt(previousIndex);
    assert(previousTerm !== undefined, "an append follows an entry whose term is known");
    this.#outbox.send({
      type: "append",
      from: this.#options.id,
      to: peer.id,
      term: this.#term,
      previousIndex: previousIndex as LogIndex,
      previousTerm,
      entries,
      commitIndex: this.#log.commitIndex,
      readRound: this.#rounds.number,
      releaseIndex: this.releaseIndex,
    });
    peer.toldCommit = Math.min(this.#log.commitIndex, previousIndex + entries.length);
    if (entries.length === 0) return;
    let bytes = 0;
    for (const entry of entries) bytes += entry.bytes.length;
    peer.sent(previousIndex + entries.length, bytes);
  }

  #sendHeartbeat(peer: Progress, readRound: number): void {
    const commitIndex = Math.min(this.#log.commitIndex, peer.matchIndex) as LogIndex;
    this.#outbox.send({
      type: "heartbeat",
      from: this.#options.id,
      to: peer.id,
      term: this.#term,
      commitIndex,
      readRound,
      releaseIndex: this.releaseIndex,
    });
    peer.toldCommit = Math.max(peer.toldCommit, commitIndex);
  }

  /** From the entry just appended on the group is another one. */
  #configure(): void {
    this.#roster.configure(this.#log.configurations.current, this.#log.lastIndex);
    this.#nextReader = 0;
    // Rounds that others answered are nothing to lean on; those under way are counted with the new voters.
    this.#supportedMs = Number.NEGATIVE_INFINITY;
  }

  #append(bytes: Uint8Array, configuration: Configuration | null): void {
    const index = (this.#log.lastIndex + 1) as LogIndex;
    this.#log.append({ index, term: this.#term, bytes, configuration });
    this.#uncommittedBytes += bytes.length;
  }

  #isOwn(entry: RaftEntry, index: number): boolean {
    return entry.index === index && this.#log.termAt(index) === entry.term;
  }

  #heardFrom(id: NodeId, readRound: number): Progress {
    const peer = this.#roster.find(id);
    assert(peer !== undefined, "a reply comes from a member");
    peer.active = true;
    peer.silentTicks = 0;
    peer.readRound = Math.max(peer.readRound, Math.min(readRound, this.#rounds.number));
    if (this.#rounds.waiting) this.#confirmReads();
    return peer;
  }

  #confirmReads(): void {
    const round = this.#roster.roundReached(this.#rounds.number);
    this.#supportedMs = Math.max(this.#supportedMs, this.#rounds.confirm(round, this.#outbox));
  }
}
