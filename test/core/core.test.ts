/** The smallest promises: hashing, stamps, chance. */
import { expect, test } from "bun:test";
import { utf8 } from "../../src/core/bytes.ts";
import { murmur3 } from "../../src/core/murmur3.ts";
import { Random } from "../../src/core/random.ts";
import { compareStamps, HybridClock, stampMilliseconds } from "../../src/core/stamp.ts";

test("murmur3-32 gives the published values", () => {
  const vectors: [string, number, number][] = [
    ["", 0, 0],
    ["", 1, 0x514e28b7],
    ["", 0xffffffff, 0x81f16f39],
    ["test", 0, 0xba6bd213],
    ["test", 0x9747b28c, 0x704b81dc],
    ["Hello, world!", 0, 0xc0363e43],
    ["Hello, world!", 0x9747b28c, 0x24884cba],
    ["The quick brown fox jumps over the lazy dog", 0, 0x2e4ff723],
    ["The quick brown fox jumps over the lazy dog", 0x9747b28c, 0x2fa826cd],
  ];
  for (const [text, seed, expected] of vectors) {
    const bytes = utf8(text);
    expect(murmur3(bytes, 0, bytes.length, seed)).toBe(expected);
  }
});

test("stamps rise strictly although the wall clock stands still, jumps back or fills its counter", () => {
  const clock = new HybridClock();
  const random = new Random(7);
  let high = 0;
  let low = 0;
  for (let i = 0; i < 200_000; i++) {
    clock.next(1_700_000_000_000 + (i < 150_000 ? 0 : random.between(-5_000, 5_000)));
    expect(compareStamps(clock.high, clock.low, high, low)).toBeGreaterThan(0);
    high = clock.high;
    low = clock.low;
  }
  expect(Math.abs(stampMilliseconds(high, low) - 1_700_000_000_000)).toBeLessThan(10_000);
});

test("a stamp that was observed is never given again", () => {
  const clock = new HybridClock();
  clock.observe(0xffff, 0xfffffffe);
  clock.next(1);
  expect([clock.high, clock.low]).toEqual([0xffff, 0xffffffff]);
  clock.next(1);
  expect([clock.high, clock.low]).toEqual([0x10000, 0]);
});

test("one seed gives one sequence, another seed another, and both are even", () => {
  const draws = (seed: number): number[] => {
    const random = new Random(seed);
    return Array.from({ length: 10_000 }, () => random.below(10));
  };
  expect(draws(1)).toEqual(draws(1));
  expect(draws(1)).not.toEqual(draws(2));
  for (let digit = 0; digit < 10; digit++) {
    const share = draws(3).filter((draw) => draw === digit).length;
    expect(share).toBeGreaterThan(900);
    expect(share).toBeLessThan(1100);
  }
});
