/**
 * The load itself: closed-loop connections on raw sockets. Each sends a batch of `pipeline` requests, waits for all its
 * replies, and sends the next; a latency is the time from handing the batch to the socket to the arrival of the reply.
 * Requests are templates with the digits of the key patched in, replies are counted and not built, so that the cost of an
 * operation here stays far below the server's.
 *
 * A lost connection costs its unanswered requests (error CONNECTION) and is opened again at the next target.
 */
import type { Histogram } from "hdr-histogram-js";
import { utf8 } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import type { Random } from "../core/random.ts";
import type { Connection, Network } from "../env/network.ts";
import { ReplyCounter } from "../client/reply-counter.ts";
import { encodeRequest } from "../client/request.ts";
import type { Target } from "../client/target.ts";

const KEY_PREFIX = "key:";
const KEY_DIGITS = 12;
const ZERO = 0x30;
const REOPEN_MS = 100;

export interface LoadOptions {
  readonly targets: readonly Target[];
  readonly clients: number;
  readonly pipeline: number;
  readonly valueBytes: number;
  /** Share of GETs, 0 to 1. */
  readonly reads: number;
  readonly bucket: string | null;
  readonly nextKey: () => number;
  readonly random: Random;
}

/** What one run counted. `histogram` holds µs of operations that were not errors. */
export interface LoadCounts {
  readonly histogram: Histogram;
  opCount: number;
  missCount: number;
  readonly errors: Map<string, number>;
  /** The first message of each error code. */
  readonly firstMessages: Map<string, string>;
}

interface Template {
  readonly bytes: Uint8Array;
  /** Where the last digit of the key is. */
  readonly lastDigit: number;
}

export class Load {
  readonly network: Network;
  readonly options: LoadOptions;
  readonly get: Template;
  readonly set: Template;
  counts: LoadCounts | null = null;
  #remaining = 0;
  #deadline = Number.POSITIVE_INFINITY;
  #busy = 0;
  #done: () => void = () => undefined;
  #fail: (error: EnvelopeError) => void = () => undefined;
  readonly #clients: LoadClient[] = [];

  constructor(network: Network, options: LoadOptions) {
    this.network = network;
    this.options = options;
    this.get = template(["GET", keyText(0)]);
    this.set = template(["SET", keyText(0), printable(options.valueBytes, options.random)]);
  }

  /** Opens all connections. Throws UNAVAILABLE. */
  async connect(): Promise<void> {
    for (let i = 0; i < this.options.clients; i++) {
      const client = new LoadClient(this, i);
      this.#clients.push(client);
      await client.open();
    }
  }

  /** Runs until `opCount` operations are answered or `seconds` are over; whichever is not wanted is infinite. */
  run(counts: LoadCounts, opCount: number, seconds: number): Promise<void> {
    this.counts = counts;
    this.#remaining = opCount;
    this.#deadline = performance.now() + seconds * 1000;
    this.#busy = this.#clients.length;
    return new Promise((resolve, reject) => {
      this.#done = resolve;
      this.#fail = reject;
      for (const client of this.#clients) client.next();
    });
  }

  /** How many operations the asking client may send now; 0 ends its part of the run. */
  take(): number {
    const granted = performance.now() >= this.#deadline ? 0 : Math.min(this.options.pipeline, this.#remaining);
    this.#remaining -= granted;
    return granted;
  }

  finished(): void {
    this.#busy -= 1;
    if (this.#busy === 0) this.#done();
  }

  failed(error: EnvelopeError): void {
    this.#fail(error);
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }
}

class LoadClient {
  readonly #load: Load;
  #targetIndex: number;
  #socket: Connection | null = null;
  #counter: ReplyCounter;
  readonly #batch: Uint8Array;
  #batchBytes = 0;
  #written = 0;
  #outstanding = 0;
  #errorsInChunk = 0;
  #sentAt = 0;
  #nullsSeen = 0;
  /** The reply to AUTH or USE, before anything is measured. */
  #greeting: ((problem: string | null) => void) | null = null;
  #isClosed = false;

  constructor(load: Load, index: number) {
    this.#load = load;
    this.#targetIndex = index;
    this.#counter = this.#newCounter();
    this.#batch = new Uint8Array(load.options.pipeline * Math.max(load.get.bytes.length, load.set.bytes.length));
  }

  async open(): Promise<void> {
    const { targets, bucket } = this.#load.options;
    let reason = "";
    for (let attempt = 0; attempt < targets.length; attempt++) {
      const target = targets[this.#targetIndex % targets.length];
      this.#targetIndex += 1;
      if (target === undefined) continue;
      try {
        this.#counter = this.#newCounter();
        this.#nullsSeen = 0;
        this.#socket = await this.#dial(target);
        const { login } = target;
        if (login !== null) await this.#greet("AUTH", login.user, login.password);
        if (bucket !== null) await this.#greet("USE", bucket);
        return;
      } catch (cause) {
        reason = `${target.address}: ${cause instanceof Error ? cause.message : String(cause)}`;
      }
    }
    throw new EnvelopeError("UNAVAILABLE", `no target can be reached (${reason})`);
  }

  next(): void {
    const granted = this.#load.take();
    if (granted === 0) {
      this.#load.finished();
      return;
    }
    if (this.#socket === null) {
      // Granted while the connection was lost: these were never sent.
      this.#countError("CONNECTION", "no connection", granted);
      setTimeout(() => void this.#reopen(), REOPEN_MS);
      return;
    }
    this.#build(granted);
    this.#outstanding = granted;
    this.#written = 0;
    this.#sentAt = performance.now();
    this.#flush();
  }

  close(): void {
    this.#isClosed = true;
    this.#socket?.terminate();
  }

  #dial(target: Target): Promise<Connection> {
    return new Promise((resolve, reject) => {
      this.#load.network.dial(
        target.address,
        (connection) => {
          resolve(connection);
          return {
            onData: (chunk) => this.#receive(chunk),
            onDrain: () => this.#flush(),
            onClose: () => this.#lost("the server closed the connection"),
          };
        },
        (reason) => reject(new Error(reason)),
      );
    });
  }

  async #greet(command: string, ...words: readonly string[]): Promise<void> {
    const problem = await new Promise<string | null>((resolve) => {
      this.#greeting = resolve;
      const request = encodeRequest([command, ...words]);
      this.#socket?.write(request, 0, request.length);
    });
    if (problem !== null) throw new Error(`${command}: ${problem}`);
  }

  #build(count: number): void {
    const { nextKey, random, reads } = this.#load.options;
    const { get, set } = this.#load;
    const batch = this.#batch;
    let offset = 0;
    for (let i = 0; i < count; i++) {
      const chosen = reads > 0 && random.fraction() < reads ? get : set;
      batch.set(chosen.bytes, offset);
      writeDigits(batch, offset + chosen.lastDigit, nextKey());
      offset += chosen.bytes.length;
    }
    this.#batchBytes = offset;
  }

