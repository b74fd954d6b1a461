/**
 * All connections between this node and its peers: an outbox to each, and a listener for what they say. Members that come
 * are dialed, and nobody listens any more to those that are forgotten. A connection
 * becomes a peer's voice only after its hello has been checked: cluster, member, incarnation, protocol version, number
 * of shards. A peer has one voice: a newer connection takes the place of an older one, which is closed, so nothing that
 * was sent over it can still arrive late. Both ends of a connection say at every *beat* that they are alive, and close
 * it when nothing has come over it for several. Main thread only.
 */
import type { ByteWriter } from "../core/byte-writer.ts";
import { ByteWriter as Writer } from "../core/byte-writer.ts";
import { utf8 } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import { type NodeId, nodeId } from "../core/ids.ts";
import { namesNode } from "../core/node-host.ts";
import type { Timer } from "../env/clock.ts";
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
import type { Members } from "./members.ts";
import { decodeHello, encodeHello, type PeerHello } from "./peer-hello-format.ts";
import { PEER_SILENT, PeerOutbox, SILENT_BEATS_MAX } from "./peer-outbox.ts";

/** Who connects introduces himself within this time. */
const HELLO_MS_MAX = 3000;
/** A peer that says nothing for so many least election timeouts has its connection closed. */
const SILENT_ELECTIONS_MAX = 10;
const ALIVE_FRAME = aliveFrame();

/** What this process adds to the identity of its node. */
export interface TransportOptions {
  readonly clusterName: string;
  readonly session: number;
  readonly valueBytesMax: number;
  readonly replicationFactor: number;
  /** The least election timeout. */
  readonly electionMs: number;
}

export interface PeerEvents {
  /** `session` is the sender's process: it changes when the peer restarts. */
  onFrame(from: NodeId, session: number, frame: Frame): void;
  /** One of the two directions to this peer has been established. */
  onConnected(peer: NodeId): void;
  /**
   * A node that is no member asks to become one; `say` gets the body of the answer; `isNamed` tells whether the certificate
   * that it has shown, where there is one, is that of a node. Throws PROTOCOL.
   */
  onJoin(body: Uint8Array, say: (body: Uint8Array) => void, isNamed: (node: string) => boolean): void;
  /** Frames to or from this peer may have been lost. */
  onLost(peer: NodeId): void;
  /** Somebody was not listened to, or no longer. */
  onRefused(from: string, why: string): void;
}

/** The accepted connection over which a peer speaks. */
interface Voice {
  readonly connection: Connection;
  readonly peer: NodeId;
  /** The peer's data directory. */
  readonly incarnation: string;
  /** The peer's process. */
  readonly session: number;
  /** Beats since something came over it. */
  silentBeats: number;
}

export class PeerTransport {
  readonly #environment: Environment;
  readonly #identity: Identity;
  readonly #members: Members;
  readonly #events: PeerEvents;
  readonly #hello: Omit<PeerHello, "members">;
  readonly #clusterName: string;
  readonly #beatMs: number;
  readonly #outboxes = new Map<NodeId, PeerOutbox>();
  /** Where each outbox leads. */
  readonly #dialed = new Map<NodeId, string>();
  readonly #accepted = new Set<Connection>();
  readonly #voices = new Map<NodeId, Voice>();
  #listener: Listener | null = null;
  #beatTimer: Timer | null = null;
  #stopped = false;

