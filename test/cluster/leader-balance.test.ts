import { expect, test } from "bun:test";
import { type Led, nextHandOver } from "../../src/cluster/leader-balance.ts";
import { nodeId } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";

const everybody = [nodeId(1), nodeId(2), nodeId(3)];

function ledBy(count: number, voters = everybody): Led[] {
  return Array.from({ length: count }, (_, shard) => ({ shard, voters }));
}

test("the one that leads least takes over, if that makes the two more equal", () => {
  const standings = [
    { node: nodeId(2), leading: 3 },
    { node: nodeId(3), leading: 1 },
  ];
  expect(nextHandOver(ledBy(3), standings)).toEqual({ shard: 2, to: nodeId(3) });
  expect(nextHandOver(ledBy(2), standings)).toBeNull();
  expect(nextHandOver(ledBy(9), [])).toBeNull();
});

test("only who votes in a shard is asked to lead it", () => {
  const standings = [
    { node: nodeId(2), leading: 1 },
    { node: nodeId(3), leading: 0 },
  ];
  const withoutThird = ledBy(4, [nodeId(1), nodeId(2)]);
  expect(nextHandOver(withoutThird, standings)).toEqual({ shard: 3, to: nodeId(2) });
  const last = { shard: 4, voters: everybody };
  expect(nextHandOver([...withoutThird, last], standings)).toEqual({ shard: 4, to: nodeId(3) });
});

test("from any distribution leaders come to rest, evenly spread, in no more moves than needed", () => {
  const random = new Random(5);
  for (let round = 0; round < 200; round++) {
    const nodes = Array.from({ length: random.between(2, 9) }, (_, i) => nodeId(i + 1));
    const leaders = Array.from({ length: random.below(60) }, () => nodes[random.below(nodes.length)]!);
    const leadingOf = (node: number): number => leaders.filter((leader) => leader === node).length;
    const fair = Math.ceil(leaders.length / nodes.length);
    const needed = nodes.reduce((sum, node) => sum + Math.max(0, leadingOf(node) - fair), 0);
    let moves = 0;
    for (let isMoving = true; isMoving; ) {
      isMoving = false;
      for (const own of nodes) {
        const led = leaders.flatMap((leader, shard) => (leader === own ? [{ shard, voters: nodes }] : []));
        const others = nodes.filter((node) => node !== own).map((node) => ({ node, leading: leadingOf(node) }));
        const next = nextHandOver(led, others);
        if (next === null) continue;
        expect(leaders[next.shard]).toBe(own);
        leaders[next.shard] = next.to;
        moves += 1;
        isMoving = true;
      }
    }
    const counts = nodes.map(leadingOf);
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    expect(moves).toBeLessThanOrEqual(needed + nodes.length * 2);
  }
});
