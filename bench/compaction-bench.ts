/**
 * How many versions a second one core merges: prepared tables of 16-byte keys and 100-byte values, four runs of level 0
 * over a last level ten times their size, compacted by the tree as a shard does it, without the cost of the sync. The
 * goal is 1,500,000. Run: bun bench/compaction-bench.ts
 */
import { NO_CONFIGURATION } from "../src/record/logged-configuration.ts";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { utf8 } from "../src/core/bytes.ts";
import { logIndex, shardId, term } from "../src/core/ids.ts";
import { Random } from "../src/core/random.ts";
import type { Disk, DiskFile, OpenMode } from "../src/env/disk.ts";
import { RealDisk } from "../src/env/real-disk.ts";
import { createShardMemory } from "../src/bridge/shard-memory.ts";
import { MemtableReader } from "../src/bridge/memtable-reader.ts";
import { MemtableWriter } from "../src/bridge/memtable.ts";
import { murmur3 } from "../src/core/murmur3.ts";
import { VersionKind } from "../src/record/version.ts";
import type { DropRule, Job } from "../src/storage/job.ts";
import { Tree } from "../src/storage/tree.ts";
import { NO_RETENTION } from "../src/storage/retention.ts";

const MIB = 1024 * 1024;
const KEY_COUNT = 1_000_000;
const RUNS = 4;
const RUN_ENTRIES = 100_000;
const ROUNDS = 4;
const STEP_BYTES = 128 * 1024;
const KEEP_ALL: DropRule = { fenced: () => false, expireBeforeMs: 0, retention: NO_RETENTION };
const VALUE = utf8("v".repeat(100));

/** Syncs are taken as done. */
class UnsyncedDisk extends RealDisk implements Disk {
  override open(path: string, mode: OpenMode): DiskFile {
    const file = super.open(path, mode);
    file.sync = () => undefined;
    return file;
  }
}

let stamp = 0;

/** Flushes a memtable of so many keys; returns the seconds of processor time that took. */
function flush(tree: Tree, index: number, numbers: Iterable<number>): number {
  const memory = createShardMemory(256 * MIB, 3).arenas[0];
  if (memory === undefined) throw new Error("there are three arenas");
  const writer = new MemtableWriter(memory, "reuse");
  for (const number of numbers) {
    const key = utf8(`key:${String(number).padStart(12, "0")}`);
    stamp += 1;
    const hash = murmur3(key, 0, key.length, 1);
    writer.insert(1, key, 0, key.length, hash, 1, stamp, 1, VersionKind.value, 0, VALUE, 0, VALUE.length);
  }
  writer.link();
  const position = {
    sequence: index,
    index: logIndex(index),
    term: term(1),
    stampHigh: 1,
    stampLow: stamp,
    configuration: NO_CONFIGURATION,
  };
  return seconds(tree.beginFlush(new MemtableReader(memory).cursor(), position, KEEP_ALL));
}

function* randomNumbers(random: Random): Iterable<number> {
  for (let i = 0; i < RUN_ENTRIES; i++) yield random.below(KEY_COUNT);
}

function seconds(job: Job): number {
  const before = process.cpuUsage();
  while (job.step(STEP_BYTES));
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

function measure(directory: string): void {
  const options = {
    blockBytes: 4096,
    bloomBitsPerKey: 10,
    compaction: "leveled" as const,
    compression: "none" as const,
    compressionLevel: 1,
    prefixFilterBytes: 0,
    blockChecks: "first" as const,
    tableIo: "mmap" as const,
    levelBytesBase: 256 * MIB,
    level0Tables: RUNS,
    tableBytesMax: 16 * MIB,
  };
  const identity = { clusterId: new Uint8Array(16), shard: shardId(0) };
  const tree = Tree.open(new UnsyncedDisk(), directory, options, identity);
  const random = new Random(1);
  const flushSeconds = flush(tree, 1, Array(KEY_COUNT).keys());
  seconds(tree.compactAll(KEEP_ALL));
  console.log(`flush ${perSecond(KEY_COUNT, flushSeconds)}`);
  for (let round = 0; round < ROUNDS; round++) {
    for (let run = 0; run < RUNS; run++) flush(tree, 2 + round * RUNS + run, randomNumbers(random));
    const entries = tree.stats().tableEntries;
    const job = tree.nextCompaction(KEEP_ALL);
    if (job === null) throw new Error("level 0 is due");
    console.log(`compaction of ${entries} versions: ${perSecond(entries, seconds(job))}`);
  }
  const entries = tree.stats().tableEntries;
  console.log(`one run alone: ${perSecond(entries, seconds(tree.compactAll(KEEP_ALL)))}`);
  tree.close();
}

function perSecond(count: number, duration: number): string {
  return `${Math.round(count / duration / 1000)} k versions/s of processor time`;
}

const directory = mkdtempSync(join(tmpdir(), "compaction-bench-"));
try {
  measure(directory);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
