/**
 * What a benchmark asks of an engine that runs in its process. Methods that return a promise on some engines are waited
 * for only there: a measure looks before it waits, so that a synchronous engine pays for no turn of the event loop.
 */

export interface StoreOptions {
  readonly directory: string;
  /** False: a write returns after write(2) and is not synced. */
  readonly isSynced: boolean;
  /** As in Job. */
  readonly memoryBytes: number | null;
  /** Of EnvelopeDB; other engines have ways of their own. */
  readonly tableIo: "mmap" | "direct";
}

export interface BenchReader {
  /** The value, valid until the next call, or null. */
  get(key: Uint8Array): Uint8Array | null;
  /** Moves to the first key at or behind `key` and over `count` records; returns how many there were. */
  scan(key: Uint8Array, count: number): Promise<number> | number;
  close(): Promise<void> | undefined;
}

/** Writes copy what they are given. Every key of a batch has its own buffer. */
export interface BenchStore {
  /** When it returns, or resolves, the record has left the process. */
  put(key: Uint8Array, value: Uint8Array): Promise<void> | undefined;
  /** Records that are written together. */
  putBatch(keys: readonly Uint8Array[], values: readonly Uint8Array[]): Promise<void> | undefined;
  /** Records of as many clients, which do not know of each other: all are written, and synced if the store syncs. */
  putOutstanding(keys: readonly Uint8Array[], values: readonly Uint8Array[]): Promise<void> | undefined;
  get(key: Uint8Array): Uint8Array | null;
  /** Does what the engine has put off, compaction above all, or waits for it. */
  drain(): Promise<void> | undefined;
  /** What is in memory goes into tables, in an engine that has such. */
  flush(): Promise<void> | undefined;
  /** Syncs of the log since it was opened; null where that is not known. */
  syncCount(): number | null;
  close(): Promise<void> | undefined;
}

/** Waits only for what has to be waited for. */
export async function finished(work: Promise<void> | undefined): Promise<void> {
  if (work !== undefined) await work;
}
