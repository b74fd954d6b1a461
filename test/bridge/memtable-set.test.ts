/**
 * The turn-taking of arenas: a reader finds every version that has not been retired, and no arena is written again
 * before it has come back.
 */
import { expect, test } from "bun:test";
import { ArenaPool } from "../../src/bridge/arena-pool.ts";
import { MemtableSet } from "../../src/bridge/memtable-set.ts";
import { createShardMemory } from "../../src/bridge/shard-memory.ts";
import { SharedState } from "../../src/bridge/shared-state.ts";
import { utf8 } from "../../src/core/bytes.ts";
import { logIndex } from "../../src/core/ids.ts";
import { murmur3 } from "../../src/core/murmur3.ts";
import { Random } from "../../src/core/random.ts";
import { VersionKind } from "../../src/record/version.ts";

function shard(arenaCount = 3): { state: SharedState; pool: ArenaPool; main: MemtableSet } {
  const memory = createShardMemory(64 << 10, arenaCount);
  const state = new SharedState(memory.state);
  return { state, pool: new ArenaPool(state, memory.arenas), main: new MemtableSet(state, memory.arenas) };
}

function put(pool: ArenaPool, name: string, stamp: number): boolean {
  const key = utf8(name);
  const hash = murmur3(key, 0, key.length, 1);
  return pool.active.insert(1, key, 0, key.length, hash, 0, stamp, 1, VersionKind.value, 0, key, 0, key.length);
}

function stampOf(set: MemtableSet, name: string): number | null {
  const key = utf8(name);
  return set.find(1, key, 0, key.length, murmur3(key, 0, key.length, 1))?.stampLow ?? null;
}

test("a reader follows a rotation and finds the newest version over all arenas", () => {
  const { pool, main } = shard();
  put(pool, "a", 1);
  put(pool, "b", 2);
  expect(pool.rotate()).toBe(true);
  put(pool, "a", 3);
  expect([stampOf(main, "a"), stampOf(main, "b"), stampOf(main, "c")]).toEqual([3, 2, null]);
  expect(main.cursors()).toHaveLength(2);
});

test("a retired arena is no longer looked at, and is written again only when it has come back", () => {
  const { pool, main } = shard();
  put(pool, "a", 1);
  expect(pool.rotate()).toBe(true);
  expect(pool.rotate()).toBe(true);
  expect(pool.canRotate).toBe(false);
  expect(pool.rotate()).toBe(false);
  expect(stampOf(main, "a")).toBe(1);
  main.retire(1);
  expect(stampOf(main, "a")).toBeNull();
  expect(pool.rotate()).toBe(false);
  pool.returned(1);
  expect(pool.inUseCount).toBe(2);
  expect(pool.rotate()).toBe(true);
  expect(pool.activeArena).toBe(4);
  expect([pool.active.entryCount, stampOf(main, "a")]).toEqual([0, null]);
});

test("a flushed arena stays readable until its buffer is wanted, and then goes, oldest first", () => {
  const { pool, main } = shard();
  put(pool, "a", 1);
  pool.rotate();
  put(pool, "b", 2);
  expect(main.retireSpare()).toBe(0);
  main.noteFlushed(1);
  expect(main.retireSpare()).toBe(0);
  expect([stampOf(main, "a"), stampOf(main, "b")]).toEqual([1, 2]);
  pool.rotate();
  expect(pool.canRotate).toBe(false);
  expect(main.retireSpare()).toBe(1);
  expect(main.retireSpare()).toBe(0);
  pool.returned(1);
  expect([pool.canRotate, stampOf(main, "a"), stampOf(main, "b")]).toEqual([true, null, 2]);
});

test("an arena that is not flushed is kept, though the writer waits for its buffer", () => {
  const { pool, main } = shard();
  put(pool, "a", 1);
  pool.rotate();
  pool.rotate();
  expect([main.retireSpare(), stampOf(main, "a")]).toEqual([0, 1]);
  expect(() => main.noteFlushed(2)).toThrow("oldest first");
});

test("warming changes nothing, whatever the hashes", () => {
  const { pool, main } = shard();
  const random = new Random(7);
  for (let i = 0; i < 100; i++) put(pool, `key${i}`, i + 1);
  pool.rotate();
  put(pool, "key1", 101);
  main.warm(
    Uint32Array.from({ length: 500 }, () => random.u32()),
    500,
  );
  expect([stampOf(main, "key0"), stampOf(main, "key1"), stampOf(main, "other")]).toEqual([1, 101, null]);
});

