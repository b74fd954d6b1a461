/** Who may speak for a peer, and what is said to be lost when. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Identity } from "../../src/cluster/identity.ts";
import { Members } from "../../src/cluster/members.ts";
import { decodeHello, encodeHello } from "../../src/cluster/peer-hello-format.ts";
import { PeerTransport } from "../../src/cluster/peer-transport.ts";
import { AssertionError } from "../../src/core/assert.ts";
import { text } from "../../src/core/bytes.ts";
import { ByteWriter } from "../../src/core/byte-writer.ts";
import { nodeId } from "../../src/core/ids.ts";
import type { Clock } from "../../src/env/clock.ts";
import type { Connection, ConnectionHandler, Network } from "../../src/env/network.ts";
import { RealDisk } from "../../src/env/real-disk.ts";
import type { MemberRecord } from "../../src/record/member-format.ts";
import {
  beginFrame,
  endFrame,
  type Frame,
  FrameReader,
  FrameType,
  NO_SHARD,
} from "../../src/wire/peer-frame-format.ts";
import { QUIET } from "./leading-group.ts";

const PEER = nodeId(2);
const HELLO_PATIENCE_MS = 3000;
const ELECTION_MS = 300;
/** Five beats make ten least election timeouts. */
const BEAT_MS = 2 * ELECTION_MS;
const BEATS_MAX = 5;

let directory = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "edb-transport-"));
});

afterEach(() => rmSync(directory, { recursive: true }));

class FakeConnection implements Connection {
  readonly remoteAddress = "peer:1";
  certificateName: string | null = null;
  certificateHosts: readonly string[] = [];
  ended = false;
  written = 0;
  /** The last that was written. */
  bytes = new Uint8Array(0);
  handler: ConnectionHandler | null = null;

  write(bytes: Uint8Array, start: number, byteCount: number): number {
    this.bytes = bytes.slice(start, start + byteCount);
    this.written += byteCount;
    return byteCount;
  }
  certified(hosts: readonly string[]): this {
    this.certificateName = hosts[0] ?? null;
    this.certificateHosts = hosts;
    return this;
  }
  pause(): void {}
  resume(): void {}
  shutdown(): void {
    this.ended = true;
  }
  terminate(): void {
    this.ended = true;
  }
  say(bytes: Uint8Array): void {
    this.handler?.onData(bytes);
  }
}

function frame(type: FrameType, body: Uint8Array): Uint8Array {
  const writer = new ByteWriter();
  const start = beginFrame(writer, type, type === FrameType.raft ? 0 : NO_SHARD);
  writer.raw(body);
  endFrame(writer, start);
  return writer.copy();
}

