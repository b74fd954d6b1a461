/**
 * A memtable holds what a sorted Map would hold: every version, in internal-key order, the newest found first.
 */
import { describe, expect, test } from "bun:test";
import { MemtableReader } from "../../src/bridge/memtable-reader.ts";
import { MemtableWriter } from "../../src/bridge/memtable.ts";
import { utf8 } from "../../src/core/bytes.ts";
import { murmur3 } from "../../src/core/murmur3.ts";
import { Random } from "../../src/core/random.ts";
import { compareUserKeys, type VersionCursor, VersionKind } from "../../src/record/version.ts";

interface Version {
  readonly bucket: number;
  readonly key: Uint8Array;
  readonly stampHigh: number;
  readonly stampLow: number;
  readonly origin: number;
  readonly kind: VersionKind;
  readonly expiryMs: number;
  readonly value: Uint8Array;
}

function insert(writer: MemtableWriter, version: Version): boolean {
  const { bucket, key, value } = version;
  // Keys and values arrive inside larger arrays.
  const source = new Uint8Array([7, ...key, 8, ...value, 9]);
  const keyEnd = 1 + key.length;
  return writer.insert(
    bucket,
    source,
    1,
    keyEnd,
    murmur3(key, 0, key.length, bucket),
    version.stampHigh,
    version.stampLow,
    version.origin,
    version.kind,
    version.expiryMs,
    source,
    keyEnd + 1,
    keyEnd + 1 + value.length,
  );
}

function find(reader: MemtableReader, bucket: number, key: Uint8Array): Version | null {
  if (!reader.find(bucket, key, 0, key.length, murmur3(key, 0, key.length, bucket))) return null;
  const { stampHigh, stampLow, origin, kind, expiryMs } = reader;
  const value = reader.valueBytes.slice(reader.valueStart, reader.valueEnd);
  return { bucket, key, stampHigh, stampLow, origin, kind, expiryMs, value: Uint8Array.from(value) };
}

function collect(cursor: VersionCursor): Version[] {
  const versions: Version[] = [];
  for (; cursor.valid; cursor.next()) {
    const { bucket, stampHigh, stampLow, origin, kind, expiryMs } = cursor;
    const key = Uint8Array.from(cursor.key);
    versions.push({ bucket, key, stampHigh, stampLow, origin, kind, expiryMs, value: Uint8Array.from(cursor.value) });
  }
  return versions;
}

/** The order of version.ts, spelled out again. */
function inOrder(a: Version, b: Version): number {
  return (
    compareUserKeys(a.bucket, a.key, b.bucket, b.key) ||
    b.stampHigh - a.stampHigh ||
    b.stampLow - a.stampLow ||
    b.origin - a.origin
  );
}

function version(key: string, stampLow: number, value = "", more: Partial<Version> = {}): Version {
  const fields = { bucket: 1, stampHigh: 5, origin: 1, kind: VersionKind.value, expiryMs: 0 };
  return { ...fields, key: utf8(key), stampLow, value: utf8(value), ...more };
}

function fresh(arenaBytes = 1 << 20): { writer: MemtableWriter; reader: MemtableReader } {
  const arena = new SharedArrayBuffer(arenaBytes);
  return { writer: new MemtableWriter(arena, "keep"), reader: new MemtableReader(arena) };
}

/** Keys that share prefixes, are prefixes of each other, hold zeros and high bytes, and are empty. */
function randomKey(random: Random): Uint8Array {
  const prefix = random.chance(0.5) ? utf8("shared-prefix-") : new Uint8Array(0);
  const tail = Uint8Array.from({ length: random.below(4) }, () => [0, 1, 97, 128, 255][random.below(5)]!);
  return Uint8Array.from([...prefix, ...tail]);
}

function randomVersion(random: Random): Version {
  const isValue = random.chance(0.8);
  return {
    bucket: [0, 1, 2, 0x8000_0000, 0xffff_ffff][random.below(5)]!,
    key: randomKey(random),
    stampHigh: [0, 1, 0x7fff_ffff, 0xffff_ffff][random.below(4)]!,
    stampLow: random.chance(0.5) ? random.below(4) : random.u32(),
    origin: [0, 1, 2, 0xffff][random.below(4)]!,
    kind: isValue ? VersionKind.value : VersionKind.tombstone,
    expiryMs: [0, 1, 1_700_000_000_000, Number.MAX_SAFE_INTEGER][random.below(4)]!,
    value: Uint8Array.from({ length: isValue ? random.below(40) : 0 }, () => random.below(256)),
  };
}

