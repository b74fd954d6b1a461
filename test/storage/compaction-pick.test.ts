import { describe, expect, test } from "bun:test";
import type { FileNumber } from "../../src/core/ids.ts";
import { Claims } from "../../src/storage/compaction-claims.ts";
import { levelTargets } from "../../src/storage/compaction-leveled.ts";
import { compactionDebt, inputsOf, pickCompaction } from "../../src/storage/compaction-pick.ts";
import type { DropRule } from "../../src/storage/job.ts";
import { rangeOf } from "../../src/storage/older-ranges.ts";
import type { TreeOptions } from "../../src/storage/tree-options.ts";
import { layoutOf, type PlainTable, stateOf, summary, tableNumbered } from "./support/plain-tables.ts";
import { KEEP_ALL, SMALL } from "./support/versions.ts";
import { NO_RETENTION } from "../../src/storage/retention.ts";

const MIB = 1024 * 1024;
const TIERED: TreeOptions = { ...SMALL, compaction: "tiered", level0Tables: 2 };

function pick(tables: readonly PlainTable[], rule: DropRule = KEEP_ALL, options = SMALL): string {
  return summary(pickCompaction(stateOf(layoutOf(tables), { options }), rule));
}

/** Flushed runs, newest last, over the whole key space. */
function flushed(count: number, bytes = 1000, firstNumber = 100): PlainTable[] {
  return Array.from({ length: count }, (_, i) => {
    const number = firstNumber + i;
    return { number, level: 0, run: number, from: "a", to: "z", bytes, minStamp: number, maxStamp: number };
  });
}

describe("targets of levels", () => {
  const targets = (...megabytes: number[]) =>
    levelTargets(
      megabytes.map((size) => size * MIB),
      256 * MIB,
    );

  test("a small tree has one level", () => {
    expect(targets(64, 0, 0, 0, 0, 0, 100)).toEqual({ baseLevel: 6, bytes: [0, 0, 0, 0, 0, 0, 256 * MIB] });
  });

  test("are tenths of the largest level, upwards until one fits", () => {
    const { baseLevel, bytes } = targets(0, 0, 0, 0, 10, 200, 5000);
    expect(baseLevel).toBe(4);
    expect(bytes.map((size) => size / MIB)).toEqual([0, 0, 0, 0, 50, 500, 5000]);
  });

  test("follow the largest level wherever it is", () => {
    expect(targets(0, 0, 0, 0, 5000, 0, 0).bytes[6]).toBe(5000 * MIB);
  });

  test("keep everything above the last level near a tenth of it", () => {
    for (let size = 1; size < 1e6; size *= 3) {
      const { bytes } = targets(0, 0, 0, 0, 0, 0, size);
      const above = bytes.slice(0, 6).reduce((sum, target) => sum + target, 0);
      expect(above / (bytes[6] ?? 0)).toBeLessThan(0.12);
    }
  });
});

describe("leveled compaction", () => {
  test("level 0 is due by its runs, and goes to the base level with all that it overlaps", () => {
    const below: PlainTable[] = [
      { number: 1, level: 6, from: "a", to: "f", bytes: 900 },
      { number: 2, level: 6, from: "g", to: "z", bytes: 900 },
    ];
    expect(pick([...below, ...flushed(2)])).toBe("nothing");
    expect(pick([...below, ...flushed(3)])).toBe("rewrite 102 + 101 + 100 + 1 2 to 6/0");
  });

  test("levels between are skipped, but not what still lies in them", () => {
    expect(pick([{ number: 1, level: 6, from: "a", to: "z", bytes: 90_000 }, ...flushed(3)])).toEndWith("to 4/0");
    const left: PlainTable = { number: 2, level: 2, from: "a", to: "z", bytes: 500 };
    expect(pick([{ number: 1, level: 6, from: "a", to: "z", bytes: 900 }, left])).toBe("rewrite 2 + 1 to 6/0");
    expect(pick([{ number: 1, level: 6, from: "a", to: "z", bytes: 900 }, left, ...flushed(3)])).toEndWith("2 to 2/0");
  });

  test("a level past its target sends down the table that overlaps least for its size", () => {
    const tables: PlainTable[] = [
      { number: 1, level: 5, from: "a", to: "c", bytes: 3000 },
      { number: 2, level: 5, from: "d", to: "f", bytes: 3000 },
      { number: 3, level: 5, from: "g", to: "i", bytes: 3000 },
      { number: 4, level: 6, from: "a", to: "b", bytes: 12_000 },
      { number: 5, level: 6, from: "e", to: "f", bytes: 4000 },
      { number: 6, level: 6, from: "g", to: "k", bytes: 9000 },
    ];
    expect(pick(tables)).toBe("rewrite 2 + 5 to 6/0");
  });

  test("tables that meet nothing are moved, crumbs are not", () => {
    const tables = (bytes: number): PlainTable[] => [
      { number: 1, level: 5, from: "a", to: "c", bytes },
      { number: 2, level: 5, from: "d", to: "f", bytes: 6000 },
      { number: 3, level: 6, from: "d", to: "f", bytes: 30_000 },
    ];
    expect(pick(tables(1000))).toBe("move 1 to 6/0");
    expect(pick(tables(100))).toBe("rewrite 1 to 6/0");
  });

  test("debt is nothing while nothing is due, and grows with what is", () => {
    const bottom: PlainTable = { number: 1, level: 6, from: "a", to: "z", bytes: 4000 };
    expect(compactionDebt(layoutOf([bottom, ...flushed(2)]), SMALL)).toBe(0);
    expect(compactionDebt(layoutOf([bottom, ...flushed(3)]), SMALL)).toBe(7000);
    expect(compactionDebt(layoutOf([bottom, ...flushed(5)]), SMALL)).toBe(9000);
    const over: PlainTable = { number: 2, level: 5, from: "a", to: "z", bytes: 6000 };
    expect(compactionDebt(layoutOf([{ ...bottom, bytes: 30_000 }, over]), SMALL)).toBe(18_000);
  });
});

