/**
 * A shard's data opened for reads on this thread: the one place of the benchmark that knows how they are looked up and
 * walked. It recovers the directory as a shard does and asks the shard's own store of versions.
 */
import { createShardMemory } from "../../src/bridge/shard-memory.ts";
import { compareBytes } from "../../src/core/bytes.ts";
import { murmur3 } from "../../src/core/murmur3.ts";
import { RealClock } from "../../src/env/real-clock.ts";
import { isVisible, type VersionCursor } from "../../src/record/version.ts";
import { recover } from "../../src/shard/recovery.ts";
import type { VersionStore } from "../../src/shard/version-store.ts";
import { BENCH_BUCKET, benchDisk, benchOptions, benchSettings, LOG } from "./envelope-settings.ts";
import type { BenchReader, StoreOptions } from "./bench-store.ts";

export class EnvelopeReader implements BenchReader {
  readonly #store: VersionStore;
  readonly #nowMs = Date.now();
  readonly #lastKey = new Uint8Array(256);
  #cursor: (VersionCursor & Disposable) | null = null;

  constructor(options: StoreOptions) {
    const settings = benchSettings(options.directory);
    const memory = createShardMemory(settings.memtableBytes, settings.memtableArenas);
    const env = { disk: benchDisk(options.isSynced), clock: new RealClock(), log: LOG };
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
    const lastKey = this.#lastKey;
    let lastBytes = -1;
    let found = 0;
    cursor.seek(BENCH_BUCKET, key);
    while (found < count && cursor.valid && cursor.bucket === BENCH_BUCKET) {
      const current = cursor.key;
      const isNewest = current.length !== lastBytes || compareBytes(lastKey.subarray(0, lastBytes), current) !== 0;
      if (isNewest) {
        lastBytes = current.length;
        lastKey.set(current);
        if (isVisible(cursor.kind, cursor.expiryMs, this.#nowMs) && cursor.value.length >= 0) found += 1;
      }
      cursor.next();
    }
    return found;
  }

  close(): undefined {
    this.#cursor?.[Symbol.dispose]();
  }
}
