import { encode } from "@msgpack/msgpack";
import { expect, test } from "bun:test";
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
