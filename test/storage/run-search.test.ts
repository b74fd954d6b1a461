import { expect, test } from "bun:test";
import { compareBytes } from "../../src/core/bytes.ts";
import { Random } from "../../src/core/random.ts";
import { RunSearch } from "../../src/storage/run-search.ts";
import type { Table } from "../../src/storage/table.ts";

/** What a search looks at of a table. */
function tableOf(smallest: Uint8Array, largest: Uint8Array): Table {
  return { footer: { smallest, largest } } as Table;
}

/** Keys that share much: few different bytes, lengths around the size of a head, and zeros, as which ends are read. */
function randomKey(random: Random, common: Uint8Array): Uint8Array {
  const own = Uint8Array.from({ length: random.below(10) }, () => random.below(3));
  return Uint8Array.from([...common, ...own]);
}

function distinctKeys(random: Random, common: Uint8Array, count: number): Uint8Array[] {
  const keys = Array.from({ length: count }, () => randomKey(random, common)).sort(compareBytes);
  return keys.filter((key, i) => i === 0 || compareBytes(keys[i - 1]!, key) !== 0);
}

test("finds the one table that spans a key, as looking at all of them does", () => {
  const random = new Random(7);
  for (let round = 0; round < 300; round++) {
    const common = Uint8Array.from({ length: 4 + random.below(6) }, () => random.below(2));
    const keys = distinctKeys(random, common, 2 + random.below(60));
    const run: Table[] = [];
    for (let i = 0; i < keys.length; i += 2) run.push(tableOf(keys[i]!, keys[i + 1] ?? keys[i]!));
    const search = new RunSearch(run);
    const targets = [...keys, ...Array.from({ length: 60 }, () => randomKey(random, common))];
    targets.push(...Array.from({ length: 20 }, () => randomKey(random, common.subarray(0, 3))));
    for (const target of targets) {
      const spans = run.find(
        ({ footer }) => compareBytes(footer.smallest, target) <= 0 && compareBytes(target, footer.largest) <= 0,
      );
      // Whatever lies behind the target does not count.
      const longer = Uint8Array.from([...target, 1, 2]);
      expect(search.tableFor(longer, target.length)).toBe(spans ?? null);
    }
  }
});

test("a run of one key finds that key only", () => {
  const key = Uint8Array.of(0, 0, 0, 1, 7, 7);
  const table = tableOf(key, key);
  const search = new RunSearch([table]);
  expect(search.tableFor(key, key.length)).toBe(table);
  expect(search.tableFor(key, key.length - 1)).toBeNull();
  expect(search.tableFor(Uint8Array.of(...key, 0), key.length + 1)).toBeNull();
});
