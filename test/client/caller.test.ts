/** What the client does when nodes are slow, silent, gone or of another opinion, against nodes that do so on purpose. */
import { afterEach, expect, spyOn, test } from "bun:test";
import {
  BadCredentialsError,
  CancelledError,
  ConflictError,
  type ConnectOptions,
  connect,
  type Database,
  DeadlineExceededError,
  OverloadedError,
  SessionGoneError,
  UnavailableError,
  UnknownOutcomeError,
} from "../../src/client.ts";
import type { EnvelopeError } from "../../src/core/errors.ts";
import { SESSION_WINDOW } from "../../src/core/session-window.ts";
import type { OperationRequest, Topology } from "../../src/wire/binary-messages.ts";
import { FakeNode, failure } from "./fake-node.ts";

const started: FakeNode[] = [];
const opened: Database[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((db) => db.close()));
  await Promise.all(started.splice(0).map((node) => node.stop()));
});

async function startNode(name = "n1", shared: FakeNode | null = null): Promise<FakeNode> {
  const node = await FakeNode.start(name, shared);
  started.push(node);
  return node;
}

async function open(nodes: readonly FakeNode[], options: Partial<ConnectOptions> = {}): Promise<Database> {
  const db = await connect({ nodes: nodes.map(({ address }) => address), ...options });
  opened.push(db);
  return db;
}

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (cause) {
    return cause;
  }
  throw new Error("it was not rejected");
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await Bun.sleep(1);
}

/** Two nodes, of which `leader` leads the only shard. */
function led(nodes: readonly FakeNode[], leader: number): Topology {
  const members = nodes.map(({ name, address }) => ({
    name,
    clientAddress: address,
    rack: "",
    isLeaving: false,
    isConnected: true,
  }));
  return { version: 1, shardCount: 1, pointsPerShard: 64, members, leaders: [leader] };
}

function increments(node: FakeNode): OperationRequest[] {
  return node.seen("operation").filter(({ operation }) => operation.type === "increment");
}

test("a write whose connection is lost after it was carried out is carried out once", async () => {
  const node = await startNode();
  const db = await open([node]);
  let losses = 3;
  node.intercept = (connection, _id, request) => {
    if (request.type !== "operation" || losses === 0) return false;
    losses -= 1;
    node.carryOut(request);
    connection.close();
    return true;
  };
  expect(await db.bucket("b").increment("hits")).toBe(1);
  expect(increments(node).length).toBe(4);
  expect(await db.bucket("b").increment("hits")).toBe(2);
});

test("what the last attempt came to does not settle what became of one before it", async () => {
  const codes = ["DISKFULL", "QUOTA_EXCEEDED", "FORBIDDEN", "DEADLINE_EXCEEDED"] as const;
  for (const code of codes) {
    const node = await startNode();
    const db = await open([node]);
    let attempts = 0;
    node.intercept = (connection, id, request) => {
      if (request.type !== "operation") return false;
      attempts += 1;
      if (attempts === 1) {
        node.carryOut(request);
        connection.close();
      } else connection.reply(id, failure(code, "it was not executed"));
      return true;
    };
    const error = (await rejection(db.bucket("b").increment("hits"))) as EnvelopeError;
    expect(`${error.code} ${error.retry}`).toBe(`${code} unknown`);
    expect(error.message).toContain("UNKNOWN_OUTCOME");
    expect(attempts).toBe(2);
  }
  const node = await startNode();
  const db = await open([node]);
  let isLost = false;
  node.intercept = (connection, id, request) => {
    if (request.type !== "operation") return false;
    if (isLost) connection.reply(id, failure("CONFLICT", "the condition does not hold"));
    else connection.close();
    isLost = true;
    return true;
  };
  // Under a session this is what the command came to, whichever attempt it was.
  const conflict = (await rejection(db.bucket("b").put("k", 1, { ifAbsent: true }))) as ConflictError;
  expect([conflict.code, conflict.retry]).toEqual(["CONFLICT", "safe"]);
});

test("without exactly once, a write whose connection is lost is not sent again", async () => {
  const node = await startNode();
  const db = await open([node], { exactlyOnce: false });
  node.intercept = (connection, _id, request) => {
    if (request.type === "operation") connection.close();
    return request.type === "operation";
  };
  const error = await rejection(db.bucket("b").put("k", 1));
  expect(error).toBeInstanceOf(UnknownOutcomeError);
  expect((error as UnknownOutcomeError).retry).toBe("unknown");
  expect(node.seen("operation").length).toBe(1);
  expect(node.seen("openSession").length).toBe(0);
});