describe("against a model", () => {
  for (let seed = 1; seed <= 40; seed++) {
    test(`random versions come back in order and newest first (seed ${seed})`, () => {
      const random = new Random(seed);
      const { writer, reader } = fresh();
      const model = new Map<string, Version>();
      for (let i = 0; i < 600; i++) {
        const inserted = randomVersion(random);
        const { bucket, key, stampHigh, stampLow, origin } = inserted;
        const identity = `${bucket}/${key.join()}/${stampHigh}/${stampLow}/${origin}`;
        expect(insert(writer, inserted)).toBe(true);
        // The same write again is the same write, whatever else it carries.
        if (!model.has(identity)) model.set(identity, inserted);
        if (random.chance(0.05)) expect(insert(writer, inserted)).toBe(true);
      }
      const sorted = [...model.values()].sort(inOrder);
      writer.link();
      const cursor = reader.cursor();
      cursor.seek(0, new Uint8Array(0));
      expect(collect(cursor)).toEqual(sorted);
      expect(writer.entryCount).toBe(sorted.length);

      for (let i = 0; i < 200; i++) {
        const { bucket, key } = randomVersion(random);
        const from = sorted.findIndex((known) => compareUserKeys(known.bucket, known.key, bucket, key) >= 0);
        cursor.seek(bucket, key);
        expect(collect(cursor)).toEqual(from < 0 ? [] : sorted.slice(from));
        const newest = sorted.find((known) => compareUserKeys(known.bucket, known.key, bucket, key) === 0);
        expect(find(reader, bucket, key)).toEqual(newest ?? null);
      }
      const keys = new Set(sorted.map((known) => `${known.bucket}/${known.key.join()}`));
      expect(writer.keyCount).toBe(keys.size);
    });
  }
});

test("keys that come in ascending and descending order are all in order", () => {
  const { writer, reader } = fresh();
  const names = Array.from({ length: 1000 }, (_, i) => `key:${i.toString().padStart(8, "0")}`);
  for (let i = 500; i < 1000; i++) expect(insert(writer, version(names[i]!, i + 1))).toBe(true);
  for (let i = 499; i >= 0; i--) expect(insert(writer, version(names[i]!, i + 1))).toBe(true);
  writer.link();
  const cursor = reader.cursor();
  cursor.seek(1, new Uint8Array(0));
  expect(collect(cursor).map((found) => Buffer.from(found.key).toString())).toEqual(names);
});

test("an older stamp takes its place behind the newest, and the newest stays what is found", () => {
  const { writer, reader } = fresh();
  for (const stamp of [50, 10, 90, 70, 20]) insert(writer, version("k", stamp, `v${stamp}`));
  expect(find(reader, 1, utf8("k"))?.stampLow).toBe(90);
  writer.link();
  const cursor = reader.cursor();
  cursor.seek(1, utf8("k"));
  expect(collect(cursor).map((found) => found.stampLow)).toEqual([90, 70, 50, 20, 10]);
});

test("an empty memtable finds nothing and its cursor is not valid", () => {
  const { reader } = fresh();
  expect(find(reader, 1, utf8("k"))).toBeNull();
  const cursor = reader.cursor();
  expect(cursor.valid).toBe(false);
  cursor.seek(0, new Uint8Array(0));
  expect(cursor.valid).toBe(false);
});

test("keys with one hash are told apart", () => {
  const { writer, reader } = fresh();
  const value = utf8("v");
  for (let i = 0; i < 100; i++) {
    const key = utf8(`key${i}`);
    writer.insert(1, key, 0, key.length, 0xdead_beef, 0, i + 1, 1, VersionKind.value, 0, value, 0, 1);
  }
  for (let i = 0; i < 100; i++) {
    const key = utf8(`key${i}`);
    expect(reader.find(1, key, 0, key.length, 0xdead_beef)).toBe(true);
    expect(reader.stampLow).toBe(i + 1);
  }
  expect(reader.find(1, utf8("key100"), 0, 6, 0xdead_beef)).toBe(false);
  expect(reader.find(2, utf8("key1"), 0, 4, 0xdead_beef)).toBe(false);
});

const longKey = (i: number): string => `user:profile:${i.toString().padStart(6, "0")}`;

