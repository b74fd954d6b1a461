import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Random } from "../../src/core/random.ts";
import type { Disk } from "../../src/env/disk.ts";
import { RealDisk } from "../../src/env/real-disk.ts";
import type { Job } from "../../src/storage/job.ts";
import { BlockCache } from "../../src/storage/block-cache.ts";
import { Tree } from "../../src/storage/tree.ts";
import type { TreeOptions } from "../../src/storage/tree-options.ts";
import { MemoryDisk } from "./support/memory-disk.ts";
import { Model, sorted } from "./support/model.ts";
import { ArrayCursor, IDENTITY, type PlainVersion, position, SMALL } from "./support/versions.ts";

setDefaultTimeout(60_000);

const COMPACTIONS_MAX = 3;

/** A tree under random flushes, compactions, aborts and reopens whose steps interleave, beside its model. */
class Run {
  readonly model = new Model();
  /** As many have run at the same time. */
  compactionsMost = 0;
  tree: Tree;
  #flush: Job | null = null;
  #batch: readonly PlainVersion[] = [];
  #compactions: Job[] = [];
  #flushCount = 0;
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #random: Random;

  readonly #options: TreeOptions;
  readonly #cache = new BlockCache(10_000);

  constructor(disk: Disk, directory: string, random: Random, options: TreeOptions) {
    this.#options = options;
    this.#disk = disk;
    this.#directory = directory;
    this.#random = random;
    this.tree = Tree.open(disk, directory, this.#options, IDENTITY, this.#cache);
  }

  act(): void {
    const random = this.#random;
    this.model.nowMs += random.below(20);
    if (this.#flush === null && random.chance(0.4)) this.#beginFlush();
    if (random.chance(0.5)) this.#beginCompaction();
    if (random.chance(0.8)) this.#stepFlush();
    if (random.chance(0.8)) this.#stepCompaction();
    if (random.chance(0.02)) this.#abort();
    if (random.chance(0.02)) this.reopen();
    if (random.chance(0.002)) this.#fence(1 + random.below(3));
  }

  reopen(): void {
    this.#abort();
    this.tree.close();
    this.tree = Tree.open(this.#disk, this.#directory, this.#options, IDENTITY, this.#cache);
    for (const bucket of this.model.fenced) this.tree.noteFence(bucket);
  }

  check(said: string): void {
    const expected = sorted(this.model.visible());
    expect(sorted(this.model.lookedUp(this.tree)), said).toEqual(expected);
    expect(sorted(this.model.walked(this.tree)), said).toEqual(expected);
    expect(this.tree.flushed.index as number, said).toBe(this.#flushCount);
  }

  close(): void {
    this.#abort();
    this.tree.close();
  }

  #beginFlush(): void {
    this.#batch = this.model.batch(this.#random, this.#random.below(80));
    const source = new ArrayCursor(this.#batch);
    this.#flush = this.tree.beginFlush(source, position(this.#flushCount + 1), this.model.rule());
  }

  #stepFlush(): void {
    if (this.#flush === null || this.#flush.step(this.#random.between(1, 4000))) return;
    this.#flush = null;
    this.#flushCount += 1;
    this.model.show(this.#batch);
  }

  #beginCompaction(): void {
    const rule = this.model.rule();
    if (this.#compactions.length === 0 && this.#random.chance(0.03)) {
      this.#compactions.push(this.tree.compactAll(rule));
      return;
    }
    const next = this.#compactions.length < COMPACTIONS_MAX ? this.tree.nextCompaction(rule) : null;
    if (next === null) return;
    this.#compactions.push(next);
    this.compactionsMost = Math.max(this.compactionsMost, this.#compactions.length);
  }

  /** Whichever: they come to their ends in any order. */
  #stepCompaction(): void {
    const place = this.#random.below(this.#compactions.length + 1);
    const job = this.#compactions[place];
    if (job?.step(this.#random.between(1, 8000)) === false) this.#compactions.splice(place, 1);
  }

  #fence(bucket: number): void {
    if (this.model.fenced.has(bucket)) return;
    this.model.fenced.add(bucket);
    this.tree.noteFence(bucket);
  }

  /** The batch of an aborted flush is gone with its memtable: the model never shows it. */
  #abort(): void {
    this.#flush?.abort();
    this.#flush = null;
    for (const job of this.#compactions.splice(0)) job.abort();
  }
}

function checkRun(disk: Disk, directory: string, seed: number, actions: number): number {
  const random = new Random(seed);
  const compaction = seed % 2 === 0 ? "leveled" : "tiered";
  const tableIo = seed % 4 < 2 ? "mmap" : "direct";
  const run = new Run(disk, directory, random, { ...SMALL, compaction, tableIo });
  for (let i = 0; i < actions; i++) {
    run.act();
    if (i % 23 === 0) run.check(`seed ${seed}, action ${i}`);
  }
  run.reopen();
  run.check(`seed ${seed}, at the end`);
  run.close();
  return run.compactionsMost;
}

test("a tree agrees with a sorted Map through flushes, compactions, aborts and reopens", () => {
  const first = Math.floor(Math.random() * 1e9);
  let compactionsMost = 0;
  for (let seed = first; seed < first + 12; seed++) {
    const disk = new MemoryDisk();
    compactionsMost = Math.max(compactionsMost, checkRun(disk, "d", seed, 700));
    expect(disk.mappingCount).toBe(0);
    expect(disk.openDirectly).toBe(0);
  }
  expect(compactionsMost, `seeds from ${first}`).toBeGreaterThan(1);
}, 60_000);

test("the same on a real disk", () => {
  const directory = mkdtempSync(join(tmpdir(), "envelopedb-tree-"));
  try {
    checkRun(new RealDisk(), join(directory, "shard-0000"), Math.floor(Math.random() * 1e9), 300);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}, 60_000);
