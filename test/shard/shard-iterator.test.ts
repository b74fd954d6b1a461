import { expect, test } from "bun:test";
import fc from "fast-check";
import type { KeyBound } from "../../src/bridge/shard-protocol.ts";
import { compareBytes, text } from "../../src/core/bytes.ts";
import type { Stamp } from "../../src/core/stamp.ts";
import { CommandType } from "../../src/record/command-format.ts";
import { keyRange } from "../../src/shard/key-range.ts";
import type { ShardIterator } from "../../src/shard/shard-iterator.ts";
import type { Snapshot } from "../../src/shard/snapshots.ts";
import { MemoryDisk } from "../storage/support/memory-disk.ts";
import { BUCKET, command, put, ShardHarness, testOptions } from "./shard-harness.ts";

interface Pair {
  readonly key: string;
  readonly value: string;
}

/** Keys over three letters: prefixes of each other, few enough to be written again and again. */
const keys = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 3 });
const action = fc.oneof(
  { weight: 12, arbitrary: fc.record({ type: fc.constant("put" as const), key: keys, size: fc.nat(150) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("brief" as const), key: keys, ms: fc.nat(50) }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("remove" as const), key: keys }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constantFrom("flush" as const, "compact" as const, "wait" as const) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("snapshot" as const) }) },
  // A flush or compaction is asked for and not waited for, or goes on a little.
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("ask" as const),
      what: fc.constantFrom("flush" as const, "compact" as const),
    }),
  },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("work" as const), steps: fc.nat(6) }) },
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;
const bound = fc.option(fc.record({ key: keys, isInclusive: fc.boolean() }));
const query = fc.record({ prefix: fc.oneof(fc.constant(""), keys), lower: bound, upper: bound });

const ENCODER = new TextEncoder();

function boundOf(one: { key: string; isInclusive: boolean } | null): KeyBound | null {
  return one === null ? null : { key: ENCODER.encode(one.key), isInclusive: one.isInclusive };
}

/** What a range means, by the letter: an oracle that knows nothing of versions. */
function inRange(pairs: readonly Pair[], one: typeof query extends fc.Arbitrary<infer T> ? T : never): Pair[] {
  const { prefix, lower, upper } = one;
  return pairs.filter(({ key }) => {
    if (!key.startsWith(prefix)) return false;
    if (lower !== null && (lower.isInclusive ? key < lower.key : key <= lower.key)) return false;
    return upper === null || (upper.isInclusive ? key <= upper.key : key < upper.key);
  });
}

class Model {
  readonly #pairs = new Map<string, { readonly value: string; readonly expiryMs: number }>();

  act(harness: ShardHarness, one: Action, serial: number): void {
    if (one.type === "put") {
      const value = String(serial).padEnd(one.size, ".");
      harness.run(put(one.key, value));
      this.#pairs.set(one.key, { value, expiryMs: Number.POSITIVE_INFINITY });
    } else if (one.type === "brief") {
      const expiryMs = harness.clock.nowMs + 1 + one.ms;
      harness.run(put(one.key, "brief", { expiryMs }));
      this.#pairs.set(one.key, { value: "brief", expiryMs });
    } else if (one.type === "remove") {
      harness.run(command(CommandType.delete, one.key));
      this.#pairs.delete(one.key);
    } else if (one.type === "wait") harness.clock.nowMs += 25;
    else if (one.type === "ask") {
      harness.send({ type: one.what, requestId: 1_000_000 + serial });
      harness.shard.turn();
    } else if (one.type === "work") {
      for (let i = 0; i < one.steps; i++) harness.shard.backgroundStep();
    } else if (one.type !== "snapshot") harness.maintain(one.type);
  }

