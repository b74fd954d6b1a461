/**
 * The way to one shard: its group, if this node leads it, or the forwarder to whoever does; and for reads that a follower
 * may answer, the group as well. Main thread only.
 */
import { CommandReader, CommandType } from "../record/command-format.ts";
import { errorResult, type Result } from "../record/result.ts";
import { viewOf } from "../core/bytes.ts";
import { NO_NODE, type NodeId } from "../core/ids.ts";
import type { Clock } from "../env/clock.ts";
import type { BucketUsage } from "./bucket-usage.ts";
import { FollowerReads } from "./follower-reads.ts";
import { Forwarder, type ForwardTransport } from "./forwarder.ts";
import { bucketOf, type Operation } from "./operation.ts";
import type { ShardGroup } from "./shard-group.ts";

export const DISK_FULL = errorResult("DISKFULL", "the disk is full; writes are refused until there is room");
const FENCED = errorResult("FENCED", "the bucket was dropped or emptied under this id");

/** Who leads the shard by what other nodes say. */
export interface LeaderHint {
  readonly node: NodeId;
  readonly term: number;
}

export class Lane {
  readonly group: ShardGroup;
  readonly forwarder: Forwarder;
  readonly followerReads: FollowerReads;
  /** What buckets with a quota hold here, while this node leads. */
  readonly usage: BucketUsage;
  readonly #hint: () => LeaderHint | null;
  readonly #settled: (operation: Operation, result: Result) => void;
  readonly #command = new CommandReader();

  constructor(
    group: ShardGroup,
    session: number,
    transport: ForwardTransport,
    clock: Clock,
    requestTimeoutMs: number,
    hint: () => LeaderHint | null,
    settled: (operation: Operation, result: Result) => void,
    wake: () => void,
    usage: BucketUsage,
  ) {
    this.group = group;
    this.usage = usage;
    this.#hint = hint;
    this.#settled = settled;
    this.forwarder = new Forwarder(group.shard, session, transport, {
      settled: (operation, result) => this.#settle(operation, result),
      local: (operation) => this.#carryOut(operation),
      followedTerm: () => group.followedTerm,
      mustWait: (operation) => this.#mustWait(operation),
    });
    this.followerReads = new FollowerReads(group, clock, requestTimeoutMs, {
      forward: (operation) => this.forwarder.hold(operation),
      resume: (operation) => this.#dispatch(operation),
      settled: (operation, result) => this.#settle(operation, result),
      wake,
    });
    group.onApplied = () => {
      if (this.followerReads.busy) wake();
    };
  }

  /**
   * Who leads the shard: by this node's own replica, or, where it has none or others know of a later term, by what they
   * say. Whoever is asked and does not lead refuses; so this need not be right.
   */
  get leader(): NodeId {
    const { group } = this;
    const { leader } = group;
    const hint = this.#hint();
    if (hint === null || (leader !== NO_NODE && hint.term <= group.term)) return leader;
    return hint.term >= group.term || !group.isMember ? hint.node : NO_NODE;
  }

  /** Whether this node carries out operations itself, with nothing queued before them. */
  get open(): boolean {
    return this.group.accepting && !this.forwarder.busy && !this.followerReads.busy;
  }

  /** Whether anything waits here or is under way to somebody else. */
  get isWaiting(): boolean {
    return this.forwarder.busy || this.followerReads.busy;
  }

  /** Operations that wait here or are under way to somebody else. */
  get waitingCount(): number {
    return this.forwarder.count + this.followerReads.count;
  }

  submit(operation: Operation): void {
    if (operation.work.kind === "write") operation.ordering?.underway(this.group.shard, 1);
    this.#dispatch(operation);
  }

  /** Gives up what has waited too long. */
  expire(nowMs: number, self: NodeId, electionMs: number, requestTimeoutMs: number): void {
    const leader = this.group.accepting ? self : this.leader;
    this.forwarder.expire(nowMs, leader, electionMs, requestTimeoutMs);
    this.followerReads.expire(electionMs);
  }

  /** Moves what is held towards the leader, and answers what may be answered here. */
  pump(): void {
    if (this.followerReads.busy) this.followerReads.pump();
    if (this.forwarder.busy) this.forwarder.pump(this.leader, this.group.accepting);
  }

  #dispatch(operation: Operation): void {
    if (this.followerReads.take(operation)) return;
    if (this.open && !this.#mustWait(operation)) this.#carryOut(operation);
    else this.forwarder.hold(operation);
  }

  /** In a congested group an own read would wait together with writes that came after it. */
  #mustWait({ work }: Operation): boolean {
    return this.group.congested || this.group.awaitsFence(bucketOf(work));
  }

  #carryOut(operation: Operation): void {
    const { group } = this;
    const { work, ordering, readMode } = operation;
    const waiter = { resolve: (_: number, result: Result) => this.#settle(operation, result) };
    if (work.kind === "index") return group.readIndex(0, group.self, waiter, 0);
    if (work.kind === "read") {
      const { read } = work;
      // Not only writes that came this way count: the connection's last one may have taken the short way.
      const ownWrite = ordering === null ? group.openIndex : ordering.ownWriteIndex(group.shard, group.term);
      if (group.isFenced(read.bucket)) return this.#settle(operation, FENCED);
      if (read.type !== "get") return group.read(read, group.openIndex, group.self, readMode, waiter, 0);
      const key = { bytes: read.key, start: 0, end: read.key.length };
      return group.get(read.bucket, key, read.metadataOnly, ownWrite, group.self, readMode, waiter, 0);
    }
    const command = this.#command.over(work.command);
    command.read(0, work.command.length);
    if (group.isFenced(command.bucket)) return this.#settle(operation, FENCED);
    if (!group.writable) return this.#settle(operation, DISK_FULL);
    const refusal = this.usage.refusalOf(work.command);
    if (refusal !== null) return this.#settle(operation, refusal);
    if (command.type === CommandType.fence) group.expectFence(viewOf(command.value()).getUint32(0, true));
    const index = group.writeEncoded(command.type, work.command, waiter, 0);
    ordering?.wrote(group.shard, index, group.term);
  }

  #settle(operation: Operation, result: Result): void {
    if (operation.work.kind === "write") operation.ordering?.underway(this.group.shard, -1);
    this.#settled(operation, result);
  }
}
