/** Whatever network, disks and crashes do, the promises of Raft hold after every single step, and peace brings progress. */
import { describe, expect, test } from "bun:test";
import type { RaftOptions } from "../../src/raft/ready.ts";
import { Chaos } from "./support/chaos.ts";

const STEPS = 12000;
/** Milliseconds: a shared machine may be slow, and nothing here is about time. */
const PATIENCE = 120_000;

function run(seed: number, size: number, options: Partial<RaftOptions>): Chaos {
  const chaos = new Chaos(seed, size, options);
  try {
    for (let i = 0; i < STEPS; i++) chaos.step(true);
    chaos.heal();
  } catch (failure) {
    throw new Error(`seed ${seed}, ${size} voters: ${failure instanceof Error ? failure.stack : failure}`);
  }
  return chaos;
}

function runSeeds(first: number, count: number, size: number, options: Partial<RaftOptions>): number {
  let committed = 0;
  for (let seed = first; seed < first + count; seed++) committed += run(seed, size, options).committed.length;
  return committed / count;
}

describe("a group under chaos keeps every promise and recovers", () => {
  test(
    "three voters",
    () => {
      expect(runSeeds(1000, 60, 3, {})).toBeGreaterThan(40);
    },
    PATIENCE,
  );

  test(
    "five voters",
    () => {
      expect(runSeeds(2000, 30, 5, {})).toBeGreaterThan(20);
    },
    PATIENCE,
  );

  test(
    "two voters",
    () => {
      expect(runSeeds(3000, 20, 2, {})).toBeGreaterThan(20);
    },
    PATIENCE,
  );

  test(
    "three voters without pre-vote",
    () => {
      expect(runSeeds(4000, 30, 3, { preVote: false })).toBeGreaterThan(20);
    },
    PATIENCE,
  );

  test(
    "a tail and windows so small that old entries come from disk, one or two at a time",
    () => {
      const small = { tailBytesMax: 4, appendBytesMax: 3, inflightBytesMax: 9, inflightCountMax: 3, preVote: false };
      expect(runSeeds(5000, 30, 3, small)).toBeGreaterThan(15);
      expect(runSeeds(6000, 30, 5, small)).toBeGreaterThan(5);
    },
    PATIENCE,
  );

  test(
    "a single voter that crashes",
    () => {
      expect(runSeeds(7000, 10, 1, {})).toBeGreaterThan(40);
    },
    PATIENCE,
  );
});
