/**
 * All connections between this node and its peers: an outbox to each, and a listener for what they say. A connection
 * becomes a peer's voice only after its hello has been checked: cluster, member, incarnation, protocol version, number
 * of shards. A peer has one voice: a newer connection takes the place of an older one, which is closed, so nothing that
 * was sent over it can still arrive late. Main thread only.
 */
import type { ByteWriter } from "../core/byte-writer.ts";
import { ByteWriter as Writer } from "../core/byte-writer.ts";
import { utf8 } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import { type NodeId, nodeId } from "../core/ids.ts";
import type { Environment } from "../env/environment.ts";
import type { Connection, ConnectionHandler, Listener } from "../env/network.ts";
import {
  beginFrame,
  endFrame,
  FRAME_BYTES_MAX,
  type Frame,
  FrameReader,
  FrameType,
  NO_SHARD,
  STRANGER_FRAME_BYTES_MAX,
} from "../wire/peer-frame-format.ts";
import type { Identity } from "./identity.ts";
import { decodeHello, encodeHello, type PeerHello } from "./peer-hello-format.ts";
import { PeerOutbox } from "./peer-outbox.ts";

/** Who connects introduces himself within this time. */
const HELLO_MS_MAX = 3000;

export interface PeerAddress {
  readonly name: string;
  readonly address: string;
}

export interface PeerEvents {
  /** `session` is the sender's process: it changes when the peer restarts. */
  onFrame(from: NodeId, session: number, frame: Frame): void;
  /** One of the two directions to this peer has been established. */
  onConnected(peer: NodeId): void;
  /** Frames to or from this peer may have been lost. */
  onLost(peer: NodeId): void;
}

export class PeerTransport {
  readonly #environment: Environment;
  readonly #identity: Identity;
  readonly #events: PeerEvents;
  readonly #hello: PeerHello;
  readonly #outboxes = new Map<NodeId, PeerOutbox>();
  readonly #accepted = new Set<Connection>();
  /** The accepted connection over which each peer speaks. */
  readonly #voices = new Map<NodeId, Connection>();
  #listener: Listener | null = null;

  constructor(
    environment: Environment,
    identity: Identity,
    own: { readonly session: number; readonly valueBytesMax: number },
    events: PeerEvents,
  ) {
    this.#environment = environment;
    this.#identity = identity;
    this.#events = events;
    const { clusterId, nodeName, incarnation, shardCount } = identity;
    this.#hello = { clusterId, nodeName, nodeId: identity.nodeId, incarnation, shardCount, ...own };
  }

