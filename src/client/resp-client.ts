/**
 * A client that answers with promises: one connection at a time, to the first of several targets that can be reached.
 * Requests issued without waiting are pipelined and answered in order. When the connection is lost, what was unanswered
 * is rejected with UNKNOWN_OUTCOME (it may have been executed; nothing is sent twice by itself), and the next request
 * connects again, to the next target. Runs on Bun, Node and Deno.
 */
import { EnvelopeError } from "../core/errors.ts";
import { ServerConnection } from "./connection.ts";
import type { Reply } from "./reply.ts";
import { type Argument, encodeRequest } from "./request.ts";
import type { Target } from "./target.ts";

export interface RespClientOptions {
  readonly targets: readonly Target[];
  /** Longest wait for one target to accept. */
  readonly connectTimeoutMs: number;
  /** Longest silence while an answer is due, after which the connection is given up. 0: none. */
  readonly replyTimeoutMs: number;
  /** 3 asks for RESP3 and falls back to 2 where the server refuses. */
  readonly protocol: 2 | 3;
  /** Bucket of all requests; null: the server's default. */
  readonly bucket: string | null;
  /** Messages that the server sends unasked. */
  readonly onPush: (reply: Reply) => void;
}

interface Waiting {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: EnvelopeError) => void;
}

export class RespClient {
  /** Chosen again after every reconnection; set it when a USE has succeeded. */
  bucket: string | null;
  readonly #options: RespClientOptions;
  #connection: ServerConnection | null = null;
  #opening: Promise<ServerConnection> | null = null;
  #nextTarget = 0;
  #waiting: Waiting[] = [];
  #timer: ReturnType<typeof setTimeout> | null = null;
  #ended = false;

  private constructor(options: RespClientOptions) {
    this.#options = options;
    this.bucket = options.bucket;
  }

  /** Throws UNAVAILABLE when no target can be reached, and what the server says when it refuses the bucket. */
  static async connect(options: RespClientOptions): Promise<RespClient> {
    const client = new RespClient(options);
    await client.#open();
    return client;
  }

  /** The server talked to now, or null between connections. */
  get target(): Target | null {
    return this.#connection?.target ?? null;
  }

  /** Sends one request. Error replies are replies; a rejection is an EnvelopeError about the connection. */
  async command(...args: Argument[]): Promise<Reply> {
    const connection = this.#connection ?? (await this.#open());
    return this.#request(connection, args);
  }

  /** Waits for nothing; unanswered requests are rejected. */
  close(): void {
    this.#ended = true;
    this.#connection?.destroy("the client was closed");
  }

  #open(): Promise<ServerConnection> {
    if (this.#ended) return Promise.reject(new EnvelopeError("UNAVAILABLE", "the client was closed"));
    this.#opening ??= this.#openAny().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  async #openAny(): Promise<ServerConnection> {
    const { targets } = this.#options;
    const reasons: string[] = [];
    for (let attempt = 0; attempt < targets.length; attempt++) {
      const target = targets[this.#nextTarget % targets.length];
      this.#nextTarget += 1;
      if (target === undefined) continue;
      try {
        const connection = await this.#openOne(target);
        await this.#greet(connection);
        this.#connection = connection;
        this.#nextTarget -= 1;
        return connection;
      } catch (cause) {
        if (cause instanceof EnvelopeError && cause.retry === "never") throw cause;
        reasons.push(cause instanceof Error ? cause.message : String(cause));
      }
    }
    throw new EnvelopeError("UNAVAILABLE", `no target can be reached (${reasons.join("; ")})`);
  }

  #openOne(target: Target): Promise<ServerConnection> {
    return ServerConnection.open(target, this.#options.connectTimeoutMs, {
      onReply: (reply) => this.#answer(reply),
      onDrain: () => undefined,
      onClose: (reason) => this.#lost(target, reason),
    });
  }

  async #greet(connection: ServerConnection): Promise<void> {
    if (this.#options.protocol === 3) await this.#request(connection, ["HELLO", "3"]);
    if (this.bucket === null) return;
    const reply = await this.#request(connection, ["USE", this.bucket]);
    if (reply.kind !== "error") return;
    connection.destroy("the bucket was refused");
    throw new EnvelopeError("INVALID_ARGUMENT", `USE ${this.bucket}: ${reply.code} ${reply.message}`);
  }

  #request(connection: ServerConnection, args: readonly Argument[]): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (this.#waiting.length === 1) this.#watch();
      connection.send(encodeRequest(args));
    });
  }

  #answer(reply: Reply): void {
    if (reply.kind === "push") {
      this.#options.onPush(reply);
      return;
    }
    const waiting = this.#waiting.shift();
    this.#watch();
    waiting?.resolve(reply);
  }

  #lost(target: Target, reason: string): void {
    this.#connection = null;
    this.#nextTarget += 1;
    const unanswered = this.#waiting;
    this.#waiting = [];
    this.#watch();
    for (const waiting of unanswered) {
      waiting.reject(new EnvelopeError("UNKNOWN_OUTCOME", `${target.address}: ${reason}; it may have been executed`));
    }
  }

  /** (Re)starts the wait for the next answer, or ends it when none is due. */
  #watch(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const { replyTimeoutMs } = this.#options;
    if (this.#waiting.length === 0 || replyTimeoutMs === 0) return;
    this.#timer = setTimeout(() => this.#connection?.destroy(`no answer within ${replyTimeoutMs} ms`), replyTimeoutMs);
  }
}
