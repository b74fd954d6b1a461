/**
 * Carries out one call: finds the channel, sends, and sends again where that is safe, until there is an answer or the caller's
 * patience is over. What is safe is said in retry-policy.ts; a write is made repeatable by a session and a sequence.
 *
 * Bounded: so many calls, and bytes of them, may be under way or wait; more are refused at once.
 */
import { EnvelopeError } from "../core/errors.ts";
import type { BinaryReply, BinaryRequest, Once, Topology } from "../wire/binary-messages.ts";
import type { Channel, OpenChannel } from "./channel.ts";
import type { CallOptions } from "./database.ts";
import { OverloadedError, ProtocolError, ShuttingDownError, UnavailableError } from "./errors.ts";
import { Nodes } from "./nodes.ts";
import { Patience } from "./patience.ts";
import { impatienceError, judge, lastError, type Outcome } from "./retry-policy.ts";
import { Routes } from "./routes.ts";
import { type Grant, Sessions } from "./sessions.ts";
import type { Settings } from "./settings.ts";

/** A call takes so much memory beside its keys and values. */
const CALL_BYTES = 256;
/** The longest that closing waits for the end of sessions, which end by themselves later. */
const SESSION_CLOSE_MS = 1_000;

/** What a call does to the data, which decides when it may be sent again. */
export type CallKind =
  /** Nothing: it is repeated at will. */
  | "read"
  /** It is repeated under a session. */
  | "write"
  /** It is repeated only where it has surely not been executed. */
  | "admin";

export interface Call {
  readonly kind: CallKind;
  /** Bytes of keys and values. */
  readonly byteCount: number;
  /** The node that would answer without asking others; null: all the same. */
  leader(): string | null;
  request(deadlineMs: number, once: Once | null): BinaryRequest;
}

type Reply<Type extends BinaryReply["type"]> = Extract<BinaryReply, { type: Type }>;

export class Caller {
  readonly settings: Settings;
  readonly routes: Routes;
  readonly nodes: Nodes;
  readonly #sessions: Sessions;
  #pending = 0;
  #pendingBytes = 0;
  #idle: (() => void) | null = null;
  #isClosed = false;