describe("size-tiered compaction", () => {
  const pickTiered = (tables: readonly PlainTable[]): string => pick(tables, KEEP_ALL, TIERED);
  const run = (number: number, bytes: number): PlainTable => ({
    number,
    level: 0,
    run: number,
    from: "a",
    to: "z",
    bytes,
  });

  test("waits for enough runs", () => {
    expect(pickTiered([run(1, 9000), run(2, 1000), run(3, 1000)])).toBe("nothing");
  });

  test("runs of similar size become one, in the place of the oldest of them", () => {
    const tables = [run(1, 9000), run(2, 1000), run(3, 1000), run(4, 1000)];
    expect(pickTiered(tables)).toBe("rewrite 4 + 3 + 2 to 0/2");
  });

  test("everything becomes one run on the last level once too much lies above the oldest", () => {
    expect(pickTiered([run(1, 1000), run(2, 900), run(3, 900), run(4, 300)])).toBe("rewrite 4 + 3 + 2 + 1 to 6/0");
    const bottom: PlainTable = { number: 1, level: 6, from: "a", to: "z", bytes: 1000 };
    expect(pickTiered([bottom, run(2, 1500), run(3, 600), run(4, 10)])).toBe("rewrite 4 + 3 + 2 + 1 to 6/0");
  });

  test("the newest runs are merged when none is similar and there are too many", () => {
    expect(pickTiered([run(1, 90_000), run(2, 9000), run(3, 900), run(4, 90)])).toBe("rewrite 4 + 3 to 0/3");
  });

  test("new runs are merged among themselves while the oldest is being merged", () => {
    const old = [run(1, 9000), run(2, 5000)];
    expect(beside(old, [run(3, 1000), run(4, 1000)])).toBe("nothing");
    expect(beside(old, [run(3, 1000), run(4, 1000), run(5, 1000)])).toBe("rewrite 5 + 4 + 3 to 0/3");
  });

  test("once too much lies above the oldest, what is being merged without it is waited for", () => {
    const [oldest, ...others] = [run(1, 100), run(2, 5000), run(3, 5000), run(4, 900), run(5, 900), run(6, 900)];
    if (oldest === undefined) throw new Error("there is one");
    expect(beside(others.slice(0, 2), [oldest, ...others.slice(2)])).toBe("nothing");
    expect(pickTiered([oldest, ...others])).toBe("rewrite 6 + 5 + 4 + 3 + 2 + 1 to 6/0");
  });

  /** What is picked while the first tables are being merged. */
  function beside(taken: readonly PlainTable[], free: readonly PlainTable[]): string {
    const layout = layoutOf([...taken, ...free]);
    const claims = new Claims();
    const inputs = taken.map(({ number }) => tableNumbered(layout, number));
    claims.add({ inputs: new Set(inputs), outputLevel: 0, range: rangeOf(inputs) });
    return summary(pickCompaction(stateOf(layout, { options: TIERED, claims }), KEEP_ALL));
  }

  test("the count of runs stays bounded and each byte is written a few times only", () => {
    const options: TreeOptions = { ...TIERED, level0Tables: 4 };
    let tables: PlainTable[] = [];
    let written = 0;
    for (let number = 1; number <= 500; number++) {
      tables.push(run(number, 1000));
      const layout = layoutOf(tables);
      const found = pickCompaction(stateOf(layout, { options }), KEEP_ALL);
      if (found?.kind !== "rewrite") continue;
      const merged = new Set<number>(inputsOf(found).map((table) => table.record.number));
      const bytes = tables.reduce((sum, table) => sum + (merged.has(table.number) ? table.bytes : 0), 0);
      const place = { level: found.output.level, run: found.output.run };
      tables = tables.filter((table) => !merged.has(table.number));
      tables.push({ ...run(1000 + number, bytes), ...place });
      written += bytes;
      expect(tables.length).toBeLessThan(8);
    }
    expect(written / (500 * 1000)).toBeLessThan(5);
  });
});

