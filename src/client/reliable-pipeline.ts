/**
 * Sends idempotent requests until each has a final answer, whatever happens to connections and leaders on the way.
 *
 *        answered │ sent, unanswered │ not yet sent │ room
 *   ──────────────┴──────────────────┴──────────────┴──────────► records, in the caller's order
 *                  └────────── the window ──────────┘
 *
 * Invariants: records are sent and answered in order, and answered exactly once. When a record must be retried
 * (an error that says so, or a lost connection), everything from it on is sent again, in order ("go back N"), so that
 * of two records with the same key the later one still wins. Before that, the answers of what is already on the way
 * are awaited, so that an old request is not executed behind its own repetition. The window is bounded in requests and
 * in bytes. Without any answer for `giveUpAfterMs` it fails for good. Runs on Bun, Node and Deno.
 */
import { concatBytes } from "../core/bytes.ts";
import { EnvelopeError, isErrorCode } from "../core/errors.ts";
import { ServerConnection } from "./connection.ts";
import type { ErrorReply, Reply } from "./reply.ts";
import { encodeRequest } from "./request.ts";
import type { Target } from "./target.ts";

const WINDOW_BYTES_MAX = 32 * 1024 * 1024;
const BACKOFF_MS_MIN = 25;
const BACKOFF_MS_MAX = 1_000;
const WATCH_MS = 200;

/** Redis's own words for "not now". Ours are known by their code. */
const RETRY_CODES: ReadonlySet<string> = new Set([
  "TRYAGAIN",
  "UNKNOWN",
  "LOADING",
  "CLUSTERDOWN",
  "MASTERDOWN",
  "NOREPLICAS",
  "BUSY",
  "READONLY",
]);
/** Refusals that every record would get. */
const ABORT_CODES: ReadonlySet<string> = new Set(["NOAUTH", "WRONGPASS", "NOPERM", "PROTOCOL"]);

export interface PipelineRecord {
  /** The encoded request. */
  readonly request: Uint8Array;
}

export interface PipelineOptions<R> {
  readonly targets: readonly Target[];
  /** Most requests without an answer. */
  readonly windowMax: number;
  readonly bucket: string | null;
  readonly connectTimeoutMs: number;
  /** Longest silence of a server while answers are due, after which the next target is tried. */
  readonly replyTimeoutMs: number;
  readonly giveUpAfterMs: number;
  /** The final answer of a record: any reply, or an error that a retry would not change. In order. */
  readonly onAnswer: (record: R, reply: Reply) => void;
  /** Told whenever records have to be sent again. */
  readonly onRetry: (reason: string) => void;
}

export class ReliablePipeline<R extends PipelineRecord> {
  readonly #options: PipelineOptions<R>;
  #connection: ServerConnection | null = null;
  #connecting = false;
  #nextTarget = 0;
  #backoffMs = BACKOFF_MS_MIN;
  /** All records without a final answer, oldest first; the first `#sent` are on the way. */
  #window: R[] = [];
  #windowBytes = 0;
  #sent = 0;
  /** Answers still to come on this connection that no longer count, because a record before them is retried. */
  #ignored = 0;
  #retryReason: string | null = null;
  #greetingDue = false;
  #answeredAt = performance.now();
  #heardAt = performance.now();
  #failure: EnvelopeError | null = null;
  #waiters: { readonly until: () => boolean; readonly resolve: () => void; readonly reject: (error: Error) => void }[] =
    [];
  readonly #watch: ReturnType<typeof setInterval>;
  #ended = false;

  constructor(options: PipelineOptions<R>) {
    this.#options = options;
    this.#watch = setInterval(() => this.#look(), WATCH_MS);
  }

  /** Whether `push` may be called now. */
  get hasRoom(): boolean {
    return this.#window.length < this.#options.windowMax && this.#windowBytes < WINDOW_BYTES_MAX;
  }

  /** The server talked to now, or null. */
  get target(): Target | null {
    return this.#connection?.target ?? null;
  }

