/** Majorities, against a plain sort, and against the published test data of etcd-io/raft where it is at hand. */
import { describe, expect, test } from "bun:test";
import { Random } from "../../src/core/random.ts";
import type { NodeId } from "../../src/core/ids.ts";
import { majorityReached, VoteTally, type VoteOutcome, voteOutcome } from "../../src/raft/quorum.ts";
import { etcdVectors } from "./support/vectors.ts";

test("a majority has reached the value at the middle of the sorted ones, rounded down", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = new Random(seed);
    const values = Array.from({ length: random.between(1, 9) }, () => random.below(5));
    const sorted = [...values].sort((a, b) => b - a);
    const reached = majorityReached(Float64Array.from(values));
    expect(`${seed}: ${reached}`).toBe(`${seed}: ${sorted[Math.floor(values.length / 2)]}`);
  }
});

test("the first answer of a voter is the one that counts", () => {
  const tally = new VoteTally();
  tally.reset([1, 2, 3] as NodeId[]);
  expect(tally.record(1 as NodeId, true)).toBe("pending");
  expect(tally.record(2 as NodeId, false)).toBe("pending");
  expect(tally.record(2 as NodeId, true)).toBe("pending");
  expect(tally.record(3 as NodeId, false)).toBe("lost");
  tally.reset([1, 2, 3] as NodeId[]);
  expect(tally.record(3 as NodeId, true)).toBe("pending");
});

const FILES = ["majority_commit", "joint_commit", "majority_vote", "joint_vote"];
const TEXTS = etcdVectors(FILES.map((name) => `quorum/testdata/${name}.txt`));

interface Vector {
  readonly command: "committed" | "vote";
  readonly voters: readonly number[];
  readonly others: readonly number[];
  readonly values: readonly string[];
  readonly expected: string;
}

/** Reads one file of the data-driven format: `committed cfg=(1,2) [cfgj=(…)] idx=(…)`, `----`, …, the result. */
function vectors(text: string): Vector[] {
  const found: Vector[] = [];
  for (const block of text.split(/^(?=committed|vote)/m)) {
    const [head = "", result = ""] = block.split("\n----\n");
    const command = /^(committed|vote)/.exec(head)?.[1];
    if (command !== "committed" && command !== "vote") continue;
    const list = (name: string): string[] => {
      const inside = new RegExp(`\\b${name}=\\(([^)]*)\\)`).exec(head)?.[1] ?? "";
      return inside
        .split(",")
        .map((word) => word.trim())
        .filter((word) => word !== "");
    };
    const output = result
      .split(/\n\n|\n#/)[0]!
      .trim()
      .split("\n");
    found.push({
      command,
      voters: list("cfg").map(Number),
      others: list("cfgj").map(Number),
      values: list(command === "vote" ? "votes" : "idx"),
      expected: output.at(-1)!.replace(/^<.*>/, "").trim(),
    });
  }
  return found;
}

/** The values are given in the order of all distinct voters, ascending by their first mention. */
function evaluate({ command, voters, others, values }: Vector): string {
  const ids = [...new Set([...voters, ...others])];
  const answers = new Map(ids.map((id, i) => [id, values[i] ?? "_"]));
  const halves = [voters, others].map((half) => half.map((id) => answers.get(id)!));
  if (command === "committed") {
    const reached = halves.map((half) =>
      majorityReached(Float64Array.from(half, (word) => (word === "_" ? 0 : Number(word)))),
    );
    const least = Math.min(...reached);
    return least === Infinity ? "∞" : String(least);
  }
  const outcomes = halves.map((half): VoteOutcome => {
    const count = (answer: string): number => half.filter((word) => word === answer).length;
    return voteOutcome(half.length, count("y"), count("n"));
  });
  if (outcomes.includes("lost")) return "VoteLost";
  return outcomes.includes("pending") ? "VotePending" : "VoteWon";
}

describe.skipIf(TEXTS === null)("the quorum vectors of etcd-io/raft", () => {
  test("agree with the arithmetic here, both halves of a joint configuration taken together", () => {
    let checked = 0;
    for (const [name, text] of TEXTS ?? []) {
      for (const vector of vectors(text)) {
        expect(`${name} ${JSON.stringify(vector)}: ${evaluate(vector)}`).toBe(
          `${name} ${JSON.stringify(vector)}: ${vector.expected}`,
        );
        checked += 1;
      }
    }
    expect(checked).toBeGreaterThan(100);
  });
});
