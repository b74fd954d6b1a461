/** The binary protocol at the client port, over a coordinator whose state is a map. */
import { afterEach, expect, test } from "bun:test";
import { ByteWriter } from "../../src/core/byte-writer.ts";
import { text, utf8 } from "../../src/core/bytes.ts";
import { Random } from "../../src/core/random.ts";
import { BINARY_MAGIC, RequestType } from "../../src/wire/binary-format.ts";
import type { BinaryReply, KeyOperation, ScanReplyEntry } from "../../src/wire/binary-messages.ts";
import { encodeRequest } from "../../src/wire/binary-request-format.ts";
import { COMPRESSIONS, compress } from "../../src/wire/body-compression.ts";
import { BinaryClient, HELLO, operation, rawFrame, requestFrame } from "./binary-client.ts";
import { command, exchange, RawClient, SETTINGS, type StartedPort, startPort } from "./started-port.ts";

let started: StartedPort | null = null;
const clients: BinaryClient[] = [];

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  started?.stop();
  started = null;
});

function start(...options: Parameters<typeof startPort>): StartedPort {
  started = startPort(...options);
  return started;
}

async function open(...options: Parameters<typeof BinaryClient.open>): Promise<BinaryClient> {
  const client = await BinaryClient.open(...options);
  clients.push(client);
  return client;
}

const get = (key: string, versioned = false): KeyOperation => ({ type: "get", key: utf8(key), versioned });
const put = (key: string, value: string, changes: object = {}): KeyOperation => ({
  type: "put",
  key: utf8(key),
  value: utf8(value),
  expiry: { kind: "none" },
  condition: { kind: "always" },
  returnOld: false,
  ...changes,
});
const remove = (key: string, changes: object = {}): KeyOperation => ({
  type: "delete",
  key: utf8(key),
  condition: { kind: "always" },
  returnOld: false,
  ...changes,
});

/** A reply in short. */
function said(reply: BinaryReply): unknown {
  if (reply.type === "value") return text(reply.value);
  if (reply.type === "error") return reply.code;
  if (reply.type === "flag" || reply.type === "integer") return reply.value;
  if (reply.type === "results") return reply.results.map(said);
  return reply.type;
}

test("a hello is welcomed with what a client has to know", async () => {
  const { port } = start();
  const client = await open(port, null);
  expect(await client.call(HELLO)).toEqual({
    type: "welcome",
    version: 1,
    serverVersion: "0.0.0",
    node: "n1",
    compression: null,
    limits: {
      keyBytesMax: SETTINGS.keyBytesMax,
      valueBytesMax: SETTINGS.valueBytesMax,
      frameBytesMax: 4 * SETTINGS.valueBytesMax + SETTINGS.keyBytesMax + 128 * 1024,
      requestsInflightMax: 1024,
      operationsMax: 65_536,
    },
    topology: {
      version: 1,
      shardCount: 3,
      pointsPerShard: 64,
      members: [{ name: "n1", clientAddress: "", rack: "", isLeaving: false, isConnected: true }],
      leaders: [0],
    },
  });
});

test("nothing is done before a hello, or after one in a version that is not spoken", async () => {
  const { port } = start();
  const client = await open(port, null);
  expect(said(await client.do(put("a", "1")))).toBe("PROTOCOL");
  expect(said(await client.call({ ...HELLO, versionMin: 2, versionMax: 9 }))).toBe("PROTOCOL");
  expect(said(await client.call({ type: "ping", deadlineMs: 0 }))).toBe("PROTOCOL");
  expect((await client.call({ ...HELLO, versionMin: 0, versionMax: 9 })).type).toBe("welcome");
  expect(said(await client.call(HELLO))).toBe("PROTOCOL");
  expect(said(await client.do(get("a")))).toBe("absent");
});

