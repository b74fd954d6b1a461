/**
 * One shard on one node: the driver of its Raft core. It fills entries with the writes of a turn, carries out what the
 * core's `Ready` asks (disk through the link, messages through the transport), and answers writes and reads when they
 * are decided. Order of a turn, which the node keeps for all its groups together:
 *
 *   propose()   the open entry goes to Raft
 *   drive()     Raft's work goes to the link and into the peers' outboxes
 *   (flush of the peers, then of the links: followers sync while this node does)
 *   drive()     what the disk has confirmed meanwhile
 *
 * Invariants: a group accepts operations only as a leader whose own first entry is applied, so its clock is above every
 * stamp of the log and it knows every fence of the log; and not while it hands over. Main thread only.
 *
 * Length: the parts are in files of their own; what is left is one delegating method for each thing others ask of it.
 */
import type { LostEnd, ShardBoot, ShardReply, ShardRequest, SystemChange } from "../bridge/shard-protocol.ts";
import { assert, unreachable } from "../core/assert.ts";
import { NO_NODE, type NodeId } from "../core/ids.ts";
import { stampMilliseconds } from "../core/stamp.ts";
import type { Clock } from "../env/clock.ts";
import type { Logger } from "../env/environment.ts";
import { type Configuration, isMember, NOBODY } from "../raft/configuration.ts";
import type { RaftMessage } from "../raft/messages.ts";
import type { Raft } from "../raft/raft.ts";
import type { Role } from "../raft/ready.ts";
import type { ByteRange, CommandType } from "../record/command-format.ts";
import { SYNC } from "../record/durability.ts";
import type { Result } from "../record/result.ts";
import type { ReadMode, Waiter } from "./coordinator.ts";
import { FenceSet } from "./fence-set.ts";
import { type GroupCore, openGroupCore, raftBoot } from "./group-core.ts";
import type { GroupEvents, GroupOptions } from "./group-events.ts";
import { GroupMembers, type Neighbours } from "./group-members.ts";
import { GroupSnapshots } from "./group-snapshots.ts";
import type { Proof } from "./pending-reads.ts";
import { GroupRepair } from "./group-repair.ts";
import { OwnDisk } from "./own-disk.ts";
import { raftEntry } from "./raft-message-format.ts";
import type { Aim } from "./reconciler.ts";
import type { OpenShard, ShardPort } from "./shard-port.ts";
import { ShardQuestions } from "./shard-questions.ts";

/** A damaged member campaigns when nobody has led for so many election timeouts: the others have tried more than once by then. */
const PATIENCE_ELECTIONS = 5;

const NO_READS = { memoryCount: 0, shardCount: 0 };

export class ShardGroup {
  readonly shard: number;
  readonly #options: GroupOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #seed: number;
  readonly #events: GroupEvents;
  readonly #port: ShardPort;
  readonly #fences = new FenceSet();
  readonly #questions: ShardQuestions;
  readonly #ownDisk: OwnDisk;
  /** Runs when more has been applied. */
  onApplied: () => void = () => undefined;
  /** All three null until the shard has recovered. */
  snapshots: GroupSnapshots | null = null;
  repair: GroupRepair | null = null;
  members: GroupMembers | null = null;
  /** A shard on this thread speaks while it is being opened, when the port is not there yet. */
  #boot: ShardBoot | null = null;
  #core: GroupCore | null = null;
  #applied = 0;
  #failed = false;
  #stopped = false;
  #wasLeading = false;
  #isLeaving = false;
  /** As the core was last told; null: something else as well. */
  #mayCampaign: boolean | null = true;
  /** So many in a row. */
  #leaderlessTicks = 0;
  /** Not null: entries are gone from the log that this member may have acknowledged. */
  #lostEnd: LostEnd | null = null;

