/**
 * Every state of a group of up to five nodes, and every step from it: no step takes more than Raft allows or leaves the group
 * without a majority that is heard of, and the steps come to the placement.
 */
import { expect, test } from "bun:test";
import { nextStep, type Standing, type Step } from "../../src/cluster/reconciler.ts";
import { type NodeId, nodeId } from "../../src/core/ids.ts";
import { type Configuration, isSingleChange } from "../../src/raft/configuration.ts";

interface State {
  readonly self: NodeId;
  readonly configuration: Configuration;
  readonly placed: readonly NodeId[];
  readonly heard: readonly NodeId[];
}

function subsetsOf(ids: readonly NodeId[]): NodeId[][] {
  return ids.reduce<NodeId[][]>((sets, id) => sets.flatMap((set) => [set, [...set, id]]), [[]]);
}

/** All states in which somebody can lead: a voter that hears a majority. */
function* statesOf(nodeCount: number): Generator<State> {
  const ids = Array.from({ length: nodeCount }, (_, i) => nodeId(i + 1));
  const sets = subsetsOf(ids);
  for (const voters of sets) {
    for (const learners of subsetsOf(ids.filter((id) => !voters.includes(id)))) {
      for (const heard of sets) {
        const heardVoters = voters.filter((id) => heard.includes(id));
        if (heardVoters.length * 2 <= voters.length) continue;
        for (const self of heardVoters) {
          for (const placed of sets) yield { self, configuration: { voters, learners }, placed, heard };
        }
      }
    }
  }
}

function stepOf({ self, configuration, placed, heard }: State, forced: readonly NodeId[] = []): Step | null {
  const standingOf = (id: NodeId): Standing => ({ isHeard: heard.includes(id), hasCaughtUp: heard.includes(id) });
  return nextStep(self, configuration, { placed, forced }, standingOf);
}

function hasQuorum({ voters }: Configuration, heard: readonly NodeId[]): boolean {
  return voters.filter((id) => heard.includes(id)).length * 2 > voters.length;
}

/** What is wrong with a step, or null. */
function objectionTo(state: State, step: Step): string | null {
  const { self, configuration: from, placed, heard } = state;
  if (step.type === "handOver") {
    const isFit = step.to !== self && from.voters.includes(step.to) && heard.includes(step.to);
    return isFit && placed.includes(step.to) && !placed.includes(self) ? null : "hands over to somebody unfit";
  }
  const to = step.configuration;
  if (!isSingleChange(from, to)) return "changes more than one voter";
  if (!hasQuorum(to, heard)) return "leaves no majority that is heard of";
  if (!to.voters.includes(self)) return "removes the leader";
  const come = to.voters.filter((id) => !from.voters.includes(id));
  if (come.some((id) => !from.learners.includes(id) || !heard.includes(id))) return "makes a voter of who is behind";
  const learned = to.learners.filter((id) => !from.learners.includes(id));
  if (learned.some((id) => !placed.includes(id) || !heard.includes(id))) return "asks in who should not be here";
  const gone = from.voters.filter((id) => !to.voters.includes(id));
  if (gone.some((id) => placed.includes(id))) return "removes who should be here";
  if (gone.length > 0 && to.voters.length < placed.length) return "leaves fewer voters than there should be";
  const isWhole = placed.every((id) => heard.includes(id));
  if (isWhole && come.length > 0 && to.voters.length > placed.length + 1) return "makes more voters than it needs";
  const moves = [come, gone, learned, from.learners.filter((id) => !to.learners.includes(id) && !come.includes(id))];
  return moves.filter((list) => list.length > 0).length === 1 ? null : "does more than one thing, or nothing";
}

test("no step from any state of five nodes is more than may be taken", () => {
  let stepCount = 0;
  for (const state of statesOf(5)) {
    const step = stepOf(state);
    if (step === null) continue;
    stepCount += 1;
    const objection = objectionTo(state, step);
    if (objection !== null) throw new Error(`${JSON.stringify({ state, step })} ${objection}`);
  }
  expect(stepCount).toBeGreaterThan(100_000);
});

/** Where the steps end. */
function endOf(state: State): State {
  let at = state;
  for (let steps = 0; steps < 30; steps++) {
    const step = stepOf(at);
    if (step === null) return at;
    at = step.type === "handOver" ? { ...at, self: step.to } : { ...at, configuration: step.configuration };
  }
  throw new Error(`${JSON.stringify(state)} comes to no end`);
}

test("the steps from any state of four nodes end, and in the placement where all of it is heard of", () => {
  for (const state of statesOf(4)) {
    if (state.placed.length === 0) continue;
    const { placed, heard } = state;
    const { configuration } = endOf(state);
    const { voters, learners } = configuration;
    const present = placed.filter((id) => heard.includes(id));
    const isAsFarAsCanBe = present.every((id) => voters.includes(id)) && learners.every((id) => placed.includes(id));
    const isWhole = [...voters].sort().join() === placed.join() && learners.length === 0;
    if (isAsFarAsCanBe && (isWhole || present.length < placed.length)) continue;
    throw new Error(`${JSON.stringify(state)} ends in ${JSON.stringify(configuration)}`);
  }
});

test("nowhere to go is no reason to leave", () => {
  for (const state of statesOf(4)) if (state.placed.length === 0) expect(stepOf(state)).toBeNull();
});

const [n1, n2, n3, n4] = [1, 2, 3, 4].map(nodeId) as [NodeId, NodeId, NodeId, NodeId];

test("a learner that is behind stays one, and nobody goes for it", () => {
  const configuration = { voters: [n1, n2, n3], learners: [n4] };
  const standingOf = (id: NodeId): Standing => ({ isHeard: id !== n3, hasCaughtUp: id !== n4 });
  expect(nextStep(n1, configuration, { placed: [n1, n2, n4], forced: [] }, standingOf)).toBeNull();
});

test("a dead voter goes when its replacement has become one, and before others that are to go", () => {
  const state = { self: n1, placed: [n1, n4], heard: [n1, n2, n4] };
  const among = (voters: NodeId[], learners: NodeId[]) => stepOf({ ...state, configuration: { voters, learners } });
  expect(among([n1, n2], [n4])).toEqual({ type: "configure", configuration: { voters: [n1, n2, n4], learners: [] } });
  const gone = { type: "configure", configuration: { voters: [n1, n2, n4], learners: [] } } as const;
  expect(among([n1, n2, n3, n4], [])).toEqual(gone);
});

test("a voter goes by force where its going would leave no majority, and only then", () => {
  const configuration = { voters: [n1, n2, n3], learners: [] };
  const state = { self: n1, configuration, placed: [n1, n2], heard: [n1, n3] };
  expect(stepOf(state)).toBeNull();
  expect(stepOf(state, [n3])).toEqual({ type: "configure", configuration: { voters: [n1, n2], learners: [] } });
  expect(stepOf({ ...state, heard: [n1, n2] })).toEqual(stepOf(state, [n3]));
});

test("a leader that is to go hands over last, and to nobody who is behind", () => {
  const configuration = { voters: [n1, n2, n3], learners: [] };
  const aim = { placed: [n2, n3], forced: [] };
  const standingOf = (id: NodeId): Standing => ({ isHeard: true, hasCaughtUp: id === n3 });
  expect(nextStep(n1, configuration, aim, standingOf)).toEqual({ type: "handOver", to: n3 });
  const isBehind = (): Standing => ({ isHeard: true, hasCaughtUp: false });
  expect(nextStep(n1, configuration, aim, isBehind)).toBeNull();
});
