/**
 * The heartbeats that this node's groups have for their peers, and their answers, gathered over a turn: for each peer one
 * frame of either kind (heartbeat-format.ts). A frame that cannot be sent now is lost, like any other. What comes is dealt
 * out to the groups. Main thread only.
 */
import { ByteReader } from "../core/byte-reader.ts";
import { ByteWriter } from "../core/byte-writer.ts";
import type { NodeId } from "../core/ids.ts";
import type { Heartbeat, HeartbeatReply } from "../raft/messages.ts";
import { FrameType, NO_SHARD } from "../wire/peer-frame-format.ts";
import { decodeHeartbeatReplies, decodeHeartbeats, encodeHeartbeat, encodeHeartbeatReply } from "./heartbeat-format.ts";
import type { PeerTransport } from "./peer-transport.ts";

const KEEP_BYTES_MAX = 64 * 1024;

interface Gathered {
  readonly heartbeats: ByteWriter;
  readonly replies: ByteWriter;
}

export class Heartbeats {
  readonly #self: NodeId;
  readonly #transport: Pick<PeerTransport, "frame">;
  readonly #step: (shard: number, message: Heartbeat | HeartbeatReply) => void;
  readonly #peers = new Map<NodeId, Gathered>();
  readonly #reader = new ByteReader("PROTOCOL", "heartbeats");

  /** `step` takes what comes for a shard, one that this node may not have. */
  constructor(
    self: NodeId,
    transport: Pick<PeerTransport, "frame">,
    step: (shard: number, message: Heartbeat | HeartbeatReply) => void,
  ) {
    this.#self = self;
    this.#transport = transport;
    this.#step = step;
  }

  send(shard: number, message: Heartbeat | HeartbeatReply): void {
    const gathered = this.#gatheredFor(message.to);
    if (message.type === "heartbeat") encodeHeartbeat(shard, message, gathered.heartbeats);
    else encodeHeartbeatReply(shard, message, gathered.replies);
  }

  /** Hands the frames to the transport. */
  flush(): void {
    for (const [peer, { heartbeats, replies }] of this.#peers) {
      this.#give(peer, FrameType.heartbeats, heartbeats);
      this.#give(peer, FrameType.heartbeatReplies, replies);
    }
  }

  /** A frame of heartbeats or of answers has come. Throws PROTOCOL when it does not parse. */
  received(from: NodeId, type: FrameType, body: Uint8Array): void {
    const reader = this.#reader.over(body);
    if (type === FrameType.heartbeats) decodeHeartbeats(reader, from, this.#self, this.#step);
    else decodeHeartbeatReplies(reader, from, this.#self, this.#step);
  }

  #give(peer: NodeId, type: FrameType, records: ByteWriter): void {
    if (records.length === 0) return;
    this.#transport.frame(peer, type, NO_SHARD, (writer) => writer.raw(records.written()));
    records.reset(KEEP_BYTES_MAX);
  }

  #gatheredFor(peer: NodeId): Gathered {
    let gathered = this.#peers.get(peer);
    if (gathered === undefined) {
      gathered = { heartbeats: new ByteWriter(4096), replies: new ByteWriter(4096) };
      this.#peers.set(peer, gathered);
    }
    return gathered;
  }
}
