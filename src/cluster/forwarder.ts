/**
 * The operations of this node's clients that somebody else leads: held while nobody does, sent to the leader, answered
 * by it. Four rules keep them honest:
 *
 *   - A write that may have reached a leader is never sent again: if its answer is lost, its outcome is unknown.
 *   - An operation that was refused ("not the leader") was not executed and goes back to the head of the queue.
 *   - Operations of one shard leave in the order of arrival, and nothing is sent to a new leader before everything sent
 *     to the old one is settled, so that a connection's commands cannot overtake each other. Nor can they at one that
 *     becomes the leader between two frames: everything sent belongs to a *round*, whoever refuses an operation refuses
 *     all that follow in its round, and the next round begins when everything of this one is settled.
 *   - What a connection still has here when it ends is dropped: nobody waits for it, and nobody expects it later.
 *
 * Main thread only.
 */
import { ByteReader } from "../core/byte-reader.ts";
import { NO_NODE, type NodeId } from "../core/ids.ts";
import { errorResult, type Result } from "../record/result.ts";
import { FrameType } from "../wire/peer-frame-format.ts";
import { decodeForwardOutcome, encodeForwarded } from "./forward-format.ts";
import { ABANDONED, isAbandoned, type Operation, workBytes } from "./operation.ts";
import type { PeerTransport } from "./peer-transport.ts";

/** What a forwarder needs of the transport. */
export type ForwardTransport = Pick<PeerTransport, "connected" | "frame">;

/** Bytes of operations that may wait for a leader, per shard; more are refused. */
const HELD_BYTES_MAX = 32 * 1024 * 1024;
const FRAME_OPERATION_BYTES_MAX = 256 * 1024;

const OVERLOADED = errorResult("OVERLOADED", "too many operations wait for a leader; it is safe to retry");
const NO_LEADER = errorResult("UNAVAILABLE", "no leader could be reached; the operation was not executed");
const LOST = errorResult(
  "UNKNOWN_OUTCOME",
  "the leader was lost before it answered; the write may or may not take effect",
);
const READ_LOST = errorResult("UNAVAILABLE", "the leader was lost before it answered; it is safe to retry");

export interface ForwarderEvents {
  /** The result of a forwarded operation. */
  settled(operation: Operation, result: Result): void;
  /** The node leads the shard itself now: carry this out. */
  local(operation: Operation): void;
  /** The term in which this node's own Raft follows a leader, 0 while it follows none. */
  followedTerm(): number;
  /** Whether that, and all that is held behind it, has to wait a little more. */
  mustWait(operation: Operation): boolean;
}

export class Forwarder {
  readonly #shard: number;
  readonly #session: number;
  readonly #transport: ForwardTransport;
  readonly #events: ForwarderEvents;
  readonly #reader = new ByteReader("PROTOCOL", "a forwarded outcome");
  /** In order of arrival. */
  #held: Operation[] = [];
  #heldBytes = 0;
  /** Sent and not answered, by request id, all to `#target`. */
  readonly #sent = new Map<number, Operation>();
  #target: NodeId = NO_NODE;
  #lastRequest = 0;
  #round = 0;
  /** Something of the last round was refused: the next one waits until that is settled. */
  #roundEnded = false;
  /** `#target` has refused; until the next tick there is no use in asking it again. */
  #resting = false;

  constructor(shard: number, session: number, transport: ForwardTransport, events: ForwarderEvents) {
    this.#shard = shard;
    this.#session = session;
    this.#transport = transport;
    this.#events = events;
  }

  /** Whether operations have to queue here even if this node leads by now. */
  get busy(): boolean {
    return this.#held.length > 0 || this.#sent.size > 0;
  }

  get count(): number {
    return this.#held.length + this.#sent.size;
  }

  hold(operation: Operation): void {
    if (this.#heldBytes > HELD_BYTES_MAX) {
      this.#events.settled(operation, OVERLOADED);
      return;
    }
    this.#held.push(operation);
    this.#heldBytes += workBytes(operation.work);
  }

