/** The heartbeats of all groups go to a peer together, and come out as they went in. */
import { expect, test } from "bun:test";
import { Heartbeats } from "../../src/cluster/heartbeats.ts";
import { ByteWriter } from "../../src/core/byte-writer.ts";
import { logIndex, type NodeId, nodeId, term } from "../../src/core/ids.ts";
import type { Heartbeat, HeartbeatReply } from "../../src/raft/messages.ts";
import type { FrameType } from "../../src/wire/peer-frame-format.ts";

const [SELF, PEER, OTHER] = [nodeId(1), nodeId(2), nodeId(3)];

interface Sent {
  readonly to: NodeId;
  readonly type: FrameType;
  readonly body: Uint8Array;
}

function heartbeat(to: NodeId, round: number): Heartbeat {
  const indexes = { commitIndex: logIndex(2 ** 40), readRound: round, releaseIndex: logIndex(5) };
  return { type: "heartbeat", from: SELF, to, term: term(9), ...indexes };
}

function reply(to: NodeId, round: number): HeartbeatReply {
  return { type: "heartbeatReply", from: SELF, to, term: term(3), readRound: round, lastIndex: logIndex(77) };
}

function setUp() {
  const sent: Sent[] = [];
  const frame = (to: NodeId, type: FrameType, _shard: number, write: (writer: ByteWriter) => void): boolean => {
    const writer = new ByteWriter();
    write(writer);
    sent.push({ to, type, body: writer.copy() });
    return to !== OTHER;
  };
  const stepped: [number, Heartbeat | HeartbeatReply][] = [];
  const sender = new Heartbeats(SELF, { frame }, () => undefined);
  const receiver = new Heartbeats(PEER, { frame }, (shard, message) => stepped.push([shard, message]));
  return { sent, stepped, sender, receiver };
}

test("one frame of heartbeats and one of answers for each peer and turn", () => {
  const { sent, stepped, sender, receiver } = setUp();
  for (const shard of [0, 7, 65_534]) sender.send(shard, heartbeat(PEER, shard));
  sender.send(1, reply(PEER, 12));
  sender.flush();
  for (const { type, body } of sent) receiver.received(SELF, type, body);
  expect(sent.map(({ body }) => body.length)).toEqual([3 * 34, 26]);
  expect(stepped).toEqual([
    [0, heartbeat(PEER, 0)],
    [7, heartbeat(PEER, 7)],
    [65_534, heartbeat(PEER, 65_534)],
    [1, reply(PEER, 12)],
  ]);
  sender.flush();
  expect(sent.length).toBe(2);
});

test("what cannot be sent now is lost, and a peer gets its own alone", () => {
  const { sent, sender } = setUp();
  sender.send(0, heartbeat(OTHER, 1));
  sender.send(0, heartbeat(PEER, 1));
  sender.flush();
  sender.send(0, heartbeat(OTHER, 2));
  sender.flush();
  expect(sent.map(({ to, body }) => [to, body.length])).toEqual([
    [OTHER, 34],
    [PEER, 34],
    [OTHER, 34],
  ]);
});

test("these bytes mean what they always have, and cut ones nothing", () => {
  const { sent, sender, receiver } = setUp();
  sender.send(258, { ...heartbeat(PEER, 6), commitIndex: logIndex(4) });
  sender.send(258, reply(PEER, 6));
  sender.flush();
  expect(sent.map(({ body }) => Buffer.from(body).toString("hex"))).toEqual([
    "0201090000000000000004000000000000000600000000000000" + "0500000000000000",
    "0201030000000000000006000000000000004d00000000000000",
  ]);
  for (const { type, body } of sent) {
    expect(() => receiver.received(SELF, type, body.subarray(0, body.length - 1))).toThrow();
  }
});
