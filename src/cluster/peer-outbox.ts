/**
 * This node's voice to one peer: dials it, introduces itself, and writes frames, all those of a turn with one write.
 * Frames for a peer that is away are dropped at once: Raft sends again by itself, and an operation that was never sent
 * can be given to someone else. A connection on which the peer has long been silent is closed and dialed anew: the
 * system would go on for many minutes with one whose other end is gone. Main thread only.
 */
import { ByteWriter } from "../core/byte-writer.ts";
import { EnvelopeError } from "../core/errors.ts";
import type { Clock } from "../env/clock.ts";
import type { Logger } from "../env/environment.ts";
import type { Connection, Network } from "../env/network.ts";
import { text } from "../core/bytes.ts";
import {
  beginFrame,
  endFrame,
  type Frame,
  FrameReader,
  FrameType,
  NO_SHARD,
  STRANGER_FRAME_BYTES_MAX,
} from "../wire/peer-frame-format.ts";
import { decodeHello, encodeHello, type PeerHello } from "./peer-hello-format.ts";

/** Bytes that may wait for a slow peer before frames for it are dropped. */
const BACKLOG_BYTES_MAX = 64 * 1024 * 1024;
const KEEP_BYTES_MAX = 1024 * 1024;
const REDIAL_MS_MIN = 50;
const REDIAL_MS_MAX = 1000;
/** A connection over which nothing came for so many beats is taken for dead. */
export const SILENT_BEATS_MAX = 5;
export const PEER_SILENT = "peer silent; its connection is closed";
/** How long a peer may take to answer the introduction. */
const WELCOME_MS_MAX = 1000;

export interface OutboxOptions {
  readonly address: string;
  /** As of now. */
  readonly hello: () => PeerHello;
  /** Null when the peer is who it should be, else why it is not. */
  readonly check: (hello: PeerHello, connection: Connection) => string | null;
  readonly onConnected: () => void;
  readonly onLost: () => void;
}

export class PeerOutbox {
  readonly #clock: Clock;
  readonly #network: Network;
  readonly #log: Logger;
  readonly #options: OutboxOptions;
  #connection: Connection | null = null;
  #welcomed = false;
  #stopped = false;
  #redialMs = REDIAL_MS_MIN;
  #lastComplaint = "";
  /** Frames of this turn; `#sent` bytes of it have left. */
  #pending = new ByteWriter(64 * 1024);
  #sent = 0;
  #blocked = false;
  /** Beats since something came over the connection. */
  #silentBeats = 0;

  constructor(clock: Clock, network: Network, log: Logger, options: OutboxOptions) {
    this.#clock = clock;
    this.#network = network;
    this.#log = log;
    this.#options = options;
    this.#dial();
  }

  get connected(): boolean {
    return this.#welcomed;
  }