  constructor(clock: Clock, log: Logger, seed: number, options: GroupOptions, events: GroupEvents, open: OpenShard) {
    this.shard = options.shard;
    this.#options = options;
    this.#ownDisk = new OwnDisk(options.electionTicks);
    this.#clock = clock;
    this.#log = log;
    this.#seed = seed;
    this.#events = events;
    let ready = false;
    this.#port = open(options.shard, (reply) => {
      if (reply.type === "opened" && !ready) this.#boot = reply.boot;
      else this.#onReply(reply);
    });
    ready = true;
    this.#questions = new ShardQuestions(this.#port.link, () => this.#events.wake());
    if (this.#boot !== null) this.#open(this.#boot);
  }

  // ---- what others see -------------------------------------------------------------------------------------------

  /** This node. */
  get self(): NodeId {
    return this.#options.id;
  }

  get opened(): boolean {
    return this.#core !== null;
  }

  get isStopped(): boolean {
    return this.#stopped || this.#failed;
  }

  get role(): Role {
    return this.#core?.raft.role ?? "follower";
  }

  get term(): number {
    return this.#core?.raft.term ?? 0;
  }

  /** The node that leads, NO_NODE while none is known. */
  get leader(): NodeId {
    return this.#failed ? NO_NODE : (this.#core?.raft.leader ?? NO_NODE);
  }

  /** Who belongs to the group, as far as this node knows. */
  get configuration(): Configuration {
    return this.#core?.raft.configuration ?? NOBODY;
  }

  /** As `configuration`, without a change that is not committed yet. */
  get settledConfiguration(): Configuration {
    return this.#core?.raft.settledConfiguration ?? NOBODY;
  }

  /** Whether this node belongs to it. */
  get isMember(): boolean {
    return isMember(this.configuration, this.self);
  }

  get commitIndex(): number {
    return this.#core?.raft.commitIndex ?? 0;
  }

  get appliedIndex(): number {
    return this.#applied;
  }

  get quarantinedCount(): number {
    return this.#port.state.quarantinedCount;
  }

  /** Whether this node carries out operations of the shard itself. What comes while it hands over is the next leader's. */
  get accepting(): boolean {
    return this.#isLeading && !this.isHandingOver;
  }

  get #isLeading(): boolean {
    const raft = this.#core?.raft;
    return raft !== undefined && !this.#failed && raft.role === "leader" && this.#applied >= raft.termStartIndex;
  }

  get isHandingOver(): boolean {
    return !this.#failed && this.#core?.raft.isTransferring === true;
  }

  get congested(): boolean {
    return this.#port.link.congested || this.#core?.proposer.full === true;
  }

  get pendingCount(): number {
    const core = this.#core;
    return core === null ? 0 : core.proposer.pendingCount + core.reader.pendingCount;
  }

  /** Reads of single keys answered from memory, and those that went through the link, which is a ring where there are workers. */
  get readCounts(): { readonly memoryCount: number; readonly shardCount: number } {
    return this.#core?.reader ?? NO_READS;
  }

  /** Whether the bucket is gone in this shard, or is to be gone as soon as the fence under way is applied. */
  isFenced(bucket: number): boolean {
    return this.#fences.has(bucket);
  }

  /** Whether operations on the bucket have to wait until its fence is applied, or leadership lost (see fence-set.ts). */
  awaitsFence(bucket: number): boolean {
    return this.#fences.awaits(bucket);
  }

  /** Whether the disk has room for more. */
  get writable(): boolean {
    return this.#port.state.writable;
  }

  /** How far what the shard does behind the scenes is behind. */
  get pressure(): { readonly debtBytes: number; readonly writeDelayMicros: number; readonly stallCount: number } {
    return this.#port.state;
  }

  /** Bytes of the longest command whose version fits into a memtable for sure. */
  get commandBytesMax(): number {
    return this.#port.memtables.commandBytesMax;
  }

  get openIndex(): number {
    return this.#core?.proposer.openIndex ?? 0;
  }

  /** The time in the newest stamp that this node has seen here. */
  get newestStampMs(): number {
    const clock = this.#core?.proposer.clock;
    return clock === undefined ? 0 : stampMilliseconds(clock.high, clock.low);
  }

  get openBytes(): number {
    return this.#core?.proposer.openBytes ?? 0;
  }

  // ---- operations, only while accepting --------------------------------------------------------------------------

  /** Adds a write to the open entry; returns the index at which it will stand. */
  write(
    type: CommandType,
    modifiers: number,
    bucket: number,
    key: ByteRange,
    value: ByteRange,
    expiryMs: number,
    durability: number,
    waiter: Waiter,
    tag: number,
  ): number {
    const { proposer, raft } = this.#accepting();
    this.#events.wake();
    // Several voters acknowledge to each other only what is on disk.
    const promised = raft.isAlone ? durability : SYNC;
    const index = proposer.write(type, modifiers, bucket, key, value, expiryMs, promised, waiter, tag);
    if (proposer.entryIsFull && !proposer.isHeld) this.propose();
    return index;
  }

  /** The same for a command that is encoded already. */
  writeEncoded(type: CommandType, command: Uint8Array, waiter: Waiter, tag: number): number {
    const { proposer } = this.#accepting();
    this.#events.wake();
    const index = proposer.writeEncoded(type, command, waiter, tag);
    if (proposer.entryIsFull && !proposer.isHeld) this.propose();
    return index;
  }

  /** A fence is on its way: from now on no operation on that bucket is proposed here. */
  expectFence(bucket: number): void {
    this.#fences.expect(bucket);
  }

  /**
   * Reads one key as of now, or as of the connection's own write at `ownWriteIndex` if that is later. It is evaluated in
   * the next turn, or by `settleReads`. `asker`: the voter that has handed the read over to this leader, or this node.
   */
  get(
    bucket: number,
    key: ByteRange,
    metadataOnly: boolean,
    ownWriteIndex: number,
    asker: NodeId,
    mode: ReadMode,
    waiter: Waiter,
    tag: number,
  ): void {
    const { reader, raft } = this.#accepting();
    const proof = proofOf(mode);
    // A write of its own in the open entry closes that entry, so that later writes do not come before the read.
    if (ownWriteIndex > raft.lastIndex) this.propose();
    const isSettled = reader.get(bucket, key, metadataOnly, ownWriteIndex, asker, proof, waiter, tag);
    // Those who read for clients of this node settle by themselves.
    if (!isSettled || asker !== this.self) this.#events.wake();
    else this.#events.touched();
  }

  /** Answers the gathered reads that memory can answer now. */
  settleReads(): void {
    if (this.#core?.reader.settle() === false) this.#events.wake();
  }

  /** Any other read of the shard. The request owns its bytes. */
  read(
    request: Extract<ShardRequest, { type: "read" }>["read"],
    ownWriteIndex: number,
    asker: NodeId,
    mode: ReadMode,
    waiter: Waiter,
    tag: number,
  ): void {
    const { reader, raft } = this.#accepting();
    if (ownWriteIndex > raft.lastIndex) this.propose();
    reader.read(request, ownWriteIndex, asker, proofOf(mode), waiter, tag);
    this.#events.wake();
  }

  /** The index from which on a replica shows everything acknowledged by now, and at least `ownWriteIndex`: an integer. */
  readIndex(ownWriteIndex: number, asker: NodeId, waiter: Waiter, tag: number): void {
    this.#accepting().reader.readIndex(ownWriteIndex, asker, waiter, tag);
    this.#events.wake();
  }

  // ---- on any role -----------------------------------------------------------------------------------------------

  /** Whether what has been applied here can be read here. */
  get isWhole(): boolean {
    return this.#core !== null && !this.#failed && this.quarantinedCount === 0;
  }

  /** Whether this is a whole replica that follows a leader. */
  get isFollowing(): boolean {
    const raft = this.#core?.raft;
    return raft !== undefined && this.isWhole && this.followedTerm > 0 && this.isMember;
  }

  /** The term in which this member follows a leader that has spoken to it, 0 while it follows none. */
  get followedTerm(): number {
    return this.role === "follower" && this.leader !== NO_NODE ? this.term : 0;
  }

  /** Reads one key as of what is applied here, and at least of `index`. It is evaluated as by `get`. */
  getApplied(bucket: number, key: ByteRange, metadataOnly: boolean, index: number, waiter: Waiter, tag: number): void {
    assert(this.#core !== null, "only a whole replica is read");
    if (this.#core.reader.get(bucket, key, metadataOnly, index, this.self, "index", waiter, tag))
      this.#events.touched();
    else this.#events.wake();
  }

  /** Has everything flushed or compacted. */
  maintain(what: "flush" | "compact", done: (result: Result) => void): void {
    this.#questions.ask({ type: what }, (answer) => {
      assert(answer.type === "done", "a shard says when it is done");
      done(answer.result);
    });
  }

  step(message: RaftMessage): void {
    if (this.#core === null || this.#failed) return;
    // A full disk loses the entries as a bad network would: the leader sends them again until there is room.
    if (message.type === "append" && message.entries.length > 0 && !this.writable) return;
    this.#core.raft.step(message);
    this.#events.wake();
  }

  tick(requestTimeoutMs: number): void {
    if (this.#core === null || this.#failed) return;
    const { raft, proposer, reader, disk } = this.#core;
    this.#leaderlessTicks = raft.leader === NO_NODE ? this.#leaderlessTicks + 1 : 0;
    this.#restrain(raft);
    const hasWork = raft.tick();
    const hasReleased = disk.release(raft.releaseIndex);
    const isAwaited = this.pendingCount > 0 || proposer.openBytes > 0;
    if (isAwaited) {
      const nowMs = this.#clock.monotonicMs();
      const longAgo = nowMs - requestTimeoutMs;
      proposer.expire(nowMs, longAgo);
      reader.expire(longAgo);
    }
    this.snapshots?.tick();
    this.repair?.tick(this.quarantinedCount > 0 && !this.#isLeaving);
    if (hasWork || hasReleased || isAwaited) this.#events.wake();
  }

  /** This node's groups send their heartbeats now. */
  beat(): void {
    if (this.#core?.raft.beat() === true) this.#events.wake();
  }

  /** One bounded step of the shard's own work, where it runs on this thread; true: there is more. */
  background(): boolean {
    return !this.#failed && this.#port.background();
  }

  /** The time has come at which the shard wanted a turn. */
  stir(): void {
    this.#port.stir();
    this.#events.touched();
  }

  /** Milliseconds after which the shard wants a turn even if nothing comes. */
  get dueInMs(): number {
    return this.#failed ? Number.POSITIVE_INFINITY : this.#port.dueInMs();
  }

  /** Hands over to one of those who are well if this node's own disk is full, or slow, for long. Called at every tick. */
  relieve(isWell: (peer: NodeId) => boolean): void {
    if (this.#core === null || !this.accepting) return this.#ownDisk.forget();
    const { commitIndex, persistedIndex } = this.#core.raft;
    if (this.#ownDisk.isInTheWay(this.writable, commitIndex, persistedIndex)) this.handOver(isWell);
  }

  /** This node is about to stop: it does not campaign any more, and hands over to a connected voter. */
  leave(isConnected: (peer: NodeId) => boolean): void {
    this.#isLeaving = true;
    if (this.#core !== null) this.#restrain(this.#core.raft);
    this.handOver(isConnected);
  }

  /** Hands leadership over to the voter among the eligible that has most of the log, if there is one. */
  handOver(isEligible: (voter: NodeId) => boolean): void {
    if (this.#core === null || !this.#isLeading) return;
    const { raft } = this.#core;
    const successor = raft.successor(isEligible);
    if (successor === NO_NODE) return;
    this.propose();
    raft.transferLeadership(successor);
    this.#events.wake();
  }

  /** Hands leadership over to this node, if it is another voter. */
  handOverTo(successor: NodeId): void {
    this.handOver((voter) => voter === successor);
  }

  /** Sees to it that the shard's replicas come to be where they should be. Called at every tick. */
  reconcile(aim: Aim, neighbours: Neighbours): void {
    if (this.members === null || this.#failed) return;
    const successor = this.members.tick(this.accepting, aim, neighbours);
    if (successor !== NO_NODE) this.handOverTo(successor);
  }

  /** Gives the open entry to Raft; false: it is open still. */
  #closesEntry(): boolean {
    this.propose();
    return this.openIndex === this.#core?.raft.lastIndex;
  }

  /** That node is without damage, and this one is not. */
  #handToWhole(node: NodeId): void {
    if (this.isHandingOver) return;
    this.handOverTo(node);
    if (this.isHandingOver) this.#log.info("a voter without damage takes over", { shard: this.shard, voter: node });
  }

  stop(): void {
    if (this.#failed) return;
    this.#port.link.send({ type: "stop" });
    this.#port.link.flush();
    this.#port.link.settle();
  }

  // ---- the turn --------------------------------------------------------------------------------------------------

  /** A turn begins: whatever was read from memory has been copied. */
  beginTurn(): void {
    this.#port.state.noteReaderTurn();
    this.#returnArenas();
  }

  /** Gives the open entry to Raft, if there is one and Raft takes it. */
  propose(): void {
    if (this.#core === null) return;
    if (this.#isLeading) this.#core.proposer.propose(this.#clock.monotonicMs());
    else this.#core.proposer.abandon();
  }

  /** Proposes what has gathered and carries out everything Raft wants by now; false: it wanted nothing. */
  drive(): boolean {
    if (this.#core === null || this.#failed) return false;
    const { raft, proposer, reader, disk } = this.#core;
    if ((raft.isAlone || !proposer.gathers) && !proposer.isHeld) this.propose();
    for (let isBusy = false; ; isBusy = true) {
      // A Ready begins the round of the reads evaluated by now. Later ones must not join it, not even those that
      // come from what is answered below: their round has to begin after them.
      reader.settle();
      reader.closeGate();
      const ready = raft.ready(this.#clock.monotonicMs());
      if (ready === null) {
        this.members?.driven();
        proposer.settle();
        this.#watchLeadership();
        return isBusy;
      }
      const isLeader = raft.role === "leader";
      disk.send(ready, isLeader, isLeader && raft.isAlone);
      for (const message of ready.messages) this.#events.send(this.shard, message);
      this.snapshots?.carryOut(ready);
      for (const state of ready.readStates) reader.confirmed(state.context);
      for (const context of ready.readFailures) reader.failed(context);
    }
  }

  flush(): void {
    this.#port.link.flush();
  }

  settle(): void {
    this.#port.link.settle();
  }

  // ---- private parts ---------------------------------------------------------------------------------------------

  #accepting(): GroupCore {
    assert(this.#core !== null && this.accepting, "operations are given to a group that accepts them");
    return this.#core;
  }

  /**
   * A member with damage lets others lead, who can answer everything, and so does one that is about to stop. It votes: what
   * its log ends with has been proven at its start, and is no part of the damage. Where nobody else votes it has to do; and
   * where for a long time nobody else has become leader, because all are damaged or what they lack is here, it does rather than
   * nobody. One that has lost a part of its log never does before it has made up for it, and votes for nobody who may lack it.
   */
  #restrain(raft: Raft): void {
    const lostEnd = this.#lostEnd;
    if (lostEnd !== null) {
      this.#mayCampaign = null;
      return raft.restrain({ mayCampaign: false, mayVote: lostEnd.lastIndex > 0, lostEnd });
    }
    const isNeeded = this.#leaderlessTicks >= this.#options.electionTicks * PATIENCE_ELECTIONS;
    const mayCampaign = raft.isAlone || ((this.quarantinedCount === 0 || isNeeded) && !this.#isLeaving);
    // A candidate is looked at again: whether it may be elected depends on its configuration, too.
    const campaigns = raft.role === "candidate" || raft.role === "preCandidate";
    if (mayCampaign === this.#mayCampaign && !campaigns) return;
    this.#mayCampaign = mayCampaign;
    raft.restrain({ mayCampaign, mayVote: true });
  }

  #watchLeadership(): void {
    const isLeading = this.#isLeading;
    if (this.role !== "leader") this.#core?.proposer.abandon();
    if (isLeading === this.#wasLeading) return;
    this.#wasLeading = isLeading;
    if (!isLeading) {
      this.#fences.forgetExpected();
      this.#core?.reader.leaderLost();
    }
    const what = isLeading ? "leading the shard" : "no longer leading the shard";
    this.#log.info(what, { shard: this.shard, term: this.term });
    this.#events.leadershipChanged();
    this.#events.wake();
  }

  #onReply(reply: ShardReply): void {
    const core = this.#core;
    switch (reply.type) {
      case "opened":
        this.#open(reply.boot);
        break;
      case "persisted":
        core?.raft.persisted(reply.lastIndex, reply.lastTerm);
        break;
      case "hardStateSaved":
        core?.raft.hardStateSaved(reply.term, reply.vote);
        break;
      case "applied":
        this.#onApplied(reply);
        break;
      case "readResult":
        core?.reader.answered(reply.requestId, reply.result);
        break;
      case "entriesRead":
        core?.raft.entriesRead(reply.from, reply.entries.map(raftEntry));
        break;
      case "done":
      case "stats":
      case "snapshotMade":
      case "snapshotPiece":
      case "installBegun":
      case "installed":
      case "repairWanted":
      case "repairTaken":
      case "rangeOpened":
      case "rangePiece":
      case "emptied":
        this.#questions.answered(reply);
        break;
      case "arenaRetired":
        this.#port.memtables.noteFlushed(reply.arena);
        this.#returnArenas();
        break;
      case "logReleased":
        core?.raft.logReleased(reply.firstIndex, reply.previousTerm);
        break;
      case "arenasRecalled":
        for (const arena of this.#port.memtables.recall()) this.#port.link.send({ type: "returnArena", arena });
        break;
      case "failed":
        this.#failed = true;
        this.#questions.fail();
        core?.proposer.giveUp();
        core?.reader.expire(Number.POSITIVE_INFINITY);
        this.#events.failed(this.shard, reply.code, reply.message);
        break;
      case "logWhole":
        this.#lostEnd = null;
        break;
      case "stopped":
        this.#stopped = true;
        break;
      default:
        unreachable(reply);
    }
    this.#port.stir();
    this.#events.replied();
  }

  #returnArenas(): void {
    const { memtables, link } = this.#port;
    for (let arena = memtables.retireSpare(); arena !== 0; arena = memtables.retireSpare()) {
      link.send({ type: "returnArena", arena });
    }
  }

  #open(boot: ShardBoot): void {
    this.#core = openGroupCore(this.#options, boot, this.#port, this.#clock, this.#seed, this.#events);
    this.#applied = boot.appliedIndex;
    this.#learn(boot.system, true);
    this.snapshots = new GroupSnapshots(
      this.#core.raft,
      this.#options,
      this.#questions,
      this.#clock,
      this.#log,
      this.#events,
      (id) => {
        this.#port.link.send({ type: "snapshotDrop", id });
        this.#events.wake();
      },
      (installed) => this.#onInstalled(installed),
    );
    this.members = new GroupMembers(
      this.#core.raft,
      this.#options,
      this.#questions,
      this.#log,
      this.#events,
      () => this.#closesEntry(),
      (emptied) => this.#onEmptied(emptied),
    );
    this.repair = new GroupRepair(
      this.#core.raft,
      this.#options,
      this.#questions,
      this.#port.link,
      this.#clock,
      this.#log,
      this.#events,
      (node) => this.#handToWhole(node),
    );
    this.#lostEnd = boot.lostEnd;
    this.#restrain(this.#core.raft);
    if (this.#core.raft.isAlone) this.#core.raft.campaign();
    this.#events.wake();
  }

  /** The shard holds nothing. What this node has learned of the catalog there it knows still, as one without a replica does. */
  #onEmptied(boot: ShardBoot): void {
    const core = this.#core;
    assert(core !== null, "a shard that is emptied has been opened");
    core.proposer.giveUp();
    core.reader.expire(Number.POSITIVE_INFINITY);
    core.raft.gaveUp(raftBoot(boot, this.#options.firstMembers));
    core.disk.restart(boot.commitIndex);
    this.#applied = boot.appliedIndex;
    this.#events.wake();
  }

  /** The shard holds a snapshot of the leader, and nothing of what it held before. */
  #onInstalled(boot: ShardBoot): void {
    const core = this.#core;
    assert(core !== null, "a shard that installs has been opened");
    core.raft.snapshotInstalled(raftBoot(boot, this.#options.firstMembers));
    core.disk.restart(boot.commitIndex);
    core.proposer.clock.observe(boot.stampHigh, boot.stampLow);
    this.#applied = boot.appliedIndex;
    this.#learn(boot.system, true);
    this.#events.wake();
  }

  #onApplied(reply: Extract<ShardReply, { type: "applied" }>): void {
    const core = this.#core;
    if (core === null) return;
    this.#applied = reply.appliedIndex;
    this.onApplied();
    // Operations that were held until now go on in the next turn.
    if (this.#isLeading !== this.#wasLeading) this.#events.wake();
    core.proposer.clock.observe(reply.stampHigh, reply.stampLow);
    this.#learn(reply.system, false);
    if (reply.results.length === 0) return;
    // A single voter's shard applies by itself, so results may come before the commit has been looked at here.
    core.proposer.settle();
    for (const { index, ordinal, result } of reply.results) core.proposer.applied(index, ordinal, result);
  }

  #learn(changes: readonly SystemChange[], isWhole: boolean): void {
    if (changes.length === 0 && !isWhole) return;
    for (const change of changes) this.#fences.learn(change);
    this.#events.wake();
    this.#events.systemChanged(this.shard, changes, isWhole);
  }
}

/** How the leader itself answers: on its lease it is within any bound. */
function proofOf(mode: ReadMode): Proof {
  return mode === "lease" || mode === "stale" ? "lease" : "round";
}
