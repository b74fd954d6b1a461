/**
 * A shard's data opened for reads on this thread: the one place of the benchmark that knows how they are looked up and
 * walked. It recovers the directory as a shard does and asks the shard's own store of versions.
 */
import { createShardMemory } from "../../src/bridge/shard-memory.ts";
import { compareBytes, EMPTY_BYTES } from "../../src/core/bytes.ts";
import { copyBytes } from "../../src/core/copy-bytes.ts";
import { murmur3 } from "../../src/core/murmur3.ts";
import { RealClock } from "../../src/env/real-clock.ts";
import { isVisible, type VersionCursor } from "../../src/record/version.ts";
import { recover } from "../../src/shard/recovery.ts";
import { BlockCache } from "../../src/storage/block-cache.ts";
import type { VersionStore } from "../../src/shard/version-store.ts";
import { BENCH_BUCKET, benchDisk, benchOptions, benchSettings, LOG } from "./envelope-settings.ts";
import type { BenchReader, StoreOptions } from "./bench-store.ts";

export class EnvelopeReader implements BenchReader {
  readonly #store: VersionStore;
  readonly #nowMs = Date.now();
  #lastKey = EMPTY_BYTES;
  #cursor: (VersionCursor & Disposable) | null = null;

  constructor(options: StoreOptions) {
    const settings = benchSettings(options);
    const memory = createShardMemory(settings.memtableBytes, settings.memtableArenas);
    const blockCache = new BlockCache(settings.blockCacheBytes);
    const env = { disk: benchDisk(options.isSynced), clock: new RealClock(), log: LOG, blockCache };
    this.#store = recover(env, benchOptions(settings), memory).store;
  }

  /** The value, valid until the next call, or null. */
  get(key: Uint8Array): Uint8Array | null {
    const store = this.#store;
    if (!store.find(BENCH_BUCKET, key, 0, key.length, murmur3(key, 0, key.length, BENCH_BUCKET))) return null;
    if (!isVisible(store.kind, store.expiryMs, this.#nowMs)) return null;
    return store.valueBytes.subarray(store.valueStart, store.valueEnd);
  }

  /** Moves to the first key at or behind `key` and over `count` records; returns how many there were. */
  scan(key: Uint8Array, count: number): number {
    this.#cursor ??= this.#store.cursor();
    const cursor = this.#cursor;
    let found = 0;
    let isFirst = true;
    cursor.seek(BENCH_BUCKET, key);
    while (found < count && cursor.valid && cursor.bucket === BENCH_BUCKET) {
      if (this.#isNewKey(cursor.key) || isFirst) {
        isFirst = false;
        if (isVisible(cursor.kind, cursor.expiryMs, this.#nowMs) && cursor.value.length >= 0) found += 1;
      }
      cursor.next();
    }
    return found;
  }

  /** Compares with the key of the last version looked at, and keeps it: the first version of a key is its newest. */
  #isNewKey(key: Uint8Array): boolean {
    if (this.#lastKey.length !== key.length) this.#lastKey = new Uint8Array(key.length);
    else if (compareBytes(this.#lastKey, key) === 0) return false;
    copyBytes(key, 0, key.length, this.#lastKey, 0);
    return true;
  }

  close(): undefined {
    this.#cursor?.[Symbol.dispose]();
  }
}
