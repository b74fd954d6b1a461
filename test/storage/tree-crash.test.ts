import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { EnvelopeError } from "../../src/core/errors.ts";
import { Random } from "../../src/core/random.ts";
import type { DropRule, Job } from "../../src/storage/job.ts";
import { Tree } from "../../src/storage/tree.ts";
import type { TreeOptions } from "../../src/storage/tree-options.ts";
import { MemoryDisk } from "./support/memory-disk.ts";
import { type Answer, Model, sorted } from "./support/model.ts";
import { ArrayCursor, IDENTITY, position, run, SMALL } from "./support/versions.ts";

setDefaultTimeout(60_000);

const FLUSHES = 6;
const COMPACTIONS_MAX = 3;
/** Crashing at every step of the work takes some seconds on a busy machine. */
const TIMEOUT_MS = 120_000;

class Crash extends Error {}

/**
 * Flushes and compactions, always the same for a seed. `progress` is told what the tree must hold after each flush, and
 * which flush is under way.
 */
function work(
  disk: MemoryDisk,
  seed: number,
  states: Map<number, [string, Answer][]>,
  flushed: { index: number },
): void {
  const random = new Random(seed);
  const model = new Model();
  states.set(0, []);
  const tree = Tree.open(disk, "d", optionsOf(seed), IDENTITY);
  for (let index = 1; index <= FLUSHES; index++) {
    const batch = model.batch(random, random.between(10, 60));
    model.show(batch);
    states.set(index, sorted(model.visible()));
    run(tree.beginFlush(new ArrayCursor(batch), position(index), model.rule()));
    flushed.index = index;
    compactTogether(tree, model.rule());
    if (index % 3 === 0) run(tree.compactAll(model.rule()));
  }
  tree.close();
}

/** All compactions that are due, up to three at once, a step of each in turn. */
function compactTogether(tree: Tree, rule: DropRule): void {
  for (;;) {
    const jobs: Job[] = [];
    for (let job = tree.nextCompaction(rule); job !== null; job = tree.nextCompaction(rule)) {
      jobs.push(job);
      if (jobs.length === COMPACTIONS_MAX) break;
    }
    if (jobs.length === 0) return;
    let running = jobs;
    try {
      while (running.length > 0) running = running.filter((job) => job.step(512));
    } catch (cause) {
      if (cause instanceof EnvelopeError) for (const job of running) job.abort();
      throw cause;
    }
  }
}

/** Both styles of compaction take their turns. */
function optionsOf(seed: number): TreeOptions {
  return { ...SMALL, compaction: seed % 2 === 0 ? "leveled" : "tiered" };
}

/** Opens what a crash left and compares it with what it may be; then goes on writing, and opens once more. */
function checkAfter(disk: MemoryDisk, states: Map<number, [string, Answer][]>, flushed: number, said: string): void {
  const model = new Model();
  const tree = Tree.open(disk, "d", SMALL, IDENTITY);
  const index = tree.flushed.index as number;
  expect([flushed, flushed + 1], said).toContain(index);
  expect(sorted(model.lookedUp(tree)), said).toEqual(states.get(index) ?? []);
  expect(sorted(model.walked(tree)), said).toEqual(states.get(index) ?? []);
  const names = disk.list("d");
  expect(names.filter((name) => name.endsWith(".sst")).length, said).toBe(tree.tableCount);
  expect(names.length, said).toBe(tree.tableCount + 1);
  run(tree.compactAll(model.rule()));
  tree.close();
  disk.crash(null);
  const again = Tree.open(disk, "d", SMALL, IDENTITY);
  expect(sorted(model.walked(again)), said).toEqual(states.get(index) ?? []);
  again.close();
}

/** Crashes at every change of the disk in turn and hands the disk over, until a run gets through. */
function atEveryChange(
  seed: number,
  check: (disk: MemoryDisk, n: number, flushed: number) => void,
  states: Map<number, [string, Answer][]>,
): number {
  for (let n = 0; ; n++) {
    const disk = new MemoryDisk();
    const flushed = { index: 0 };
    let left = n;
    disk.beforeChange = () => {
      if (left-- === 0) throw new Crash();
    };
    try {
      work(disk, seed, states, flushed);
      return n;
    } catch (cause) {
      if (!(cause instanceof Crash)) throw cause;
    }
    check(disk, n, flushed.index);
  }
}

describe("a crash at any step", () => {
  const seed = Math.floor(Math.random() * 1e9);

  test(
    "of power leaves the old state or the new one, never a mix, and no orphans",
    () => {
      const states = new Map<number, [string, Answer][]>();
      const changes = atEveryChange(
        seed,
        (disk, n, flushed) => {
          for (let variant = 0; variant < 3; variant++) {
            const copy = disk.clone();
            copy.crash(variant === 0 ? null : new Random(seed + variant));
            checkAfter(copy, states, flushed, `seed ${seed}, change ${n}, variant ${variant}`);
          }
        },
        states,
      );
      expect(changes).toBeGreaterThan(100);
    },
    TIMEOUT_MS,
  );

  test(
    "of the process does too",
    () => {
      const states = new Map<number, [string, Answer][]>();
      atEveryChange(
        seed,
        (disk, n, flushed) => {
          disk.kill();
          checkAfter(disk, states, flushed, `seed ${seed}, change ${n}`);
        },
        states,
      );
    },
    TIMEOUT_MS,
  );

  test(
    "while the directory is being opened changes nothing of what it holds",
    () => {
      const states = new Map<number, [string, Answer][]>();
      const whole = new MemoryDisk();
      const flushed = { index: 0 };
      work(whole, seed, states, flushed);
      whole.replace("d/00009999.sst", new Uint8Array(7));
      for (let n = 0, opened = false; !opened; n++) {
        const disk = whole.clone();
        let left = n;
        disk.beforeChange = () => {
          if (left-- === 0) throw new Crash();
        };
        try {
          Tree.open(disk, "d", SMALL, IDENTITY).close();
          opened = true;
        } catch (cause) {
          if (!(cause instanceof Crash)) throw cause;
        }
        disk.crash(new Random(seed + n));
        checkAfter(disk, states, FLUSHES, `seed ${seed}, change ${n}`);
      }
    },
    TIMEOUT_MS,
  );
});

describe("a failed sync", () => {
  test(
    "of any file stops the work, and what is found afterwards is the old state or the new one",
    () => {
      const seed = Math.floor(Math.random() * 1e9);
      for (let n = 0, done = false; !done; n++) {
        const disk = new MemoryDisk();
        const states = new Map<number, [string, Answer][]>();
        const flushed = { index: 0 };
        let left = n;
        disk.beforeChange = (change) => {
          if (change === "sync" && left-- === 0) throw new EnvelopeError("IO", "the sync failed");
        };
        try {
          work(disk, seed, states, flushed);
          done = true;
        } catch (cause) {
          expect((cause as EnvelopeError).code).toBe("IO");
        }
        const lost = disk.clone();
        lost.crash(null);
        checkAfter(lost, states, flushed.index, `seed ${seed}, sync ${n}, power lost`);
        disk.kill();
        checkAfter(disk, states, flushed.index, `seed ${seed}, sync ${n}, process lost`);
      }
    },
    TIMEOUT_MS,
  );
});