  /** Sends or carries out what is held, as far as the leader is known. `self`: this node accepts operations itself. */
  pump(leader: NodeId, self: boolean): void {
    if (this.#held.length === 0) return;
    if (this.#sent.size > 0 && (self || this.#roundEnded || leader !== this.#target)) return;
    if (self) {
      this.#carryOutHeld();
      return;
    }
    if (leader === NO_NODE || !this.#transport.connected(leader)) return;
    if (this.#resting && leader === this.#target) return;
    this.#target = leader;
    this.#resting = false;
    this.#roundEnded = false;
    const operations = this.#takeLive();
    for (let next = 0; next < operations.length; ) next = this.#sendFrame(leader, operations, next);
  }

  /** An answer frame from a peer. Throws PROTOCOL when it does not parse. */
  onReply(from: NodeId, body: Uint8Array): void {
    const reader = this.#reader.over(body);
    if (reader.u32() !== this.#session || from !== this.#target) return;
    const refused: Operation[] = [];
    try {
      while (reader.remaining > 0) {
        const { requestId, result } = decodeForwardOutcome(reader);
        const operation = this.#sent.get(requestId);
        if (operation === undefined) continue;
        this.#sent.delete(requestId);
        if (result === null) refused.push(operation);
        else this.#events.settled(operation, result);
      }
    } finally {
      if (refused.length > 0) this.#onRefused(refused);
    }
  }

  /** What was sent to this peer, or its answer, may be lost. */
  onLost(peer: NodeId): void {
    if (peer !== this.#target) return;
    this.#giveUpSent(() => true);
  }

  /** Another leader is known: what the old one has not answered within its grace is settled. */
  expire(nowMs: number, leader: NodeId, graceMs: number, timeoutMs: number): void {
    this.#resting = false;
    const movedOn = leader !== NO_NODE && leader !== this.#target;
    const limitMs = movedOn ? timeoutMs - graceMs : 0;
    this.#giveUpSent((operation) => operation.deadlineMs - limitMs <= nowMs);
    if (this.#held.length === 0) return;
    const kept = this.#held.filter((operation) => operation.deadlineMs > nowMs);
    if (kept.length === this.#held.length) return;
    const late = this.#held.filter((operation) => operation.deadlineMs <= nowMs);
    this.#held = kept;
    this.#heldBytes = kept.reduce((sum, operation) => sum + workBytes(operation.work), 0);
    for (const operation of late) this.#events.settled(operation, NO_LEADER);
  }

  #giveUpSent(isLost: (operation: Operation) => boolean): void {
    for (const [requestId, operation] of this.#sent) {
      if (!isLost(operation)) continue;
      this.#sent.delete(requestId);
      this.#events.settled(operation, operation.work.kind === "write" ? LOST : READ_LOST);
    }
  }

  /** Up to the first that has to wait; the others stay, and whatever comes meanwhile queues behind them. */
  #carryOutHeld(): void {
    const held = this.#held;
    let count = 0;
    while (count < held.length && !this.#events.mustWait(held[count]!)) {
      const operation = held[count]!;
      count += 1;
      this.#heldBytes -= workBytes(operation.work);
      if (isAbandoned(operation)) this.#events.settled(operation, ABANDONED);
      else this.#events.local(operation);
    }
    held.splice(0, count);
  }

  /** Everything that is held and whose client is still there. */
  #takeLive(): Operation[] {
    const operations = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    const live = operations.filter((operation) => !isAbandoned(operation));
    if (live.length < operations.length) {
      for (const operation of operations) if (isAbandoned(operation)) this.#events.settled(operation, ABANDONED);
    }
    return live;
  }

  #onRefused(operations: Operation[]): void {
    if (!this.#roundEnded) this.#round = (this.#round + 1) >>> 0;
    this.#roundEnded = true;
    this.#resting = true;
    this.#putBack(operations);
  }

  #putBack(operations: Operation[]): void {
    this.#held = [...operations, ...this.#held].sort((a, b) => a.sequence - b.sequence);
    for (const operation of operations) this.#heldBytes += workBytes(operation.work);
  }

  /** Sends operations from `first` on in one frame of bounded size; returns the first that is not in it. */
  #sendFrame(leader: NodeId, operations: readonly Operation[], first: number): number {
    let next = first;
    const taken = this.#transport.frame(leader, FrameType.forward, this.#shard, (writer) => {
      const start = writer.length;
      writer.u32(this.#session);
      writer.u32(this.#round);
      writer.u64(this.#events.followedTerm());
      while (next < operations.length && writer.length - start < FRAME_OPERATION_BYTES_MAX) {
        const operation = operations[next]!;
        const requestId = this.#nextRequest();
        this.#sent.set(requestId, operation);
        encodeForwarded(requestId, operation, writer);
        next += 1;
      }
    });
    if (taken) return next;
    this.#putBack(operations.slice(first));
    return operations.length;
  }

  #nextRequest(): number {
    this.#lastRequest = (this.#lastRequest + 1) >>> 0;
    return this.#lastRequest;
  }
}