test("each operation on a key says what it came to", async () => {
  const { port } = start();
  const client = await open(port);
  const all: [KeyOperation, unknown][] = [
    [get("a"), "absent"],
    [put("a", "1"), "done"],
    [get("a"), "1"],
    [put("a", "2", { returnOld: true }), "1"],
    [put("b", "x", { returnOld: true }), "absent"],
    [put("a", "3", { condition: { kind: "absent" } }), "CONFLICT"],
    [put("a", "3", { condition: { kind: "absent" }, returnOld: true }), "CONFLICT"],
    [put("c", "3", { condition: { kind: "absent" }, returnOld: true }), "absent"],
    [put("d", "4", { condition: { kind: "present" } }), "CONFLICT"],
    [put("d", "4", { condition: { kind: "present" }, returnOld: true }), "CONFLICT"],
    [put("c", "5", { condition: { kind: "present" }, returnOld: true }), "3"],
    [put("c", "6", { condition: { kind: "value", value: utf8("5") } }), "done"],
    [put("c", "7", { condition: { kind: "value", value: utf8("5") } }), "CONFLICT"],
    [{ type: "increment", key: utf8("n"), by: 2n ** 62n }, 2n ** 62n],
    [{ type: "increment", key: utf8("n"), by: 2n ** 62n }, "OVERFLOW"],
    [{ type: "increment", key: utf8("b"), by: 1n }, "NOT_AN_INTEGER"],
    [{ type: "append", key: utf8("b"), value: utf8("yz") }, 3n],
    [{ type: "persist", key: utf8("b") }, false],
    [{ type: "expire", key: utf8("b"), expiry: { kind: "ttl", ms: 60_000 }, only: "withExpiry" }, false],
    [{ type: "expire", key: utf8("b"), expiry: { kind: "ttl", ms: 60_000 }, only: "withoutExpiry" }, true],
    [put("b", "kept", { expiry: { kind: "keep" } }), "done"],
    [{ type: "persist", key: utf8("b") }, true],
    [put("b", "x", { expiry: { kind: "ttl", ms: 0 } }), "INVALID_ARGUMENT"],
    [{ type: "expire", key: utf8("b"), expiry: { kind: "none" }, only: "all" }, "INVALID_ARGUMENT"],
    [remove("b", { returnOld: true }), "kept"],
    [remove("b", { returnOld: true }), "absent"],
    [remove("b"), false],
    [remove("c", { condition: { kind: "value", value: utf8("9") } }), "CONFLICT"],
    [remove("c", { condition: { kind: "value", value: utf8("6") } }), true],
    [put("j", `{"a":{"b":[1,"two"]}}`), "done"],
    [{ type: "getField", key: utf8("j"), path: "a.b[1]" }, '"two"'],
    [{ type: "getField", key: utf8("j"), path: "__proto__" }, "absent"],
    [{ type: "getField", key: utf8("a"), path: "x" }, "absent"],
    [{ type: "getField", key: utf8("j"), path: "a[" }, "INVALID_ARGUMENT"],
    [put("__proto__", "constructor"), "done"],
    [get("__proto__"), "constructor"],
  ];
  for (const [given, expected] of all) expect([given, said(await client.do(given))]).toEqual([given, expected]);
});

test("a version that was read is a condition for as long as it is the newest", async () => {
  const { port } = start();
  const client = await open(port);
  await client.do(put("a", "1"));
  const first = await client.do(get("a", true));
  if (first.type !== "value") throw new Error(first.type);
  expect(first.version).toBeGreaterThan(0n);
  const condition = { kind: "version", version: first.version };
  expect(said(await client.do(put("a", "2", { condition })))).toBe("done");
  expect(said(await client.do(put("a", "3", { condition })))).toBe("CONFLICT");
  expect(await client.do({ type: "metadata", key: utf8("a"), versioned: true })).toMatchObject({ valueBytes: 1 });
  expect(await client.do({ type: "metadata", key: utf8("a"), versioned: false })).toMatchObject({ version: 0n });
});

