/**
 * What a shard worker is started with: passed by structured clone, so plain values and shared memory only. What the
 * options of a shard are is between the composition and the shard.
 */
import type { MessagePort } from "node:worker_threads";
import type { ShardId } from "../core/ids.ts";
import type { RingPair } from "./ring-port.ts";
import type { ShardMemory } from "./shard-memory.ts";

export interface WorkerShard<Options> {
  readonly shard: ShardId;
  readonly memory: ShardMemory;
  readonly options: Options;
}

/** A compactor as one shard's thread holds it: the way to it, and a word of shared memory that says how it is. */
export interface CompactorEnd {
  readonly port: MessagePort;
  readonly state: SharedArrayBuffer;
}

export interface WorkerData<Options> {
  readonly rings: RingPair;
  /** Replies that wait for room in the ring before the worker does. */
  readonly queueBytesMax: number;
  /** Unpacked blocks kept for all shards of the worker. */
  readonly blockCacheBytes: number;
  readonly logLevel: "debug" | "info" | "warn" | "error" | "silent";
  /** Repeated on every line the worker logs. */
  readonly logFields: Readonly<Record<string, string | number>>;
  readonly shards: readonly WorkerShard<Options>[];
  /** This thread's end of each compactor. */
  readonly compactors: readonly CompactorEnd[];
}
