/**
 * What every database promises, however it is reached: over the network from one server or from a cluster, or inside the
 * process. Each promise has a bucket of its own; nothing is assumed about what else is in the database.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { z } from "zod";
import {
  BucketExistsError,
  type Bucket,
  bytes,
  ConflictError,
  CrossShardError,
  type Database,
  InvalidArgumentError,
  NoBucketError,
  NotAnIntegerError,
  NotJsonError,
  OverflowError,
  SchemaError,
  text,
  TooLargeError,
} from "../../src/client.ts";

const HUNDRED = Array.from({ length: 100 }, (_, i) => `k${i}`);

/** `open` gives a database, which is closed when all is done. */
export function databaseContract(name: string, open: () => Promise<Database>): void {
  describe(name, () => {
    let db: Database;
    let count = 0;
    const newBucket = async (): Promise<string> => {
      count += 1;
      const bucket = `${name.replace(/\W+/g, "-")}-${count}`;
      await db.buckets.create(bucket);
      return bucket;
    };

    beforeAll(async () => {
      db = await open();
    });
    afterAll(async () => {
      await db.close();
    });

    singleKeys(newBucket, () => db);
    conditions(newBucket, () => db);
    numbers(newBucket, () => db);
    expiries(newBucket, () => db);
    manyKeys(newBucket, () => db);
    scans(newBucket, () => db);
    buckets(newBucket, () => db);
  });
}

type NewBucket = () => Promise<string>;
type Current = () => Database;

function singleKeys(newBucket: NewBucket, db: Current): void {
  test("what is put is there until it is deleted", async () => {
    const bucket = db().bucket<{ readonly a: number }>(await newBucket());
    expect(await bucket.get("k")).toBeUndefined();
    expect(await bucket.has("k")).toBe(false);
    await bucket.put("k", { a: 1 });
    await bucket.put("k", { a: 2 });
    expect(await bucket.get("k")).toEqual({ a: 2 });
    expect(await bucket.has("k")).toBe(true);
    expect(await bucket.delete("k")).toBe(true);
    expect(await bucket.delete("k")).toBe(false);
    expect(await bucket.get("k")).toBeUndefined();
  });

  test("any bytes are a key or a value and come back as they were", async () => {
    const bucket = db().bucket(await newBucket(), { codec: bytes });
    const every = Uint8Array.from({ length: 256 }, (_, i) => i);
    for (const key of [every, Uint8Array.of(0), Uint8Array.of(255, 254), "__proto__", "../x", "ключ"]) {
      await bucket.put(key, every);
      expect(await bucket.get(key)).toEqual(every);
    }
    await bucket.put("empty", new Uint8Array(0));
    expect(await bucket.get("empty")).toEqual(new Uint8Array(0));
    expect(await bucket.has("empty")).toBe(true);
    const large = new Uint8Array(1_000_000).map((_, i) => i);
    await bucket.put("large", large);
    expect(await bucket.get("large")).toEqual(large);
  });

  test("too long a key is refused, and the connection goes on", async () => {
    const bucket = db().bucket(await newBucket(), { codec: text });
    await expect(bucket.put("k".repeat(70_000), "v")).rejects.toBeInstanceOf(TooLargeError);
    await bucket.put("k", "v");
    expect(await bucket.get("k")).toBe("v");
  });

  test("every read mode sees what was written, a stale one in its time", async () => {
    const bucket = db().bucket<number>(await newBucket());
    await bucket.put("k", 1);
    for (const read of ["linearizable", "lease", "follower"] as const) expect(await bucket.get("k", { read })).toBe(1);
    while ((await bucket.get("k", { read: { stale: 60_000 } })) !== 1) await Bun.sleep(10);
  });

  test("a schema checks both ways", async () => {
    const schema = z.object({ name: z.string(), visits: z.number().default(0) });
    const bucket = db().bucket<z.infer<typeof schema>>(await newBucket(), { schema });
    await bucket.put("ann", { name: "Ann", visits: 3 });
    expect(await bucket.get("ann")).toEqual({ name: "Ann", visits: 3 });
    await expect(bucket.put("bob", { name: 1 } as never)).rejects.toBeInstanceOf(SchemaError);
    expect(await bucket.has("bob")).toBe(false);
  });

  test("fields of JSON are found by their path", async () => {
    const bucket = db().bucket<unknown>(await newBucket());
    await bucket.put("k", { name: "5", age: 5, tags: ["a", { b: null }], "any.name": true, deep: { er: [[1, 2]] } });
    expect(await bucket.path<string>("k", "name")).toBe("5");
    expect(await bucket.path<number>("k", "age")).toBe(5);
    expect(await bucket.path("k", "tags[1].b")).toBeNull();
    expect(await bucket.path("k", '["any.name"]')).toBe(true);
    expect(await bucket.path("k", "deep.er[0]")).toEqual([1, 2]);
    expect(await bucket.path("k", "tags[2]")).toBeUndefined();
    expect(await bucket.path("k", "constructor")).toBeUndefined();
    expect(await bucket.path("none", "name")).toBeUndefined();
    await expect(bucket.path("k", "a..b")).rejects.toBeInstanceOf(InvalidArgumentError);
    await db().bucket(bucket.name, { codec: text }).put("t", "no json");
    await expect(bucket.path("t", "a")).rejects.toBeInstanceOf(NotJsonError);
    await expect(bucket.get("t")).rejects.toBeInstanceOf(NotJsonError);
  });

  test("the old value comes with a swap and a take", async () => {
    const bucket = db().bucket<number>(await newBucket());
    expect(await bucket.swap("k", 1)).toBeUndefined();
    expect(await bucket.swap("k", 2)).toBe(1);
    expect(await bucket.take("k")).toBe(2);
    expect(await bucket.take("k")).toBeUndefined();
  });

  test("what is appended is behind what was there", async () => {
    const bucket = db().bucket(await newBucket(), { codec: text });
    expect(await bucket.append("k", "grüß")).toBe(6);
    expect(await bucket.append("k", Uint8Array.of(33))).toBe(7);
    expect(await bucket.get("k")).toBe("grüß!");
  });
}