test("keys, values, buckets and times that are too much are refused", async () => {
  const { port } = start({ valueBytesMax: 100 });
  const client = await open(port);
  expect(said(await client.do(put("a", "x".repeat(101))))).toBe("TOO_LARGE");
  expect(said(await client.do(get("k".repeat(65_537))))).toBe("TOO_LARGE");
  expect(said(await client.do(get("a"), { bucket: "nobody made it" }))).not.toBe("value");
  for (const bucket of ["../x", "a/b", "\0", "x".repeat(300), ".", "a\u0308", ""]) {
    expect([bucket, said(await client.do(put("a", "1"), { bucket }))]).toEqual([bucket, "INVALID_ARGUMENT"]);
  }
  expect(said(await client.do(get("a"), { mode: "stale", staleMs: 1e9 }))).toBe("INVALID_ARGUMENT");
});

test("replies come as they are known, each with the id of its request", async () => {
  const { port, coordinator } = start({}, { random: new Random(11) });
  const client = await open(port);
  const ids = new Map<number, string>();
  const puts: number[] = [];
  for (let i = 0; i < 500; i++) {
    puts.push(client.send(operation(put(`k${i}`, `v${i}`))));
    ids.set(client.send(operation(get(`k${i}`))), `v${i}`);
  }
  const order: number[] = [];
  for (const [id, value] of ids) {
    expect(said(await client.reply(id))).toBe(value);
    order.push(id);
  }
  for (const id of puts) await client.reply(id);
  expect(coordinator.heldCount).toBe(0);
});

test("an answer that is held up holds up no other", async () => {
  const { port, coordinator } = start();
  const client = await open(port);
  await client.do(put("a", "1"));
  coordinator.holding = true;
  const slow = client.send(operation(get("a")));
  const ping = client.send({ type: "ping", deadlineMs: 0 });
  expect(said(await client.reply(ping))).toBe("pong");
  expect(client.received).toEqual([]);
  coordinator.deliverAll();
  expect(said(await client.reply(slow))).toBe("1");
});

test("a batch answers each operation for itself, an atomic one does all or nothing", async () => {
  const { port } = start();
  const client = await open(port);
  const batch = { type: "batch", deadlineMs: 0, bucket: "0", mode: "linearizable", staleMs: 0, once: null } as const;
  const operations = [put("a", "1"), get("a"), remove("none"), put("k".repeat(70_000), "x"), get("b")];
  expect(said(await client.call({ ...batch, isAtomic: false, operations }))).toEqual([
    "done",
    "1",
    false,
    "TOO_LARGE",
    "absent",
  ]);
  const together = [put("t", "1", { condition: { kind: "absent" } }), put("t", "2"), get("t")];
  expect(said(await client.call({ ...batch, isAtomic: true, operations: together }))).toEqual(["done", "done", "2"]);
  expect(said(await client.call({ ...batch, isAtomic: true, operations: together }))).toBe("CONFLICT");
  const apart = Array.from({ length: 20 }, (_, i) => put(`k${i}`, "x"));
  expect(said(await client.call({ ...batch, isAtomic: true, operations: apart }))).toBe("CROSS_SHARD");
  expect(said(await client.call({ ...batch, isAtomic: true, operations: [get("a", true)] }))).toBe("INVALID_ARGUMENT");
  expect(said(await client.call({ ...batch, isAtomic: false, operations: [] }))).toEqual([]);
});

test("a cancelled request is answered at once, and what comes of it later is dropped", async () => {
  const { port, coordinator } = start();
  const client = await open(port);
  coordinator.holding = true;
  const read = client.send(operation(get("a")));
  const write = client.send(operation(put("a", "1")));
  client.send({ type: "cancel", target: read }, 0);
  client.send({ type: "cancel", target: write }, 0);
  expect(await client.reply(read)).toMatchObject({ code: "CANCELLED", retry: "safe" });
  expect(await client.reply(write)).toMatchObject({ code: "CANCELLED", retry: "unknown" });
  coordinator.holding = false;
  coordinator.deliverAll();
  // The ids are free again.
  client.send(operation(get("a")), read);
  expect(said(await client.reply(read))).toBe("1");
  expect(client.received).toEqual([]);
});

