/** A member may leave as long as every shard keeps a majority of those who can be reached. */
import { expect, test } from "bun:test";
import { removalObjection } from "../../src/cluster/removal.ts";
import { type NodeId, nodeId } from "../../src/core/ids.ts";

function objection(leaving: number, voters: number[], connected: number[], hasLeader = true): string | null {
  const shard = { shard: 0, hasLeader, voters: voters.map(nodeId) };
  const isConnected = (id: NodeId): boolean => connected.includes(id);
  return removalObjection(nodeId(leaving), [shard], isConnected);
}

test("who is gone may go for good, and so may one of those who are not missed", () => {
  expect(objection(3, [1, 2, 3], [1, 2])).toBeNull();
  expect(objection(3, [1, 2, 3], [1, 2, 3])).toBeNull();
  expect(objection(4, [1, 2, 3], [1])).toBeNull();
  expect(objection(5, [1, 2, 3, 4, 5], [1, 2, 3, 5])).toBeNull();
});

test("nobody goes whose vote is needed, or of whom that is not known", () => {
  expect(objection(2, [1, 2, 3], [1, 2])).toContain("1 of 2 voters");
  expect(objection(5, [1, 2, 3, 4, 5], [1, 2, 5])).toContain("2 of 4 voters");
  expect(objection(3, [1, 2, 3], [1, 2, 3], false)).toContain("no leader");
});

test("the only voter of a shard may go: the shard moves first", () => {
  expect(objection(1, [1], [1, 2])).toBeNull();
});
