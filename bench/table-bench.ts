/**
 * Reads from tables, warm: look-ups one by one and many at a time, and a walk over everything, forward.
 * The goal is a million of each a second. Run: bun bench/table-bench.ts [million keys] [keys at a time] [none | zstd] [mmap | direct]
 */
import { NO_CONFIGURATION } from "../src/record/logged-configuration.ts";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createShardMemory } from "../src/bridge/shard-memory.ts";
import { SharedState } from "../src/bridge/shared-state.ts";
import { EMPTY_BYTES, utf8 } from "../src/core/bytes.ts";
import { logIndex, shardId, term } from "../src/core/ids.ts";
import { murmur3 } from "../src/core/murmur3.ts";
import { Random } from "../src/core/random.ts";
import { MAX_STAMP } from "../src/core/stamp.ts";
import { RealClock } from "../src/env/real-clock.ts";
import { RealDisk } from "../src/env/real-disk.ts";
import { type VersionCursor, VersionKind } from "../src/record/version.ts";
import { keyRange } from "../src/shard/key-range.ts";
import { ShardIterator } from "../src/shard/shard-iterator.ts";
import { VersionStore } from "../src/shard/version-store.ts";
import type { Job } from "../src/storage/job.ts";
import { BlockCache } from "../src/storage/block-cache.ts";
import { LookUpBatch } from "../src/storage/look-up-batch.ts";
import { NO_RETENTION } from "../src/storage/retention.ts";
import { Tree } from "../src/storage/tree.ts";

const MIB = 1024 * 1024;
const BUCKET = 1;
const KEY_BYTES = 16;
const KEY_COUNT = Number(process.argv[2] ?? "2") * 1_000_000;
const LOOKUP_COUNT = 2_000_000;
const ROUNDS = 3;
const BATCH_COUNT = Number(process.argv[3] ?? "32");