  /** Adds a frame whose body `write` appends; false when the peer is away or too far behind to take it. */
  frame(type: FrameType, shard: number, write: (writer: ByteWriter) => void): boolean {
    if (!this.#welcomed || this.#pending.length - this.#sent > BACKLOG_BYTES_MAX) return false;
    const start = beginFrame(this.#pending, type, shard);
    write(this.#pending);
    endFrame(this.#pending, start);
    return true;
  }

  /** Writes what is pending; what the system does not take waits for its drain. */
  flush(): void {
    const connection = this.#connection;
    if (connection === null || this.#blocked) return;
    const pending = this.#pending;
    while (this.#sent < pending.length) {
      const taken = connection.write(pending.bytes, this.#sent, pending.length - this.#sent);
      if (taken < 0) return;
      this.#sent += taken;
      if (taken === 0) {
        this.#blocked = true;
        this.#dropSent();
        return;
      }
    }
    pending.reset(KEEP_BYTES_MAX);
    this.#sent = 0;
  }

  /**
   * Comes at regular times: says that this node is alive, and closes a connection that has long been silent. Beats are
   * counted, not hours: a process that was itself stopped does not take that for the silence of others.
   */
  beat(): void {
    const connection = this.#connection;
    if (connection === null || !this.#welcomed) return;
    if (this.#silentBeats === SILENT_BEATS_MAX) {
      this.#log.warn(PEER_SILENT, { address: this.#options.address });
      connection.terminate();
      return;
    }
    this.#silentBeats += 1;
    this.frame(FrameType.alive, NO_SHARD, () => undefined);
    this.flush();
  }

  /** A peer that never quite catches up must not make what has long left pile up here. */
  #dropSent(): void {
    const pending = this.#pending;
    if (this.#sent < KEEP_BYTES_MAX || this.#sent * 2 < pending.length) return;
    pending.bytes.copyWithin(0, this.#sent, pending.length);
    pending.length -= this.#sent;
    this.#sent = 0;
  }

  stop(): void {
    this.#stopped = true;
    this.#connection?.terminate();
  }

  #dial(): void {
    if (this.#stopped) return;
    this.#network.dial(
      this.#options.address,
      (connection) => this.#opened(connection),
      (reason) => {
        this.#log.debug("peer not reached", { address: this.#options.address, reason });
        this.#redialLater();
      },
    );
  }

  #redialLater(): void {
    if (this.#stopped) return;
    this.#clock.after(this.#redialMs, () => this.#dial());
    this.#redialMs = Math.min(this.#redialMs * 2, REDIAL_MS_MAX);
  }

  #opened(connection: Connection) {
    if (this.#stopped) connection.terminate();
    this.#connection = connection;
    this.#blocked = false;
    this.#silentBeats = 0;
    this.#sent = 0;
    this.#pending.reset(KEEP_BYTES_MAX);
    const start = beginFrame(this.#pending, FrameType.hello, NO_SHARD);
    this.#pending.raw(encodeHello(this.#options.hello()));
    endFrame(this.#pending, start);
    this.flush();
    const impatience = this.#clock.after(WELCOME_MS_MAX, () => {
      if (!this.#welcomed) connection.terminate();
    });
    const reader = new FrameReader();
    reader.frameBytesMax = STRANGER_FRAME_BYTES_MAX;
    return {
      onData: (bytes: Uint8Array) => {
        this.#silentBeats = 0;
        try {
          reader.push(bytes, (frame) => this.#answered(connection, frame));
        } catch (error) {
          if (!(error instanceof EnvelopeError)) throw error;
          this.#complain(String(error));
          connection.terminate();
        }
      },
      onDrain: () => {
        this.#blocked = false;
        this.flush();
      },
      onClose: () => {
        impatience.cancel();
        this.#closed(connection);
      },
    };
  }

  #answered(connection: Connection, frame: Frame): void {
    if (this.#welcomed && frame.type === FrameType.alive) return;
    if (frame.type !== FrameType.welcome) {
      this.#complain(frame.type === FrameType.refused ? text(frame.body) : "an answer that is no welcome");
      connection.terminate();
      return;
    }
    const complaint = this.#options.check(decodeHello(frame.body), connection);
    if (complaint !== null) {
      this.#complain(complaint);
      connection.terminate();
      return;
    }
    this.#welcomed = true;
    this.#redialMs = REDIAL_MS_MIN;
    this.#lastComplaint = "";
    this.#options.onConnected();
  }

  #closed(connection: Connection): void {
    if (this.#connection !== connection) return;
    const wasWelcome = this.#welcomed;
    this.#connection = null;
    this.#welcomed = false;
    this.#pending.reset(KEEP_BYTES_MAX);
    this.#sent = 0;
    if (wasWelcome) this.#options.onLost();
    this.#redialLater();
  }

  #complain(what: string): void {
    if (what === this.#lastComplaint) return;
    this.#lastComplaint = what;
    this.#log.warn("peer does not take this node", { address: this.#options.address, why: what });
  }
}
