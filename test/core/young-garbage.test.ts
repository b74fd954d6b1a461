import { expect, test } from "bun:test";
import { YoungGarbage } from "../../src/core/young-garbage.ts";

test("a collection is asked for once for so much work, and not while there was little", () => {
  let collections = 0;
  const garbage = new YoungGarbage(() => collections++);
  const piece = 100_000;
  let isDue = false;
  let pieces = 0;
  while (!isDue) {
    garbage.collectIfDue();
    isDue = garbage.note(piece);
    pieces += 1;
  }
  expect(collections).toBe(0);
  expect(pieces).toBe(11);
  garbage.collectIfDue();
  garbage.collectIfDue();
  expect(collections).toBe(1);
  for (let i = 0; i < 10; i++) expect(garbage.note(piece)).toBe(false);
  expect(garbage.note(piece)).toBe(true);
});