test("a request past its deadline is answered so, and whether it was executed", async () => {
  const { port, coordinator } = start();
  const client = await open(port);
  coordinator.holding = true;
  const read = client.send(operation(get("a"), { deadlineMs: 20 }));
  const write = client.send(operation(put("a", "1"), { deadlineMs: 20 }));
  const patient = client.send(operation(get("a"), { deadlineMs: 600_000 }));
  expect(await client.reply(read)).toMatchObject({ code: "DEADLINE_EXCEEDED", retry: "safe" });
  expect(await client.reply(write)).toMatchObject({ code: "DEADLINE_EXCEEDED", retry: "unknown" });
  coordinator.holding = false;
  coordinator.deliverAll();
  expect(said(await client.reply(patient))).toBe("1");
});

test("a request that waited past its deadline behind others is not executed at all", async () => {
  const { port, coordinator } = start({ requestsInflightMax: 1 });
  const client = await open(port);
  coordinator.holding = true;
  const first = client.send(operation(get("a"), { deadlineMs: 30 }));
  const second = client.send(operation(put("a", "1"), { deadlineMs: 1 }));
  expect(said(await client.reply(first))).toBe("DEADLINE_EXCEEDED");
  coordinator.holding = false;
  coordinator.deliverAll();
  expect(await client.reply(second)).toMatchObject({ code: "DEADLINE_EXCEEDED", retry: "safe" });
  expect(said(await client.do(get("a")))).toBe("absent");
});

const SCAN = {
  type: "scan",
  deadlineMs: 0,
  bucket: "0",
  prefix: new Uint8Array(0),
  lower: null,
  upper: null,
  isReverse: false,
  keysOnly: false,
  limit: 0,
  pageEntries: 7,
  credits: 2,
} as const;

async function scanned(client: BinaryClient, changes: object): Promise<{ keys: string[]; pageCount: number }> {
  const entries: ScanReplyEntry[] = [];
  const id = client.send({ ...SCAN, ...changes });
  for (let pageCount = 1; ; pageCount++) {
    const page = await client.reply(id);
    if (page.type !== "page") throw new Error(`${page.type}`);
    entries.push(...page.entries);
    if (page.isLast) return { keys: entries.map(({ key }) => text(key)), pageCount };
    client.send({ type: "credit", target: id, credits: 1 }, 0);
  }
}

test("a scan gives the keys of all shards in order, forward and back, within bounds", async () => {
  const { port } = start({}, { random: new Random(3) });
  const client = await open(port);
  const all = Array.from({ length: 100 }, (_, i) => `key:${String(i).padStart(3, "0")}`);
  for (const key of all) await client.do(put(key, `value of ${key}`));
  await client.do(put("other", "x"));
  const prefix = utf8("key:");
  expect(await scanned(client, { prefix })).toEqual({ keys: all, pageCount: 15 });
  expect((await scanned(client, { prefix, isReverse: true })).keys).toEqual(all.toReversed());
  expect((await scanned(client, { prefix, limit: 10, keysOnly: true })).keys).toEqual(all.slice(0, 10));
  expect((await scanned(client, { prefix, limit: 7 })).pageCount).toBe(1);
  const lower = { key: utf8("key:010"), isInclusive: false };
  const upper = { key: utf8("key:020"), isInclusive: true };
  expect((await scanned(client, { lower, upper })).keys).toEqual(all.slice(11, 21));
  expect((await scanned(client, { lower, upper, isReverse: true, limit: 3 })).keys).toEqual([
    "key:020",
    "key:019",
    "key:018",
  ]);
  expect(await scanned(client, { prefix: utf8("none") })).toEqual({ keys: [], pageCount: 1 });
});