test("what a node says is safe to repeat is repeated; a condition that does not hold is not", async () => {
  const node = await startNode();
  const db = await open([node]);
  let refusals = 2;
  node.intercept = (connection, id, request) => {
    if (request.type !== "operation" || refusals === 0) return false;
    refusals -= 1;
    connection.reply(id, failure("UNAVAILABLE", "no leader"));
    return true;
  };
  const bucket = db.bucket<number>("b");
  await bucket.put("k", 1, { ifAbsent: true });
  expect(node.seen("operation").length).toBe(3);
  expect(await rejection(bucket.put("k", 2, { ifAbsent: true }))).toBeInstanceOf(ConflictError);
  expect(node.seen("operation").length).toBe(4);
  expect(await bucket.get("k")).toBe(1);
});

test("a call ends when its time is over, says what that means, and the node is told", async () => {
  const node = await startNode();
  const db = await open([node]);
  const bucket = db.bucket("b");
  await bucket.put("k", 1);
  node.intercept = (_connection, _id, request) => request.type === "operation";
  const write = await rejection(bucket.put("k", 2, { timeoutMs: 20 }));
  expect(write).toBeInstanceOf(DeadlineExceededError);
  expect((write as DeadlineExceededError).retry).toBe("unknown");
  const read = await rejection(bucket.get("k", { timeoutMs: 20 }));
  expect(read).toBeInstanceOf(DeadlineExceededError);
  expect((read as DeadlineExceededError).retry).toBe("safe");
  await until(() => node.seen("cancel").length === 2);
  expect(node.seen("operation").every(({ deadlineMs }) => deadlineMs > 0)).toBe(true);
});

test("a signal ends a call; one that is aborted already lets nothing be sent", async () => {
  const node = await startNode();
  const db = await open([node]);
  const bucket = db.bucket("b");
  node.intercept = (_connection, _id, request) => request.type === "operation";
  const controller = new AbortController();
  const call = bucket.put("k", 1, { signal: controller.signal });
  await until(() => node.seen("operation").length === 1);
  controller.abort("not needed");
  const error = (await rejection(call)) as CancelledError;
  expect(error).toBeInstanceOf(CancelledError);
  expect(error.cause).toBe("not needed");
  expect(error.retry).toBe("unknown");
  const late = (await rejection(bucket.get("k", { signal: controller.signal }))) as CancelledError;
  expect(late.retry).toBe("safe");
  await until(() => node.seen("cancel").length === 1);
  expect(node.seen("operation").length).toBe(1);
});

test("a sequence is used only when the one a window lower is through with", async () => {
  const node = await startNode();
  const db = await open([node]);
  const held: (() => void)[] = [];
  const underway = new Map<number, Set<number>>();
  let brokenPromises = 0;
  node.intercept = (connection, id, request) => {
    if (request.type !== "operation" || request.once === null) return false;
    const { session, sequence } = request.once;
    const busy = underway.get(session) ?? new Set();
    underway.set(session, busy);
    if (busy.has(sequence - SESSION_WINDOW)) brokenPromises += 1;
    busy.add(sequence);
    held.push(() => {
      busy.delete(sequence);
      node.answer(connection, id, request);
    });
    return true;
  };
  const bucket = db.bucket("b");
  const count = 5 * SESSION_WINDOW;
  const calls = Promise.all(Array.from({ length: count }, () => bucket.increment("n")));
  await until(() => held.length === count);
  // Every second answer first, so that windows are full of holes.
  for (const [i, answer] of held.splice(0).entries()) if (i % 2 === 0) answer();
  const more = Promise.all(Array.from({ length: count }, () => bucket.increment("n")));
  await until(() => held.length > 0);
  node.intercept = () => false;
  for (let answer = held.pop(); answer !== undefined; answer = held.pop()) answer();
  expect(brokenPromises).toBe(0);
  expect(underway.size).toBeGreaterThanOrEqual(5);
  // The odd ones of the first round were never answered: they end with the database's connection.
  for (const connection of node.connections) connection.close();
  await Promise.all([calls, more]);
  expect(await bucket.increment("n", 0)).toBe(2 * count);
});