/** Key number n, as the clients of benchmarks name their keys. */
function writeKey(into: Uint8Array, n: number): void {
  let rest = n;
  for (let i = KEY_BYTES - 1; i >= 4; i--) {
    into[i] = 48 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}

/** Every `step`-th key from `first` on, in order, as a frozen memtable would give them. */
class KeySource implements VersionCursor {
  readonly bucket = BUCKET;
  readonly key = utf8("key:000000000000");
  readonly stampHigh = 1;
  readonly stampLow: number;
  readonly origin = 1;
  readonly kind = VersionKind.value;
  readonly expiryMs = 0;
  readonly value = new Uint8Array(100).fill(118);
  readonly #first: number;
  readonly #step: number;
  #n = 0;

  constructor(first: number, step: number, stampLow: number) {
    this.#first = first;
    this.#step = step;
    this.stampLow = stampLow;
  }

  get valid(): boolean {
    return this.#n < KEY_COUNT;
  }
  seek(): void {
    this.#n = this.#first;
    writeKey(this.key, this.#n);
  }
  next(): void {
    this.#n += this.#step;
    writeKey(this.key, this.#n);
  }
}

const RULE = { fenced: () => false, expireBeforeMs: 0, retention: NO_RETENTION };

function run(job: Job): void {
  while (job.step(64 * MIB));
}

function flush(tree: Tree, source: VersionCursor, sequence: number): void {
  const position = {
    sequence,
    index: logIndex(sequence),
    term: term(1),
    stampHigh: 1,
    stampLow: sequence,
    configuration: NO_CONFIGURATION,
  };
  run(tree.beginFlush(source, position, RULE));
}

function report(what: string, count: number, work: () => number): void {
  for (let round = 0; round < ROUNDS; round++) {
    const cpu = process.cpuUsage();
    const start = performance.now();
    const done = work();
    const ms = performance.now() - start;
    const { user, system } = process.cpuUsage(cpu);
    if (done !== count) throw new Error(`${what}: ${done} instead of ${count}`);
    const rate = `${Math.round(count / ms)} k/s, by processor time ${Math.round((count * 1000) / (user + system))} k/s`;
    console.log(`${what.padEnd(34)} ${rate}`);
  }
}

function lookUps(tree: Tree, first: number, step: number): number {
  const random = new Random(7);
  const key = utf8("key:000000000000");
  let found = 0;
  for (let i = 0; i < LOOKUP_COUNT; i++) {
    writeKey(key, first + step * random.below(Math.floor(KEY_COUNT / step)));
    if (tree.find(BUCKET, key, 0, KEY_BYTES, murmur3(key, 0, KEY_BYTES, BUCKET), MAX_STAMP) !== null) found += 1;
  }
  return found;
}

function lookUpsTogether(tree: Tree, first: number, step: number): number {
  const random = new Random(7);
  const key = utf8("key:000000000000");
  const batch = new LookUpBatch(BATCH_COUNT);
  let found = 0;
  for (let i = 0; i < LOOKUP_COUNT; i += BATCH_COUNT) {
    batch.clear();
    for (let j = 0; j < BATCH_COUNT; j++) {
      writeKey(key, first + step * random.below(Math.floor(KEY_COUNT / step)));
      batch.add(BUCKET, key, murmur3(key, 0, KEY_BYTES, BUCKET));
    }
    tree.findMany(batch, MAX_STAMP);
    for (let j = 0; j < BATCH_COUNT; j++) found += batch.isFound[j]!;
  }
  return found;
}

function walk(tree: Tree): number {
  using cursor = tree.cursor();
  let count = 0;
  for (cursor.seek(BUCKET, EMPTY_BYTES); cursor.valid; cursor.next()) count += 1;
  return count;
}

/** What a reader sees: the newest version of each key, key and value looked at. */
function iterate(store: VersionStore, isReverse: boolean): number {
  const at = { stamp: MAX_STAMP, nowMs: 0 };
  using iterator = new ShardIterator(store, keyRange(BUCKET, EMPTY_BYTES, null, null), at, () => undefined);
  let count = 0;
  if (isReverse) for (iterator.last(); iterator.valid; iterator.previous()) count += iterator.key.length / KEY_BYTES;
  else for (iterator.first(); iterator.valid; iterator.next()) count += iterator.key.length / KEY_BYTES;
  return count;
}

function measure(tree: Tree): void {
  const memory = createShardMemory(MIB, 3);
  const limits = { snapshotsMax: 1, snapshotAgeMs: 0 };
  const store = new VersionStore(tree, memory, new SharedState(memory.state), null, new RealClock(), limits);
  report("look-ups of keys that are there", LOOKUP_COUNT, () => lookUps(tree, 0, 2));
  report(`the same, ${BATCH_COUNT} at a time`, LOOKUP_COUNT, () => lookUpsTogether(tree, 0, 2));
  report("walk over all versions", tree.stats().tableEntries, () => walk(tree));
  report("visible keys, forward", KEY_COUNT, () => iterate(store, false));
  report("visible keys, back", KEY_COUNT, () => iterate(store, true));
}

const packing: "none" | "zstd" = process.argv[4] === "zstd" ? "zstd" : "none";
const tableIo: "mmap" | "direct" = process.argv[5] === "direct" ? "direct" : "mmap";
const cache = new BlockCache(256 * MIB);
const directory = mkdtempSync(join(tmpdir(), "table-bench-"));
try {
  const options = {
    blockBytes: 4096,
    bloomBitsPerKey: 10,
    compaction: "leveled" as const,
    compression: packing,
    compressionLevel: 1,
    prefixFilterBytes: 0,
    blockChecks: "first" as const,
    tableIo,
    levelBytesBase: 256 * MIB,
    level0Tables: 4,
    tableBytesMax: 16 * MIB,
  };
  const tree = Tree.open(
    new RealDisk(),
    directory,
    options,
    { clusterId: new Uint8Array(16), shard: shardId(0) },
    cache,
  );
  flush(tree, new KeySource(0, 1, 1), 1);
  run(tree.compactAll(RULE));
  console.log(`${KEY_COUNT} keys of ${KEY_BYTES} bytes with values of 100, one run of ${tree.tableCount} tables`);
  measure(tree);
  for (let i = 0; i < 3; i++) flush(tree, new KeySource(i + 1, 10, 2 + i), 2 + i);
  console.log(`the same with every tenth key written again in each of three runs above`);
  measure(tree);
  tree.close();
} finally {
  rmSync(directory, { recursive: true, force: true });
}
