/** Typed buckets and scans over a node that keeps what it is given, and shows what it was asked. */
import { afterEach, expect, test } from "bun:test";
import { z } from "zod";
import {
  bytes,
  connect,
  type Database,
  InvalidArgumentError,
  NotJsonError,
  SchemaError,
  text,
} from "../../src/client.ts";
import { FakeNode } from "./fake-node.ts";

let node: FakeNode | null = null;
let db: Database | null = null;

afterEach(async () => {
  await db?.close();
  await node?.stop();
});

async function start(): Promise<{ readonly node: FakeNode; readonly db: Database }> {
  node = await FakeNode.start("n1");
  db = await connect({ nodes: [node.address] });
  return { node, db };
}

const User = z.object({ name: z.string(), age: z.number().int().default(7), born: z.coerce.date().optional() });
type User = z.infer<typeof User>;

test("a schema checks what is written and what is read, and fills in what is missing", async () => {
  const { node, db } = await start();
  const users = db.bucket<User>("users", { schema: User });
  await users.put("ann", { name: "Ann", age: 30, born: new Date(0) });
  expect(await users.get("ann")).toEqual({ name: "Ann", age: 30, born: new Date(0) });
  const error = await users.put("bob", { name: 3 } as never).catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(SchemaError);
  expect(error).toBeInstanceOf(InvalidArgumentError);
  expect((error as SchemaError).message).toContain("name: ");
  expect(node.store.has("bob")).toBe(false);
  node.store.set("old", Buffer.from('{"name":"Old"}'));
  expect(await users.get("old")).toEqual({ name: "Old", age: 7 });
  node.store.set("bad", Buffer.from('{"age":1}'));
  expect(await users.get("bad").catch((cause: unknown) => cause)).toBeInstanceOf(SchemaError);
});

test("codecs are lossless or refuse", async () => {
  const { node, db } = await start();
  const blobs = db.bucket("b", { codec: bytes });
  const every = Uint8Array.from({ length: 256 }, (_, i) => i);
  await blobs.put(every, every);
  expect(await blobs.get(every)).toEqual(every);
  const texts = db.bucket("b", { codec: text });
  await texts.put("t", "\ufeffgrüß 🎈\u0000");
  expect(await texts.get("t")).toBe("\ufeffgrüß 🎈\u0000");
  expect(await texts.put("t", "\ud800").catch((cause: unknown) => cause)).toBeInstanceOf(InvalidArgumentError);
  expect(await texts.get("\ud800").catch((cause: unknown) => cause)).toBeInstanceOf(InvalidArgumentError);
  expect(await texts.get(every).catch((cause: unknown) => cause)).toBeInstanceOf(InvalidArgumentError);
  const documents = db.bucket<unknown>("b");
  for (const value of [null, 0, "", [], JSON.parse('{"__proto__":1,"constructor":2}'), "\ud800"]) {
    await documents.put("j", value);
    expect(await documents.get("j")).toEqual(value);
  }
  for (const value of [undefined, () => 1, 1n]) {
    expect(await documents.put("j", value).catch((cause: unknown) => cause)).toBeInstanceOf(InvalidArgumentError);
  }
  node.store.set("j", Buffer.from("{"));
  expect(await documents.get("j").catch((cause: unknown) => cause)).toBeInstanceOf(NotJsonError);
});

test("options that contradict each other are refused before anything is sent", async () => {
  const { node, db } = await start();
  const bucket = db.bucket<number>("b");
  const refused = [
    bucket.put("k", 1, { ttlMs: 1, keepTtl: true }),
    bucket.put("k", 1, { ifAbsent: true, ifVersion: 1n }),
    bucket.put("k", 1, { ttlMs: 0 }),
    bucket.increment("k", 1.5),
    bucket.get("k", { read: { stale: -1 } }),
  ];
  for (const result of await Promise.allSettled(refused)) {
    expect(result.status).toBe("rejected");
    if (result.status === "rejected") expect(result.reason).toBeInstanceOf(InvalidArgumentError);
  }
  expect(node.seen("operation")).toEqual([]);
});

