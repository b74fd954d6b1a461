/**
 * Peers that run in the benchmark's process: LevelDB (classic-level) and LMDB (lmdb). They are installed by
 * `bun install --cwd bench/engine` alone, so their modules are looked for when they are wanted, and only the part of
 * their interface that is used here is written down.
 */
import type { BenchReader, BenchStore, StoreOptions } from "./bench-store.ts";

export type PeerName = "leveldb" | "lmdb";

const MODULES: Record<PeerName, string> = { leveldb: "classic-level", lmdb: "lmdb" };
const MAP_BYTES = 64 * 1024 ** 3;

interface LevelIterator {
  nextv(size: number): Promise<[Uint8Array, Uint8Array][]>;
  close(): Promise<void>;
}

interface Level {
  open(options: { compression: boolean }): Promise<void>;
  put(key: Uint8Array, value: Uint8Array, options: { sync: boolean }): Promise<void>;
  batch(operations: readonly object[], options: { sync: boolean }): Promise<void>;
  getSync(key: Uint8Array): Uint8Array | undefined;
  iterator(options: { gte: Uint8Array }): LevelIterator;
  compactRange(start: Uint8Array, end: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

interface Lmdb {
  putSync(key: Uint8Array, value: Uint8Array): void;
  put(key: Uint8Array, value: Uint8Array): Promise<boolean>;
  transactionSync(work: () => void): void;
  getBinaryFast(key: Uint8Array): Uint8Array | undefined;
  getRange(options: { start: Uint8Array; limit: number }): Iterable<{ key: Uint8Array; value: Uint8Array }>;
  close(): Promise<void>;
}

/** Why the peer cannot be measured, or null if it can. */
export async function whyAbsent(peer: PeerName): Promise<string | null> {
  try {
    await import(MODULES[peer]);
    return null;
  } catch (cause) {
    return `${MODULES[peer]} does not load: ${cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause)}`;
  }
}

export async function openPeer(peer: PeerName, options: StoreOptions): Promise<BenchStore & BenchReader> {
  return peer === "leveldb" ? await openLevel(options) : await openLmdb(options);
}

const SCAN_PAGE = 1000;

async function openLevel({ directory, isSynced }: StoreOptions): Promise<BenchStore & BenchReader> {
  const { ClassicLevel } = (await import(MODULES.leveldb)) as {
    ClassicLevel: new (directory: string, options: object) => Level;
  };
  const level = new ClassicLevel(directory, { keyEncoding: "view", valueEncoding: "view" });
  await level.open({ compression: true });
  const options = { sync: isSynced };
  return {
    put: (key, value) => level.put(key, value, options),
    putBatch: (keys, values) =>
      level.batch(
        keys.map((key, i) => ({ type: "put", key, value: values[i] })),
        options,
      ),
    putOutstanding: async (keys, values) => {
      await Promise.all(keys.map((key, i) => level.put(key, values[i]!, options)));
    },
    get: (key) => level.getSync(key) ?? null,
    scan: (key, count) => scanLevel(level, key, count),
    // LevelDB compacts by itself and cannot be asked whether it is done.
    drain: () => undefined,
    flush: () => level.compactRange(new Uint8Array(0), new Uint8Array(32).fill(255)),
    syncCount: () => null,
    close: () => level.close(),
  };
}

async function scanLevel(level: Level, key: Uint8Array, count: number): Promise<number> {
  const iterator = level.iterator({ gte: key });
  let found = 0;
  while (found < count) {
    const page = await iterator.nextv(Math.min(SCAN_PAGE, count - found));
    if (page.length === 0) break;
    found += page.length;
  }
  await iterator.close();
  return found;
}

async function openLmdb({ directory, isSynced }: StoreOptions): Promise<BenchStore & BenchReader> {
  const { open } = (await import(MODULES.lmdb)) as { open: (options: object) => Lmdb };
  const lmdb = open({
    path: directory,
    keyEncoding: "binary",
    encoding: "binary",
    noSync: !isSynced,
    // Else a write is reported before it has been synced.
    overlappingSync: false,
    mapSize: MAP_BYTES,
  });
  return {
    put: (key, value) => void lmdb.putSync(key, value),
    putBatch: (keys, values) =>
      void lmdb.transactionSync(() => {
        for (let i = 0; i < keys.length; i++) lmdb.putSync(keys[i]!, values[i]!);
      }),
    putOutstanding: async (keys, values) => {
      await Promise.all(keys.map((key, i) => lmdb.put(key, values[i]!)));
    },
    get: (key) => lmdb.getBinaryFast(key) ?? null,
    scan: (key, count) => {
      let found = 0;
      for (const { value } of lmdb.getRange({ start: key, limit: count })) if (value.length > 0) found += 1;
      return found;
    },
    drain: () => undefined,
    flush: () => undefined,
    syncCount: () => null,
    close: () => lmdb.close(),
  };
}
