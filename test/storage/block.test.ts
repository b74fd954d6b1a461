import { describe, expect, test } from "bun:test";
import { Random } from "../../src/core/random.ts";
import { compareStamps, MAX_STAMP, type Stamp } from "../../src/core/stamp.ts";
import { compareUserKeys } from "../../src/record/version.ts";
import { BlockCursor, findInBlock } from "../../src/storage/block-cursor.ts";
import {
  BlockBuilder,
  BlockPlace,
  blockChecksum,
  EntryReader,
  readU32,
  writeTableKey,
} from "../../src/storage/block-format.ts";
import { newestOfEach, randomKey, randomVersions } from "./support/random-versions.ts";
import { flipped, type PlainVersion } from "./support/versions.ts";

function tableKey(bucket: number, key: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(key.length + 4);
  writeTableKey(bytes, bucket, key);
  return bytes;
}

/** The block in the middle of other bytes, as in a file. */
function blockOf(builder: BlockBuilder, versions: readonly PlainVersion[], seed: number) {
  for (const version of versions) {
    const key = tableKey(version.bucket, version.key);
    const { kind, stampHigh, stampLow, origin, expiryMs, value } = version;
    builder.add(key, key.length, kind, stampHigh, stampLow, origin, expiryMs, value);
  }
  const size = builder.byteCount;
  const block = builder.finish(seed);
  expect(block.length).toBe(size);
  const bytes = new Uint8Array(block.length + 100).fill(0xab);
  bytes.set(block, 33);
  return { bytes, start: 33, end: 33 + block.length };
}

function atCursor(cursor: BlockCursor): PlainVersion {
  const { stampHigh, stampLow, origin, kind, expiryMs } = cursor.entry;
  const { bucket } = cursor;
  return { bucket, key: cursor.key.slice(), stampHigh, stampLow, origin, kind, expiryMs, value: cursor.value.slice() };
}

function isSameKey(a: PlainVersion, b: PlainVersion): boolean {
  return compareUserKeys(a.bucket, a.key, b.bucket, b.key) === 0;
}

function isAtOrBefore(version: PlainVersion, stamp: Stamp): boolean {
  return compareStamps(version.stampHigh, version.stampLow, stamp.high, stamp.low) <= 0;
}

function checkFind(seed: number): void {
  const random = new Random(seed);
  const versions = randomVersions(random, random.between(1, 80));
  const builder = new BlockBuilder();
  blockOf(builder, versions.slice(0, 1), 5);
  const { bytes, start, end } = blockOf(builder, versions, 9);
  const said = `seed ${seed}`;
  const entry = new EntryReader();
  const place = new BlockPlace();
  place.set(bytes, start, end - 4);
  for (const newest of newestOfEach(versions)) {
    const target = tableKey(newest.bucket, newest.key);
    expect(findInBlock(entry, bytes, start, place.end, target, target.length, MAX_STAMP), said).toBe(true);
    const { kind, stampHigh, stampLow, origin, expiryMs } = entry;
    const value = bytes.slice(entry.suffixEnd, entry.valueEnd);
    const seen: PlainVersion = { ...newest, kind, stampHigh, stampLow, origin, expiryMs, value };
    expect(seen, said).toEqual(newest);
    const asOf = { high: random.below(4), low: random.below(versions.length * 2) };
    const isThen = findInBlock(entry, bytes, start, place.end, target, target.length, asOf);
    const then = versions.find((version) => isSameKey(version, newest) && isAtOrBefore(version, asOf));
    expect(isThen ? entry.stampLow : null, said).toBe(then?.stampLow ?? null);
  }
  const cursor = new BlockCursor();
  for (let i = 0; i < 60; i++) {
    const from = versions[random.below(versions.length)];
    const bucket = random.chance(0.5) ? (from?.bucket ?? 0) : random.below(3);
    const near = from === undefined ? randomKey(random) : from.key.slice(0, random.below(from.key.length + 1));
    const key = random.chance(0.5) ? near : randomKey(random);
    const target = tableKey(bucket, key);
    const behind = versions.filter((version) => compareUserKeys(version.bucket, version.key, bucket, key) >= 0);
    const isThere = versions.some((version) => compareUserKeys(version.bucket, version.key, bucket, key) === 0);
    expect(findInBlock(entry, bytes, start, place.end, target, target.length, MAX_STAMP), said).toBe(isThere);
    const seen: PlainVersion[] = [];
    for (cursor.seek(place, target, target.length); cursor.valid; cursor.next()) seen.push(atCursor(cursor));
    expect(seen, said).toEqual(behind);
  }
}

describe("a block", () => {
  test("finds the newest version of every key in it, now and as of any stamp, no other key, and walks from anywhere", () => {
    const first = Math.floor(Math.random() * 1e9);
    for (let seed = first; seed < first + 60; seed++) checkFind(seed);
  });

  test("changes its checksum with any bit and with the seed", () => {
    const { bytes, start, end } = blockOf(new BlockBuilder(), randomVersions(new Random(1), 20), 77);
    const stored = readU32(bytes, end - 4);
    expect(blockChecksum(bytes, start, end, 77)).toBe(stored);
    expect(blockChecksum(bytes, start, end, 78)).not.toBe(stored);
    for (let offset = start; offset < end - 4; offset++) {
      expect(blockChecksum(flipped(bytes, offset), start, end, 77)).not.toBe(stored);
    }
  });

  test("stores what keys share only once", () => {
    const versions = Array.from({ length: 16 }, (_, i) => ({
      bucket: 1,
      key: new TextEncoder().encode(`a-rather-long-common-beginning-of-every-key-${String(i).padStart(2, "0")}`),
      stampHigh: 26_000_000,
      stampLow: i,
      origin: 1,
      kind: 1 as const,
      expiryMs: 0,
      value: new Uint8Array(0),
    }));
    const { start, end } = blockOf(new BlockBuilder(), versions, 0);
    expect(end - start).toBeLessThan(16 * 10 + 70);
  });
});
