/**
 * A live cluster under the inputs of the fuzzer, over sockets: at the client port, at the peer port by a stranger, and by one
 * who has stolen the identity of a member. Nodes live on, and whoever speaks properly is answered all the while.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { replyText } from "../../src/client/reply.ts";
import type { RespClient } from "../../src/client/resp-client.ts";
import { decodeIdentity, type NodeIdentity } from "../../src/cluster/identity-format.ts";
import { encodeHello } from "../../src/cluster/peer-hello-format.ts";
import { ByteWriter } from "../../src/core/byte-writer.ts";
import { Random } from "../../src/core/random.ts";
import { BINARY_MAGIC } from "../../src/wire/binary-format.ts";
import { beginFrame, endFrame, FrameType, NO_SHARD } from "../../src/wire/peer-frame-format.ts";
import { BINARY_REQUESTS } from "../fuzz/targets/binary.ts";
import { PEER_BODIES } from "../fuzz/targets/peer-bodies.ts";
import { PEER_FRAMES } from "../fuzz/targets/peers.ts";
import { RESP_REQUESTS } from "../fuzz/targets/requests.ts";
import { nearly } from "../fuzz/target.ts";
import { TestCluster } from "./test-cluster.ts";

setDefaultTimeout(180_000);

const SEED = 4_711;
const INPUTS = 600;
const TOGETHER = 20;
const SESSION = 99;
const VALUE_BYTES_MAX = 64 * 1024;
/** Of a node, in all of this. */
const GROWTH_MAX = 300 * 1024 * 1024;
const STOLEN = 2;
const LIVING = [0, 1] as const;

let cluster: TestCluster;
let orderly: RespClient;

beforeAll(async () => {
  const flags = ["--value-bytes-max", String(VALUE_BYTES_MAX), "--frame-idle-ms", "1000"];
  cluster = await TestCluster.start({ nodes: 3, shards: 1, workers: 1, flags });
  orderly = await cluster.client([0, 1]);
  expect(replyText(await orderly.command("SET", "precious", "kept"))).toBe("OK");
});

afterAll(async () => {
  orderly.close();
  await cluster.stop();
});

test("at the client port: RESP, lines, the binary protocol, and bytes that mean nothing", async () => {
  const random = new Random(SEED);
  await throwAll(() => {
    if (random.chance(0.6)) return { to: clientPort(random), bytes: RESP_REQUESTS.make(random) };
    return { to: clientPort(random), bytes: joined(BINARY_MAGIC, BINARY_REQUESTS.make(random)) };
  });
});

test("at the peer port, by strangers", async () => {
  const random = new Random(SEED + 1);
  await throwAll(() => ({ to: peerPort(random), bytes: PEER_FRAMES.make(random) }));
});

test("at the peer port, by one who has stolen what a member knows of itself", async () => {
  await cluster.kill(STOLEN);
  await cluster.leader(0, LIVING);
  const identity = decodeIdentity(readFileSync(join(cluster.dataOf(STOLEN), "node.meta")), "node.meta");
  const hello = helloOf(identity);
  const random = new Random(SEED + 2);
  await throwAll(() => ({ to: peerPort(random), bytes: joined(hello, ...memberFrames(random)) }));
  await cluster.restart(STOLEN);
  await cluster.caughtUp(await cluster.leader(0, LIVING));
});

/** Many connections, some at a time; the cluster is asked for order after each round, and at the end. */
async function throwAll(next: () => { readonly to: number; readonly bytes: Uint8Array }): Promise<void> {
  const pids = LIVING.map((node) => cluster.pid(node));
  await expectOrder(0);
  const before = LIVING.map((node) => residentBytes(cluster.pid(node)));
  for (let thrown = 0; thrown < INPUTS; thrown += TOGETHER) {
    await Promise.all(Array.from({ length: TOGETHER }, () => throwOne(next())));
    await expectOrder(thrown);
  }
  for (const [i, node] of LIVING.entries()) {
    expect(cluster.pid(node)).toBe(pids[i]!);
    expect(residentBytes(cluster.pid(node)) - before[i]!).toBeLessThan(GROWTH_MAX);
  }
}

async function expectOrder(thrown: number): Promise<void> {
  expect(await orderly.command("SET", "order", String(thrown))).toEqual({ kind: "status", text: "OK" });
  expect(replyText(await orderly.command("GET", "order"))).toBe(String(thrown));
  expect(replyText(await orderly.command("GET", "precious"))).toBe("kept");
}

/** Sends it, says that it was all, and waits until the other side has said the same. */
function throwOne({ to, bytes }: { readonly to: number; readonly bytes: Uint8Array }): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port: to }, () => socket.end(bytes));
    socket.on("data", () => undefined);
    // Who is cut off in the middle of a word has a connection that was reset.
    socket.on("error", (cause: NodeJS.ErrnoException) => {
      if (cause.code === "ECONNREFUSED") reject(cause);
    });
    socket.on("close", () => resolve());
  });
}

/** Said by a member these are believed: terms that are within reach, who belongs to the cluster, who is to lead. */
const BELIEVED: ReadonlySet<number> = new Set([
  FrameType.raft,
  FrameType.heartbeats,
  FrameType.heartbeatReplies,
  FrameType.members,
  FrameType.handOver,
]);

/** What a member might say and nobody has to believe. */
function memberFrames(random: Random): Uint8Array[] {
  const bodies = PEER_BODIES.filter(({ type }) => !BELIEVED.has(type));
  return Array.from({ length: random.between(1, 4) }, () => {
    if (random.chance(0.2)) return absurdHeartbeat();
    const { type, make } = bodies[random.below(bodies.length)]!;
    if (type !== FrameType.forward) return frame(type, 0, nearly(make, random));
    const body = make(random);
    new DataView(body.buffer).setUint32(0, SESSION, true);
    return frame(type, 0, body);
  });
}

/** Of a leader in a term that no election will ever reach, which has committed more than anybody has. */
function absurdHeartbeat(): Uint8Array {
  const body = new ByteWriter();
  body.u16(0);
  for (let i = 0; i < 4; i++) body.u64(Number.MAX_SAFE_INTEGER);
  return frame(FrameType.heartbeats, NO_SHARD, body.copy());
}

function helloOf({ clusterId, nodeName, nodeId, incarnation, shardCount, members }: NodeIdentity): Uint8Array {
  const same = { clusterId, nodeName, nodeId, incarnation, shardCount, members };
  const settings = { valueBytesMax: VALUE_BYTES_MAX, replicationFactor: 3, session: SESSION };
  return frame(FrameType.hello, NO_SHARD, encodeHello({ ...same, ...settings }));
}

function frame(type: FrameType, shard: number, body: Uint8Array): Uint8Array {
  const writer = new ByteWriter();
  const start = beginFrame(writer, type, shard);
  writer.raw(body);
  endFrame(writer, start);
  return writer.copy();
}

function joined(...pieces: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(pieces));
}

function clientPort(random: Random): number {
  return cluster.clientPorts[random.below(LIVING.length)]!;
}

function peerPort(random: Random): number {
  return Number(cluster.peerAddressOf(random.below(LIVING.length)).split(":")[1]);
}

function residentBytes(pid: number): number {
  if (process.platform !== "linux") return 0;
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}
