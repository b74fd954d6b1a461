/** The binary protocol on a node that is not open: who is let in, what they may do, and what is left of it in the audit log. */
import { afterEach, expect, test } from "bun:test";
import { utf8 } from "../../../src/core/bytes.ts";
import type { BinaryReply, Credentials, KeyOperation } from "../../../src/wire/binary-messages.ts";
import { fakeAccess } from "../fake-access.ts";
import { BinaryClient, HELLO, operation, rawFrame } from "../binary-client.ts";
import { RawClient, type StartedPort, startPort } from "../started-port.ts";
import { type ClosedPort, startClosedPort } from "./closed-port.ts";

let started: StartedPort | null = null;
const clients: { close(): void }[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  started?.stop();
});

function closedPort(settings: { loginTimeoutMs?: number } = {}): ClosedPort {
  const closed = startClosedPort(settings);
  started = closed.started;
  return closed;
}

async function open(port: number): Promise<BinaryClient> {
  const client = await BinaryClient.open(port, null);
  clients.push(client);
  return client;
}

function said(reply: BinaryReply): string {
  return reply.type === "error" ? reply.code : reply.type;
}

const byPassword = (user: string, password = `${user}-secret`): Credentials => ({ kind: "password", user, password });

async function loggedIn(port: number, user: string): Promise<BinaryClient> {
  const client = await open(port);
  expect(said(await client.call({ ...HELLO, credentials: byPassword(user) }))).toBe("welcome");
  return client;
}

async function bucketsOf(client: BinaryClient): Promise<string[]> {
  const listed = await client.call({ type: "listBuckets", deadlineMs: 0 });
  return listed.type === "buckets" ? listed.buckets.map(({ name }) => name) : [];
}

const get = (key: string): KeyOperation => ({ type: "get", key: utf8(key), versioned: false });
const put = (key: string): KeyOperation => ({
  type: "put",
  key: utf8(key),
  value: utf8("x"),
  expiry: { kind: "none" },
  condition: { kind: "always" },
  returnOld: false,
});

test("nothing is done before the login, and what was sent behind it is done after it", async () => {
  const { started: node } = closedPort();
  const client = await open(node.port);
  expect(said(await client.call({ type: "ping", deadlineMs: 0 }))).toBe("UNAUTHENTICATED");
  expect(said(await client.do(put("a")))).toBe("UNAUTHENTICATED");
  expect(said(await client.call(HELLO))).toBe("UNAUTHENTICATED");
  for (const credentials of [
    byPassword("ann", "wrong"),
    byPassword("nobody"),
    { kind: "token", token: "x" } as const,
  ]) {
    expect(said(await client.call({ ...HELLO, credentials }))).toBe("BAD_CREDENTIALS");
  }
  const ids = [client.send({ ...HELLO, credentials: byPassword("ann") }), client.send(operation(put("ann:1")))];
  expect([said(await client.reply(ids[0] ?? 0)), said(await client.reply(ids[1] ?? 0))]).toEqual(["welcome", "done"]);
});

test("to an open node everybody is the default user", async () => {
  started = startPort();
  for (const [credentials, outcome] of [
    [null, "welcome"],
    [byPassword("default", "any"), "welcome"],
    [byPassword("ann"), "BAD_CREDENTIALS"],
    [{ kind: "token", token: "x" } as const, "BAD_CREDENTIALS"],
  ] as const) {
    const client = await open(started.port);
    expect(said(await client.call({ ...HELLO, credentials }))).toBe(outcome);
  }
});

