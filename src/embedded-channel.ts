/**
 * The way to a database in this process: what the network's channel is to a socket. Requests go straight to the session that
 * serves the binary protocol, as they are; nothing is framed and nothing that goes in is copied here. What comes out lies in
 * memory that is written to again, and is copied once. A part of the composition root; main thread.
 *
 *   send → session.handle → coordinator ──reply──▶ sink
 *
 * Reads are looked up together with all those that are begun in the same moment, as soon as what runs now is over. A program that
 * does nothing but read would keep timers and sockets waiting for ever, so after a number of such moments the next one comes
 * behind them.
 */
import type { Channel, ChannelEvents, ReplySink } from "./client/channel.ts";
import { assert } from "./core/assert.ts";
import type { Clock } from "./env/clock.ts";
import type { BinaryServices, ReplySink as SessionSink } from "./server/binary/binary-session.ts";
import { BinarySession } from "./server/binary/binary-session.ts";
import { OWN_PROCESS } from "./server/binary/guard.ts";
import { BINARY_VERSION_MAX, BINARY_VERSION_MIN } from "./wire/binary-format.ts";
import type { BinaryLimits, BinaryReply, BinaryRequest, OperationReply } from "./wire/binary-messages.ts";

const REQUEST_ID_MAX = 0xffff_ffff;
/** Rounds of reads before those who wait for the event loop have their turn. */
const ROUNDS_IN_A_ROW = 64;

interface Waiting {
  readonly request: BinaryRequest;
  readonly sink: ReplySink;
}

export class EmbeddedChannel implements Channel, SessionSink {
  /** Whoever asks takes what it asked for. */
  readonly isFull = false;
  readonly limits: BinaryLimits;
  readonly node: string;
  readonly #services: BinaryServices;
  readonly #clock: Clock;
  readonly #events: ChannelEvents;
  readonly #session: BinarySession;
  /** Whoever waits for a (last) reply, by request. */
  readonly #sinks = new Map<number, ReplySink>();
  /** Not begun yet, because the node cannot keep up; in order. */
  readonly #held = new Map<number, Waiting>();
  #lastId = 0;
  #isSending = false;
  #isSettleDue = false;
  #rounds = 0;
  #isClosed = false;

  constructor(services: BinaryServices, events: ChannelEvents) {
    this.#services = services;
    this.#clock = services.clock;
    this.#events = events;
    this.limits = services.limits;
    this.node = services.coordinator.nodeName;
    this.#session = new BinarySession(services, this, OWN_PROCESS);
    this.#greet();
  }

  get underway(): number {
    return this.#sinks.size + this.#held.size;
  }

  // ── from the client ──

  send(request: BinaryRequest, sink: ReplySink): number {
    const id = this.#freeId();
    if (this.#isClosed) queueMicrotask(() => sink.lost("the database is closed", false));
    else if (this.#held.size > 0 || this.#services.coordinator.congested) this.#hold(id, { request, sink });
    else this.#begin(id, request, sink);
    return id;
  }

  grant(id: number, credits: number): void {
    if (this.#sinks.has(id)) this.#handle(this.#freeId(), { type: "credit", target: id, credits });
  }

  drop(id: number): boolean {
    if (this.#held.delete(id)) return false;
    if (this.#sinks.delete(id)) this.#handle(this.#freeId(), { type: "cancel", target: id });
    return true;
  }

  close(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const sinks = [...this.#sinks.values()];
    const held = [...this.#held.values()];
    this.#sinks.clear();
    this.#held.clear();
    this.#session.end();
    for (const sink of sinks) sink.lost(reason, true);
    for (const { sink } of held) sink.lost(reason, false);
    this.#events.closed(reason);
  }

  // ── from the session ──

  reply(id: number, reply: BinaryReply): void {
    const sink = this.#sinks.get(id);
    if (sink === undefined) return;
    if (reply.type !== "page" || reply.isLast) this.#sinks.delete(id);
    const kept = detached(reply);
    // Whoever sends hears nothing before it knows the number of its request.
    if (this.#isSending) queueMicrotask(() => sink.replied(kept));
    else sink.replied(kept);
  }

  gathering(): void {
    if (this.#isSettleDue) return;
    this.#isSettleDue = true;
    this.#rounds += 1;
    if (this.#rounds < ROUNDS_IN_A_ROW) return queueMicrotask(this.#settle);
    this.#rounds = 0;
    this.#clock.soon(this.#settle);
  }

  agreed(): void {
    // Nothing is compressed on no way at all.
  }

  eased(): void {
    // There is no limit to what is under way but the client's own.
  }

  readonly #settle = (): void => {
    this.#isSettleDue = false;
    this.#services.coordinator.settleReads();
  };

  // ── private parts ──

  #greet(): void {
    const { serverVersion } = this.#services;
    const id = this.#freeId();
    let welcome: BinaryReply | null = null;
    this.#sinks.set(id, {
      replied: (reply) => {
        welcome = reply;
      },
      lost: () => undefined,
    });
    this.#session.handle(
      id,
      {
        type: "hello",
        versionMin: BINARY_VERSION_MIN,
        versionMax: BINARY_VERSION_MAX,
        clientName: "embedded",
        clientVersion: serverVersion,
        credentials: null,
        compression: [],
        watchesTopology: false,
      },
      this.#clock.monotonicMs(),
    );
    assert(welcome !== null, "a session greets at once");
  }

  #begin(id: number, request: BinaryRequest, sink: ReplySink): void {
    this.#sinks.set(id, sink);
    this.#handle(id, request);
  }

  #handle(id: number, request: BinaryRequest): void {
    this.#isSending = true;
    try {
      this.#session.handle(id, request, this.#clock.monotonicMs());
    } finally {
      this.#isSending = false;
    }
  }

  #hold(id: number, waiting: Waiting): void {
    if (this.#held.size === 0) this.#services.coordinator.onRelief(() => this.#beginHeld());
    this.#held.set(id, waiting);
  }

  #beginHeld(): void {
    for (const [id, { request, sink }] of this.#held) {
      if (this.#services.coordinator.congested) {
        this.#services.coordinator.onRelief(() => this.#beginHeld());
        return;
      }
      this.#held.delete(id);
      this.#begin(id, request, sink);
    }
  }

  #freeId(): number {
    do this.#lastId = this.#lastId === REQUEST_ID_MAX ? 1 : this.#lastId + 1;
    while (this.#sinks.has(this.#lastId) || this.#held.has(this.#lastId));
    return this.#lastId;
  }
}

/** A reply that may be kept. Entries of pages are nobody else's already. */
function detached(reply: BinaryReply): BinaryReply {
  if (reply.type === "results") return { type: "results", results: reply.results.map(detachedResult) };
  return reply.type === "value" ? detachedResult(reply) : reply;
}

function detachedResult(reply: OperationReply): OperationReply {
  return reply.type === "value" ? { ...reply, value: reply.value.slice() } : reply;
}
