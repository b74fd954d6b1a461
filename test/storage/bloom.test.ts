import { describe, expect, test } from "bun:test";
import { BloomFilter } from "bloom-filters";
import { optimalFilterSize, optimalHashes } from "bloom-filters/dist/formulas";
import { utf8 } from "../../src/core/bytes.ts";
import { murmur3 } from "../../src/core/murmur3.ts";
import { BLOOM_LINE_BYTES, bloomAdd, bloomHas, bloomLines, bloomProbes } from "../../src/storage/bloom.ts";

const BITS_PER_KEY = 10;

function hashOf(text: string): number {
  const bytes = utf8(text);
  return murmur3(bytes, 0, bytes.length, 1);
}

function filterOf(keyCount: number) {
  const lines = bloomLines(keyCount, BITS_PER_KEY);
  const probes = bloomProbes(BITS_PER_KEY);
  const bytes = new Uint8Array(5 + lines * BLOOM_LINE_BYTES);
  for (let i = 0; i < keyCount; i++) bloomAdd(bytes, 5, lines, probes, hashOf(`here-${i}`));
  return { bytes, has: (text: string) => bloomHas(bytes, 5, lines, probes, hashOf(text)) };
}

describe("the bloom filter", () => {
  test("never denies a key that was added, and stays inside its range", () => {
    for (const keyCount of [1, 7, 52, 1000]) {
      const filter = filterOf(keyCount);
      for (let i = 0; i < keyCount; i++) expect(filter.has(`here-${i}`)).toBe(true);
      expect([...filter.bytes.subarray(0, 5)]).toEqual([0, 0, 0, 0, 0]);
    }
  });

  test("has the size and the probes of the classic formulas", () => {
    for (const [keyCount, rate] of [
      [1000, 0.01],
      [50_000, 0.001],
      [200_000, 0.05],
    ] as const) {
      const bits = optimalFilterSize(keyCount, rate);
      const bitsPerKey = bits / keyCount;
      expect(Math.abs(bloomLines(keyCount, bitsPerKey) * 512 - bits)).toBeLessThanOrEqual(512);
      expect(Math.abs(bloomProbes(bitsPerKey) - optimalHashes(bits, keyCount))).toBeLessThanOrEqual(1);
    }
  });

  test("is wrong hardly more often than a classic filter of the same size", () => {
    const keyCount = 20_000;
    const filter = filterOf(keyCount);
    const bits = keyCount * BITS_PER_KEY;
    const classic = new BloomFilter(bits, optimalHashes(bits, keyCount));
    for (let i = 0; i < keyCount; i++) classic.add(`here-${i}`);
    const probeCount = 40_000;
    let ours = 0;
    let theirs = 0;
    for (let i = 0; i < probeCount; i++) {
      if (filter.has(`absent-${i}`)) ours++;
      if (i % 4 === 0 && classic.has(`absent-${i}`)) theirs += 4;
    }
    expect(theirs / probeCount).toBeLessThan(0.015);
    expect(ours / probeCount).toBeLessThan(0.015);
  });
});
