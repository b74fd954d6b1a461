/**
 * The way to one shard: its group, if this node leads it, or the forwarder to whoever does. Main thread only.
 */
import { CommandReader, CommandType } from "../record/command-format.ts";
import { errorResult, type Result } from "../record/result.ts";
import { viewOf } from "../core/bytes.ts";
import { Forwarder, type ForwardTransport } from "./forwarder.ts";
import { bucketOf, type Operation } from "./operation.ts";
import type { ShardGroup } from "./shard-group.ts";

export const DISK_FULL = errorResult("DISKFULL", "the disk is full; writes are refused until there is room");
const FENCED = errorResult("FENCED", "the bucket was dropped or emptied under this id");

export class Lane {
  readonly group: ShardGroup;
  readonly forwarder: Forwarder;
  readonly #settled: (operation: Operation, result: Result) => void;
  readonly #command = new CommandReader();

  constructor(
    group: ShardGroup,
    session: number,
    transport: ForwardTransport,
    settled: (operation: Operation, result: Result) => void,
  ) {
    this.group = group;
    this.#settled = settled;
    this.forwarder = new Forwarder(group.shard, session, transport, {
      settled: (operation, result) => this.#settle(operation, result),
      local: (operation) => this.#carryOut(operation),
      mustWait: (operation) => this.#mustWait(operation),
    });
  }

  /** Whether this node carries out operations itself, with nothing queued before them. */
  get open(): boolean {
    return this.group.accepting && !this.forwarder.busy;
  }

  submit(operation: Operation): void {
    if (operation.work.kind === "write") operation.ordering?.underway(this.group.shard, 1);
    if (this.open && !this.#mustWait(operation)) this.#carryOut(operation);
    else this.forwarder.hold(operation);
  }

  /** Moves what is held towards the leader. */
  pump(): void {
    if (this.forwarder.busy) this.forwarder.pump(this.group.leader, this.group.accepting);
  }

  /** In a congested group an own read would wait together with writes that came after it. */
  #mustWait({ work }: Operation): boolean {
    return this.group.congested || this.group.awaitsFence(bucketOf(work));
  }

  #carryOut(operation: Operation): void {
    const { group } = this;
    const { work, ordering } = operation;
    const waiter = { resolve: (_: number, result: Result) => this.#settle(operation, result) };
    if (work.kind === "read") {
      const { read } = work;
      // Not only writes that came this way count: the connection's last one may have taken the short way.
      const ownWrite = ordering === null ? group.openIndex : ordering.ownWriteIndex(group.shard, group.term);
      if (group.isFenced(read.bucket)) return this.#settle(operation, FENCED);
      const mode = ordering?.readMode ?? "linearizable";
      if (read.type !== "get") return group.read(read, group.openIndex, group.self, mode, waiter, 0);
      const key = { bytes: read.key, start: 0, end: read.key.length };
      return group.get(read.bucket, key, read.metadataOnly, ownWrite, group.self, mode, waiter, 0);
    }
    const command = this.#command.over(work.command);
    command.read(0, work.command.length);
    if (group.isFenced(command.bucket)) return this.#settle(operation, FENCED);
    if (!group.writable) return this.#settle(operation, DISK_FULL);
    if (command.type === CommandType.fence) group.expectFence(viewOf(command.value()).getUint32(0, true));
    const index = group.writeEncoded(command.type, work.command, waiter, 0);
    ordering?.wrote(group.shard, index, group.term);
  }

  #settle(operation: Operation, result: Result): void {
    if (operation.work.kind === "write") operation.ordering?.underway(this.group.shard, -1);
    this.#settled(operation, result);
  }
}