function conditions(newBucket: NewBucket, db: Current): void {
  test("a write whose condition does not hold changes nothing", async () => {
    const bucket = db().bucket<number>(await newBucket());
    await expect(bucket.put("k", 1, { ifPresent: true })).rejects.toBeInstanceOf(ConflictError);
    expect(await bucket.has("k")).toBe(false);
    await bucket.put("k", 1, { ifAbsent: true });
    await expect(bucket.put("k", 2, { ifAbsent: true })).rejects.toBeInstanceOf(ConflictError);
    await bucket.put("k", 3, { ifPresent: true });
    await bucket.put("k", 4, { ifValue: 3 });
    await expect(bucket.put("k", 5, { ifValue: 3 })).rejects.toBeInstanceOf(ConflictError);
    await expect(bucket.delete("k", { ifValue: 3 })).rejects.toBeInstanceOf(ConflictError);
    expect(await bucket.get("k")).toBe(4);
    expect(await bucket.delete("k", { ifValue: 4 })).toBe(true);
    expect(await bucket.has("k")).toBe(false);
  });

  test("of several who saw the same version one writes", async () => {
    const bucket = db().bucket<number>(await newBucket());
    await bucket.put("k", 0);
    const add = async (): Promise<void> => {
      for (;;) {
        const seen = await bucket.getVersioned("k");
        try {
          await bucket.put("k", (seen?.value ?? 0) + 1, { ifVersion: seen?.version ?? 0n });
          return;
        } catch (cause) {
          if (!(cause instanceof ConflictError)) throw cause;
        }
      }
    };
    await Promise.all(Array.from({ length: 12 }, add));
    expect(await bucket.get("k")).toBe(12);
    const before = await bucket.metadata("k");
    await bucket.put("k", 12);
    const after = await bucket.metadata("k");
    expect(after?.version).toBeGreaterThan(before?.version ?? 0n);
    expect(after).toMatchObject({ valueBytes: 2, expiresAt: null });
  });
}