  #flush(): void {
    const left = this.#batchBytes - this.#written;
    if (left === 0 || this.#socket === null) return;
    const taken = this.#socket.write(this.#batch, this.#written, left);
    if (taken > 0) this.#written += taken;
  }

  #receive(chunk: Uint8Array): void {
    this.#errorsInChunk = 0;
    let replyCount = 0;
    try {
      replyCount = this.#counter.push(chunk);
    } catch (cause) {
      this.#socket?.terminate();
      this.#load.failed(cause instanceof EnvelopeError ? cause : new EnvelopeError("PROTOCOL", String(cause)));
      return;
    }
    if (this.#greeting !== null) {
      const greeting = this.#greeting;
      if (replyCount > 0) this.#greeting = null;
      if (replyCount > 0) greeting(null);
      return;
    }
    const { counts } = this.#load;
    if (replyCount === 0 || counts === null) return;
    const micros = Math.max(1, Math.round((performance.now() - this.#sentAt) * 1000));
    const good = replyCount - this.#errorsInChunk;
    if (good > 0) counts.histogram.recordValueWithCount(micros, good);
    counts.opCount += good;
    counts.missCount += this.#counter.nullCount - this.#nullsSeen;
    this.#nullsSeen = this.#counter.nullCount;
    this.#outstanding -= replyCount;
    if (this.#outstanding === 0) this.next();
  }

  #newCounter(): ReplyCounter {
    return new ReplyCounter((code, message) => {
      if (this.#greeting !== null) {
        this.#greeting(`${code} ${message}`);
        return;
      }
      this.#errorsInChunk += 1;
      this.#countError(code, message, 1);
    });
  }

  #countError(code: string, message: string, count: number): void {
    const { counts } = this.#load;
    if (counts === null) return;
    counts.errors.set(code, (counts.errors.get(code) ?? 0) + count);
    if (!counts.firstMessages.has(code)) counts.firstMessages.set(code, message);
  }

  #lost(reason: string): void {
    if (this.#socket === null || this.#isClosed) return;
    this.#socket = null;
    this.#greeting?.(reason);
    this.#greeting = null;
    const lost = this.#outstanding;
    this.#outstanding = 0;
    if (lost === 0) return;
    this.#countError("CONNECTION", reason, lost);
    setTimeout(() => void this.#reopen(), REOPEN_MS);
  }

  async #reopen(): Promise<void> {
    if (this.#isClosed) return;
    try {
      await this.open();
    } catch (cause) {
      this.#load.failed(cause instanceof EnvelopeError ? cause : new EnvelopeError("UNAVAILABLE", String(cause)));
      return;
    }
    this.next();
  }
}

function keyText(key: number): string {
  return KEY_PREFIX + String(key).padStart(KEY_DIGITS, "0");
}

function template(args: readonly (string | Uint8Array)[]): Template {
  const bytes = encodeRequest(args);
  const key = utf8(keyText(0));
  return { bytes, lastDigit: Buffer.from(bytes).indexOf(key) + key.length - 1 };
}

function printable(byteCount: number, random: Random): Uint8Array {
  return Uint8Array.from({ length: byteCount }, () => random.between(0x21, 0x7e));
}

function writeDigits(batch: Uint8Array, lastDigit: number, key: number): void {
  let rest = key;
  for (let i = 0; i < KEY_DIGITS; i++) {
    const tenth = Math.floor(rest / 10);
    batch[lastDigit - i] = ZERO + rest - tenth * 10;
    rest = tenth;
  }
}
