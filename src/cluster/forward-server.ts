/**
 * The leader's side of forwarding: carries out the operations of other nodes' clients as if they were its own, and
 * gathers the results of a turn into frames of bounded size. While the shard is congested, or this node elected and not
 * yet ready, or the bucket's fence under way (fence-set.ts), operations wait here, as those of its own clients do, and no
 * longer than their askers wait. Once one
 * is refused, because this node does not lead, all that follow in the same round are: they must not overtake it (see
 * forwarder.ts). Main thread only.
 */
import type { BucketUsage } from "./bucket-usage.ts";
import type { ReadRequest } from "../bridge/shard-protocol.ts";
import { ByteReader } from "../core/byte-reader.ts";
import { ByteWriter } from "../core/byte-writer.ts";
import { NO_NODE, type NodeId } from "../core/ids.ts";
import { CommandReader, CommandType } from "../record/command-format.ts";
import { errorResult, type Result } from "../record/result.ts";
import { FrameType } from "../wire/peer-frame-format.ts";
import type { Waiter } from "./coordinator.ts";
import { decodeForwarded, encodeForwardOutcome, type Forwarded } from "./forward-format.ts";
import type { ForwardTransport } from "./forwarder.ts";
import { workBytes } from "./operation.ts";
import type { ShardGroup } from "./shard-group.ts";

const FENCED = errorResult("FENCED", "the bucket was dropped or emptied under this id");
const DISK_FULL = errorResult("DISKFULL", "the disk of the leader is full; writes are refused until there is room");
const OVERLOADED = errorResult("OVERLOADED", "the shard cannot keep up; it is safe to retry");
const TOO_LARGE = errorResult("TOO_LARGE", "key and value are larger than a memtable of the leader");
const KEEP_BYTES_MAX = 1024 * 1024;
/** Bytes of results in one frame; a single one may be larger and then travels alone or at the end. */
const ANSWER_BYTES_MAX = 1024 * 1024;
/** Bytes of results that may wait for the way to the asking node; those beyond are lost to it, their outcome unknown. */
const LATE_ANSWERS_BYTES_MAX = 32 * 1024 * 1024;
/** Bytes of operations that may wait for the shard; more are refused. */
const WAITING_BYTES_MAX = 32 * 1024 * 1024;

/** What a server needs of the group it serves. */
type ServedGroup = Pick<
  ShardGroup,
  | "shard"
  | "term"
  | "accepting"
  | "role"
  | "isStopped"
  | "congested"
  | "writable"
  | "isFenced"
  | "awaitsFence"
  | "get"
  | "read"
  | "readIndex"
  | "writeEncoded"
  | "commandBytesMax"
  | "expectFence"
>;

interface WaitingOperation {
  readonly round: number;
  /** In which the asking node followed this one. */
  readonly followedTerm: number;
  readonly operation: Forwarded;
  /** When somebody first looked how long it has waited; null: nobody has. */
  sinceMs: number | null;
}

export class ForwardServer {
  readonly #group: ServedGroup;
  readonly #usage: Pick<BucketUsage, "refusalOf">;
  readonly #peer: NodeId;
  readonly #session: number;
  readonly #transport: ForwardTransport;
  readonly #wake: () => void;
  readonly #reader = new ByteReader("PROTOCOL", "a forwarded operation");
  readonly #command = new CommandReader();
  readonly #outcomes = new ByteWriter(4096);
  readonly #waiter: Waiter;
  /** Where the asking node's newest write stands: its reads that follow a write of their own wait for it. */
  #lastWriteIndex = 0;
  /** The term in which it was taken: in a later one its fate is sealed before anything is read. */
  #lastWriteTerm = 0;
  /**
   * The newest of these writes that a read has waited for in this term. No later read may wait for less, whoever's it
   * is: its connection may be that of the earlier one, and would then see the past after the present.
   */
  #readFloorIndex = 0;
  /** The newest round of which something was refused. */
  #refusedRound = -1;
  /** In order, the first of them for a reason. */
  #waiting: WaitingOperation[] = [];
  #waitingBytes = 0;

  /** `session` is the asking process; answers to it are of no use to another one. */
  constructor(
    group: ServedGroup,
    usage: Pick<BucketUsage, "refusalOf">,
    peer: NodeId,
    session: number,
    transport: ForwardTransport,
    wake: () => void,
  ) {
    this.#group = group;
    this.#usage = usage;
    this.#peer = peer;
    this.#session = session;
    this.#transport = transport;
    this.#wake = wake;
    this.#waiter = { resolve: (requestId, result) => this.#answer(requestId, result) };
  }

  get peer(): NodeId {
    return this.#peer;
  }

  get session(): number {
    return this.#session;
  }