test("a reader that writes, a key of somebody else, a bucket by guess, a path in a bucket's name", async () => {
  const { started: node, enter, memory } = closedPort();
  enter("bob", [], [{ bucket: "0", prefix: new Uint8Array(0), rights: 1 }]);
  const root = await loggedIn(node.port, "default");
  const bucket = "hidden";
  expect(said(await root.call({ type: "createBucket", deadlineMs: 0, bucket, durability: "" }))).toBe("done");
  const ann = await loggedIn(node.port, "ann");
  const outcomes = async (client: BinaryClient, ...operations: KeyOperation[]): Promise<string[]> =>
    Promise.all(operations.map(async (one) => said(await client.do(one))));
  expect(await outcomes(ann, put("ann:1"), put("b"), get("b"), get("ann:1"))).toEqual([
    "done",
    "FORBIDDEN",
    "absent",
    "value",
  ]);
  const rest = { deadlineMs: 0, bucket: "0", mode: "linearizable", staleMs: 0, once: null, isAtomic: false } as const;
  expect(said(await ann.call({ type: "batch", ...rest, operations: [put("ann:2"), put("b")] }))).toBe("FORBIDDEN");
  expect(await outcomes(ann, get("ann:2"))).toEqual(["absent"]);

  const bob = await loggedIn(node.port, "bob");
  for (const name of [bucket, "absent", "../../etc"]) {
    const answers = [
      await bob.do(get("k"), { bucket: name }),
      await bob.call({ type: "describeBucket", deadlineMs: 0, bucket: name, countKeys: false }),
      await bob.call({ type: "createBucket", deadlineMs: 0, bucket: name, durability: "" }),
      await bob.call({ type: "dropBucket", deadlineMs: 0, bucket: name }),
    ];
    const refused = { type: "error", code: "FORBIDDEN", message: "this user has no right to do that", retry: "never" };
    for (const answer of answers) expect(answer).toEqual(refused as BinaryReply);
  }
  expect(await bucketsOf(bob)).not.toContain(bucket);
  expect(await bucketsOf(root)).toContain(bucket);
  for (const line of [
    '"event":"denied","user":"ann","address":"127.0.0.1","command":"put","bucket":"0","outcome":"key"',
    '"event":"denied","user":"bob","address":"127.0.0.1","command":"get","bucket":"hidden","outcome":"key"',
    '"command":"bucket|drop ../../etc"',
    '"event":"act","user":"default","address":"127.0.0.1","command":"bucket|create hidden"',
  ]) {
    expect(memory.content).toContain(line);
  }
  expect(memory.content).not.toContain("secret");
});

test("whoever knows a prefix of a bucket learns where its keys are, and not how many there are", async () => {
  const { started: node, enter } = closedPort();
  enter("bob", [], [{ bucket: "mine", prefix: utf8("b:"), rights: 1 }]);
  const root = await loggedIn(node.port, "default");
  await root.call({ type: "createBucket", deadlineMs: 0, bucket: "mine", durability: "" });
  const bob = await loggedIn(node.port, "bob");
  const describe = { type: "describeBucket", deadlineMs: 0, bucket: "mine" } as const;
  expect(said(await bob.call({ ...describe, countKeys: false }))).toBe("buckets");
  expect(said(await bob.call({ ...describe, countKeys: true }))).toBe("FORBIDDEN");
});

test("rights change under a connection, and the end of a user or a token ends it", async () => {
  const { started: node, enter, remove } = closedPort();
  const ann = await loggedIn(node.port, "ann");
  expect(said(await ann.do(put("b")))).toBe("FORBIDDEN");
  enter("ann", ["writer"]);
  expect(said(await ann.do(put("b")))).toBe("done");
  remove("ann");
  await ann.untilClosed();
});

test("whoever came to an open node has to come again once somebody has been entered", async () => {
  const fake = fakeAccess();
  started = startPort({}, { access: fake.access });
  const greeted = await open(started.port);
  expect(said(await greeted.call(HELLO))).toBe("welcome");
  const silent = await open(started.port);
  fake.enter("ann", ["writer"]);
  await greeted.untilClosed();
  expect(said(await silent.call({ ...HELLO, credentials: byPassword("ann") }))).toBe("welcome");
});

test("an act that cannot be recorded is not done, everything else goes on", async () => {
  const { started: node, memory } = closedPort();
  const root = await loggedIn(node.port, "default");
  const create = { type: "createBucket", deadlineMs: 0, bucket: "b", durability: "" } as const;
  memory.isFull = true;
  expect(said(await root.call(create))).toBe("IO");
  expect(said(await root.do(put("a")))).toBe("done");
  memory.isFull = false;
  expect(await bucketsOf(root)).not.toContain("b");
  expect(said(await root.call(create))).toBe("done");
});

test("an act is not done by whom the right has been taken while it was recorded", async () => {
  const { started: node, memory, enter } = closedPort();
  enter("eve", ["admin"]);
  const eve = await loggedIn(node.port, "eve");
  const append = memory.append.bind(memory);
  memory.append = async (bytes) => {
    enter("eve", ["reader"]);
    await append(bytes);
  };
  expect(said(await eve.call({ type: "createBucket", deadlineMs: 0, bucket: "b", durability: "" }))).toBe("FORBIDDEN");
  expect(memory.content).toContain('"event":"act","user":"eve"');
  expect(await bucketsOf(eve)).not.toContain("b");
});