  /** Takes a record; it leaves at the next `room` or `drained`, or a moment later. The caller has seen `hasRoom`. */
  push(record: R): void {
    if (this.#window.length === 0) this.#answeredAt = performance.now();
    this.#window.push(record);
    this.#windowBytes += record.request.length;
  }

  /** Resolves when half the window is free; rejects with the final failure. */
  room(): Promise<void> {
    const { windowMax } = this.#options;
    return this.#wait(() => this.#window.length <= windowMax / 2 && this.#windowBytes <= WINDOW_BYTES_MAX / 2);
  }

  /** Resolves when every record has its answer; rejects with the final failure. */
  drained(): Promise<void> {
    return this.#wait(() => this.#window.length === 0);
  }

  /** Ends it; records without an answer stay without, and whoever waits is told SHUTTING_DOWN. */
  close(): void {
    this.#ended = true;
    clearInterval(this.#watch);
    this.#connection?.destroy("the pipeline was closed");
    this.#reject(new EnvelopeError("SHUTTING_DOWN", "the pipeline was closed"));
  }

  #wait(until: () => boolean): Promise<void> {
    this.#send();
    if (this.#failure !== null) return Promise.reject(this.#failure);
    if (until()) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.push({ until, resolve, reject }));
  }

  #send(): void {
    if (this.#ended || this.#failure !== null || this.#sent === this.#window.length) return;
    if (this.#connection === null) {
      void this.#connect();
      return;
    }
    if (this.#greetingDue || this.#retryReason !== null) return;
    if (this.#sent === 0) this.#heardAt = performance.now();
    const requests = this.#window.slice(this.#sent).map((record) => record.request);
    this.#sent = this.#window.length;
    this.#connection.send(concatBytes(requests));
  }

  async #connect(): Promise<void> {
    if (this.#connecting) return;
    this.#connecting = true;
    const { targets, bucket, connectTimeoutMs } = this.#options;
    while (this.#connection === null && !this.#ended && this.#failure === null) {
      const target = targets[this.#nextTarget % targets.length];
      if (target === undefined) break;
      try {
        this.#connection = await ServerConnection.open(target, connectTimeoutMs, {
          onReply: (reply) => this.#receive(reply),
          onDrain: () => undefined,
          onClose: (reason) => this.#lost(`${target.address}: ${reason}`),
        });
      } catch (cause) {
        this.#nextTarget += 1;
        this.#options.onRetry(cause instanceof Error ? cause.message : String(cause));
        await this.#pause();
      }
    }
    this.#connecting = false;
    this.#heardAt = performance.now();
    this.#greetingDue = bucket !== null;
    if (bucket !== null) this.#connection?.send(encodeRequest(["USE", bucket]));
    if (this.#ended) this.#connection?.destroy("the pipeline was closed");
    this.#send();
  }

  #pause(): Promise<void> {
    const ms = this.#backoffMs;
    this.#backoffMs = Math.min(BACKOFF_MS_MAX, ms * 2);
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  #receive(reply: Reply): void {
    if (reply.kind === "push") return;
    this.#heardAt = performance.now();
    if (this.#greetingDue) {
      this.#greeted(reply);
      return;
    }
    if (this.#ignored > 0) {
      this.#ignored -= 1;
      if (this.#ignored === 0) this.#goBack();
      return;
    }
    if (reply.kind === "error" && isRetriable(reply)) {
      this.#retryReason = `${this.#connection?.target.address ?? "server"}: ${reply.code} ${reply.message}`;
      this.#ignored = this.#sent - 1;
      if (this.#ignored === 0) this.#goBack();
      return;
    }
    if (reply.kind === "error" && ABORT_CODES.has(reply.code)) {
      this.#fail(new EnvelopeError("INVALID_ARGUMENT", `the server refuses: ${reply.code} ${reply.message}`));
      return;
    }
    this.#answer(reply);
  }

  #greeted(reply: Reply): void {
    if (reply.kind === "error" && isRetriable(reply)) {
      this.#connection?.destroy(`USE: ${reply.code} ${reply.message}`);
      return;
    }
    if (reply.kind === "error") {
      const why = `USE ${this.#options.bucket}: ${reply.code} ${reply.message}`;
      this.#fail(new EnvelopeError("INVALID_ARGUMENT", why));
      return;
    }
    this.#greetingDue = false;
    this.#send();
  }

  #answer(reply: Reply): void {
    const record = this.#window.shift();
    if (record === undefined) return;
    this.#sent -= 1;
    this.#windowBytes -= record.request.length;
    this.#answeredAt = this.#heardAt;
    this.#backoffMs = BACKOFF_MS_MIN;
    this.#options.onAnswer(record, reply);
    this.#wake();
  }

  /** Everything on the way is answered: leave this server and start again from the first record without an answer. */
  #goBack(): void {
    this.#connection?.destroy(this.#retryReason ?? "asked to retry");
  }

  #lost(reason: string): void {
    this.#connection = null;
    this.#sent = 0;
    this.#ignored = 0;
    this.#greetingDue = false;
    const why = this.#retryReason ?? reason;
    this.#retryReason = null;
    this.#nextTarget += 1;
    if (this.#ended || this.#failure !== null || this.#window.length === 0) return;
    this.#options.onRetry(why);
    void this.#pause().then(() => this.#send());
  }

  #look(): void {
    if (this.#window.length === 0 || this.#failure !== null) return;
    const now = performance.now();
    const { giveUpAfterMs, replyTimeoutMs } = this.#options;
    if (now - this.#answeredAt > giveUpAfterMs) {
      this.#fail(new EnvelopeError("UNAVAILABLE", `no progress for ${giveUpAfterMs / 1000} s, giving up`));
      return;
    }
    const isDue = this.#sent > 0 || this.#greetingDue;
    if (isDue && now - this.#heardAt > replyTimeoutMs)
      this.#connection?.destroy(`no answer within ${replyTimeoutMs} ms`);
    // A caller that waits for its own input does not come by to send.
    this.#send();
  }

  #fail(error: EnvelopeError): void {
    this.#failure = error;
    this.#connection?.destroy(error.message);
    this.#reject(error);
  }

  #reject(error: EnvelopeError): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.reject(error);
  }

  #wake(): void {
    const { length } = this.#waiters;
    if (length === 0) return;
    const met = this.#waiters.filter((waiter) => waiter.until());
    if (met.length === 0) return;
    this.#waiters = this.#waiters.filter((waiter) => !met.includes(waiter));
    for (const waiter of met) waiter.resolve();
  }
}

/** Whether an error reply invites the same request again. */
function isRetriable(error: ErrorReply): boolean {
  if (RETRY_CODES.has(error.code)) return true;
  return isErrorCode(error.code) && new EnvelopeError(error.code, "").retry !== "never";
}
