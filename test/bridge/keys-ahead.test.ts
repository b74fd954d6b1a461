/** Inserts whose places were looked for ahead give the very arena that the same inserts give without. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { KEYS_AHEAD_MAX, KeysAhead } from "../../src/bridge/keys-ahead.ts";
import { MemtableWriter } from "../../src/bridge/memtable.ts";
import { utf8 } from "../../src/core/bytes.ts";
import { murmur3 } from "../../src/core/murmur3.ts";
import { VersionKind } from "../../src/record/version.ts";

const ARENA_BYTES = 256 * 1024;

interface Put {
  readonly bucket: number;
  readonly key: Uint8Array;
}

function arenaOf(batches: readonly (readonly Put[])[], isAhead: boolean): Uint8Array {
  const arena = new SharedArrayBuffer(ARENA_BYTES);
  const writer = new MemtableWriter(arena, "keep");
  const ahead = new KeysAhead();
  let stamp = 0;
  for (const batch of batches) {
    ahead.clear();
    for (const { bucket, key } of batch) {
      ahead.add(murmur3(key, 0, key.length, bucket), bucket, key, 0, key.length);
    }
    if (isAhead) writer.warm(ahead);
    for (const { bucket, key } of batch) {
      const hash = murmur3(key, 0, key.length, bucket);
      stamp += 1;
      const isIn = writer.insert(
        bucket,
        key,
        0,
        key.length,
        hash,
        1,
        stamp,
        1,
        VersionKind.value,
        0,
        key,
        0,
        key.length,
      );
      expect(isIn).toBe(true);
    }
  }
  return new Uint8Array(arena);
}

// Short keys over few letters often share prefixes, are prefixes of each other, or come again.
const put = fc.record({
  bucket: fc.constantFrom(1, 2, 0x8000_0001),
  key: fc.string({ minLength: 1, maxLength: 12, unit: fc.constantFrom("a", "b", "\u0000", "\u00ff") }).map(utf8),
});

test("arenas are the same byte for byte, whatever the keys and however they are batched", () => {
  fc.assert(
    fc.property(fc.array(fc.array(put, { maxLength: KEYS_AHEAD_MAX }), { maxLength: 12 }), (batches) => {
      expect(Buffer.compare(arenaOf(batches, true), arenaOf(batches, false))).toBe(0);
    }),
    { numRuns: 300 },
  );
});

test("what was found in an arena is not used after its reset", () => {
  const writer = new MemtableWriter(new SharedArrayBuffer(ARENA_BYTES), "keep");
  const keys = Array.from({ length: 40 }, (_, i) => utf8(`key ${(i * 17) % 40}`));
  const insert = (key: Uint8Array, stamp: number): boolean =>
    writer.insert(1, key, 0, key.length, murmur3(key, 0, key.length, 1), 1, stamp, 1, VersionKind.value, 0, key, 0, 1);
  for (const [i, key] of keys.entries()) insert(key, i + 1);
  const ahead = new KeysAhead();
  const others = keys.map((key) => utf8(`${new TextDecoder().decode(key)}x`));
  for (const key of others) ahead.add(murmur3(key, 0, key.length, 1), 1, key, 0, key.length);
  writer.warm(ahead);
  writer.reset();
  const fresh = new MemtableWriter(new SharedArrayBuffer(ARENA_BYTES), "keep");
  for (const [i, key] of others.entries()) {
    const hash = murmur3(key, 0, key.length, 1);
    expect(insert(key, i + 1)).toBe(true);
    fresh.insert(1, key, 0, key.length, hash, 1, i + 1, 1, VersionKind.value, 0, key, 0, 1);
  }
  expect(writer.bytesUsed).toBe(fresh.bytesUsed);
  expect(writer.keyCount).toBe(others.length);
});