test("a session that is gone is replaced, unless the write may have been carried out under it", async () => {
  const node = await startNode();
  const db = await open([node]);
  const bucket = db.bucket("b");
  await bucket.increment("n");
  node.forget();
  expect(await bucket.increment("n")).toBe(2);
  node.intercept = (connection, _id, request) => {
    if (request.type !== "operation") return false;
    node.forget();
    node.intercept = () => false;
    connection.close();
    return true;
  };
  const error = (await rejection(bucket.increment("n"))) as SessionGoneError;
  expect(error).toBeInstanceOf(SessionGoneError);
  expect(error.retry).toBe("unknown");
});

test("a session that is getting old is closed and replaced", async () => {
  const node = await startNode();
  const db = await open([node], { sessionTtlMs: 100 });
  const bucket = db.bucket("b");
  await bucket.increment("n");
  while (node.seen("closeSession").length === 0) await bucket.increment("n");
  expect(new Set(increments(node).map(({ once }) => once?.session)).size).toBeGreaterThan(1);
});

test("requests go to the leader of the key's shard, and elsewhere while it is gone", async () => {
  const first = await startNode("n1");
  const second = await startNode("n2", first);
  first.topology = led([first, second], 1);
  second.topology = first.topology;
  const db = await open([first]);
  const bucket = db.bucket("b");
  await bucket.put("k", 1);
  await until(() => second.connections.size > 0);
  const before = first.seen("operation").length;
  for (let i = 0; i < 10; i++) await bucket.put("k", i);
  expect(first.seen("operation").length).toBe(before);
  await second.stop();
  await bucket.put("k", 10);
  expect(first.seen("operation").length).toBe(before + 1);
  first.push(led([first, second], 0));
  await bucket.put("k", 11);
  expect(await bucket.get("k")).toBe(11);
});

test("what is pushed about leaders is followed", async () => {
  const first = await startNode("n1");
  const second = await startNode("n2", first);
  first.topology = led([first, second], 0);
  second.topology = first.topology;
  const db = await open([first, second]);
  const bucket = db.bucket("b");
  await bucket.put("k", 1);
  const before = second.seen("operation").length;
  first.push(led([first, second], 1));
  await until(() => {
    void bucket.get("k");
    return second.seen("operation").length > before;
  });
});

test("a node that says nothing any more is given up, and another one asked", async () => {
  const first = await startNode("n1");
  const second = await startNode("n2", first);
  first.topology = led([first, second], 0);
  second.topology = first.topology;
  const db = await open([first, second], { silenceMs: 60 });
  const bucket = db.bucket("b");
  await bucket.put("k", 1);
  first.intercept = () => true;
  expect(await bucket.increment("k")).toBe(2);
  expect(first.seen("ping").length).toBeGreaterThan(0);
});

test("a slow answer is waited for as long as the node answers at all", async () => {
  const node = await startNode();
  const db = await open([node], { silenceMs: 300 });
  let answer = (): void => {};
  node.intercept = (connection, id, request) => {
    if (request.type === "operation") answer = () => node.answer(connection, id, request);
    // Three halves of the silence that would end the connection.
    if (node.seen("ping").length === 3) answer();
    return request.type === "operation";
  };
  expect(await db.bucket("b").increment("n")).toBe(1);
  expect(increments(node).length).toBe(1);
});

test("more calls than may be pending are refused at once; more than the node takes wait", async () => {
  const node = await startNode();
  node.requestsInflightMax = 3;
  const db = await open([node], { pendingMax: 10 });
  const bucket = db.bucket("b");
  const held: (() => void)[] = [];
  node.intercept = (connection, id, request) => {
    if (request.type !== "operation") return false;
    held.push(() => node.answer(connection, id, request));
    return true;
  };
  const calls = Array.from({ length: 10 }, () => bucket.get("k"));
  const error = (await rejection(bucket.get("k"))) as OverloadedError;
  expect(error).toBeInstanceOf(OverloadedError);
  expect(error.retry).toBe("safe");
  await until(() => held.length === 3);
  // What waits here has never been sent, and is not when its caller has gone.
  for (let answered = 0; answered < 10; answered++) {
    await until(() => held.length > 0);
    held.shift()?.();
  }
  await Promise.all(calls);
  expect(node.seen("operation").length).toBe(10);
});