function setUp() {
  const events: string[] = [];
  const refused: string[] = [];
  const timers: { ms: number; run: () => void }[] = [];
  const clock: Clock = {
    wallMs: () => 0,
    monotonicMs: () => 0,
    after: (ms, run) => {
      timers.push({ ms, run });
      return { cancel: () => undefined };
    },
    soon: (run) => run(),
  };
  let accept: (connection: Connection) => ConnectionHandler = () => {
    throw new Error("nobody listens");
  };
  const dialed: { address: string; open: (connection: Connection) => ConnectionHandler }[] = [];
  const network: Network = {
    listen: (_address, onConnection) => {
      accept = onConnection;
      return { port: 1, close: () => undefined };
    },
    dial: (address, open) => {
      dialed.push({ address, open });
    },
  };
  const disk = new RealDisk();
  const memberNames = ["n1", "n2"];
  const options = {
    directory,
    clusterName: "test",
    nodeName: "n1",
    memberNames,
    shardCount: 1,
    randomHex: "00",
    joins: false,
    areShardsSaid: true,
    adopts: false,
  };
  const identity = Identity.claim(disk, options);
  const members = new Members(identity, [{ name: "n2", address: "n2:1" }], QUIET);
  const transport = new PeerTransport(
    { disk, network, clock, log: QUIET, seed: 1 },
    identity,
    members,
    { clusterName: "orders", session: 5, valueBytesMax: 1000, replicationFactor: 3, electionMs: ELECTION_MS },
    {
      onFrame: (from, session, received) => {
        if (received.body[0] === 0xff) throw new AssertionError("a promise was broken");
        events.push(`frame ${from} ${session} ${received.body[0]}`);
      },
      onJoin: (body, say, isNamed) => {
        events.push(`join ${body[0]}${isNamed("n3") ? "" : " as somebody else"}`);
        say(new Uint8Array([body[0]! + 1]));
      },
      onConnected: (peer) => events.push(`connected ${peer}`),
      onLost: (peer) => events.push(`lost ${peer}`),
      onRefused: (_from, why) => refused.push(why),
    },
  );
  transport.start("n1:1");
  const { clusterId } = identity;
  const peer = {
    clusterId,
    nodeName: "n2",
    nodeId: 2,
    incarnation: "aa",
    shardCount: 1,
    session: 9,
    valueBytesMax: 1000,
    replicationFactor: 3,
    members: identity.members,
  };
  const hello = (type: FrameType = FrameType.hello, changes = {}) => frame(type, encodeHello({ ...peer, ...changes }));
  /** With host names: the other side has shown a certificate that has them. */
  const connect = (...hosts: string[]): FakeConnection => {
    const connection = new FakeConnection().certified(hosts);
    connection.handler = accept(connection);
    return connection;
  };
  const dial = (...hosts: string[]): FakeConnection => {
    const connection = new FakeConnection().certified(hosts);
    connection.handler = dialed.pop()!.open(connection);
    return connection;
  };
  /** Lets time pass up to the next beat. */
  const beat = (): void => {
    const at = timers.findIndex(({ ms }) => ms === BEAT_MS);
    timers.splice(at, 1)[0]?.run();
  };
  return { events, refused, timers, members, transport, dialed, hello, connect, dial, beat };
}

const raft = (first: number) => frame(FrameType.raft, new Uint8Array([first]));

test("a peer is connected when both directions are", () => {
  const { transport, hello, connect, dial } = setUp();
  dial().say(hello(FrameType.welcome));
  expect(transport.connected(PEER)).toBe(false);
  const voice = connect();
  voice.say(hello());
  expect(transport.connected(PEER)).toBe(true);
  voice.handler?.onClose();
  expect(transport.connected(PEER)).toBe(false);
});

test("a peer of another cluster, of other shards, of another limit or with another directory is refused", () => {
  const { events, transport, hello, connect, dial } = setUp();
  dial().say(hello(FrameType.welcome));
  for (const changes of [
    { clusterId: "x" },
    { shardCount: 2 },
    { valueBytesMax: 999 },
    { replicationFactor: 2 },
    { incarnation: "bb" },
  ]) {
    const voice = connect();
    voice.say(hello(FrameType.hello, changes));
    voice.say(raft(1));
    expect(transport.connected(PEER)).toBe(false);
  }
  expect(events.filter((event) => event.startsWith("frame"))).toEqual([]);
});

test("a peer is who its certificate says, at whichever end of a connection this node is", () => {
  const { events, timers, transport, hello, connect, dial } = setUp();
  for (const host of ["n1.orders", "n3.orders", "n2.bills", "*.orders", "n2", "xn2.orders"]) {
    const ownVoice = dial(host);
    ownVoice.say(hello(FrameType.welcome));
    const voice = connect(host);
    voice.say(hello());
    expect([host, ownVoice.ended, voice.ended]).toEqual([host, true, true]);
    ownVoice.handler?.onClose();
    for (const { ms, run } of timers.splice(0)) if (ms < HELLO_PATIENCE_MS) run();
  }
  dial("N2.Orders").say(hello(FrameType.welcome));
  expect(transport.connected(PEER)).toBe(false);
  connect("somewhere", "n2.orders").say(hello());
  expect(transport.connected(PEER)).toBe(true);
  connect("n3.orders").say(frame(FrameType.join, new Uint8Array([7])));
  connect("n2.orders").say(frame(FrameType.join, new Uint8Array([8])));
  connect().say(frame(FrameType.join, new Uint8Array([9])));
  expect(events.filter((event) => event.startsWith("join"))).toEqual(["join 7", "join 8 as somebody else", "join 9"]);
});