  visible(nowMs: number): Pair[] {
    return [...this.#pairs]
      .filter(([, { expiryMs }]) => expiryMs > nowMs)
      .map(([key, { value }]) => ({ key, value }))
      .sort((a, b) => compareBytes(ENCODER.encode(a.key), ENCODER.encode(b.key)));
  }
}

function here(iterator: ShardIterator): Pair {
  return { key: text(iterator.key), value: text(iterator.value) };
}

function forward(iterator: ShardIterator): Pair[] {
  const seen: Pair[] = [];
  for (iterator.first(); iterator.valid; iterator.next()) seen.push(here(iterator));
  return seen;
}

function back(iterator: ShardIterator): Pair[] {
  const seen: Pair[] = [];
  for (iterator.last(); iterator.valid; iterator.previous()) seen.push(here(iterator));
  return seen.reverse();
}

test("an iterator shows what was visible at its moment, in its range, both ways, whatever the shard does meanwhile", () => {
  const packing = fc.record({
    compression: fc.constantFrom("none" as const, "zstd" as const),
    prefixFilterBytes: fc.nat(2),
    blockChecks: fc.constantFrom("always" as const, "first" as const, "never" as const),
    tableIo: fc.constantFrom("mmap" as const, "direct" as const),
  });
  const wanted = fc.record({
    actions: fc.array(action, { maxLength: 60 }),
    queries: fc.array(query, { maxLength: 6 }),
    packing,
  });
  fc.assert(
    fc.property(wanted, ({ actions, queries, packing }) => {
      const tree = { ...testOptions("").tree, ...packing };
      using harness = new ShardHarness({
        disk: new MemoryDisk(),
        options: { snapshotsMax: 1000, stepBytes: 100, tree },
      });
      const model = new Model();
      const taken: { readonly snapshot: Snapshot; readonly pairs: Pair[] }[] = [];
      for (const [serial, one] of actions.entries()) {
        model.act(harness, one, serial);
        if (one.type !== "snapshot") continue;
        const snapshot = harness.shard.reader.snapshot();
        taken.push({ snapshot, pairs: model.visible(snapshot.nowMs) });
      }
      for (const one of queries) {
        const range = keyRange(BUCKET, ENCODER.encode(one.prefix), boundOf(one.lower), boundOf(one.upper));
        for (const { snapshot, pairs } of [...taken, { snapshot: null, pairs: model.visible(harness.clock.nowMs) }]) {
          using iterator = harness.shard.reader.iterate(range, snapshot);
          expect(forward(iterator)).toEqual(inRange(pairs, one));
          expect(back(iterator)).toEqual(inRange(pairs, one));
        }
      }
    }),
    { numRuns: 150 },
  );
}, 60_000);

test("an iterator turns round anywhere, and writes, flushes and compactions between its steps change nothing", () => {
  const step = fc.oneof(fc.constantFrom("next" as const, "previous" as const), action);
  const wanted = fc.record({ before: fc.array(action, { maxLength: 40 }), steps: fc.array(step, { maxLength: 60 }) });
  fc.assert(
    fc.property(wanted, ({ before, steps }) => {
      using harness = new ShardHarness({ disk: new MemoryDisk(), options: { stepBytes: 100 } });
      const model = new Model();
      for (const [serial, one] of before.entries()) model.act(harness, one, serial);
      const pairs = model.visible(harness.clock.nowMs);
      using iterator = harness.shard.reader.iterate(keyRange(BUCKET, new Uint8Array(0), null, null), null);
      iterator.first();
      let place = 0;
      for (const [serial, one] of steps.entries()) {
        if (typeof one !== "string") {
          model.act(harness, one, 1000 + serial);
          continue;
        }
        if (!iterator.valid) {
          iterator.last();
          place = pairs.length - 1;
        } else if (one === "next") {
          iterator.next();
          place += 1;
        } else {
          iterator.previous();
          place -= 1;
        }
        const expected = pairs[place];
        expect(iterator.valid ? here(iterator) : null).toEqual(expected ?? null);
      }
    }),
    { numRuns: 150 },
  );
}, 60_000);

test("a disposed iterator lets go of its tables and its snapshot", () => {
  const disk = new MemoryDisk();
  using harness = new ShardHarness({ disk });
  harness.run(put("a", "1"), put("b", "2"));
  harness.maintain("flush");
  const iterator = harness.shard.reader.iterate(keyRange(BUCKET, new Uint8Array(0), null, null), null);
  iterator.first();
  const before = disk.list(`${harness.directory}/shard-0000`).filter((name) => name.endsWith(".sst"));
  harness.run(put("a", "3"));
  harness.maintain("compact");
  expect(disk.list(`${harness.directory}/shard-0000`)).toContain(before[0] ?? "");
  expect(here(iterator)).toEqual({ key: "a", value: "1" });
  expect(harness.stats().snapshotCount).toBe(1);
  iterator[Symbol.dispose]();
  expect(disk.list(`${harness.directory}/shard-0000`)).not.toContain(before[0] ?? "");
  expect(harness.stats().snapshotCount).toBe(0);
});

test("a scan comes in pages that fit together, both ways, now and as of a stamp", () => {
  using harness = new ShardHarness({ disk: new MemoryDisk() });
  for (let i = 0; i < 50; i++) harness.run(put(`k${String(i).padStart(2, "0")}`, "x".repeat(i)));
  harness.maintain("flush");
  const snapshot = harness.shard.reader.snapshot();
  harness.run(put("k07", "new"), command(CommandType.delete, "k08"));
  const scan = (isReverse: boolean, keysOnly: boolean, asOf: Stamp | null): string[] => {
    const seen: string[] = [];
    let edge: KeyBound | null = null;
    for (;;) {
      const bounds = isReverse ? { lower: null, upper: edge } : { lower: edge, upper: null };
      const limits = { entriesMax: 7, bytesMax: 200, prefix: ENCODER.encode("k") };
      const result = harness.read({ type: "scan", bucket: BUCKET, ...bounds, ...limits, isReverse, keysOnly, asOf });
      if (result.kind !== "entries") throw new Error(`a scan came as ${result.kind}`);
      expect(result.entries.length).toBeLessThanOrEqual(7);
      for (const { key, value } of result.entries) seen.push(`${text(key)}=${value.length}`);
      if (!result.isCut) return seen;
      edge = { key: result.entries.at(-1)?.key ?? new Uint8Array(0), isInclusive: false };
    }
  };
  const now = Array.from({ length: 50 }, (_, i) => `k${String(i).padStart(2, "0")}=${i === 7 ? 3 : i}`);
  now.splice(8, 1);
  const then = Array.from({ length: 50 }, (_, i) => `k${String(i).padStart(2, "0")}=${i}`);
  expect(scan(false, false, null)).toEqual(now);
  expect(scan(true, false, null)).toEqual(now.toReversed());
  expect(scan(false, false, snapshot.stamp)).toEqual(then);
  expect(scan(true, true, snapshot.stamp)).toEqual(then.map((one) => `${one.slice(0, 4)}0`).toReversed());
  snapshot.release();
  const bounds = { lower: null, upper: null, prefix: new Uint8Array(0), entriesMax: 1, bytesMax: 1 };
  const refused = { type: "scan", bucket: BUCKET, ...bounds, isReverse: false, keysOnly: true } as const;
  expect(harness.read({ ...refused, asOf: snapshot.stamp })).toMatchObject({ kind: "error", code: "HISTORY_GONE" });
});
