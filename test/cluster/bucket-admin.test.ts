/** What is said about a bucket that is dropped or emptied, when shards fail on the way. */
import { expect, test } from "bun:test";
import { encode } from "@msgpack/msgpack";
import { BucketAdmin, type SystemAccess } from "../../src/cluster/bucket-admin.ts";
import { Catalog } from "../../src/cluster/catalog.ts";
import { text, utf8 } from "../../src/core/bytes.ts";
import { CommandType } from "../../src/record/command-format.ts";
import { errorResult, integerResult, NIL, OK, type Result } from "../../src/record/result.ts";

const UNAVAILABLE = errorResult("UNAVAILABLE", "no leader could be reached; the operation was not executed");

/** `pending`: the ids that the catalog has as retired and not yet fenced everywhere. */
function setUp(failing: (shard: number, type: CommandType | "get") => boolean, pending: readonly number[] = [64]) {
  const fenced: number[] = [];
  const ids = new Set<string>();
  const access: SystemAccess = {
    shardCount: 3,
    command: (shard, type, key, _value, done) => {
      if (failing(shard, type)) return done(UNAVAILABLE);
      if (type === CommandType.createBucket) return done(errorResult("BUCKET_EXISTS", "it is there"));
      if (type === CommandType.fence) {
        fenced.push(shard);
        ids.add(text(key));
      }
      done(type === CommandType.renewBucket || type === CommandType.dropBucket ? integerResult(64) : OK);
    },
    get: (shard, _key, done) => {
      const value = encode({ id: 65 });
      done(failing(shard, "get") ? UNAVAILABLE : { kind: "version", valueBytes: value.length, expiryMs: 0, value });
    },
    page: (_shard, _after, _pattern, done) =>
      done({
        kind: "page",
        keys: pending.map((id) => utf8(`pending/${id}`)),
        matchCount: pending.length,
        byteCount: 0,
        next: null,
      }),
  };
  const catalog = new Catalog(0);
  return { admin: new BucketAdmin(catalog, access), catalog, fenced, ids };
}

function outcome(act: (done: (result: Result) => void) => void): string {
  const said: string[] = [];
  act((result) => said.push(result.kind === "error" ? result.code : result.kind));
  expect(said.length).toBe(1);
  return said[0]!;
}

test("whoever hears that a bucket is there already knows it then", () => {
  const { admin, catalog } = setUp(() => false);
  expect(outcome((done) => admin.create("news", null, done))).toBe("BUCKET_EXISTS");
  expect(catalog.ref("news").id).toBe(65);
});

test("emptying and dropping reach every shard", () => {
  const { admin, fenced } = setUp(() => false);
  expect(outcome((done) => admin.renew("news", done))).toBe("ok");
  expect(outcome((done) => admin.drop("news", done))).toBe("ok");
  expect(fenced).toEqual([0, 1, 2, 0, 1, 2]);
});

test("emptying a bucket also fences an older id of it that nobody lived to fence", () => {
  const { admin, ids } = setUp(() => false, [63, 64]);
  expect(outcome((done) => admin.renew("news", done))).toBe("ok");
  expect([...ids].sort()).toEqual(["fence/63", "fence/64"]);
});

test("what is fenced everywhere is not begun again, though the catalog has noted that where this node cannot hear of it", () => {
  const { admin, catalog, fenced } = setUp(() => false);
  // Heard of before this node was away for long; a snapshot has no word about what is not there any more.
  catalog.learn({ key: utf8("pending/64"), value: utf8("news") });
  admin.resume();
  expect(fenced).toEqual([0, 1, 2]);
  admin.resume();
  expect(fenced).toEqual([0, 1, 2]);
});

test("what the catalog refused was not executed; what it took and a shard did not is unknown, for it will be", () => {
  const atCatalog = setUp((_shard, type) => type === CommandType.renewBucket);
  expect(outcome((done) => atCatalog.admin.renew("news", done))).toBe("UNAVAILABLE");
  for (const failing of [
    (shard: number, type: CommandType | "get") => shard === 2 && type === CommandType.fence,
    (_shard: number, type: CommandType | "get") => type === CommandType.fenceDone,
  ]) {
    expect(outcome((done) => setUp(failing).admin.renew("news", done))).toBe("UNKNOWN_OUTCOME");
    expect(outcome((done) => setUp(failing).admin.drop("news", done))).toBe("UNKNOWN_OUTCOME");
  }
  const atLookUp = setUp((_shard, type) => type === "get");
  expect(outcome((done) => atLookUp.admin.renew("news", done))).toBe("UNKNOWN_OUTCOME");
});

test("late news of a bucket that is gone does not make a newer one of its name unknown", () => {
  const catalog = new Catalog(0);
  const answers: (() => void)[] = [];
  const admin = new BucketAdmin(catalog, {
    shardCount: 1,
    command: (_shard, type, _key, _value, done) =>
      answers.push(() => done(type === CommandType.dropBucket ? integerResult(64) : OK)),
    get: (_shard, _key, done) => answers.push(() => done(NIL)),
    page: (_shard, _after, _pattern, done) =>
      answers.push(() => done({ kind: "page", keys: [], matchCount: 0, byteCount: 0, next: null })),
  });
  for (const act of [
    (done: (result: Result) => void) => admin.lookUp("news", done),
    (done: (result: Result) => void) => admin.refresh(done),
    (done: (result: Result) => void) => admin.drop("news", done),
  ]) {
    for (const [before, meanwhile, after] of [
      [64, 64, 0],
      [64, 65, 65],
    ] as const) {
      catalog.forget("news", Infinity);
      catalog.learnEntry("news", encode({ id: before }));
      act(() => undefined);
      catalog.learnEntry("news", encode({ id: meanwhile }));
      while (answers.length > 0) answers.shift()!();
      expect(catalog.ref("news").id).toBe(after);
    }
  }
});