  /** Carries out a frame of operations. Throws PROTOCOL when it does not parse. */
  onForward(body: Uint8Array): void {
    const reader = this.#reader.over(body);
    if (reader.u32() !== this.#session) return;
    const round = reader.u32();
    const followedTerm = reader.u64();
    while (reader.remaining > 0) {
      this.#take({ round, followedTerm, operation: decodeForwarded(reader, this.#command), sinceMs: null });
    }
  }

  /** Carries out what has waited, as far as the shard keeps up with it. */
  pump(): void {
    if (this.#waiting.length === 0) return;
    let count = 0;
    while (count < this.#waiting.length && !this.#mustWait(this.#waiting[count]!.operation)) {
      const waiting = this.#waiting[count]!;
      count += 1;
      this.#waitingBytes -= workBytes(waiting.operation.work);
      this.#carryOut(waiting);
    }
    this.#waiting.splice(0, count);
  }

  /** Whether something waits for the shard, or its result for the way back. */
  get awaitsTurn(): boolean {
    return this.#waiting.length > 0 || this.#outcomes.length > 0;
  }

  /** Whether operations wait for the shard. */
  get isWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /**
   * Gives up what has waited since `longAgoMs`, as long as its asker waits at most: that one has told its client that the
   * outcome is unknown, and it must not take effect behind what the client has sent since, perhaps by another node.
   */
  expire(nowMs: number, longAgoMs: number): void {
    for (const waiting of this.#waiting) waiting.sinceMs ??= nowMs;
    const kept = this.#waiting.findIndex(({ sinceMs }) => sinceMs === null || sinceMs > longAgoMs);
    for (const { operation } of this.#waiting.splice(0, kept < 0 ? this.#waiting.length : kept)) {
      this.#waitingBytes -= workBytes(operation.work);
      this.#answer(operation.requestId, OVERLOADED);
    }
  }

  /** Hands the results gathered so far to the transport; if they cannot leave now, with a later call. */
  flush(): void {
    const outcomes = this.#outcomes;
    if (outcomes.length === 0) return;
    const taken = this.#transport.frame(this.#peer, FrameType.forwardReply, this.#group.shard, (writer) => {
      writer.u32(this.#session);
      writer.raw(outcomes.written());
    });
    if (taken || outcomes.length > LATE_ANSWERS_BYTES_MAX) outcomes.reset(KEEP_BYTES_MAX);
  }

  /** Not at one that does not lead: that refuses at once. */
  #mustWait({ bucket }: Forwarded): boolean {
    const group = this.#group;
    if (!group.accepting) return group.role === "leader" && !group.isStopped;
    return group.congested || group.awaitsFence(bucket);
  }

  #take(taken: WaitingOperation): void {
    const { operation } = taken;
    if (this.#waiting.length === 0 && !this.#mustWait(operation)) return this.#carryOut(taken);
    if (this.#waitingBytes > WAITING_BYTES_MAX) return this.#answer(operation.requestId, OVERLOADED);
    this.#waiting.push(taken);
    this.#waitingBytes += workBytes(operation.work);
  }

  #carryOut({ round, followedTerm, operation }: WaitingOperation): void {
    const { requestId, work, bucket } = operation;
    const group = this.#group;
    if (!group.accepting || round <= this.#refusedRound) {
      this.#refusedRound = Math.max(this.#refusedRound, round);
      return this.#answer(requestId, null);
    }
    if (group.isFenced(bucket)) return this.#answer(requestId, FENCED);
    if (work.kind === "write") return this.#write(work.command, operation);
    // Whoever only believes by hearsay that this node leads confirms nothing by asking it.
    const asker = followedTerm === group.term ? this.#peer : NO_NODE;
    const ownWrite = this.#ownWriteIndex(operation.afterOwnWrite);
    if (work.kind === "index") return group.readIndex(ownWrite, asker, this.#waiter, requestId);
    this.#read(work.read, operation, ownWrite, asker);
  }

  #write(command: Uint8Array, { requestId, commandType }: Forwarded): void {
    const group = this.#group;
    if (!group.writable) return this.#answer(requestId, DISK_FULL);
    const type = commandType ?? CommandType.put;
    // What no memtable can take would stop every replica, at each start. A transaction decides for itself.
    if (command.length > group.commandBytesMax && type !== CommandType.transaction)
      return this.#answer(requestId, TOO_LARGE);
    const refusal = this.#usage.refusalOf(command);
    if (refusal !== null) return this.#answer(requestId, refusal);
    if (type === CommandType.fence) group.expectFence(fencedBucket(command));
    if (this.#lastWriteTerm !== group.term) this.#readFloorIndex = 0;
    this.#lastWriteTerm = group.term;
    this.#lastWriteIndex = group.writeEncoded(type, command, this.#waiter, requestId);
  }

  #read(read: ReadRequest, { requestId, bucket, readMode }: Forwarded, ownWrite: number, asker: NodeId): void {
    const group = this.#group;
    if (read.type !== "get") return group.read(read, ownWrite, asker, readMode, this.#waiter, requestId);
    const key = { bytes: read.key, start: 0, end: read.key.length };
    group.get(bucket, key, read.metadataOnly, ownWrite, asker, readMode, this.#waiter, requestId);
  }

  #ownWriteIndex(afterOwnWrite: boolean): number {
    if (this.#lastWriteTerm !== this.#group.term) return 0;
    if (afterOwnWrite) this.#readFloorIndex = this.#lastWriteIndex;
    return this.#readFloorIndex;
  }

  #answer(requestId: number, result: Result | null): void {
    encodeForwardOutcome(requestId, result, this.#outcomes);
    if (this.#outcomes.length >= ANSWER_BYTES_MAX) this.flush();
    this.#wake();
  }
}

/** The bucket a fence command names: the u32 at the end of the command. */
function fencedBucket(command: Uint8Array): number {
  return new DataView(command.buffer, command.byteOffset + command.length - 4, 4).getUint32(0, true);
}
