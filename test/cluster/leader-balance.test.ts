import { expect, test } from "bun:test";
import { lighterNode } from "../../src/cluster/leader-balance.ts";
import { NO_NODE, nodeId } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";

test("the one that leads least takes over, if that makes the two more equal", () => {
  const standings = [
    { node: nodeId(2), leading: 3 },
    { node: nodeId(3), leading: 1 },
  ];
  expect(lighterNode(3, standings)).toBe(nodeId(3));
  expect(lighterNode(2, standings)).toBe(NO_NODE);
  expect(lighterNode(9, [])).toBe(NO_NODE);
});

test("from any distribution leaders come to rest, evenly spread, in no more moves than needed", () => {
  const random = new Random(5);
  for (let round = 0; round < 200; round++) {
    const leading = Array.from({ length: random.between(2, 9) }, () => random.below(12));
    const total = leading.reduce((sum, count) => sum + count, 0);
    const fair = Math.ceil(total / leading.length);
    const needed = leading.reduce((sum, count) => sum + Math.max(0, count - fair), 0);
    let moves = 0;
    for (let isMoving = true; isMoving; ) {
      isMoving = false;
      for (let own = 0; own < leading.length; own++) {
        const others = leading.flatMap((count, node) =>
          node === own ? [] : [{ node: nodeId(node + 1), leading: count }],
        );
        const to = lighterNode(leading[own]!, others);
        if (to === NO_NODE) continue;
        leading[own]! -= 1;
        leading[to - 1]! += 1;
        moves += 1;
        isMoving = true;
      }
    }
    expect(Math.max(...leading) - Math.min(...leading)).toBeLessThanOrEqual(1);
    expect(moves).toBeLessThanOrEqual(needed + leading.length * 2);
  }
});
