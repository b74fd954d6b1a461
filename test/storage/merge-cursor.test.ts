import { expect, test } from "bun:test";
import { Random } from "../../src/core/random.ts";
import { compareUserKeys } from "../../src/record/version.ts";
import { MergeCursor, TwoWayMergeCursor } from "../../src/storage/merge-cursor.ts";
import { randomKey, randomVersions } from "./support/random-versions.ts";
import { ArrayCursor, inOrder, type PlainVersion, put, walk, walkBack } from "./support/versions.ts";

test("a merge shows the versions of all sources in order, from any key on", () => {
  const first = Math.floor(Math.random() * 1e9);
  for (let seed = first; seed < first + 40; seed++) {
    const random = new Random(seed);
    const sources = Array.from({ length: random.between(0, 7) }, () => [] as PlainVersion[]);
    const all = sources.length === 0 ? [] : randomVersions(random, random.below(150));
    for (const version of all) sources[random.below(sources.length)]?.push(version);
    const cursor = new TwoWayMergeCursor(sources.map((versions) => new ArrayCursor(versions)));
    expect(cursor.valid).toBe(false);
    expect(walk(cursor), `seed ${seed}`).toEqual(inOrder(all));
    const from = randomKey(random);
    const behind = inOrder(all).filter((version) => compareUserKeys(version.bucket, version.key, 1, from) >= 0);
    expect(walk(cursor, 1, from), `seed ${seed}`).toEqual(behind);
    const before = inOrder(all).filter((version) => compareUserKeys(version.bucket, version.key, 1, from) < 0);
    expect(walkBack(cursor, 1, from), `seed ${seed}`).toEqual(before.reverse());
  }
});

test("of equal versions the earlier source comes first, and both are shown", () => {
  const cursor = new MergeCursor([new ArrayCursor([put("k", 1, "first")]), new ArrayCursor([put("k", 1, "second")])]);
  expect(walk(cursor)).toEqual([put("k", 1, "first"), put("k", 1, "second")]);
});
