/** What nodes say to each other: for each type of frame how a body is made, and what takes it. */
import { ByteReader } from "../../../src/core/byte-reader.ts";
import { ByteWriter } from "../../../src/core/byte-writer.ts";
import { logIndex, term } from "../../../src/core/ids.ts";
import type { Random } from "../../../src/core/random.ts";
import { decodeFarewell, encodeFarewell } from "../../../src/cluster/farewell-format.ts";
import {
  decodeForwarded,
  decodeForwardOutcome,
  encodeForwarded,
  encodeForwardOutcome,
} from "../../../src/cluster/forward-format.ts";
import {
  decodeHeartbeatReplies,
  decodeHeartbeats,
  encodeHeartbeat,
  encodeHeartbeatReply,
} from "../../../src/cluster/heartbeat-format.ts";
import { decodeJoin, decodeJoinAnswer, encodeJoin, encodeJoinAnswer } from "../../../src/cluster/join-format.ts";
import { decodeReports, encodeReports } from "../../../src/cluster/node-report-format.ts";
import { decodeHello, encodeHello } from "../../../src/cluster/peer-hello-format.ts";
import { decodeRaftMessage, encodeRaftMessage } from "../../../src/cluster/raft-message-format.ts";
import {
  decodeRepairAsk,
  decodeRepairGiven,
  encodeRepairAsk,
  encodeRepairGiven,
} from "../../../src/cluster/repair-frame-format.ts";
import {
  decodeSnapshotAsk,
  decodeSnapshotGiven,
  encodeSnapshotAsk,
  encodeSnapshotGiven,
} from "../../../src/cluster/snapshot-frame-format.ts";
import { CommandReader } from "../../../src/record/command-format.ts";
import { decodeMemberList, encodeMemberList } from "../../../src/record/member-format.ts";
import { FrameType } from "../../../src/wire/peer-frame-format.ts";
import { chanceBytes } from "../mutation.ts";
import { anyCommand, anyEntries, anyMemberList, anyResult } from "./record-samples.ts";
import { anyRaftMessage, anySize, FROM, TO } from "./raft-samples.ts";

export interface PeerBody {
  readonly type: FrameType;
  make(random: Random): Uint8Array;
  take(body: Uint8Array): void;
}

export const PEER_BODIES: readonly PeerBody[] = [
  { type: FrameType.hello, make: (random) => encodeHello(anyHello(random)), take: decodeHello },
  { type: FrameType.welcome, make: (random) => encodeHello(anyHello(random)), take: decodeHello },
  { type: FrameType.join, make: (random) => encodeJoin(anyJoin(random)), take: decodeJoin },
  { type: FrameType.joined, make: anyJoinAnswer, take: decodeJoinAnswer },
  { type: FrameType.members, make: (random) => encodeMemberList(anyMemberList(random)), take: decodeMemberList },
  { type: FrameType.report, make: anyReports, take: decodeReports },
  {
    type: FrameType.raft,
    make: (random) => written((writer) => encodeRaftMessage(anyRaftMessage(random, anyEntries(random)), writer)),
    take: (body) => decodeRaftMessage(readerOf(body), FROM, TO),
  },
  { type: FrameType.heartbeats, make: anyHeartbeats, take: takeHeartbeats },
  { type: FrameType.heartbeatReplies, make: anyHeartbeatReplies, take: takeHeartbeatReplies },
  { type: FrameType.forward, make: anyForward, take: takeForward },
  { type: FrameType.forwardReply, make: anyForwardReply, take: takeForwardReply },
  {
    type: FrameType.farewell,
    make: (random) =>
      written((writer) => encodeFarewell({ index: logIndex(anySize(random)), term: term(anySize(random)) }, writer)),
    take: (body) => decodeFarewell(readerOf(body)),
  },
  { type: FrameType.snapshotAsk, make: anySnapshotAsk, take: (body) => decodeSnapshotAsk(readerOf(body)) },
  { type: FrameType.snapshotGiven, make: anySnapshotGiven, take: (body) => decodeSnapshotGiven(readerOf(body)) },
  { type: FrameType.repairAsk, make: anyRepairAsk, take: (body) => decodeRepairAsk(readerOf(body)) },
  { type: FrameType.repairGiven, make: anyRepairGiven, take: (body) => decodeRepairGiven(readerOf(body)) },
  { type: FrameType.handOver, make: (random) => chanceBytes(2, random), take: (body) => readerOf(body).u16() },
];

const COMMAND = new CommandReader();

function readerOf(body: Uint8Array): ByteReader {
  return new ByteReader("PROTOCOL", "a body").over(body);
}

function written(write: (writer: ByteWriter) => void): Uint8Array {
  const writer = new ByteWriter();
  write(writer);
  return writer.copy();
}

function anyHello(random: Random) {
  return {
    clusterId: "a".repeat(32),
    nodeName: `n${random.between(1, 9)}`,
    nodeId: random.between(1, 0xffff),
    incarnation: "b".repeat(16),
    shardCount: random.below(20),
    valueBytesMax: anySize(random),
    replicationFactor: random.below(5),
    session: random.u32(),
    members: anyMemberList(random),
  };
}

function anyJoin(random: Random) {
  return {
    name: `n${random.between(1, 9)}`,
    incarnation: "c".repeat(16),
    peerAddress: "127.0.0.1:9101",
    rack: random.chance(0.5) ? "" : "r1",
    valueBytesMax: anySize(random),
    electionMs: random.below(1000),
    replicationFactor: 3,
  };
}