describe("what is due by itself", () => {
  const rich = { tombstones: 60, minStamp: 50, maxStamp: 60 };

  test("tables of fenced buckets are removed first", () => {
    const gone: PlainTable = { number: 9, level: 6, from: "a", to: "z", bytes: 100, bucket: 7 };
    expect(
      pick([gone, ...flushed(4)], { fenced: (bucket) => bucket === 7, expireBeforeMs: 0, retention: NO_RETENTION }),
    ).toBe("remove 9");
  });

  test("a table that holds a part of a fenced bucket is rewritten where it stands", () => {
    const layout = layoutOf([
      { number: 1, level: 0, run: 8, from: "a", to: "z", bytes: 100, bucket: 1, lastBucket: 3 },
      { number: 2, level: 6, from: "a", to: "z", bytes: 100, bucket: 1, lastBucket: 3 },
    ]);
    const impure = new Set([tableNumbered(layout, 1)]);
    expect(summary(pickCompaction(stateOf(layout, { impure }), KEEP_ALL))).toBe("rewrite 1 to 0/8");
  });

  test("a table rich in tombstones goes down to what they cover", () => {
    const below: PlainTable = { number: 1, level: 6, from: "a", to: "m", bytes: 30_000 };
    expect(pick([below, { number: 2, level: 5, from: "c", to: "d", bytes: 900, ...rich }])).toBe(
      "rewrite 2 + 1 to 6/0",
    );
    const fresh: PlainTable = { number: 2, level: 0, run: 2, from: "c", to: "d", bytes: 900, ...rich };
    expect(pick([{ ...below, bytes: 900 }, fresh])).toBe("rewrite 2 + 1 to 6/0");
  });

  test("but not if it would have to rewrite far more than they can cover", () => {
    const below: PlainTable[] = Array.from({ length: 9 }, (_, i) => ({
      number: 10 + i,
      level: 6,
      from: `b${i}`,
      to: `b${i}z`,
      bytes: 4000,
    }));
    expect(pick([...below, { number: 2, level: 5, from: "a", to: "c", bytes: 900, ...rich }])).toBe("nothing");
  });

  test("where nothing older is left it is rewritten once, and not again", () => {
    const layout = layoutOf([
      { number: 1, level: 6, from: "a", to: "m", bytes: 900, ...rich },
      { number: 2, level: 0, run: 2, from: "a", to: "m", bytes: 900, minStamp: 70, maxStamp: 80 },
    ]);
    expect(summary(pickCompaction(stateOf(layout), KEEP_ALL))).toBe("rewrite 1 to 6/0");
    const settled = new Set([1 as FileNumber]);
    expect(summary(pickCompaction(stateOf(layout, { settled }), KEEP_ALL))).toBe("nothing");
  });

  test("on the last level it waits while something above may be older", () => {
    expect(
      pick([
        { number: 1, level: 6, from: "a", to: "m", bytes: 900, ...rich },
        { number: 2, level: 0, run: 2, from: "a", to: "m", bytes: 900, minStamp: 40, maxStamp: 80 },
      ]),
    ).toBe("nothing");
  });

  test("a tiered run rich in tombstones is merged with the next older one", () => {
    const tables: PlainTable[] = [
      { number: 1, level: 6, from: "a", to: "m", bytes: 900 },
      { number: 2, level: 0, run: 2, from: "a", to: "m", bytes: 90, ...rich },
    ];
    expect(pick(tables, KEEP_ALL, TIERED)).toBe("rewrite 2 + 1 to 6/0");
  });
});

describe("several at once", () => {
  const tables: PlainTable[] = [
    { number: 1, level: 5, from: "a", to: "c", bytes: 3000 },
    { number: 2, level: 5, from: "d", to: "f", bytes: 3000 },
    { number: 3, level: 6, from: "a", to: "c", bytes: 8000 },
    { number: 4, level: 6, from: "d", to: "f", bytes: 9000 },
  ];

  test("a second compaction takes what the first leaves", () => {
    const layout = layoutOf([...tables, ...flushed(3)]);
    const claims = new Claims();
    const state = stateOf(layout, { claims });
    const taken: string[] = [];
    for (let found = pickCompaction(state, KEEP_ALL); found !== null; found = pickCompaction(state, KEEP_ALL)) {
      taken.push(summary(found));
      const inputs = inputsOf(found);
      expect(claims.hasAny(inputs)).toBe(false);
      const outputLevel = found.kind === "remove" ? 0 : found.output.level;
      claims.add({ inputs: new Set(inputs), outputLevel, range: rangeOf(inputs) });
    }
    expect(taken).toEqual(["rewrite 1 + 3 to 6/0", "rewrite 2 + 4 to 6/0"]);
  });

  test("nothing is written into a range that another one writes into", () => {
    const layout = layoutOf(tables);
    const claims = new Claims();
    claims.add({ inputs: new Set(), outputLevel: 6, range: rangeOf([tableNumbered(layout, 3)]) });
    expect(summary(pickCompaction(stateOf(layout, { claims }), KEEP_ALL))).toBe("rewrite 2 + 4 to 6/0");
  });
});