test("no page leaves that the client has not granted, and a cancelled scan ends", async () => {
  const { port, coordinator } = start();
  const client = await open(port);
  for (let i = 0; i < 50; i++) await client.do(put(`k${i}`, "x"));
  const id = client.send({ ...SCAN, credits: 2 });
  await client.call({ type: "ping", deadlineMs: 0 });
  expect(client.received.filter((one) => one.id === id).length).toBe(2);
  client.send({ type: "credit", target: id, credits: 1 }, 0);
  await client.call({ type: "ping", deadlineMs: 0 });
  expect(client.received.filter((one) => one.id === id).length).toBe(3);
  coordinator.holding = true;
  client.send({ type: "credit", target: id, credits: 100 }, 0);
  client.send({ type: "cancel", target: id }, 0);
  await client.call({ type: "ping", deadlineMs: 0 });
  coordinator.holding = false;
  coordinator.deliverAll();
  await client.call({ type: "ping", deadlineMs: 0 });
  const told = client.received.filter((one) => one.id === id).map(({ reply }) => said(reply));
  expect(told.at(-1)).toBe("CANCELLED");
  for (let i = 0; i < 40; i++) expect((await scanned(client, { limit: 1 })).keys.length).toBe(1);
});

test("scans of one client are bounded in number", async () => {
  const { port, coordinator } = start();
  const client = await open(port);
  coordinator.holding = true;
  const ids = Array.from({ length: 17 }, () => client.send(SCAN));
  expect(said(await client.reply(ids[16]!))).toBe("OVERLOADED");
  for (const id of ids) client.send({ type: "cancel", target: id }, 0);
  // Shards still owe an answer to those that were cancelled.
  expect(said(await client.call(SCAN))).toBe("OVERLOADED");
  coordinator.holding = false;
  coordinator.deliverAll();
  expect(said(await client.call(SCAN))).toBe("page");
});

test("buckets are made, told of, emptied and dropped", async () => {
  const { port } = start();
  const client = await open(port);
  const at = { deadlineMs: 0, bucket: "orders" } as const;
  expect(said(await client.call({ type: "createBucket", ...at, durability: "interval:100" }))).toBe("done");
  expect(said(await client.call({ type: "createBucket", ...at, durability: "" }))).toBe("BUCKET_EXISTS");
  expect(said(await client.call({ type: "createBucket", ...at, durability: "maybe" }))).toBe("INVALID_ARGUMENT");
  await client.do(put("a", "1"), { bucket: "orders" });
  const described = await client.call({ type: "describeBucket", ...at, countKeys: true });
  expect(described).toMatchObject({ buckets: [{ name: "orders", durability: "interval:100", keyCount: 1 }] });
  const listed = await client.call({ type: "listBuckets", deadlineMs: 0 });
  if (listed.type !== "buckets") throw new Error(listed.type);
  expect(listed.buckets.map(({ name }) => name)).toContain("orders");
  expect(said(await client.call({ type: "emptyBucket", ...at }))).toBe("done");
  expect(said(await client.do(get("a"), { bucket: "orders" }))).toBe("absent");
  expect(said(await client.call({ type: "dropBucket", ...at }))).toBe("done");
  expect(said(await client.call({ type: "describeBucket", ...at, countKeys: false }))).toBe("NO_BUCKET");
  expect(said(await client.call({ type: "createBucket", ...at, bucket: "a/b", durability: "" }))).toBe(
    "INVALID_ARGUMENT",
  );
});

test("large bodies are compressed where that was agreed, both ways", async () => {
  const { port } = start();
  for (const name of COMPRESSIONS) {
    const client = await open(port, { ...HELLO, compression: [name] });
    const body = new ByteWriter();
    const value = Array.from({ length: 5000 }, (_, i) => `envelope ${i}`).join(" ");
    encodeRequest(operation(put("big", value)), body);
    const packed = compress(name, body.copy());
    const framed = new ByteWriter();
    framed.u32(body.length);
    framed.raw(packed);
    client.raw.send(rawFrame(1000, RequestType.operation, framed.copy(), 1));
    expect(said(await client.reply(1000))).toBe("done");
    const before = client.raw.received.length;
    expect(said(await client.do(get("big")))).toBe(value);
    expect(client.raw.received.length - before).toBeLessThan(value.length / 2);
  }
});

