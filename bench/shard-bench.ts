/**
 * Puts through a whole shard on this thread, without the cost of the sync: log, apply, memtable, flush, compaction.
 * The goal is 700,000 commands of 100 bytes a second. Run: bun bench/shard-bench.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createShardMemory } from "../src/bridge/shard-memory.ts";
import type { ShardStats } from "../src/bridge/shard-protocol.ts";
import { logIndex, term } from "../src/core/ids.ts";
import { Random } from "../src/core/random.ts";
import { HybridClock } from "../src/core/stamp.ts";
import { utf8, viewOf } from "../src/core/bytes.ts";
import { RealClock } from "../src/env/real-clock.ts";
import { CommandType, commandBytes, encodeCommand, sealCommand } from "../src/record/command-format.ts";
import { ENTRY_HEADER_BYTES, EntryKind, sealEntry } from "../src/record/entry-format.ts";
import { BlockCache } from "../src/storage/block-cache.ts";
import { Shard } from "../src/shard/shard.ts";
import { benchDisk, benchOptions, benchSettings, LOG } from "./engine/envelope-settings.ts";

const MIB = 1024 * 1024;
const COMMANDS_PER_ENTRY = 800;
const ENTRY_COUNT = 2000;
const ROUNDS = 2;
const KEY_COUNTS = [100_000, 1_000_000];

function encodeEntries(keyCount: number): Uint8Array[] {
  const random = new Random(1);
  const clock = new HybridClock();
  const value = { bytes: utf8("v".repeat(100)), start: 0, end: 100 };
  const entries: Uint8Array[] = [];
  for (let index = 1; index <= ENTRY_COUNT; index++) {
    const entry = new Uint8Array(ENTRY_HEADER_BYTES + COMMANDS_PER_ENTRY * commandBytes(0, 16, 100));
    const view = viewOf(entry);
    let offset = ENTRY_HEADER_BYTES;
    for (let i = 0; i < COMMANDS_PER_ENTRY; i++) {
      const key = utf8(`key:${String(random.below(keyCount)).padStart(12, "0")}`);
      const range = { bytes: key, start: 0, end: key.length };
      const end = encodeCommand(entry, view, offset, CommandType.put, 0, 1, range, value, 0);
      clock.next(1_700_000_000_000 + index);
      sealCommand(entry, view, offset, end, 1, clock.high, clock.low);
      offset = end;
    }
    sealEntry(
      entry,
      new DataView(entry.buffer),
      0,
      entry.length,
      logIndex(index),
      term(1),
      COMMANDS_PER_ENTRY,
      EntryKind.commands,
    );
    entries.push(entry);
  }
  return entries;
}

function measure(entries: readonly Uint8Array[], directory: string): void {
  let stats = null as ShardStats | null;
  const settings = benchSettings({ directory, isSynced: false, memoryBytes: null, tableIo: "mmap" });
  const shard: Shard = Shard.open(
    { disk: benchDisk(false), clock: new RealClock(), log: LOG, blockCache: new BlockCache(settings.blockCacheBytes) },
    benchOptions(settings),
    createShardMemory(settings.memtableBytes, settings.memtableArenas),
    (reply) => {
      if (reply.type === "stats") stats = reply.stats;
      if (reply.type === "arenaRetired") shard.handle({ type: "returnArena", arena: reply.arena });
    },
  );
  while (shard.backgroundStep());
  let slowestMs = 0;
  let turnMs = 0;
  let backgroundMs = 0;
  const cpu = process.cpuUsage();
  for (const [i, entry] of entries.entries()) {
    const start = performance.now();
    const index = logIndex(i + 1);
    shard.handle({ type: "append", entries: [entry], commitIndex: index, applyThrough: index, wantResults: true });
    shard.turn();
    const turned = performance.now();
    shard.backgroundStep();
    turnMs += turned - start;
    backgroundMs += performance.now() - turned;
    slowestMs = Math.max(slowestMs, performance.now() - start);
  }
  const commandCount = entries.length * COMMANDS_PER_ENTRY;
  const perSecond = (ms: number): string => `${Math.round(commandCount / ms)} k/s`;
  const { user, system } = process.cpuUsage(cpu);
  const cpuMs = (user + system) / 1000;
  const all = perSecond(turnMs + backgroundMs);
  console.log(`turns ${perSecond(turnMs)}, with background steps ${all}, by processor time ${perSecond(cpuMs)}`);
  shard.handle({ type: "stats", requestId: 1 });
  shard.turn();
  if (stats === null) throw new Error("no stats came");
  const { logBytes, flushBytes, compactionBytes, stallCount, debtBytes, runCount, tableBytes, oldestRunBytes } = stats;
  const amplification = ((flushBytes + compactionBytes) / logBytes).toFixed(2);
  console.log(
    `  slowest turn ${slowestMs.toFixed(1)} ms, ${stallCount} stalls, debt ${Math.round(debtBytes / MIB)} MiB, ` +
      `tables written ${amplification} times the log, ` +
      `${runCount} runs, ${(tableBytes / oldestRunBytes).toFixed(2)} times the oldest`,
  );
  shard.handle({ type: "stop" });
  shard.turn();
}

for (const keyCount of KEY_COUNTS) {
  const entries = encodeEntries(keyCount);
  console.log(`${keyCount} keys at random`);
  for (let round = 0; round < ROUNDS; round++) {
    const directory = mkdtempSync(join(tmpdir(), "shard-bench-"));
    try {
      measure(entries, directory);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
}
