import { expect, test } from "bun:test";
import { Random } from "../../src/core/random.ts";
import { BlockCache } from "../../src/storage/block-cache.ts";

function body(table: number, block: number, byteCount: number): Uint8Array {
  return new Uint8Array(byteCount).fill(table * 31 + block);
}

/** As a look-up does it; true: it was there. */
function use(cache: BlockCache, table: number, block: number, byteCount: number): boolean {
  if (cache.get(table, block, true) !== null) return true;
  cache.put(table, block, body(table, block, byteCount));
  return false;
}

function heldOf(cache: BlockCache, table: number, blockCount: number): number {
  let held = 0;
  for (let block = 0; block < blockCount; block++) if (cache.get(table, block, true) !== null) held += 1;
  return held;
}

test("a cache gives back what was put, or nothing, and never holds more than it may", () => {
  const first = Math.floor(Math.random() * 1e9);
  for (let seed = first; seed < first + 20; seed++) {
    const random = new Random(seed);
    const bytesMax = random.between(1, 200_000);
    const cache = new BlockCache(bytesMax);
    const tables = Array.from({ length: 4 }, () => cache.takeTable());
    for (let i = 0; i < 3000; i++) {
      const table = tables[random.below(4)] ?? 0;
      const block = random.below(60);
      if (random.chance(0.01)) cache.forget(table, 60);
      const found = cache.get(table, block, true);
      if (found === null) cache.put(table, block, body(table, block, random.between(1, 9000)));
      else expect(found[0], `seed ${seed}`).toBe((table * 31 + block) % 256);
      expect(cache.stats.byteCount, `seed ${seed}`).toBeLessThanOrEqual(bytesMax);
    }
    expect(cache.stats.hitCount + cache.stats.missCount).toBe(3000);
  }
});

test("what is used again and again stays while others pass by once", () => {
  const cache = new BlockCache(400 * 4096);
  const hot = cache.takeTable();
  const cold = cache.takeTable();
  for (let round = 0; round < 4; round++) for (let block = 0; block < 200; block++) use(cache, hot, block, 4096);
  let hits = 0;
  for (let i = 0; i < 20_000; i++) {
    use(cache, cold, i, 4096);
    if (i % 10 === 0 && use(cache, hot, (i / 10) % 200, 4096)) hits += 1;
  }
  expect(hits).toBeGreaterThan(1900);
});

test("what comes back soon after it has left stays longer", () => {
  const cache = new BlockCache(100 * 4096);
  const table = cache.takeTable();
  for (let block = 0; block < 120; block++) use(cache, table, block, 4096);
  expect(cache.get(table, 0, true)).toBeNull();
  use(cache, table, 0, 4096);
  for (let block = 200; block < 260; block++) use(cache, table, block, 4096);
  expect(cache.get(table, 0, true)).not.toBeNull();
});

test("blocks of a table that is gone leave before those in use", () => {
  const cache = new BlockCache(100 * 4096);
  const gone = cache.takeTable();
  const kept = cache.takeTable();
  const other = cache.takeTable();
  for (let round = 0; round < 4; round++) {
    for (let block = 0; block < 40; block++) {
      use(cache, gone, block, 4096);
      use(cache, kept, block, 4096);
    }
  }
  cache.forget(gone, 40);
  for (let round = 0; round < 2; round++) for (let block = 0; block < 50; block++) use(cache, other, block, 4096);
  expect(heldOf(cache, kept, 40)).toBeGreaterThan(heldOf(cache, gone, 40));
});

test("a cache of no bytes keeps nothing", () => {
  const cache = new BlockCache(0);
  expect(use(cache, cache.takeTable(), 1, 1)).toBe(false);
  expect(use(cache, 1, 1, 1)).toBe(false);
  expect(cache.stats.byteCount).toBe(0);
});

test("copies lie in frames that are used again: few are ever made, and no two blocks share one", () => {
  const random = new Random(4);
  const bytesMax = 100 * 4608;
  const cache = new BlockCache(bytesMax);
  const frames = new Set<ArrayBufferLike>();
  const body = (block: number, byteCount: number) => new Uint8Array(byteCount).fill(block * 7);
  for (let i = 0; i < 20_000; i++) {
    const block = random.below(400);
    const byteCount = 4097 + (block % 500);
    const kept = cache.get(1, block, true) ?? cache.copyIn(1, block, body(block, byteCount));
    if (kept === null) throw new Error("it is not too large");
    expect(kept).toEqual(body(block, byteCount));
    frames.add(kept.buffer);
    expect(cache.stats.byteCount).toBeLessThanOrEqual(bytesMax);
  }
  expect(frames.size).toBeLessThan(110);
  expect(cache.copyIn(2, 1, new Uint8Array(bytesMax / 4))).toBeNull();
});