  /** Listens and dials every peer. Returns the port that was bound. */
  start(address: string, peers: readonly PeerAddress[]): number {
    const { clock, network, log } = this.#environment;
    this.#listener = network.listen(address, (connection) => this.#accept(connection));
    for (const member of this.#identity.members) {
      if (member.name === this.#identity.nodeName) continue;
      const peer = peers.find((candidate) => candidate.name === member.name);
      if (peer === undefined) continue;
      const id = nodeId(member.id);
      this.#outboxes.set(
        id,
        new PeerOutbox(clock, network, log, {
          address: peer.address,
          hello: this.#hello,
          check: (hello) => (hello.nodeId === id ? this.#objection(hello) : `node ${hello.nodeName} answers there`),
          onConnected: () => this.#events.onConnected(id),
          onLost: () => this.#events.onLost(id),
        }),
      );
    }
    return this.#listener.port;
  }

  /** Both ways: what is sent arrives, and so does its answer, as far as is known. */
  connected(peer: NodeId): boolean {
    return this.#voices.has(peer) && this.#outboxes.get(peer)?.connected === true;
  }

  /** Adds a frame for a peer to this turn's bytes; false when it cannot be sent now. */
  frame(to: NodeId, type: FrameType, shard: number, write: (writer: ByteWriter) => void): boolean {
    return this.#outboxes.get(to)?.frame(type, shard, write) ?? false;
  }

  /** One write per peer. */
  flush(): void {
    for (const outbox of this.#outboxes.values()) outbox.flush();
  }

  stop(): void {
    this.#listener?.close();
    for (const outbox of this.#outboxes.values()) outbox.stop();
    for (const connection of this.#accepted) connection.terminate();
  }

  #accept(connection: Connection): ConnectionHandler {
    this.#accepted.add(connection);
    const reader = new FrameReader();
    reader.frameBytesMax = STRANGER_FRAME_BYTES_MAX;
    let peer: PeerHello | null = null;
    let isRefused = false;
    const impatience = this.#environment.clock.after(HELLO_MS_MAX, () => {
      if (peer === null) connection.terminate();
    });
    const onFrame = (frame: Frame): void => {
      if (isRefused) return;
      if (peer !== null) return this.#events.onFrame(nodeId(peer.nodeId), peer.session, frame);
      peer = this.#welcome(connection, frame);
      isRefused = peer === null;
      reader.frameBytesMax = FRAME_BYTES_MAX;
    };
    return {
      onData: (bytes) => {
        try {
          reader.push(bytes, onFrame);
        } catch (error) {
          // A failed assertion is a defect of this node and ends it; it is not the peer's fault.
          if (!(error instanceof EnvelopeError)) throw error;
          this.#environment.log.warn("peer connection dropped", { from: connection.remoteAddress, why: String(error) });
          connection.terminate();
        }
      },
      onDrain: () => undefined,
      onClose: () => {
        impatience.cancel();
        this.#accepted.delete(connection);
        if (peer !== null) this.#silenced(nodeId(peer.nodeId), connection);
      },
    };
  }

  /** Answers the first frame of a connection; null when it was refused. */
  #welcome(connection: Connection, frame: Frame): PeerHello | null {
    const hello = frame.type === FrameType.hello ? decodeHello(frame.body) : null;
    const objection = hello === null ? "the first frame is no hello" : this.#objection(hello);
    const answer = new Writer();
    const start = beginFrame(answer, objection === null ? FrameType.welcome : FrameType.refused, NO_SHARD);
    answer.raw(objection === null ? encodeHello(this.#hello) : utf8(objection));
    endFrame(answer, start);
    connection.write(answer.bytes, 0, answer.length);
    if (hello !== null && objection === null) {
      this.#heard(nodeId(hello.nodeId), connection);
      return hello;
    }
    this.#environment.log.warn("peer refused", { from: connection.remoteAddress, why: objection });
    connection.shutdown();
    return null;
  }

  #heard(peer: NodeId, connection: Connection): void {
    const former = this.#voices.get(peer);
    this.#voices.set(peer, connection);
    if (former !== undefined) {
      former.terminate();
      this.#events.onLost(peer);
    }
    this.#events.onConnected(peer);
  }

  /** A connection has ended. Nothing is lost with one that had been replaced: that was said when it happened. */
  #silenced(peer: NodeId, connection: Connection): void {
    if (this.#voices.get(peer) !== connection) return;
    this.#voices.delete(peer);
    this.#events.onLost(peer);
  }

  #objection(hello: PeerHello): string | null {
    const own = this.#identity;
    if (hello.clusterId !== own.clusterId) return `${hello.nodeName} belongs to another cluster`;
    if (hello.valueBytesMax !== this.#hello.valueBytesMax) {
      return `${hello.nodeName} has valueBytesMax ${hello.valueBytesMax}, this node ${this.#hello.valueBytesMax}`;
    }
    if (hello.shardCount !== own.shardCount) {
      return `${hello.nodeName} has ${hello.shardCount} shards, this cluster has ${own.shardCount}`;
    }
    const member = own.members.find((candidate) => candidate.id === hello.nodeId);
    if (member === undefined || member.name !== hello.nodeName) return `${hello.nodeName} is not a member`;
    if (member.name === own.nodeName) return `${hello.nodeName} is this node's own name`;
    if (own.bindIncarnation(hello.nodeId, hello.incarnation)) return null;
    return `${hello.nodeName} speaks from another data directory than the one this cluster knows; it may have lost acknowledged writes`;
  }
}
