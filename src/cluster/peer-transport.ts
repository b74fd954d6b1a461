/**
 * All connections between this node and its peers: an outbox to each, and a listener for what they say. A connection
 * becomes a peer's voice only after its hello has been checked: cluster, member, incarnation, protocol version, number
 * of shards. Main thread only.
 */
import type { ByteWriter } from "../core/byte-writer.ts";
import { ByteWriter as Writer } from "../core/byte-writer.ts";
import { utf8 } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import { type NodeId, nodeId } from "../core/ids.ts";
import type { Environment } from "../env/environment.ts";
import type { Connection, ConnectionHandler, Listener } from "../env/network.ts";
import { beginFrame, endFrame, FrameReader, FrameType, NO_SHARD, type Frame } from "../wire/peer-frame-format.ts";
import type { Identity } from "./identity.ts";
import { decodeHello, encodeHello, type PeerHello } from "./peer-hello-format.ts";
import { PeerOutbox } from "./peer-outbox.ts";

export interface PeerAddress {
  readonly name: string;
  readonly address: string;
}

export interface PeerEvents {
  /** `session` is the sender's process: it changes when the peer restarts. */
  onFrame(from: NodeId, session: number, frame: Frame): void;
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
  #listener: Listener | null = null;

  constructor(environment: Environment, identity: Identity, session: number, events: PeerEvents) {
    this.#environment = environment;
    this.#identity = identity;
    this.#events = events;
    const { clusterId, nodeName, incarnation, shardCount } = identity;
    this.#hello = { clusterId, nodeName, nodeId: identity.nodeId, incarnation, shardCount, session };
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

  connected(peer: NodeId): boolean {
    return this.#outboxes.get(peer)?.connected ?? false;
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
    let peer: PeerHello | null = null;
    const onFrame = (frame: Frame): void => {
      if (peer === null) peer = this.#welcome(connection, frame);
      else this.#events.onFrame(nodeId(peer.nodeId), peer.session, frame);
    };
    return {
      onData: (bytes) => {
        try {
          reader.push(bytes, onFrame);
        } catch (error) {
          if (!(error instanceof EnvelopeError)) throw error;
          this.#environment.log.warn("peer connection dropped", { from: connection.remoteAddress, why: String(error) });
          connection.terminate();
        }
      },
      onDrain: () => undefined,
      onClose: () => {
        this.#accepted.delete(connection);
        if (peer !== null) this.#events.onLost(nodeId(peer.nodeId));
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
    if (objection === null) return hello;
    this.#environment.log.warn("peer refused", { from: connection.remoteAddress, why: objection });
    connection.shutdown();
    return null;
  }

  #objection(hello: PeerHello): string | null {
    const own = this.#identity;
    if (hello.clusterId !== own.clusterId) return `${hello.nodeName} belongs to another cluster`;
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