test("many at once: in order, grouped, and the first failure ends it", async () => {
  const { node, db } = await start();
  const bucket = db.bucket<number>("b");
  const keys = Array.from({ length: 300 }, (_, i) => `k${i}`);
  await bucket.putMany(keys.map((key, i) => [key, i]));
  expect(node.store.size).toBe(300);
  expect(await bucket.getMany([...keys, "none"])).toEqual([...keys.map((_, i) => i), undefined]);
  expect(node.seen("batch").length).toBe(5);
  expect(await bucket.deleteMany([...keys, "none"])).toBe(300);
  expect(await bucket.putMany([["k", 1n as never]]).catch((cause: unknown) => cause)).toBeInstanceOf(
    InvalidArgumentError,
  );
});

test("a batch keeps the order on each key, and a step that fails does not touch the others", async () => {
  const { db } = await start();
  const bucket = db.bucket<number>("b");
  const batch = bucket.batch();
  for (let i = 1; i <= 20; i++) batch.increment("n", i);
  batch.put("m", 5, { ifAbsent: true }).put("m", 6, { ifAbsent: true }).delete("m");
  const results = await batch.commit();
  expect(results.length).toBe(23);
  expect(results[19]).toEqual({ kind: "number", value: 210n });
  expect(results[20]).toEqual({ kind: "done" });
  expect(results[21]).toMatchObject({ kind: "failed", error: { code: "CONFLICT" } });
  expect(results[22]).toEqual({ kind: "deleted", existed: true });
  await expect(batch.commit()).rejects.toBeInstanceOf(InvalidArgumentError);
});

async function collected<T>(entries: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const entry of entries) all.push(entry);
  return all;
}

test("a scan takes pages as they are consumed, and no more", async () => {
  const { node, db } = await start();
  for (let i = 100; i < 200; i++) node.store.set(`k${i}`, Buffer.from(String(i)));
  const bucket = db.bucket<number>("b");
  const scan = bucket.scan();
  for (let i = 0; i < 20; i++) expect((await scan.next()).value).toMatchObject({ key: `k${100 + i}`, value: 100 + i });
  // A page of two entries was consumed before each credit; two were granted to begin with.
  while (node.seen("credit").length < 9) await Bun.sleep(1);
  await db.status();
  expect(node.seen("credit").length).toBe(9);
  expect(node.openScans).toBe(1);
  await scan.return?.();
  while (node.openScans > 0) await Bun.sleep(1);
  expect((await scan.next()).done).toBe(true);
});

test("a scan that loses its node goes on behind the last entry: nothing twice, nothing left out", async () => {
  const { node, db } = await start();
  for (let i = 100; i < 200; i++) node.store.set(`k${i}`, Buffer.from(String(i)));
  let count = 0;
  const keys: string[] = [];
  for await (const { key } of db.bucket<number>("b").scan({ keysOnly: true })) {
    keys.push(key);
    count += 1;
    if (count % 30 === 0) for (const connection of node.connections) connection.close();
  }
  expect(keys).toEqual(Array.from({ length: 100 }, (_, i) => `k${100 + i}`));
  expect(node.seen("scan").length).toBeGreaterThan(2);
  const few = await collected(db.bucket<number>("b").scan({ limit: 3, start: "k150" }));
  expect(few.map(({ value }) => value)).toEqual([150, 151, 152]);
});

test("a signal ends a scan while it waits for a page", async () => {
  const { node, db } = await start();
  node.intercept = (_connection, _id, request) => request.type === "scan";
  const controller = new AbortController();
  const all = collected(db.bucket("b").scan({ signal: controller.signal })).catch((cause: unknown) => cause);
  while (node.seen("scan").length === 0) await Bun.sleep(1);
  controller.abort();
  expect(await all).toMatchObject({ code: "CANCELLED" });
  while (node.seen("cancel").length === 0) await Bun.sleep(1);
});