function anyJoinAnswer(random: Random): Uint8Array {
  if (random.chance(0.3)) return encodeJoinAnswer({ kind: "refused", code: "CONFIG", message: "no" });
  const numbers = { nodeId: random.between(1, 9), shardCount: random.between(1, 9) };
  const membership = { clusterId: "a".repeat(32), ...numbers, members: anyMemberList(random) };
  return encodeJoinAnswer({ kind: "joined", membership });
}

function anyReports(random: Random): Uint8Array {
  const reports = Array.from({ length: random.below(3) }, (_, i) => ({
    node: i + 1,
    session: random.u32(),
    version: anySize(random),
    membersVersion: anySize(random),
    leads: [{ shard: random.below(9), term: anySize(random), voters: [1, 2, 3], learners: [] }],
    pending: anySize(random),
    debtBytes: anySize(random),
    quarantined: 0,
    isWritable: random.chance(0.5),
  }));
  return encodeReports(reports);
}

function anyHeartbeats(random: Random): Uint8Array {
  const numbers = () => ({
    term: term(anySize(random)),
    commitIndex: logIndex(anySize(random)),
    readRound: anySize(random),
    releaseIndex: logIndex(anySize(random)),
  });
  return written((writer) => {
    for (let shard = random.below(4); shard >= 0; shard--)
      encodeHeartbeat(shard, { type: "heartbeat", from: FROM, to: TO, ...numbers() }, writer);
  });
}

function takeHeartbeats(body: Uint8Array): void {
  decodeHeartbeats(readerOf(body), FROM, TO, () => undefined);
}

function anyHeartbeatReplies(random: Random): Uint8Array {
  const reply = {
    type: "heartbeatReply",
    from: FROM,
    to: TO,
    term: term(anySize(random)),
    readRound: anySize(random),
    lastIndex: logIndex(anySize(random)),
  } as const;
  return written((writer) => encodeHeartbeatReply(random.below(9), reply, writer));
}

function takeHeartbeatReplies(body: Uint8Array): void {
  decodeHeartbeatReplies(readerOf(body), FROM, TO, () => undefined);
}

function anyForward(random: Random): Uint8Array {
  return written((writer) => {
    writer.u32(random.u32());
    writer.u32(random.below(9));
    writer.u64(anySize(random));
    const key = chanceBytes(random.below(9), random);
    const read = { type: "get", bucket: random.below(9), key, metadataOnly: false } as const;
    const scan = {
      ...({
        type: "scan",
        bucket: 1,
        prefix: key,
        lower: null,
        upper: { key, isInclusive: true },
        isReverse: true,
      } as const),
      ...{ keysOnly: false, entriesMax: anySize(random) >>> 0, bytesMax: random.u32(), asOf: { high: 1, low: 2 } },
    };
    const write = { kind: "write", command: anyCommand(random) } as const;
    const works = [
      write,
      write,
      { kind: "read", read } as const,
      { kind: "read", read: scan } as const,
      { kind: "index" } as const,
    ];
    for (let left = random.between(1, 3); left > 0; left--) {
      const work = works[random.below(works.length)]!;
      encodeForwarded(random.u32(), { work, afterOwnWrite: random.chance(0.5), readMode: "linearizable" }, writer);
    }
  });
}

function takeForward(body: Uint8Array): void {
  const reader = readerOf(body);
  reader.u32();
  reader.u32();
  reader.u64();
  while (reader.remaining > 0) decodeForwarded(reader, COMMAND);
}

function anyForwardReply(random: Random): Uint8Array {
  return written((writer) => {
    writer.u32(random.u32());
    for (let left = random.between(1, 3); left > 0; left--)
      encodeForwardOutcome(random.u32(), random.chance(0.2) ? null : anyResult(random), writer);
  });
}

function takeForwardReply(body: Uint8Array): void {
  const reader = readerOf(body);
  reader.u32();
  while (reader.remaining > 0) decodeForwardOutcome(reader);
}

function anySnapshotAsk(random: Random): Uint8Array {
  const piece = { file: random.u32(), offset: anySize(random), byteCount: random.u32() };
  return written((writer) =>
    encodeSnapshotAsk({ snapshot: anySize(random), piece: random.chance(0.5) ? null : piece }, writer),
  );
}

function anySnapshotGiven(random: Random): Uint8Array {
  const snapshot = anySize(random);
  const bytes = chanceBytes(random.below(40), random);
  return written((writer) => {
    if (random.chance(0.3)) encodeSnapshotGiven({ kind: "gone", snapshot }, writer);
    else if (random.chance(0.5)) encodeSnapshotGiven({ kind: "description", snapshot, description: bytes }, writer);
    else encodeSnapshotGiven({ kind: "piece", snapshot, file: random.u32(), offset: anySize(random), bytes }, writer);
  });
}

function anyRepairAsk(random: Random): Uint8Array {
  const number = anySize(random);
  const ranges = [{ smallest: chanceBytes(random.below(9), random), largest: chanceBytes(random.below(9), random) }];
  return written((writer) => {
    if (random.chance(0.5))
      encodeRepairAsk({ kind: "open", number, minIndex: logIndex(anySize(random)), ranges }, writer);
    else encodeRepairAsk({ kind: "read", number, id: random.u32(), ordinal: random.u32() }, writer);
  });
}

function anyRepairGiven(random: Random): Uint8Array {
  const number = anySize(random);
  return written((writer) => {
    if (random.chance(0.5)) encodeRepairGiven({ kind: "refused", number, why: "no" }, writer);
    else encodeRepairGiven({ kind: "opened", number, id: 1, index: logIndex(anySize(random)), isWhole: true }, writer);
  });
}
