/** Which change may follow which configuration; and the published scenarios of etcd-io/raft, where they are at hand. */
import { describe, expect, test } from "bun:test";
import type { LogIndex, NodeId } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import { type Configuration, Configurations, isSingleChange } from "../../src/raft/configuration.ts";
import { majorityOf } from "../../src/raft/quorum.ts";
import { etcdVectors } from "./support/vectors.ts";

function group(voters: readonly number[], learners: readonly number[] = []): Configuration {
  return { voters: voters as NodeId[], learners: learners as NodeId[] };
}

describe("a single change", () => {
  test("leaves no two majorities, one before and one after, without a common voter", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = new Random(seed);
      const pick = (): number[] => [1, 2, 3, 4, 5].filter(() => random.chance(0.5));
      const [from, to] = [pick(), pick()];
      if (from.length === 0 || !isSingleChange(group(from), group(to))) continue;
      // The worst case: each majority takes first whom the other has not got.
      const common = from.filter((voter) => to.includes(voter)).length;
      const sharedOfFrom = majorityOf(from.length) - (from.length - common);
      const sharedOfTo = majorityOf(to.length) - (to.length - common);
      expect([seed, sharedOfFrom + sharedOfTo > common]).toEqual([seed, true]);
    }
  });

  test("may be none at all: who says where its members are found may say it again", () => {
    expect(isSingleChange(group([1, 2], [3]), group([1, 2], [3]))).toBe(true);
  });
});

describe("the configurations of a log", () => {
  test("are those of the retained entries and the one before them", () => {
    const configurations = new Configurations([{ index: 0 as LogIndex, configuration: group([1]) }]);
    configurations.push(3 as LogIndex, group([1, 2]));
    configurations.push(7 as LogIndex, group([1, 2, 3]));
    configurations.releaseBelow(3);
    configurations.truncateFrom(7);
    expect([configurations.current, configurations.previous]).toEqual([group([1, 2]), group([1])]);
    configurations.releaseBelow(4);
    expect([configurations.current, configurations.previous]).toEqual([group([1, 2]), group([])]);
    configurations.truncateFrom(4);
    expect([configurations.current, configurations.currentIndex as number]).toEqual([group([1, 2]), 3]);
  });
});

const FILES = ["simple_idempotency", "simple_promote_demote", "simple_safety", "update", "zero"];
const TEXTS = etcdVectors(FILES.map((name) => `confchange/testdata/${name}.txt`));

describe.skipIf(TEXTS === null)("the scenarios of changes without a joint configuration of etcd-io/raft", () => {
  for (const [name, text] of TEXTS ?? []) {
    test(name, () => {
      let current = group([]);
      let checked = 0;
      for (const block of text.split(/^simple\n/m).slice(1)) {
        const [steps = "", result = ""] = block.split("\n----\n");
        const wanted = steps.trim().split(" ").reduce(take, current);
        const allowed = isSingleChange(current, wanted);
        if (allowed) current = wanted;
        const expected = result.split("\n")[0]!;
        expect([steps, allowed ? written(current) : "refused"]).toEqual([
          steps,
          expected.startsWith("voters=") ? expected : "refused",
        ]);
        checked += 1;
      }
      expect(checked).toBeGreaterThan(0);
    });
  }
});

/** One step of theirs: v1 makes 1 a voter, l1 a learner, r1 removes it, u1 changes nothing about roles; nobody is 0. */
function take({ voters, learners }: Configuration, step: string): Configuration {
  const id = Number(step.slice(1)) as NodeId;
  if (id === 0 || step.startsWith("u")) return { voters, learners };
  const without = (ids: readonly NodeId[]): NodeId[] => ids.filter((other) => other !== id);
  return {
    voters: step.startsWith("v") ? [...without(voters), id].sort() : without(voters),
    learners: step.startsWith("l") ? [...without(learners), id].sort() : without(learners),
  };
}

function written({ voters, learners }: Configuration): string {
  const listed = `voters=(${voters.join(" ")})`;
  return learners.length === 0 ? listed : `${listed} learners=(${learners.join(" ")})`;
}