test("a body that would expand a hundred times, or past the limit, is refused before it is expanded", async () => {
  const { port } = start();
  const client = await open(port, { ...HELLO, compression: ["deflate"] });
  const bomb = (announced: number): Uint8Array => {
    const framed = new ByteWriter();
    framed.u32(announced);
    framed.raw(compress("deflate", new Uint8Array(announced > 2 ** 24 ? 1000 : announced)));
    return framed.copy();
  };
  client.raw.send(rawFrame(1, RequestType.operation, bomb(2 ** 24), 1));
  expect(said(await client.reply(1))).toBe("TOO_LARGE");
  client.raw.send(rawFrame(2, RequestType.operation, bomb(2 ** 32 - 1), 1));
  expect(said(await client.reply(2))).toBe("TOO_LARGE");
  // One that lies about its size.
  const liar = bomb(50_000);
  new DataView(liar.buffer).setUint32(0, 1000, true);
  client.raw.send(rawFrame(3, RequestType.operation, liar, 1));
  expect(said(await client.reply(3))).toBe("PROTOCOL");
  expect(said(await client.call({ type: "ping", deadlineMs: 0 }))).toBe("pong");
});

test("a compressed body that was not agreed upon is refused", async () => {
  const { port } = start();
  const client = await open(port);
  client.raw.send(rawFrame(1, RequestType.ping, new Uint8Array(20), 1));
  expect(said(await client.reply(1))).toBe("PROTOCOL");
});

test("a message that means nothing is answered, and the connection goes on", async () => {
  const { port } = start();
  const client = await open(port);
  const bodies = [[], [0xc1], [0x91], [0x91, 0xa1], [0x81, 0xa9, 1], [0x91, 0xff], [0x92, 0, 0]];
  for (const [i, body] of bodies.entries()) {
    client.raw.send(rawFrame(100 + i, RequestType.operation, Uint8Array.from(body)));
    expect([body, said(await client.reply(100 + i))]).toEqual([body, "PROTOCOL"]);
  }
  client.raw.send(rawFrame(200, 77, Uint8Array.of(0x90)));
  expect(said(await client.reply(200))).toBe("PROTOCOL");
  expect(said(await client.call({ type: "ping", deadlineMs: 0 }))).toBe("pong");
});

test("where the framing is broken that is said, and the connection closed", async () => {
  const { port } = start();
  const good = requestFrame(1, { type: "ping", deadlineMs: 0 });
  const changed = (offset: number, byte: number): Uint8Array => {
    const frame = good.slice();
    frame[offset] = byte;
    return frame;
  };
  const length = (value: number): Uint8Array => {
    const frame = good.slice();
    new DataView(frame.buffer).setUint32(0, value, true);
    return frame;
  };
  const broken = [
    length(0),
    length(15),
    length(2 ** 32 - 1),
    changed(4, good[4]! ^ 1),
    changed(good.length - 1, 0x7f),
    requestFrame(0, { type: "ping", deadlineMs: 0 }),
    rawFrame(1, RequestType.ping | (0x01 << 16), Uint8Array.of(0x91, 0)),
    rawFrame(1, RequestType.ping, Uint8Array.of(0x91, 0), 2),
  ];
  for (const frame of broken) {
    const client = await open(port);
    client.raw.send(frame);
    expect(said(await client.reply(0))).toBe("PROTOCOL");
    await client.untilClosed();
    expect(client.received).toEqual([]);
  }
  expect(await exchange(port, command("SET", "a", "1"))).toBe("+OK\r\n");
});

test("a second request under an id that is still taken ends the connection", async () => {
  const { port, coordinator } = start();
  const client = await open(port);
  coordinator.holding = true;
  const id = client.send(operation(get("a")));
  client.send(operation(get("a")), id);
  expect(said(await client.reply(0))).toBe("PROTOCOL");
  coordinator.deliverAll();
  await client.untilClosed();
});