  constructor(settings: Settings, open: OpenChannel) {
    this.settings = settings;
    this.routes = new Routes((bucket) => this.#askSeed(bucket));
    this.nodes = new Nodes(settings, open, (topology: Topology) => this.routes.learn(topology));
    this.#sessions = new Sessions(
      { open: () => this.#openSession(), close: (session) => this.#closeSession(session) },
      settings.sessionTtlMs,
    );
  }

  /** Resolves when a node has greeted; rejects when all have been tried in vain. */
  async connect(): Promise<void> {
    const patience = this.patience({ timeoutMs: this.settings.connectTimeoutMs });
    try {
      const found = await this.nodes.wait(patience, true);
      const { connectTimeoutMs } = this.settings;
      if (found === null) throw new UnavailableError(`no node has greeted within ${connectTimeoutMs} ms`);
      if (found instanceof Error) throw found;
    } finally {
      patience.release();
    }
  }

  patience({ timeoutMs, signal }: CallOptions): Patience {
    return new Patience(timeoutMs ?? this.settings.timeoutMs, signal ?? null);
  }

  /** The reply, which is one of these; anything else is thrown: an error of the node, or of the way to it. */
  async perform<Type extends BinaryReply["type"]>(
    call: Call,
    options: CallOptions,
    ...types: readonly Type[]
  ): Promise<Reply<Type>> {
    const byteCount = this.#admit(call.byteCount);
    const patience = this.patience(options);
    try {
      const reply = await (call.kind === "write" && this.settings.exactlyOnce
        ? this.#performOnce(call, patience)
        : this.#attempts(call, null, patience));
      return expected(reply, types);
    } finally {
      patience.release();
      this.#dismiss(byteCount);
    }
  }

  /** An open channel; throws when there is none as long as there is patience. */
  async channel(leader: string | null, avoided: Channel | null, patience: Patience): Promise<Channel> {
    return this.nodes.channelTo(leader, avoided) ?? (await this.#anyChannel(patience, null));
  }

  /** What is under way may end, up to the time that a call has; then every channel is closed. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#drained();
    await this.#sessions.close();
    this.nodes.close();
  }

  #admit(byteCount: number): number {
    if (this.#isClosed) throw new ShuttingDownError("the database was closed");
    const { pendingMax, pendingBytesMax } = this.settings;
    const whole = byteCount + CALL_BYTES;
    if (this.#pending >= pendingMax || (this.#pending > 0 && this.#pendingBytes + whole > pendingBytesMax)) {
      throw new OverloadedError(`${this.#pending} calls of ${this.#pendingBytes} bytes are under way`);
    }
    this.#pending += 1;
    this.#pendingBytes += whole;
    return whole;
  }

  #dismiss(byteCount: number): void {
    this.#pending -= 1;
    this.#pendingBytes -= byteCount;
    if (this.#pending === 0) this.#idle?.();
  }

  #drained(): Promise<void> {
    if (this.#pending === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle = resolve;
    });
  }

  /** Under a session: a new one when the first is gone and the write has surely not been executed. */
  async #performOnce(call: Call, patience: Patience): Promise<BinaryReply> {
    for (;;) {
      const granted = await this.#sessions.acquire(patience);
      if (granted === null) throw impatienceError(patience, false, null);
      if (granted instanceof Error) throw granted;
      try {
        return await this.#attempts(call, granted, patience);
      } catch (cause) {
        if (!(cause instanceof SessionLost)) throw cause;
        this.#sessions.gone(granted.session);
      } finally {
        this.#sessions.release(granted);
      }
    }
  }

  async #attempts(call: Call, granted: Grant | null, patience: Patience): Promise<BinaryReply> {
    const isRepeatable = call.kind === "read" || granted !== null;
    let avoided: Channel | null = null;
    /** Why an attempt may have been executed. */
    let doubt: EnvelopeError | null = null;
    let last: EnvelopeError | null = null;
    for (let attempt = 0; ; attempt++) {
      const channel: Channel =
        this.nodes.channelTo(call.leader(), avoided) ?? (await this.#anyChannel(patience, doubt));
      const outcome = await exchange(channel, call.request(patience.remainingMs, granted?.once ?? null), patience);
      if (outcome.kind === "impatient") {
        const isLeftOpen = call.kind !== "read" && (doubt !== null || outcome.wasSent);
        throw impatienceError(patience, isLeftOpen, last);
      }
      const verdict = judge(outcome, isRepeatable);
      if (verdict.kind === "done") return verdict.reply;
      const { error } = verdict;
      if (error.code === "SESSION_GONE" && granted !== null && doubt === null) throw new SessionLost();
      if (verdict.kind === "failed") throw lastError(error, doubt);
      if (verdict.inDoubt && call.kind !== "read") doubt = error;
      if (granted !== null && performance.now() > granted.session.endsAt) throw lastError(error, doubt);
      last = error;
      avoided = channel;
      await patience.sleep(this.nodes.pauseMs(attempt));
      if (patience.over !== null) throw impatienceError(patience, doubt !== null, last);
    }
  }

  /** `doubt`: why an attempt before may have been executed, which is then said of what is thrown. */
  async #anyChannel(patience: Patience, doubt: EnvelopeError | null): Promise<Channel> {
    const found = await this.nodes.wait(patience, false);
    if (found === null) throw impatienceError(patience, doubt !== null, doubt);
    if (!(found instanceof Error)) return found;
    throw lastError(found, doubt);
  }

  async #askSeed(bucket: string): Promise<number | null> {
    try {
      const { buckets } = await this.#ask(
        (deadlineMs) => ({ type: "describeBucket", deadlineMs, bucket, countKeys: false }),
        this.settings.timeoutMs,
        "buckets",
      );
      return buckets[0]?.seed ?? null;
    } catch (cause) {
      // Whoever asks for the bucket itself hears what is wrong.
      if (cause instanceof EnvelopeError) return null;
      throw cause;
    }
  }

  async #openSession(): Promise<number> {
    const ttlMs = this.settings.sessionTtlMs;
    const request = (deadlineMs: number): BinaryRequest => ({ type: "openSession", deadlineMs, ttlMs });
    return (await this.#ask(request, this.settings.timeoutMs, "session")).session;
  }

  async #closeSession(session: number): Promise<void> {
    try {
      await this.#ask((deadlineMs) => ({ type: "closeSession", deadlineMs, session }), SESSION_CLOSE_MS, "done");
    } catch (cause) {
      // It ends by itself when its time is over.
      if (!(cause instanceof EnvelopeError)) throw cause;
    }
  }

  /** A call of the client's own, outside the limits for those of its users. */
  async #ask<Type extends BinaryReply["type"]>(
    request: (deadlineMs: number) => BinaryRequest,
    timeoutMs: number,
    type: Type,
  ): Promise<Reply<Type>> {
    const patience = this.patience({ timeoutMs });
    try {
      const reply = await this.#attempts({ kind: "read", byteCount: 0, leader: () => null, request }, null, patience);
      return expected(reply, [type]);
    } finally {
      patience.release();
    }
  }
}

/** Thrown inside a call alone: its session has ended, and it was not executed under it. */
class SessionLost extends Error {}

/** `impatient`: patience was over before any of it. */
async function exchange(
  channel: Channel,
  request: BinaryRequest,
  patience: Patience,
): Promise<Outcome | { readonly kind: "impatient"; readonly wasSent: boolean }> {
  if (patience.over !== null) return { kind: "impatient", wasSent: false };
  let id = 0;
  const outcome = await patience.until<Outcome>((settle) => {
    id = channel.send(request, {
      replied: (reply) => settle({ kind: "reply", reply }),
      lost: (reason, wasSent) => settle({ kind: "lost", reason, wasSent }),
    });
  });
  return outcome ?? { kind: "impatient", wasSent: channel.drop(id) };
}

function expected<Type extends BinaryReply["type"]>(reply: BinaryReply, types: readonly Type[]): Reply<Type> {
  if (types.some((type) => type === reply.type)) return reply as Reply<Type>;
  throw new ProtocolError(`the node answers with ${reply.type}, where it should be ${types.join(" or ")}`);
}
