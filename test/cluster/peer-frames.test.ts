/** Frames survive any cutting of the stream, and damage never passes for a frame. */
import { expect, test } from "bun:test";
import { ByteWriter } from "../../src/core/byte-writer.ts";
import { ByteReader } from "../../src/core/byte-reader.ts";
import { logIndex, nodeId, term } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import { decodeRaftMessage, encodeRaftMessage } from "../../src/cluster/raft-message-format.ts";
import { beginFrame, endFrame, FrameReader, FrameType } from "../../src/wire/peer-frame-format.ts";

function frames(random: Random, count: number): { stream: Uint8Array; bodies: string[] } {
  const writer = new ByteWriter();
  const bodies: string[] = [];
  for (let i = 0; i < count; i++) {
    const body = new Uint8Array(random.chance(0.1) ? random.below(200_000) : random.below(40)).fill(random.below(256));
    const start = beginFrame(writer, FrameType.raft, i);
    writer.raw(body);
    endFrame(writer, start);
    bodies.push(`${i}:${Bun.hash.crc32(body)}:${body.length}`);
  }
  return { stream: writer.copy(), bodies };
}

test("whatever the cuts, the same frames come out", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = new Random(seed);
    const { stream, bodies } = frames(random, 40);
    const reader = new FrameReader();
    const seen: string[] = [];
    for (let offset = 0; offset < stream.length; ) {
      const piece = random.chance(0.5) ? 1 + random.below(12) : 1 + random.below(100_000);
      reader.push(stream.slice(offset, offset + piece), (frame) => {
        seen.push(`${frame.shard}:${Bun.hash.crc32(frame.body as Uint8Array<ArrayBuffer>)}:${frame.body.length}`);
      });
      offset += piece;
    }
    expect({ seed, seen }).toEqual({ seed, seen: bodies });
  }
});

test("a flipped bit anywhere in a frame is refused or swallows the stream, and never gives another frame", () => {
  const writer = new ByteWriter();
  const start = beginFrame(writer, FrameType.raft, 3);
  writer.raw(new Uint8Array(20).fill(7));
  endFrame(writer, start);
  for (let bit = 0; bit < writer.length * 8; bit++) {
    const damaged = writer.copy();
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    let seen = 0;
    let refused = false;
    try {
      new FrameReader().push(damaged, () => {
        seen += 1;
      });
    } catch (error) {
      refused = String(error).includes("frame");
    }
    const announced = new DataView(damaged.buffer).getUint32(4, true);
    expect({ bit, seen, ok: refused || announced > damaged.length }).toEqual({ bit, seen: 0, ok: true });
  }
});

test("Raft messages come back as they were sent", () => {
  const envelope = { from: nodeId(2), to: nodeId(1), term: term(9) };
  const messages: Parameters<typeof encodeRaftMessage>[0][] = [
    { type: "preVote", ...envelope, lastIndex: logIndex(5), lastTerm: term(4) },
    { type: "vote", ...envelope, lastIndex: logIndex(5), lastTerm: term(4), isTransfer: true },
    { type: "timeoutNow", ...envelope },
    {
      type: "installSnapshot",
      ...envelope,
      snapshot: {
        id: 2 ** 40,
        index: logIndex(70),
        term: term(8),
        configuration: { voters: [nodeId(1), nodeId(65535)], learners: [nodeId(300)] },
      },
    },
    { type: "preVoteReply", ...envelope, granted: true },
    { type: "voteReply", ...envelope, granted: false },
    {
      type: "append",
      ...envelope,
      previousIndex: logIndex(1),
      previousTerm: term(1),
      entries: [],
      commitIndex: logIndex(1),
      readRound: 12,
      releaseIndex: logIndex(1),
    },
    {
      type: "appendReply",
      ...envelope,
      rejected: true,
      matchIndex: logIndex(2 ** 40),
      hintIndex: logIndex(7),
      hintTerm: term(3),
      readRound: 1,
    },
  ];
  const reader = new ByteReader("PROTOCOL", "a test");
  for (const message of messages) {
    const writer = new ByteWriter();
    encodeRaftMessage(message, writer);
    expect(decodeRaftMessage(reader.over(writer.copy()), envelope.from, envelope.to)).toEqual(message);
  }
});
