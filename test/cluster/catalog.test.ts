import { encode } from "@msgpack/msgpack";
import { expect, test } from "bun:test";
import { heapStats } from "bun:jsc";
import { NO_QUOTA } from "../../src/cluster/bucket-quota.ts";
import { Catalog } from "../../src/cluster/catalog.ts";

test("of two alterations of a bucket the later one counts, in whatever order they are heard of", () => {
  const catalog = new Catalog(0);
  const bucket = catalog.ref("a");
  const first = encode({ id: 64, profile: {} });
  const second = encode({ id: 64, seed: 64, profile: { quotaBytes: 5, rate: 9 }, revision: 1 });
  const third = encode({ id: 64, seed: 64, profile: { quotaBytes: 0, quotaKeys: 7 }, revision: 2 });
  for (const entry of [second, first]) catalog.learnEntry("a", entry);
  expect(bucket.quota).toEqual({ bytes: 5, keys: 0, rate: 9 });
  expect(catalog.quotaOf(64)).toEqual(bucket.quota);
  for (const entry of [third, second]) catalog.learnEntry("a", entry);
  expect(bucket.quota).toEqual({ bytes: 0, keys: 7, rate: 0 });
});

test("a quota goes over to the new id of an emptied bucket, and goes with a dropped one", () => {
  const catalog = new Catalog(0);
  catalog.learnEntry("a", encode({ id: 64, seed: 64, profile: { quotaBytes: 5 }, revision: 1 }));
  catalog.learnEntry("a", encode({ id: 70, seed: 64, profile: { quotaBytes: 5 }, revision: 1 }));
  expect(catalog.quotaOf(64)).toBeNull();
  expect(catalog.quotaOf(70)).toEqual({ bytes: 5, keys: 0, rate: 0 });
  catalog.forget("a", 70);
  expect(catalog.hasQuotas).toBe(false);
  expect(catalog.ref("a").quota).toEqual(NO_QUOTA);
});

test("a name has one ref for everybody who holds it, also before there is a bucket and after it has gone", () => {
  const catalog = new Catalog(0);
  const held = catalog.ref("a");
  Bun.gc(true);
  expect([catalog.ref("a"), held.id]).toEqual([held, 0]);
  catalog.learnEntry("a", encode({ id: 64 }));
  expect([catalog.ref("a") === held, held.id]).toEqual([true, 64]);
  catalog.forget("a", 64);
  expect([catalog.ref("a") === held, held.id, catalog.list().length]).toEqual([true, 0, 16]);
});

test("names that nobody holds and that have no bucket are not kept", async () => {
  const catalog = new Catalog(0);
  const weakRefs = (): number => heapStats().objectTypeCounts["WeakRef"] ?? 0;
  const before = weakRefs();
  for (let i = 0; i < 100_000; i++) catalog.ref(`guess-${i}`);
  const grown = weakRefs();
  expect(grown).toBeGreaterThan(before);
  while (weakRefs() > before + 1_000) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    Bun.gc(true);
  }
  expect(catalog.ref("guess-1").id).toBe(0);
});