test("a newer connection takes the place of the older one, whose end is then no news", () => {
  const { events, transport, hello, connect, dial } = setUp();
  dial().say(hello(FrameType.welcome));
  const older = connect();
  older.say(hello());
  older.say(raft(1));
  const newer = connect();
  newer.say(hello());
  expect(older.ended).toBe(true);
  expect(events).toEqual(["connected 2", "connected 2", "frame 2 9 1", "lost 2", "connected 2"]);
  older.handler?.onClose();
  newer.say(raft(2));
  expect(events.slice(5)).toEqual(["frame 2 9 2"]);
  expect(transport.connected(PEER)).toBe(true);
});

test("strangers say nothing: not before a hello, not much, and not for long", () => {
  const { events, refused, timers, hello, connect } = setUp();
  const mute = connect();
  for (const { ms, run } of timers) if (ms === HELLO_PATIENCE_MS) run();
  expect(mute.ended).toBe(true);

  const rude = connect();
  rude.say(new Uint8Array([...raft(1), ...hello(), ...raft(2)]));
  expect(rude.ended).toBe(true);

  const loud = connect();
  const announced = new Uint8Array(12);
  new DataView(announced.buffer).setUint32(4, 60 * 1024 * 1024, true);
  loud.say(announced);
  expect([loud.ended, events]).toEqual([true, []]);
  expect(refused).toEqual([
    "it did not introduce itself within 3000 ms",
    "the first frame is no hello",
    expect.stringContaining("a peer frame of"),
  ]);
});

test("bytes that are no frames cost the connection; a broken promise of this node is its own end", () => {
  const { hello, connect } = setUp();
  const voice = connect();
  voice.say(hello());
  expect(() => voice.say(raft(0xff))).toThrow(AssertionError);
  voice.say(raft(1).fill(7, 0, 4));
  expect(voice.ended).toBe(true);
});

test("a connection on which a peer falls silent is closed, at whichever end of it this node is", () => {
  const { events, transport, hello, connect, dial, beat } = setUp();
  const ownVoice = dial();
  ownVoice.say(hello(FrameType.welcome));
  const voice = connect();
  voice.say(hello());
  for (let i = 0; i < 3 * BEATS_MAX; i++) {
    beat();
    ownVoice.say(frame(FrameType.alive, new Uint8Array(0)));
    voice.say(i % 2 === 0 ? frame(FrameType.alive, new Uint8Array(0)) : raft(1));
  }
  expect([ownVoice.ended, voice.ended, transport.connected(PEER)]).toEqual([false, false, true]);
  expect(events.filter((event) => !event.startsWith("frame 2 9 1"))).toEqual(["connected 2", "connected 2"]);

  const heard = { ownVoice: ownVoice.written, voice: voice.written };
  for (let i = 0; i < BEATS_MAX; i++) beat();
  expect([ownVoice.ended, voice.ended]).toEqual([false, false]);
  expect(ownVoice.written).toBeGreaterThan(heard.ownVoice);
  expect(voice.written).toBeGreaterThan(heard.voice);
  beat();
  expect([ownVoice.ended, voice.ended]).toEqual([true, true]);
});

test("silence at one end of a connection does not cost the other one", () => {
  const { hello, connect, dial, beat } = setUp();
  const ownVoice = dial();
  ownVoice.say(hello(FrameType.welcome));
  const voice = connect();
  voice.say(hello());
  for (let i = 0; i <= BEATS_MAX; i++) {
    beat();
    voice.say(raft(1));
  }
  expect([ownVoice.ended, voice.ended]).toEqual([true, false]);
});

test("alive is no answer to an introduction, and no introduction", () => {
  const { events, connect, dial } = setUp();
  const alive = frame(FrameType.alive, new Uint8Array(0));
  const ownVoice = dial();
  ownVoice.say(alive);
  const stranger = connect();
  stranger.say(alive);
  expect([ownVoice.ended, stranger.ended, events]).toEqual([true, true, []]);
});