test("arenas out of turn are refused", () => {
  const { pool, main } = shard(4);
  pool.rotate();
  pool.rotate();
  expect(() => main.retire(2)).toThrow("oldest first");
  expect(() => pool.returned(2)).toThrow("oldest first");
  main.retire(1);
  main.retire(2);
  expect(() => main.retire(3)).toThrow("being written");
});

for (let seed = 1; seed <= 20; seed++) {
  test(`over many rotations the newest version not yet retired is found (seed ${seed})`, () => {
    const random = new Random(seed);
    const { state, pool, main } = shard(random.between(3, 5));
    const newest = new Map<string, { stamp: number; arena: number }>();
    let applied = 0;
    for (let i = 0; i < 2000; i++) {
      if (random.chance(0.03)) pool.rotate();
      if (random.chance(0.04) && main.oldestArena < pool.activeArena) {
        const arena = main.oldestArena;
        state.noteTables();
        main.retire(arena);
        pool.returned(arena);
      }
      const name = `key${random.below(50)}`;
      if (random.chance(0.5) && put(pool, name, ++applied)) {
        newest.set(name, { stamp: applied, arena: pool.activeArena });
        state.publishApplied(logIndex(applied));
      }
      const known = newest.get(name);
      const inMemory = known !== undefined && known.arena >= main.oldestArena;
      expect(stampOf(main, name)).toBe(inMemory ? known.stamp : null);
      if (!inMemory && known !== undefined) expect(state.missIsFinal).toBe(false);
    }
  });
}

test("the applied index compares right where its low word wraps", () => {
  const { state } = shard();
  for (const base of [0, 0x7fff_fff0, 0xffff_fff0, 0x1_0000_0000, 2 ** 52]) {
    const applied = base + 16;
    state.publishApplied(logIndex(applied));
    for (const offset of [0, 1, 15, 16]) expect(state.readable(logIndex(base + offset))).toBe(true);
    for (const offset of [17, 18, 1000]) expect(state.readable(logIndex(base + offset))).toBe(false);
  }
});

test("the flags of a shard start closed and say what was published", () => {
  const { state } = shard();
  expect([state.writable, state.missIsFinal, state.fenceCount, state.newestArena]).toEqual([false, true, 0, 1]);
  state.setWritable(true);
  state.noteTables();
  state.countFence();
  expect([state.writable, state.missIsFinal, state.fenceCount]).toEqual([true, false, 1]);
  state.setWritable(false);
  expect(state.writable).toBe(false);
});

test("what is recalled comes back whole, the arena being written too, and another pool goes on behind it", () => {
  const memory = createShardMemory(64 << 10, 3);
  const state = new SharedState(memory.state);
  const pool = new ArenaPool(state, memory.arenas);
  const main = new MemtableSet(state, memory.arenas);
  put(pool, "a", 1);
  pool.rotate();
  main.noteFlushed(1);
  put(pool, "b", 2);
  expect(() => pool.returned(2)).toThrow();
  pool.recall();
  expect(pool.isReturned).toBe(false);
  const recalled = main.recall();
  expect(recalled).toEqual([1, 2]);
  expect([stampOf(main, "a"), stampOf(main, "b")]).toEqual([null, null]);
  for (const arena of recalled) pool.returned(arena);
  expect(pool.isReturned).toBe(true);
  const next = new ArenaPool(state, memory.arenas, pool.activeArena + 1);
  const own = new MemtableSet(state, memory.arenas, next.activeArena);
  expect([stampOf(main, "a"), stampOf(main, "b"), stampOf(own, "b")]).toEqual([null, null, null]);
  for (let stamp = 10; stamp < 20; stamp++) {
    put(next, "c", stamp);
    expect([stampOf(main, "c"), stampOf(own, "c")]).toEqual([stamp, stamp]);
    const frozen = next.activeArena;
    expect(next.rotate()).toBe(true);
    main.noteFlushed(frozen);
    main.retire(frozen);
    own.retire(frozen);
    next.returned(frozen);
  }
  expect([stampOf(main, "a"), stampOf(main, "b")]).toEqual([null, null]);
});
