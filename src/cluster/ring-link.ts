/**
 * The way to shards on a thread of their own. One worker hosts one or more of them; requests and replies of all its
 * shards share one pair of rings. Main never waits for it: what finds no room stays queued, and `congested` says so.
 *
 * A worker that ends by itself or dies of an error takes its shards along, and the callback is told once. One that has
 * stopped all its shards, because it was asked to, ends quietly. Main thread only.
 */
import { Worker } from "node:worker_threads";
import { createRingPair, MainRingPort } from "../bridge/ring-port.ts";
import { decodeReply } from "../bridge/shard-reply-codec.ts";
import { decodeShard, encodeRequest } from "../bridge/shard-request-codec.ts";
import type { ShardLink, ShardReply, ShardRequest } from "../bridge/shard-protocol.ts";
import type { CompactorEnd, WorkerData, WorkerShard } from "../bridge/worker-data.ts";
import { assert } from "../core/assert.ts";
import { ByteReader } from "../core/byte-reader.ts";
import type { ShardId } from "../core/ids.ts";

export interface ShardWorkerOptions {
  /** The worker's entry file. */
  readonly entry: string | URL;
  readonly ringBytes: number;
  /** Bytes that may wait outside a ring for room, on either side. */
  readonly queueBytesMax: number;
  /** Unpacked blocks kept for its shards. */
  readonly blockCacheBytes: number;
  readonly logLevel: WorkerData<unknown>["logLevel"];
  readonly logFields: WorkerData<unknown>["logFields"];
  readonly compactors: readonly CompactorEnd[];
}

export class ShardWorker {
  readonly #options: ShardWorkerOptions;
  readonly #rings: ReturnType<typeof createRingPair>;
  readonly #port: MainRingPort;
  readonly #listeners = new Map<ShardId, (reply: ShardReply) => void>();
  readonly #shards: WorkerShard<unknown>[] = [];
  readonly #onDeath: (reason: string) => void;
  readonly #onReplies: () => void;
  readonly #reader = new ByteReader("PROTOCOL", "a shard worker");
  #worker: Worker | null = null;
  #hasEnded = false;

  /** `onReplies` runs after each batch of replies has been handed out. */
  constructor(options: ShardWorkerOptions, onDeath: (reason: string) => void, onReplies: () => void) {
    this.#options = options;
    this.#rings = createRingPair(options.ringBytes);
    this.#port = new MainRingPort(this.#rings, options.queueBytesMax);
    this.#onDeath = onDeath;
    this.#onReplies = onReplies;
  }

  /** Adds a shard before the start; its replies go to `onReply`. Their byte fields may be kept. */
  add(shard: WorkerShard<unknown>, onReply: (reply: ShardReply) => void): RingLink {
    assert(this.#worker === null, "shards are added before the worker starts");
    this.#shards.push(shard);
    this.#listeners.set(shard.shard, onReply);
    return new RingLink(shard.shard, this.#port);
  }

  /** Starts the thread, which opens its shards. Replies come as events from now on. */
  start(): void {
    assert(this.#worker === null, "a worker is started once");
    const { entry, queueBytesMax, blockCacheBytes, logLevel, logFields, compactors } = this.#options;
    const workerData: WorkerData<unknown> = {
      rings: this.#rings,
      queueBytesMax,
      blockCacheBytes,
      logLevel,
      logFields,
      shards: this.#shards,
      compactors,
    };
    const worker = new Worker(entry, { workerData, transferList: compactors.map((end) => end.port) });
    worker.on("error", (error: unknown) => this.#ended(`a shard worker died: ${describe(error)}`));
    worker.on("exit", (code) => this.#ended(code === 0 ? null : `a shard worker ended with code ${code}`));
    // Whoever wants the process to go on keeps it alive by something else: a port, a call under way.
    worker.unref();
    this.#worker = worker;
    this.#port.listen(() => {
      if (this.drain() > 0) this.#onReplies();
      this.#port.flush();
    });
  }

  /** Hands out the replies that have arrived; returns how many there were. */
  drain(): number {
    return this.#port.drain((bytes, start, end) => {
      const reader = this.#reader.over(bytes, start, end);
      const shard = decodeShard(reader);
      const listener = this.#listeners.get(shard);
      assert(listener !== undefined, "a worker speaks of its own shards only");
      listener(decodeReply(reader));
    });
  }

  #ended(reason: string | null): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.drain();
    this.#port.stopListening();
    if (reason !== null) this.#onDeath(reason);
  }
}

/** One shard of a worker. */
export class RingLink implements ShardLink {
  readonly #shard: ShardId;
  readonly #port: MainRingPort;

  constructor(shard: ShardId, port: MainRingPort) {
    this.#shard = shard;
    this.#port = port;
  }

  get congested(): boolean {
    return this.#port.congested;
  }

  send(request: ShardRequest): void {
    this.#port.open();
    encodeRequest(this.#shard, request, this.#port.writer);
    this.#port.close();
  }

  flush(): void {
    this.#port.flush();
  }

  settle(): void {
    // The worker settles by itself.
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