test("whoever begins with the first byte of the magic and goes on otherwise is cut off", async () => {
  const { port } = start();
  for (const bytes of [
    [0xed, 0x44, 0x42, 0x02],
    [0xed, 0x44, 0x43],
    [0xed, 0xed],
  ]) {
    const client = await RawClient.open(port);
    client.send(Uint8Array.from(bytes));
    expect(await client.untilClosed()).toBe("");
  }
});

test("a frame may come a byte at a time, the magic too", async () => {
  const { port } = start();
  const raw = await RawClient.open(port);
  const client = new BinaryClient(raw);
  clients.push(client);
  const bytes = Buffer.concat([BINARY_MAGIC, requestFrame(1, HELLO), requestFrame(2, operation(put("a", "1")))]);
  for (const byte of bytes) {
    raw.send(Uint8Array.of(byte));
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  expect(said(await client.reply(1))).toBe("welcome");
  expect(said(await client.reply(2))).toBe("done");
});

test("half a frame that does not go on is cut off, a connection without one is not", async () => {
  const { port } = start({ frameIdleMs: 100 });
  const half = await open(port);
  const idle = await open(port);
  half.raw.send(requestFrame(9, operation(put("a", "1"))).subarray(0, 20));
  await half.untilClosed();
  expect(said(await idle.call({ type: "ping", deadlineMs: 0 }))).toBe("pong");
});

test("a client that does not read is not read from", async () => {
  const { port, clientPort } = start({ outputBytesMax: 1024 * 1024 });
  const client = await open(port);
  await client.do(put("big", "x".repeat(100_000)));
  client.raw.pause();
  for (let i = 0; i < 150; i++) client.send(operation(get("big")));
  while (clientPort.sentBytes < 100_000) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 50));
  // What the system's buffers do not take is more than a connection may have unsent: so it was never asked for.
  expect(clientPort.connectionCount).toBe(1);
  client.raw.resume();
  for (let id = 3; id < 153; id++) expect((await client.reply(id)).type).toBe("value");
});

test("a scan waits for a client that does not read", async () => {
  const { port, clientPort } = start({ outputBytesMax: 1024 * 1024 });
  const client = await open(port);
  for (let i = 0; i < 400; i++) await client.do(put(`k${i}`, "x".repeat(50_000)));
  client.raw.pause();
  const id = client.send({ ...SCAN, pageEntries: 2, credits: 1_000_000 });
  while (clientPort.sentBytes < 100_000) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(clientPort.connectionCount).toBe(1);
  client.raw.resume();
  let entryCount = 0;
  for (let isLast = false; !isLast; ) {
    const page = await client.reply(id);
    if (page.type !== "page") throw new Error(page.type);
    entryCount += page.entries.length;
    isLast = page.isLast;
  }
  expect(entryCount).toBe(400);
});

test("closing the port answers what was asked, then closes", async () => {
  const { port, clientPort, coordinator } = start();
  const client = await open(port);
  coordinator.holding = true;
  const id = client.send(operation(put("a", "1")));
  while (coordinator.heldCount === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  clientPort.close();
  coordinator.deliverAll();
  expect(said(await client.reply(id))).toBe("done");
  await client.untilClosed();
  expect(clientPort.connectionCount).toBe(0);
  expect(coordinator.ended.length).toBe(2);
});

test("a scan that waits for credits keeps no port from closing: another connection may go on with it", async () => {
  const { port, clientPort } = start();
  const client = await open(port);
  for (let i = 0; i < 50; i++) await client.do(put(`k${i}`, "x".repeat(1_000)));
  const id = client.send({ ...SCAN, credits: 1 });
  expect(said(await client.reply(id))).toBe("page");
  expect(clientPort.connections()[0]?.heldBytes).toBeGreaterThan(1_000);
  clientPort.close();
  const ending = await client.reply(id);
  expect(ending).toMatchObject({ type: "error", code: "SHUTTING_DOWN", retry: "safe" });
  await client.untilClosed();
  expect(clientPort.connectionCount).toBe(0);
});