  constructor(
    environment: Environment,
    identity: Identity,
    members: Members,
    options: TransportOptions,
    events: PeerEvents,
  ) {
    const { clusterName, session, valueBytesMax, replicationFactor, electionMs } = options;
    this.#clusterName = clusterName;
    this.#environment = environment;
    this.#identity = identity;
    this.#members = members;
    this.#events = events;
    const { clusterId, nodeName, incarnation, shardCount } = identity;
    this.#hello = {
      clusterId,
      nodeName,
      nodeId: identity.nodeId,
      incarnation,
      shardCount,
      valueBytesMax,
      replicationFactor,
      session,
    };
    this.#beatMs = (SILENT_ELECTIONS_MAX * electionMs) / SILENT_BEATS_MAX;
  }

  /** Listens and dials every peer, now and whenever one comes. Returns the port that was bound. */
  start(address: string): number {
    this.#listener = this.#environment.network.listen(address, (connection) => this.#accept(connection));
    this.#meetMembers();
    this.#members.onChange(() => this.#meetMembers());
    this.#scheduleBeat();
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
    this.#stopped = true;
    this.#beatTimer?.cancel();
    this.#listener?.close();
    for (const outbox of this.#outboxes.values()) outbox.stop();
    for (const connection of this.#accepted) connection.terminate();
  }

  /** Dials whoever is new or has moved, and hangs up on whoever is no member or is bound to another data directory. */
  #meetMembers(): void {
    if (this.#stopped) return;
    for (const [id, outbox] of this.#outboxes) {
      if (this.#members.get(id)?.peerAddress === this.#dialed.get(id)) continue;
      this.#outboxes.delete(id);
      this.#dialed.delete(id);
      outbox.stop();
    }
    for (const { peer, incarnation, connection } of this.#voices.values()) {
      if (this.#members.get(peer)?.incarnation !== incarnation) connection.terminate();
    }
    for (const { id, peerAddress } of this.#members.list()) {
      if (id !== this.#identity.nodeId && peerAddress !== "" && !this.#outboxes.has(id)) this.#dial(id, peerAddress);
    }
  }

  #dial(id: NodeId, address: string): void {
    const { clock, network, log } = this.#environment;
    this.#dialed.set(id, address);
    this.#outboxes.set(
      id,
      new PeerOutbox(clock, network, log, {
        address,
        hello: () => this.#introduction,
        check: (hello, connection) =>
          hello.nodeId === id ? this.#objection(hello, connection) : `node ${hello.nodeName} answers there`,
        onConnected: () => this.#events.onConnected(id),
        onLost: () => this.#events.onLost(id),
      }),
    );
  }

  #scheduleBeat(): void {
    this.#beatTimer = this.#environment.clock.after(this.#beatMs, () => {
      this.#beat();
      this.#scheduleBeat();
    });
  }

  #beat(): void {
    for (const outbox of this.#outboxes.values()) outbox.beat();
    for (const voice of this.#voices.values()) {
      const { connection } = voice;
      voice.silentBeats += 1;
      const isSilent = voice.silentBeats > SILENT_BEATS_MAX;
      if (isSilent) this.#environment.log.warn(PEER_SILENT, { from: connection.remoteAddress });
      // Whoever does not even take these few bytes has not read for very long.
      if (isSilent || connection.write(ALIVE_FRAME, 0, ALIVE_FRAME.length) < ALIVE_FRAME.length) connection.terminate();
    }
  }

  #accept(connection: Connection): ConnectionHandler {
    this.#accepted.add(connection);
    const reader = new FrameReader();
    reader.frameBytesMax = STRANGER_FRAME_BYTES_MAX;
    let voice: Voice | null = null;
    /** Nothing that comes is of interest any more. */
    let isClosing = false;
    const impatience = this.#environment.clock.after(HELLO_MS_MAX, () => {
      if (voice !== null) return;
      const why = `it did not introduce itself within ${HELLO_MS_MAX} ms`;
      if (!isClosing) this.#events.onRefused(connection.remoteAddress, why);
      connection.terminate();
    });
    const onFrame = (frame: Frame): void => {
      if (isClosing) return;
      if (voice !== null) {
        if (frame.type !== FrameType.alive) this.#events.onFrame(voice.peer, voice.session, frame);
        return;
      }
      if (frame.type === FrameType.join) {
        isClosing = true;
        impatience.cancel();
        this.#events.onJoin(
          frame.body,
          (body) => this.#answerJoin(connection, body),
          (node) => this.#isNamed(connection, node),
        );
        return;
      }
      voice = this.#welcome(connection, frame);
      isClosing = voice === null;
      reader.frameBytesMax = FRAME_BYTES_MAX;
    };
    return {
      onData: (bytes) => {
        if (voice !== null) voice.silentBeats = 0;
        try {
          reader.push(bytes, onFrame);
        } catch (error) {
          // A failed assertion is a defect of this node and ends it; it is not the peer's fault.
          if (!(error instanceof EnvelopeError)) throw error;
          this.#environment.log.warn("peer connection dropped", { from: connection.remoteAddress, why: String(error) });
          this.#events.onRefused(connection.remoteAddress, error.message);
          connection.terminate();
        }
      },
      onDrain: () => undefined,
      onClose: () => {
        impatience.cancel();
        this.#accepted.delete(connection);
        if (voice !== null) this.#silenced(voice);
      },
    };
  }

  #answerJoin(connection: Connection, body: Uint8Array): void {
    const answer = new Writer();
    addFrame(answer, FrameType.joined, body);
    connection.write(answer.bytes, 0, answer.length);
    connection.shutdown();
  }

  /** Answers the first frame of a connection; null when it was refused. */
  #welcome(connection: Connection, frame: Frame): Voice | null {
    const hello = frame.type === FrameType.hello ? decodeHello(frame.body) : null;
    const objection = hello === null ? "the first frame is no hello" : this.#objection(hello, connection);
    const answer = new Writer();
    // Who was removed is told the list that says so, by somebody it knows, before it is refused.
    const wasMember = hello !== null && this.#isFormerMember(hello) && this.#isNamed(connection, hello.nodeName);
    if (objection === null || wasMember) addFrame(answer, FrameType.welcome, encodeHello(this.#introduction));
    if (objection !== null) addFrame(answer, FrameType.refused, utf8(objection));
    connection.write(answer.bytes, 0, answer.length);
    if (hello !== null && objection === null) {
      const { incarnation, session } = hello;
      const voice = { connection, peer: nodeId(hello.nodeId), incarnation, session, silentBeats: 0 };
      this.#heard(voice);
      return voice;
    }
    this.#environment.log.warn("peer refused", { from: connection.remoteAddress, why: objection });
    this.#events.onRefused(connection.remoteAddress, objection ?? "");
    connection.shutdown();
    return null;
  }

  #heard(voice: Voice): void {
    const { peer } = voice;
    const former = this.#voices.get(peer);
    this.#voices.set(peer, voice);
    if (former !== undefined) {
      former.connection.terminate();
      this.#events.onLost(peer);
    }
    this.#events.onConnected(peer);
  }

  /** A connection has ended. Nothing is lost with one that had been replaced: that was said when it happened. */
  #silenced(voice: Voice): void {
    if (this.#voices.get(voice.peer) !== voice) return;
    this.#voices.delete(voice.peer);
    this.#events.onLost(voice.peer);
  }

  get #introduction(): PeerHello {
    return { ...this.#hello, members: this.#members.catalogList };
  }

  #objection(hello: PeerHello, connection: Connection): string | null {
    const own = this.#identity;
    if (!this.#isNamed(connection, hello.nodeName)) return `its certificate is not that of ${hello.nodeName}`;
    if (hello.clusterId !== own.clusterId) return `${hello.nodeName} belongs to another cluster`;
    const known = this.#members.get(nodeId(hello.nodeId))?.incarnation ?? "";
    // An id is bound once: whatever list says so comes from another cluster, or with the word of an impostor.
    if (known !== "" && known !== hello.incarnation) return otherDirectory(hello);
    this.#members.adopt(hello.members);
    for (const same of ["valueBytesMax", "replicationFactor"] as const) {
      if (hello[same] !== this.#hello[same])
        return `${hello.nodeName} has ${same} ${hello[same]}, this node ${this.#hello[same]}`;
    }
    if (hello.shardCount !== own.shardCount) {
      return `${hello.nodeName} has ${hello.shardCount} shards, this cluster has ${own.shardCount}`;
    }
    return this.#membershipObjection(hello);
  }

  /** Whether the other side's certificate is that of a node; without TLS there is none to look at. */
  #isNamed({ certificateName, certificateHosts }: Connection, node: string): boolean {
    return certificateName === null || namesNode(certificateHosts, node, this.#clusterName);
  }

  #isFormerMember(hello: PeerHello): boolean {
    return hello.clusterId === this.#identity.clusterId && this.#members.isForgotten(hello.nodeId);
  }

  #membershipObjection(hello: PeerHello): string | null {
    const { nodeId: id, nodeName, incarnation } = hello;
    const member = this.#members.get(nodeId(id));
    if (member?.name !== nodeName) {
      return this.#isFormerMember(hello)
        ? `${nodeName} has been removed from the cluster; it may join again with an empty data directory`
        : `${nodeName} is not a member`;
    }
    if (nodeName === this.#identity.nodeName) return `${nodeName} is this node's own name`;
    return this.#members.bind(id, incarnation) ? null : otherDirectory(hello);
  }
}

function otherDirectory({ nodeName }: PeerHello): string {
  return `${nodeName} speaks from another data directory than the one this cluster knows; it may have lost acknowledged writes`;
}

function addFrame(writer: ByteWriter, type: FrameType, body: Uint8Array): void {
  const start = beginFrame(writer, type, NO_SHARD);
  writer.raw(body);
  endFrame(writer, start);
}

function aliveFrame(): Uint8Array {
  const writer = new Writer();
  endFrame(writer, beginFrame(writer, FrameType.alive, NO_SHARD));
  return writer.copy();
}
