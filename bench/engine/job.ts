/** One measurement of one engine: what a child process is told, and what it answers, each as a line of JSON. */
import type { KeyOrder } from "./workload.ts";

/** envelope-direct: with tables read past the page cache. */
export type EngineName = "envelope" | "envelope-direct" | "rocksdb" | "rocksdb-tuned" | "leveldb" | "lmdb";

export function isEnvelope(engine: EngineName): boolean {
  return engine === "envelope" || engine === "envelope-direct";
}

interface Place {
  readonly engine: EngineName;
  readonly directory: string;
  /** Keys there are, or shall be. */
  readonly keyCount: number;
  /** What the process is limited to, page cache included; null: nothing. */
  readonly memoryBytes: number | null;
}

export type Job =
  /** Writes, and does afterwards what the engine has put off. `flushes`: nothing is left in memory at the end. */
  | (Place & {
      readonly type: "fill";
      readonly order: KeyOrder;
      readonly opCount: number;
      readonly batch: number;
      readonly isFresh: boolean;
      readonly flushes: boolean;
    })
  /** Synced writes of clients each of which waits for its answer. */
  | (Place & { readonly type: "fillsync"; readonly opCount: number; readonly outstanding: number })
  /** `throughMessages`: by the messages of the shard rather than its store; other engines know no difference. */
  | (Place & {
      readonly type: "read";
      readonly opCount: number;
      readonly isMissing: boolean;
      readonly throughMessages: boolean;
    })
  /** `opCount` seeks and `nextCount` records from each. */
  | (Place & { readonly type: "seek"; readonly opCount: number; readonly nextCount: number })
  /** All records, once. */
  | (Place & { readonly type: "scan" })
  /** Reads and overwrites that come at fixed times; `writesPerSecond` 0: each half the peak. */
  | (Place & { readonly type: "mixed"; readonly seconds: number; readonly writesPerSecond: number })
  /** Writes and is killed. */
  | (Place & { readonly type: "crash" })
  /** Opens what is there and reads one record. */
  | (Place & { readonly type: "reopen" });

export interface Latencies {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export interface Outcome {
  readonly ops: number;
  /** To the end of the work, what was put off included. */
  readonly seconds: number;
  /** To the last write; null where nothing is put off. */
  readonly writeSeconds: number | null;
  /** Of all threads, in user and system mode. */
  readonly processorMicros: number;
  /** What went through write(2) and its kin; null where nothing is written. */
  readonly writtenBytes: number | null;
  readonly liveBytes: number | null;
  readonly syncCount: number | null;
  readonly found: number | null;
  readonly readMicros: Latencies | null;
  readonly writeMicros: Latencies | null;
  readonly note: string | null;
}

export const NOTHING: Outcome = {
  ops: 0,
  seconds: 0,
  writeSeconds: null,
  processorMicros: 0,
  writtenBytes: null,
  liveBytes: null,
  syncCount: null,
  found: null,
  readMicros: null,
  writeMicros: null,
  note: null,
};
