/**
 * The leader's side of forwarding: carries out the operations of other nodes' clients as if they were its own, and
 * gathers the results of a turn into one frame per node and shard. Main thread only.
 */
import { ByteReader } from "../core/byte-reader.ts";
import { ByteWriter } from "../core/byte-writer.ts";
import type { NodeId } from "../core/ids.ts";
import { CommandReader, CommandType } from "../record/command-format.ts";
import { errorResult, type Result } from "../record/result.ts";
import { FrameType } from "../wire/peer-frame-format.ts";
import type { Waiter } from "./coordinator.ts";
import { decodeForwarded, encodeForwardOutcome, type Forwarded } from "./forward-format.ts";
import type { PeerTransport } from "./peer-transport.ts";
import type { ShardGroup } from "./shard-group.ts";

const FENCED = errorResult("FENCED", "the bucket was dropped or emptied under this id");
const DISK_FULL = errorResult("DISKFULL", "the disk of the leader is full; writes are refused until there is room");
const KEEP_BYTES_MAX = 1024 * 1024;

export class ForwardServer {
  readonly #group: ShardGroup;
  readonly #peer: NodeId;
  readonly #session: number;
  readonly #transport: PeerTransport;
  readonly #wake: () => void;
  readonly #reader = new ByteReader("PROTOCOL", "a forwarded operation");
  readonly #command = new CommandReader();
  readonly #outcomes = new ByteWriter(4096);
  readonly #waiter: Waiter;
  /** Where the asking node's newest write stands: its reads that follow a write of their own wait for it. */
  #lastWriteIndex = 0;

  /** `session` is the asking process; answers to it are of no use to another one. */
  constructor(group: ShardGroup, peer: NodeId, session: number, transport: PeerTransport, wake: () => void) {
    this.#group = group;
    this.#peer = peer;
    this.#session = session;
    this.#transport = transport;
    this.#wake = wake;
    this.#waiter = { resolve: (requestId, result) => this.#answer(requestId, result) };
  }

  get session(): number {
    return this.#session;
  }

  /** Carries out a frame of operations. Throws PROTOCOL when it does not parse. */
  onForward(body: Uint8Array): void {
    const reader = this.#reader.over(body);
    if (reader.u32() !== this.#session) return;
    while (reader.remaining > 0) this.#carryOut(decodeForwarded(reader, this.#command));
  }

  /** Hands the results gathered so far to the transport. */
  flush(): void {
    const outcomes = this.#outcomes;
    if (outcomes.length === 0) return;
    this.#transport.frame(this.#peer, FrameType.forwardReply, this.#group.shard, (writer) => {
      writer.u32(this.#session);
      writer.raw(outcomes.written());
    });
    outcomes.reset(KEEP_BYTES_MAX);
  }

  #carryOut(operation: Forwarded): void {
    const { requestId, work, bucket, commandType } = operation;
    const group = this.#group;
    if (!group.accepting) return this.#answer(requestId, null);
    if (group.isFenced(bucket)) return this.#answer(requestId, FENCED);
    const ownWrite = operation.afterOwnWrite ? this.#lastWriteIndex : 0;
    if (work.kind === "read") {
      const { read } = work;
      if (read.type !== "get") return group.read(read, ownWrite, this.#waiter, requestId);
      const key = { bytes: read.key, start: 0, end: read.key.length };
      return group.get(bucket, key, read.metadataOnly, ownWrite, this.#waiter, requestId);
    }
    if (!group.writable) return this.#answer(requestId, DISK_FULL);
    const type = commandType ?? CommandType.put;
    if (type === CommandType.fence) group.expectFence(fencedBucket(work.command));
    this.#lastWriteIndex = group.writeEncoded(type, work.command, this.#waiter, requestId);
  }

  #answer(requestId: number, result: Result | null): void {
    encodeForwardOutcome(requestId, result, this.#outcomes);
    this.#wake();
  }
}

/** The bucket a fence command names: the u32 at the end of the command. */
function fencedBucket(command: Uint8Array): number {
  return new DataView(command.buffer, command.byteOffset + command.length - 4, 4).getUint32(0, true);
}