test("whoever has not logged in may send little, and not for long", async () => {
  const { started: node } = closedPort({ loginTimeoutMs: 50 });
  const large = await open(node.port);
  large.raw.send(rawFrame(1, 1, new Uint8Array(16 * 1024)));
  await large.untilClosed();
  // Of the connection, not of the request.
  expect(large.received.map(({ id, reply }) => [id, said(reply)])).toEqual([[0, "PROTOCOL"]]);
  const flood = await open(node.port);
  for (let i = 0; i < 1_000; i++) flood.send({ type: "ping", deadlineMs: 0 });
  await flood.untilClosed();
  expect(flood.received.length).toBeLessThanOrEqual(101);
  const noisy = await open(node.port);
  for (let i = 1; i <= 1_000; i++) noisy.raw.send(rawFrame(i, 99, new Uint8Array(0)));
  await noisy.untilClosed();
  expect(noisy.received.length).toBeLessThanOrEqual(101);
  const silent = await open(node.port);
  await silent.untilClosed();
});

test("a session belongs to the user who has opened it", async () => {
  const { started: node } = closedPort();
  const root = await loggedIn(node.port, "default");
  const ann = await loggedIn(node.port, "ann");
  const opened = await root.call({ type: "openSession", deadlineMs: 0, ttlMs: 1_000 });
  expect(opened.type).toBe("session");
  const session = opened.type === "session" ? opened.session : 0;
  const once = { session, sequence: 1 };
  for (const client of [root, ann, root]) expect(said(await client.do(put("ann:1"), { once }))).toBe("done");
  const [roots = 0, anns = 0, again = 0] = node.coordinator.sessionsUsed;
  expect(anns).not.toBe(roots);
  expect(again).toBe(roots);
  expect(new Set([roots, anns, session]).size).toBe(3);
});

test("a renewed token goes on with the sessions of the one before, one with other limits does not; a revoked one ends", async () => {
  const { started: node } = closedPort();
  const root = await RawClient.open(node.port);
  clients.push(root);
  root.send("AUTH default-secret\r\n");
  await root.until("+OK\r\n");
  const withToken = async (limits: string): Promise<{ client: BinaryClient; token: string }> => {
    const before = root.text().length;
    root.send(`TOKEN ISSUE ann 60${limits}\r\nECHO done\r\n`);
    while (!root.text().slice(before).includes("done\r\n")) await root.untilBytes(root.received.length + 1);
    const token = /ey[\w-]+\.[\w-]+\.[\w-]+/.exec(root.text().slice(before))?.[0] ?? "";
    const client = await open(node.port);
    expect(said(await client.call({ ...HELLO, credentials: { kind: "token", token } }))).toBe("welcome");
    return { client, token };
  };
  const limits = " GRANT 0 ann:* read,write";
  const [first, second, other, unlimited] = [
    await withToken(limits),
    await withToken(limits),
    await withToken(" GRANT 0 ann:1* read,write"),
    await withToken(""),
  ];
  const byName = await loggedIn(node.port, "ann");
  const all = [first.client, second.client, other.client, unlimited.client, byName];
  for (const client of all) {
    expect(said(await client.do(put("ann:1"), { once: { session: 7, sequence: 1 } }))).toBe("done");
  }
  const [a, b, c, d, e] = node.coordinator.sessionsUsed;
  expect([a === b, a === c, a === d, c === d, d === e]).toEqual([true, false, false, false, true]);
  root.send(`TOKEN REVOKE ${first.token}\r\n`);
  await first.client.untilClosed();
  expect(said(await second.client.do(get("ann:1")))).toBe("value");
});

test("CLIENT LIST shows clients of this protocol, CLIENT KILL ends them, and INFO counts them", async () => {
  const { started: node } = closedPort();
  const ann = await open(node.port);
  await ann.call({ ...HELLO, clientName: "my app", credentials: byPassword("ann") });
  await ann.do(get("a"));
  const root = await RawClient.open(node.port);
  clients.push(root);
  root.send(
    "AUTH default-secret\r\nINFO clients\r\nCLIENT LIST\r\nCLIENT KILL USER nobody\r\nCLIENT KILL USER ann\r\n",
  );
  const text = await root.until(":1\r\n");
  expect(text).toContain("connected_clients:2\r\nbinary_clients:1\r\n");
  expect(text).toMatch(/ name=my_app .* cmd=get user=ann lib-name=my_app lib-ver=0 protocol=binary\n/);
  expect(text).toContain("-ERR No such user 'nobody'\r\n:1\r\n");
  await ann.untilClosed();
});
