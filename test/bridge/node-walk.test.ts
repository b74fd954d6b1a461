/** Nodes whose places were looked for together give the very arena that nodes linked one by one give. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { MemtableWriter } from "../../src/bridge/memtable.ts";
import { MemtableReader } from "../../src/bridge/memtable-reader.ts";
import { WALKING_NODES_MAX } from "../../src/bridge/node-walk.ts";
import { compareBytes, utf8 } from "../../src/core/bytes.ts";
import { murmur3 } from "../../src/core/murmur3.ts";
import { Random } from "../../src/core/random.ts";
import { VersionKind } from "../../src/record/version.ts";

const ARENA_BYTES = 512 * 1024;

interface Put {
  readonly bucket: number;
  readonly key: Uint8Array;
}

function insert(writer: MemtableWriter, { bucket, key }: Put, stamp: number): void {
  const hash = murmur3(key, 0, key.length, bucket);
  const end = key.length;
  const isIn = writer.insert(bucket, key, 0, end, hash, 1, stamp, 1, VersionKind.value, 0, key, 0, end);
  expect(isIn).toBe(true);
}

/** `linkEvery`: so many inserts between two calls of `link`, besides those that the writer makes itself. */
function arenaOf(puts: readonly Put[], linkEvery: number): SharedArrayBuffer {
  const arena = new SharedArrayBuffer(ARENA_BYTES);
  const writer = new MemtableWriter(arena, "keep");
  for (const [i, put] of puts.entries()) {
    insert(writer, put, i + 1);
    if ((i + 1) % linkEvery === 0) writer.link();
  }
  writer.link();
  return arena;
}

function sameBytes(a: SharedArrayBuffer, b: SharedArrayBuffer): boolean {
  return Buffer.compare(new Uint8Array(a), new Uint8Array(b)) === 0;
}

// Short keys over few letters often share prefixes, are prefixes of each other, or come again.
const put = fc.record({
  bucket: fc.constantFrom(1, 2, 0x8000_0001),
  key: fc.string({ minLength: 1, maxLength: 12, unit: fc.constantFrom("a", "b", "\u0000", "\u00ff") }).map(utf8),
});

test("arenas are the same byte for byte, whatever the keys and however many are linked at once", () => {
  fc.assert(
    fc.property(fc.array(put, { maxLength: 600 }), fc.integer({ min: 2, max: 400 }), (puts, linkEvery) => {
      expect(sameBytes(arenaOf(puts, linkEvery), arenaOf(puts, 1))).toBe(true);
    }),
    { numRuns: 200 },
  );
});

test("so they are where a level has many nodes for each that is linked, and where keys come in order", () => {
  const random = new Random(7);
  const scattered = Array.from({ length: 4000 }, () => ({ bucket: 1, key: utf8(`key ${random.below(1e9)}`) }));
  const ascending = Array.from({ length: 2000 }, (_, i) => ({ bucket: 1, key: utf8(`key ${1e6 + i}`) }));
  const mixed = [...ascending.slice(0, 700), ...scattered.slice(0, 700), ...ascending.slice(700)];
  for (const puts of [scattered, ascending, mixed]) {
    const oneByOne = arenaOf(puts, 1);
    for (const linkEvery of [3, 100, puts.length]) expect(sameBytes(arenaOf(puts, linkEvery), oneByOne)).toBe(true);
  }
});

test("a key is found before its node is linked, and a walk that begins behind `link` visits it", () => {
  const arena = new SharedArrayBuffer(ARENA_BYTES);
  const writer = new MemtableWriter(arena, "keep");
  const reader = new MemtableReader(arena);
  const keys = Array.from({ length: WALKING_NODES_MAX - 1 }, (_, i) => utf8(`k${(i * 37) % 255}`));
  for (const [i, key] of keys.entries()) {
    insert(writer, { bucket: 1, key }, i + 1);
    expect(reader.find(1, key, 0, key.length, murmur3(key, 0, key.length, 1))).toBe(true);
  }
  writer.link();
  const walked: Uint8Array[] = [];
  const cursor = reader.cursor();
  for (cursor.seek(1, new Uint8Array(0)); cursor.valid; cursor.next()) walked.push(cursor.key.slice());
  expect(walked).toEqual(keys.toSorted(compareBytes));
});

test("nodes that wait are forgotten by a reset", () => {
  const writer = new MemtableWriter(new SharedArrayBuffer(ARENA_BYTES), "keep");
  for (let i = 0; i < 40; i++) insert(writer, { bucket: 1, key: utf8(`old ${i}`) }, i + 1);
  writer.reset();
  const arena = new SharedArrayBuffer(ARENA_BYTES);
  const fresh = new MemtableWriter(arena, "keep");
  for (const one of [writer, fresh]) {
    for (let i = 0; i < 300; i++) insert(one, { bucket: 1, key: utf8(`new ${(i * 7) % 300}`) }, i + 1);
    one.link();
  }
  expect(writer.bytesUsed).toBe(fresh.bytesUsed);
  expect(writer.keyCount).toBe(300);
});
