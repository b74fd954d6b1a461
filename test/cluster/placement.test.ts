/**
 * Where replicas go, for members drawn at random: as many as there should be, spread over racks and evenly over members, the
 * same wherever it is computed, and little of it moved by a member that comes or goes.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { placement } from "../../src/cluster/placement.ts";
import { type NodeId, nodeId } from "../../src/core/ids.ts";
import type { MemberRecord } from "../../src/record/member-format.ts";

function member(id: number, rack = "", state: MemberRecord["state"] = "member"): MemberRecord {
  return { id: nodeId(id), name: `n${id}`, incarnation: "", peerAddress: "", rack, state };
}

/** Ids with gaps, as members that have gone leave them. */
const ids = fc.uniqueArray(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 24 });
const factors = fc.integer({ min: 1, max: 5 });
const shardCounts = fc.integer({ min: 1, max: 64 });
const anyMembers = ids.chain((list) =>
  fc.tuple(
    ...list.map((id) =>
      fc
        .tuple(fc.constantFrom("", "a", "b", "c", "d"), fc.boolean())
        .map(([rack, leaves]) => member(id, rack, leaves ? "leaving" : "member")),
    ),
  ),
);

function loadsOf(replicas: readonly (readonly NodeId[])[], members: readonly MemberRecord[]): number[] {
  return members.map(({ id }) => replicas.filter((ofShard) => ofShard.includes(id)).length);
}

/** Replicas that have to be brought somewhere. */
function movedCount(before: readonly (readonly NodeId[])[], after: readonly (readonly NodeId[])[]): number {
  return after.reduce((sum, ids, shard) => sum + ids.filter((id) => !before[shard]!.includes(id)).length, 0);
}

test("every shard has its replicas, none of them twice on a node, none on a node that leaves", () => {
  fc.assert(
    fc.property(anyMembers, factors, shardCounts, (members, factor, shardCount) => {
      const staying = members.filter(({ state }) => state === "member").map(({ id }) => id);
      const replicas = placement(members, factor, shardCount);
      expect(replicas.length).toBe(shardCount);
      for (const ofShard of replicas) {
        expect(new Set(ofShard).size).toBe(Math.min(factor, staying.length));
        expect([...ofShard].sort((a, b) => a - b)).toEqual([...ofShard]);
        expect(ofShard.every((id) => staying.includes(id))).toBe(true);
      }
    }),
  );
});

test("the order in which members are listed is nothing to it", () => {
  fc.assert(
    fc.property(anyMembers, factors, shardCounts, fc.integer(), (members, factor, shardCount, seed) => {
      const shuffled = [...members].sort((a, b) => ((a.id * seed) % 97) - ((b.id * seed) % 97));
      expect(placement(shuffled, factor, shardCount)).toEqual(placement(members, factor, shardCount));
    }),
  );
});

test("a shard's replicas are on as many racks as there can be, and on none by two more than on another with room", () => {
  fc.assert(
    fc.property(anyMembers, factors, shardCounts, (members, factor, shardCount) => {
      const staying = members.filter(({ state }) => state === "member");
      const sizes = Map.groupBy(staying, ({ rack }) => rack);
      for (const ofShard of placement(members, factor, shardCount)) {
        const used = Map.groupBy(
          staying.filter(({ id }) => ofShard.includes(id)),
          ({ rack }) => rack,
        );
        expect(used.size).toBe(Math.min(factor, sizes.size));
        const most = Math.max(0, ...[...used.values()].map((there) => there.length));
        for (const [rack, all] of sizes) {
          const count = used.get(rack)?.length ?? 0;
          if (count < all.length) expect(count).toBeGreaterThanOrEqual(most - 1);
        }
      }
    }),
  );
});

test("no node has two replicas more than another, where racks are of one size", () => {
  fc.assert(
    fc.property(ids, fc.integer({ min: 1, max: 5 }), factors, shardCounts, (list, rackCount, factor, shardCount) => {
      const used = list.slice(0, list.length - (list.length % Math.min(rackCount, list.length)));
      const members = used.map((id, i) => member(id, `r${i % rackCount}`));
      const loads = loadsOf(placement(members, factor, shardCount), members);
      expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1);
    }),
    { numRuns: 300 },
  );
});

test("a member that comes, goes or leaves moves not much more than its own share", () => {
  fc.assert(
    fc.property(ids, factors, shardCounts, (list, factor, shardCount) => {
      const [last, ...others] = list.map((id) => member(id));
      const before = placement(others, factor, shardCount);
      const after = placement([...others, last!], factor, shardCount);
      const leaving = placement([...others, { ...last!, state: "leaving" }], factor, shardCount);
      expect(leaving).toEqual(before);
      const share = loadsOf(after, [last!])[0]!;
      const spareCount = list.length;
      expect(movedCount(before, after)).toBeLessThanOrEqual(2 * share + spareCount);
      const lost = loadsOf(after, [last!])[0]!;
      expect(movedCount(after, before)).toBeLessThanOrEqual(2 * lost + spareCount);
    }),
    { numRuns: 300 },
  );
});

test("a layout that was drawn once is drawn the same for ever", () => {
  const members = [1, 2, 3, 4, 6, 9].map((id) => member(id, ["a", "b", "c"][id % 3]));
  expect(placement(members, 3, 4).map((ofShard) => ofShard.join(" "))).toEqual(["1 2 3", "1 2 6", "2 4 6", "2 4 9"]);
});