function numbers(newBucket: NewBucket, db: Current): void {
  test("increments of many at once add up", async () => {
    const bucket = db().bucket<number>(await newBucket());
    const seen = await Promise.all(Array.from({ length: 300 }, () => bucket.increment("n")));
    expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
    expect(await bucket.increment("n", -300)).toBe(0);
    expect(await bucket.increment("big", 2n ** 62n)).toBe(2n ** 62n);
    await expect(bucket.increment("big", 2n ** 62n)).rejects.toBeInstanceOf(OverflowError);
    expect(await bucket.increment("big", 0n)).toBe(2n ** 62n);
    await bucket.put("list", [] as never);
    await expect(bucket.increment("list")).rejects.toBeInstanceOf(NotAnIntegerError);
  });
}

function expiries(newBucket: NewBucket, db: Current): void {
  test("a key ends when its time is over", async () => {
    const bucket = db().bucket<number>(await newBucket());
    await bucket.put("k", 1, { ttlMs: 30 });
    while ((await bucket.get("k")) !== undefined) await Bun.sleep(5);
    expect(await bucket.ttl("k")).toBeUndefined();
    expect(await bucket.expire("k", 1_000)).toBe(false);
  });

  test("the time a key has can be set, kept, asked for and taken away", async () => {
    const bucket = db().bucket<number>(await newBucket());
    const then = new Date(Date.now() + 3_600_000);
    await bucket.put("k", 1, { expiresAt: then });
    expect((await bucket.metadata("k"))?.expiresAt).toEqual(then);
    await bucket.put("k", 2, { keepTtl: true });
    expect((await bucket.getVersioned("k"))?.expiresAt).toEqual(then);
    expect(await bucket.ttl("k")).toBeGreaterThan(0);
    expect(await bucket.persist("k")).toBe(true);
    expect(await bucket.persist("k")).toBe(false);
    expect(await bucket.ttl("k")).toBeNull();
    expect(await bucket.expire("k", then)).toBe(true);
    await bucket.put("k", 3);
    expect(await bucket.ttl("k")).toBeNull();
    expect(await bucket.expire("k", new Date(1))).toBe(true);
    expect(await bucket.has("k")).toBe(false);
  });
}

function manyKeys(newBucket: NewBucket, db: Current): void {
  test("many keys are written, read and deleted in one call", async () => {
    const bucket = db().bucket<number>(await newBucket());
    await bucket.putMany(HUNDRED.map((key, i) => [key, i]));
    expect(await bucket.getMany(["none", ...HUNDRED])).toEqual([undefined, ...HUNDRED.map((_, i) => i)]);
    expect(await bucket.deleteMany([...HUNDRED, "none"])).toBe(100);
    expect(await bucket.getMany(HUNDRED)).toEqual(HUNDRED.map(() => undefined));
    expect(await bucket.getMany([])).toEqual([]);
  });

  test("a batch tells what became of each step", async () => {
    const bucket = db().bucket<number>(await newBucket());
    await bucket.put("old", 1);
    const results = await bucket.batch().put("a", 1).increment("a", 4).delete("old").delete("none").commit();
    expect(results).toEqual([
      { kind: "done" },
      { kind: "number", value: 5n },
      { kind: "deleted", existed: true },
      { kind: "deleted", existed: false },
    ]);
    const mixed = await bucket.batch().put("a", 9, { ifAbsent: true }).put("b", 2).commit();
    expect(mixed[0]).toMatchObject({ kind: "failed", error: { code: "CONFLICT" } });
    expect(await bucket.getMany(["a", "b"])).toEqual([5, 2]);
  });

  test("an atomic batch does all or nothing", async () => {
    const bucket = db().bucket<number>(await newBucket());
    const done = await bucket.batch().put("{x}a", 1).increment("{x}n", 2).commit({ atomic: true });
    expect(done).toEqual([{ kind: "done" }, { kind: "number", value: 2n }]);
    const refused = bucket.batch().put("{x}a", 2).put("{x}n", 9, { ifAbsent: true }).commit({ atomic: true });
    await expect(refused).rejects.toBeInstanceOf(ConflictError);
    expect(await bucket.getMany(["{x}a", "{x}n"])).toEqual([1, 2]);
    if ((await db().status()).leaders.length > 1) {
      const apart = bucket.batch();
      for (const key of HUNDRED) apart.put(key, 1);
      await expect(apart.commit({ atomic: true })).rejects.toBeInstanceOf(CrossShardError);
      expect(await bucket.getMany(HUNDRED)).toEqual(HUNDRED.map(() => undefined));
    }
  });
}

