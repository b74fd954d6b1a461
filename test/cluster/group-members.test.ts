/** What the leader of a shard does about its members, and a replica that nobody leads any more. */
import { expect, test } from "bun:test";
import { logIndex, type NodeId, nodeId, term } from "../../src/core/ids.ts";
import { FrameType } from "../../src/wire/peer-frame-format.ts";
import { LeadingGroup } from "./leading-group.ts";

const [n1, n2, n3] = [1, 2, 3].map(nodeId) as [NodeId, NodeId, NodeId];
const MEMBERS = [n1, n2, n3].map((id) => {
  const rest = { incarnation: "", peerAddress: "", rack: "", state: "member" } as const;
  return { id, name: `n${id}`, ...rest };
});
const NEIGHBOURS = { members: MEMBERS, isConnected: () => true };
const AIM = { placed: [n1, n2], forced: [] };
/** Of an election timeout in this harness. */
const ELECTION_TICKS = 6;

/** Time passes for a leader that node 2 answers. */
function lead(leading: LeadingGroup, ticks: number, neighbours = NEIGHBOURS): void {
  for (let i = 0; i < ticks; i++) {
    leading.tick();
    leading.confirm(leading.round);
    leading.group.reconcile(AIM, neighbours);
    leading.turn();
  }
}

function settled(): LeadingGroup {
  const leading = new LeadingGroup();
  leading.applyCommitted();
  return leading;
}

test("a leader changes its shard's members when it has led for a while, and one thing at a time", () => {
  const leading = settled();
  lead(leading, 2 * ELECTION_TICKS - 1);
  expect(leading.group.configuration.voters).toEqual([n1, n2, n3]);
  lead(leading, ELECTION_TICKS);
  expect(leading.group.configuration.voters).toEqual([n1, n2]);
  expect(leading.group.settledConfiguration.voters).toEqual([n1, n2, n3]);
  leading.acknowledge();
  expect(leading.group.settledConfiguration.voters).toEqual([n1, n2]);
});

test("nothing changes while those who would be left are not connected", () => {
  const leading = settled();
  lead(leading, 4 * ELECTION_TICKS, { ...NEIGHBOURS, isConnected: () => false });
  expect(leading.group.configuration.voters).toEqual([n1, n2, n3]);
});

test("only who is named no more, and by a change that is committed, is told farewell", () => {
  const leading = settled();
  const farewells = () => leading.frames.filter(({ type }) => type === FrameType.farewell).map(({ to }) => to);
  leading.group.members?.asked(nodeId(9));
  lead(leading, 4 * ELECTION_TICKS);
  leading.group.members?.asked(n3);
  expect(farewells()).toEqual([]);
  leading.acknowledge();
  leading.group.members?.asked(n2);
  expect(farewells()).toEqual([]);
  leading.group.members?.asked(n3);
  expect(farewells()).toEqual([3]);
});

test("a replica that hears no leader asks the others in turn, and gives up what it has when it is told to", () => {
  const leading = settled();
  const head = { from: n2, to: n1, term: term(leading.group.term + 1) };
  leading.group.step({ type: "heartbeat", ...head, commitIndex: logIndex(0), readRound: 0, releaseIndex: logIndex(0) });
  leading.turn();
  const asked = () => leading.frames.filter(({ type }) => type === FrameType.membershipAsk).map(({ to }) => to);
  for (let i = 0; i < 40 * ELECTION_TICKS; i++) {
    leading.tick();
    leading.group.reconcile(AIM, NEIGHBOURS);
  }
  expect(asked().slice(0, 3)).toEqual([2, 3, 2]);
  const before = leading.group.term;
  const farewell = { index: logIndex(9), term: term(before + 5) };
  const awaited = asked().at(-1) ?? 0;
  leading.group.members?.dismissed(nodeId(awaited === 2 ? 3 : 2), farewell);
  leading.turn();
  expect(leading.group.term).toBe(before);
  leading.group.members?.dismissed(nodeId(awaited), farewell);
  leading.turn();
  const said = leading.requests.slice(-2);
  expect(said).toMatchObject([
    { type: "saveHardState", term: before + 5 },
    { type: "empty", votesFrom: 9 },
  ]);
});