describe("a full arena", () => {
  for (const valueBytes of [0, 1, 100, 5000]) {
    test(`refuses and keeps everything it has, values of ${valueBytes} bytes`, () => {
      const { writer, reader } = fresh(64 << 10);
      const value = "x".repeat(valueBytes);
      let count = 0;
      while (insert(writer, version(longKey(count), count + 1, value))) count += 1;
      expect(count).toBeGreaterThan(5);
      expect(writer.bytesUsed).toBeLessThanOrEqual(writer.bytesMax);
      expect(writer.bytesUsed + 2 * valueBytes + 200).toBeGreaterThan(writer.bytesMax);
      expect(insert(writer, version(longKey(0), 1_000_000, `${value}${"y".repeat(200)}`))).toBe(false);
      expect(writer.entryCount).toBe(count);
      writer.link();
      const cursor = reader.cursor();
      cursor.seek(0, new Uint8Array(0));
      expect(collect(cursor)).toHaveLength(count);
      for (let i = 0; i < count; i++) expect(find(reader, 1, utf8(longKey(i)))?.stampLow).toBe(i + 1);
      expect(find(reader, 1, utf8(longKey(count)))).toBeNull();
    });
  }

  test("refuses new keys when they are too small for their directory, and still takes versions", () => {
    const { writer, reader } = fresh(64 << 10);
    let count = 0;
    while (insert(writer, version(`${count}`, count + 1))) count += 1;
    expect(writer.bytesUsed).toBeGreaterThan(writer.bytesMax * 0.8);
    expect(find(reader, 1, utf8(`${count}`))).toBeNull();
    for (let i = 0; i < count; i++) expect(find(reader, 1, utf8(`${i}`))?.stampLow).toBe(i + 1);
    if (writer.bytesUsed + 100 < writer.bytesMax) expect(insert(writer, version("0", count + 5))).toBe(true);
  });

  test("takes a replayed write as known", () => {
    const { writer } = fresh(64 << 10);
    const value = "x".repeat(900);
    let count = 0;
    while (insert(writer, version(`key${count}`, count + 1, value))) count += 1;
    expect(insert(writer, version("key0", 1, value))).toBe(true);
    expect(writer.entryCount).toBe(count);
  });

  test("is empty after a reset, and fills again exactly as before", () => {
    const { writer, reader } = fresh(64 << 10);
    const fill = (): number => {
      let count = 0;
      while (insert(writer, version(`key${count}`, count + 1, "value"))) count += 1;
      return count;
    };
    const count = fill();
    const bytesUsed = writer.bytesUsed;
    writer.reset();
    expect([writer.entryCount, writer.keyCount, writer.bytesUsed]).toEqual([0, 0, 0]);
    expect(find(reader, 1, utf8("key0"))).toBeNull();
    writer.link();
    const cursor = reader.cursor();
    cursor.seek(0, new Uint8Array(0));
    expect(cursor.valid).toBe(false);
    expect(fill()).toBe(count);
    expect(writer.bytesUsed).toBe(bytesUsed);
  });
});

test("a value that fills the arena to its last word is found", () => {
  const { writer, reader } = fresh(8192);
  const key = utf8("k");
  let size = writer.bytesMax;
  const value = new Uint8Array(size).fill(3);
  while (!writer.insert(1, key, 0, 1, 9, 0, 1, 1, VersionKind.value, 0, value, 0, size)) size -= 1;
  expect(writer.bytesMax - writer.bytesUsed).toBeLessThan(4);
  expect(reader.find(1, key, 0, 1, 9)).toBe(true);
  expect(reader.valueBytes.slice(reader.valueStart, reader.valueEnd).every((byte) => byte === 3)).toBe(true);
});

test("the space of an overwritten version is used again, but not before a turn of the reader has gone by", () => {
  const arena = new SharedArrayBuffer(64 << 10);
  const writer = new MemtableWriter(arena, "reuse");
  const reader = new MemtableReader(arena);
  const key = utf8("counter");
  const put = (stamp: number): boolean => {
    const value = new Uint8Array(100).fill(stamp);
    return writer.insert(1, key, 0, key.length, 7, 0, stamp, 1, VersionKind.value, 0, value, 0, value.length);
  };
  expect(put(1)).toBe(true);
  expect(reader.find(1, key, 0, key.length, 7)).toBe(true);
  const { valueStart, valueEnd } = reader;
  const held = (): boolean => reader.valueBytes.subarray(valueStart, valueEnd).every((byte) => byte === 1);
  for (let stamp = 2; stamp < 50; stamp++) {
    expect(put(stamp)).toBe(true);
    // However often the writer looks: the reader is still in the same turn.
    writer.observe(0);
  }
  expect(held()).toBe(true);
  // The turn in which the reader looked ends, but the writer may have seen that before it retired the block.
  writer.observe(1);
  expect(put(50)).toBe(true);
  expect(held()).toBe(true);
  for (let turn = 2; turn < 2000; turn++) {
    writer.observe(turn);
    expect(put(100 + turn)).toBe(true);
  }
  expect(reader.find(1, key, 0, key.length, 7)).toBe(true);
  expect(reader.valueEnd - reader.valueStart).toBe(100);
  expect(writer.bytesUsed).toBeLessThan(20_000);
});

test("an older version behind the newest does not make the newest seem larger than it is when it is overwritten", () => {
  const arena = new SharedArrayBuffer(64 * 1024);
  const writer = new MemtableWriter(arena, "reuse");
  const reader = new MemtableReader(arena);
  const version = (key: string, stampLow: number, byteCount: number): Version => ({
    bucket: 1,
    key: utf8(key),
    stampHigh: 1,
    stampLow,
    origin: 1,
    kind: VersionKind.value,
    expiryMs: 0,
    value: new Uint8Array(byteCount).fill(stampLow),
  });
  insert(writer, version("a", 5, 4));
  const neighbour = version("b", 6, 4);
  insert(writer, neighbour);
  insert(writer, version("a", 3, 400));
  insert(writer, version("a", 7, 4));
  for (let turn = 1; turn <= 3; turn++) writer.observe(turn);
  insert(writer, version("c", 8, 400));
  insert(writer, version("d", 9, 400));
  expect(find(reader, 1, utf8("b"))).toEqual(neighbour);
});