function scans(newBucket: NewBucket, db: Current): void {
  async function filled(): Promise<Bucket<number>> {
    const bucket = db().bucket<number>(await newBucket());
    await bucket.putMany(Array.from({ length: 2_000 }, (_, i) => [`k${String(i).padStart(4, "0")}`, i] as const));
    await bucket.putMany([
      ["j", -1],
      ["l", -2],
    ]);
    return bucket;
  }

  test("a scan gives all keys in order, or those asked for", async () => {
    const bucket = await filled();
    const values = async (options: Parameters<typeof bucket.scan>[0]): Promise<number[]> => {
      const found: number[] = [];
      for await (const { value } of bucket.scan(options as { keysOnly?: false })) found.push(value);
      return found;
    };
    const upTo = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
    expect(await values({})).toEqual([-1, ...upTo(0, 2_000), -2]);
    expect(await values({ prefix: "k" })).toEqual(upTo(0, 2_000));
    expect(await values({ prefix: "k01" })).toEqual(upTo(100, 200));
    expect(await values({ start: "k0010", end: "k0020" })).toEqual(upTo(10, 20));
    expect(await values({ prefix: "k", reverse: true, limit: 3 })).toEqual([1999, 1998, 1997]);
    expect(await values({ start: "k0010", end: "k0020", reverse: true })).toEqual(upTo(10, 20).reverse());
    expect(await values({ limit: 700, start: "k0005" })).toEqual(upTo(5, 705));
    expect(await values({ prefix: "none" })).toEqual([]);
  });

  test("a scan without values, left early, and others meanwhile", async () => {
    const bucket = await filled();
    const keys: string[] = [];
    for await (const entry of bucket.scan({ keysOnly: true, prefix: "k" })) {
      expect("value" in entry).toBe(false);
      keys.push(entry.key);
      if (keys.length === 1_500) break;
      if (keys.length % 500 === 0) expect(await bucket.get("k0003")).toBe(3);
    }
    expect(keys.at(-1)).toBe("k1499");
    await bucket.put("k0003", 33);
    expect(await bucket.get("k0003")).toBe(33);
  });
}

function buckets(newBucket: NewBucket, db: Current): void {
  test("buckets are made, listed, counted, emptied and dropped", async () => {
    const name = await newBucket();
    const bucket = db().bucket<number>(name);
    await bucket.putMany(HUNDRED.map((key, i) => [key, i]));
    expect((await db().buckets.list()).map((info) => info.name)).toContain(name);
    expect(await db().buckets.count(name)).toBe(100);
    await expect(db().buckets.create(name)).rejects.toBeInstanceOf(BucketExistsError);
    await db().buckets.empty(name);
    expect(await bucket.get("k1")).toBeUndefined();
    expect(await db().buckets.count(name)).toBe(0);
    await bucket.put("k1", 1);
    await db().buckets.drop(name);
    await expect(bucket.get("k1")).rejects.toBeInstanceOf(NoBucketError);
    await expect(db().buckets.drop(name)).rejects.toBeInstanceOf(NoBucketError);
    await expect(db().buckets.create("../x")).rejects.toBeInstanceOf(InvalidArgumentError);
    await db().buckets.create(name, { durability: "os" });
    expect((await db().buckets.list()).find((info) => info.name === name)?.durability).toBe("os");
    await bucket.put("k1", 2);
    expect(await bucket.get("k1")).toBe(2);
  });

  test("the status names members and leaders", async () => {
    const { node, members, leaders, figures } = await db().status();
    expect(members.map((member) => member.name)).toContain(node);
    expect(leaders.length).toBeGreaterThan(0);
    expect(figures.size).toBeGreaterThan(0);
  });
}