const record = (id: number, name: string, incarnation: string): MemberRecord => {
  return { id: nodeId(id), name, incarnation, peerAddress: `${name}:1`, rack: "", state: "member" };
};

test("who joins is dialed and heard; who is forgotten is hung up on, and refused from then on", () => {
  const { events, transport, members, dialed, hello, connect, dial } = setUp();
  const late = hello(FrameType.hello, { nodeId: 3, nodeName: "n3", incarnation: "cc" });
  const early = connect();
  early.say(late);
  expect(early.ended).toBe(true);

  dialed.splice(0);
  const first = [record(1, "n1", ""), record(2, "n2", "aa")];
  members.adopt({ version: 1, nextId: 4, members: [...first, record(3, "n3", "cc")] });
  expect(dialed.map(({ address }) => address)).toEqual(["n3:1"]);
  const ownVoice = dial();
  ownVoice.say(hello(FrameType.welcome, { nodeId: 3, nodeName: "n3", incarnation: "cc" }));
  const voice = connect();
  voice.say(late);
  expect(transport.connected(nodeId(3))).toBe(true);

  members.adopt({ version: 2, nextId: 4, members: first });
  expect([voice.ended, ownVoice.ended]).toEqual([true, true]);
  voice.handler?.onClose();
  ownVoice.handler?.onClose();
  expect(transport.connected(nodeId(3))).toBe(false);
  expect(events.slice(-2)).toEqual(["lost 3", "lost 3"]);
  const again = connect();
  again.say(late);
  const answers: Frame[] = [];
  new FrameReader().push(again.bytes, (answer) => answers.push(answer));
  expect([again.ended, ...answers.map(({ type }) => type)]).toEqual([true, FrameType.welcome, FrameType.refused]);
  expect(decodeHello(answers[0]!.body).members.version).toBe(2);
  expect(text(answers[1]!.body)).toStartWith("n3 has been removed from the cluster");
});

test("a member whose directory the catalog binds to another one is not heard any more", () => {
  const { members, hello, connect, dial, transport } = setUp();
  dial().say(hello(FrameType.welcome));
  const voice = connect();
  voice.say(hello());
  expect(transport.connected(PEER)).toBe(true);
  members.adopt({ version: 1, nextId: 3, members: [record(1, "n1", ""), record(2, "n2", "bb")] });
  expect(voice.ended).toBe(true);
});

test("one that was away while all others were replaced learns who they are from their introduction", () => {
  const { members, dialed, hello, connect, transport } = setUp();
  dialed.splice(0);
  const list = { version: 9, nextId: 8, members: [record(1, "n1", ""), record(7, "n7", "77")] };
  const voice = connect();
  voice.say(hello(FrameType.hello, { nodeId: 7, nodeName: "n7", incarnation: "77", members: list }));
  expect([voice.ended, members.version, dialed.map(({ address }) => address)]).toEqual([false, 9, ["n7:1"]]);
  const late = connect();
  late.say(hello());
  expect([late.ended, transport.connected(PEER)]).toEqual([true, false]);
});

test("who asks to join is answered once and hung up on; what it says besides is nobody's business", () => {
  const { events, connect } = setUp();
  const stranger = connect();
  stranger.say(new Uint8Array([...frame(FrameType.join, new Uint8Array([5])), ...raft(1)]));
  expect([stranger.ended, events]).toEqual([true, ["join 5"]]);
  expect([stranger.bytes[8], stranger.bytes[12]]).toEqual([FrameType.joined, 6]);
});

test("the word of one who speaks from another directory than its own is not taken, whatever list it brings", () => {
  const { members, hello, connect } = setUp();
  members.bind(2, "aa");
  const list = { version: 9, nextId: 8, members: [record(1, "n1", ""), record(2, "n2", "bb")] };
  const voice = connect();
  voice.say(hello(FrameType.hello, { incarnation: "bb", members: list }));
  expect([voice.ended, members.version]).toEqual([true, 0]);
});