test("a value larger than may be pending goes alone", async () => {
  const node = await startNode();
  const db = await open([node], { pendingBytesMax: 1_000 });
  const bucket = db.bucket<string>("b");
  await bucket.put("k", "x".repeat(5_000));
  const both = await Promise.allSettled([bucket.put("k", "x".repeat(5_000)), bucket.put("k", "x".repeat(5_000))]);
  expect(both.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
});

test("nobody to connect to, and wrong credentials, are told at once", async () => {
  const node = await startNode();
  const { address } = node;
  await node.stop();
  expect(await rejection(connect({ nodes: [address] }))).toBeInstanceOf(UnavailableError);
  const strict = await startNode();
  strict.intercept = (connection, id, request) => {
    if (request.type !== "hello") return false;
    expect(request.credentials).toEqual({ kind: "password", user: "ann", password: "wrong" });
    connection.reply(id, failure("BAD_CREDENTIALS", "no such user or password"));
    return true;
  };
  const options = { nodes: [strict.address], user: "ann", password: "wrong" };
  expect(await rejection(connect(options))).toBeInstanceOf(BadCredentialsError);
});

test("who does not greet, or ends as soon as it has greeted, is no node", async () => {
  const mute = await startNode();
  mute.intercept = () => true;
  const error = await rejection(connect({ nodes: [mute.address], connectTimeoutMs: 20 }));
  expect(error).toBeInstanceOf(UnavailableError);
  const brief = await startNode();
  let greetings = 0;
  brief.intercept = (connection, id, request) => {
    if (request.type !== "hello") return false;
    greetings += 1;
    if (greetings > 2) return false;
    brief.answer(connection, id, request);
    connection.raw(new Uint8Array(64));
    return true;
  };
  // Whether the end is seen before the welcome is told is a matter of how the bytes arrive.
  let db: Database | null = null;
  while (db === null) db = await open([brief]).catch(() => null);
  expect(await db.bucket("b").increment("n")).toBe(1);
});

test("of a node that does not greet no timer is left", async () => {
  const mute = await startNode();
  mute.intercept = () => true;
  const started = spyOn(globalThis, "setInterval");
  const ended = spyOn(globalThis, "clearInterval");
  try {
    await rejection(connect({ nodes: [mute.address], connectTimeoutMs: 20 }));
    const left = started.mock.results.filter(({ value }) => !ended.mock.calls.some(([timer]) => timer === value));
    expect(left).toEqual([]);
  } finally {
    started.mockRestore();
    ended.mockRestore();
  }
});

test("a token that never comes is given up, and the next one is asked for", async () => {
  const node = await startNode();
  let asked = 0;
  const token = (): Promise<string> => {
    asked += 1;
    return asked === 2 ? new Promise(() => undefined) : Promise.resolve("t");
  };
  const db = await open([node], { token, connectTimeoutMs: 500 });
  await until(() => asked === 1);
  for (const connection of node.connections) connection.close();
  expect(await db.bucket("b").increment("n")).toBe(1);
  expect(asked).toBeGreaterThan(2);
});

test("a node that comes back is found again", async () => {
  const node = await startNode();
  const db = await open([node]);
  const bucket = db.bucket("b");
  await bucket.put("k", 1);
  const { port } = node;
  await node.stop();
  const call = bucket.increment("k");
  await node.listen(port);
  expect(await call).toBe(2);
});

test("bytes that are no frames end the connection, not the client", async () => {
  const node = await startNode();
  const db = await open([node]);
  node.intercept = (connection, _id, request) => {
    if (request.type !== "operation") return false;
    node.intercept = () => false;
    connection.raw(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"));
    return true;
  };
  expect(await db.bucket("b").increment("n")).toBe(1);
});

test("after close nothing is taken, and what was under way is answered", async () => {
  const node = await startNode();
  const db = await open([node]);
  const bucket = db.bucket("b");
  const call = bucket.increment("n");
  const closed = db.close();
  expect(await call).toBe(1);
  await closed;
  expect(await rejection(bucket.get("n"))).toMatchObject({ code: "SHUTTING_DOWN", retry: "safe" });
  await until(() => node.connections.size === 0);
  expect(node.seen("closeSession").length).toBe(1);
});
