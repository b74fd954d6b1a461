/**
 * Raft messages on the peer link: the body of a `raft` frame. The frame names the shard, the connection the sender.
 * Heartbeats travel in frames of their own (heartbeat-format.ts); their numbers here, 7 and 8, stay theirs.
 *
 *   every message     u8 type, u64 term
 *   preVote           u64 last index, u64 last term
 *   vote              u64 last index, u64 last term, u8 transfer
 *   …Reply of them    u8 granted
 *   append            u64 previous index, u64 previous term, u64 commit index, u64 read round, u64 release index,
 *                     then entries, byte for byte as they are on disk
 *   appendReply       u8 rejected, u64 match index, u64 hint index, u64 hint term, u64 read round
 *   timeoutNow        nothing more
 *   installSnapshot   u64 id, u64 index, u64 term of the snapshot's last entry, then its voters and its learners, each list
 *                     u16 count and u16 node ids
 *
 * Entries are verified here, command by command and configuration by configuration, before Raft sees them. Numbers are on
 * the wire: never reuse one.
 */
import type { ByteReader } from "../core/byte-reader.ts";
import type { ByteWriter } from "../core/byte-writer.ts";
import { unreachable } from "../core/assert.ts";
import { logIndex, type NodeId, nodeId, term } from "../core/ids.ts";
import type { Configuration } from "../raft/configuration.ts";
import type { Heartbeat, HeartbeatReply, RaftEntry, RaftMessage, Snapshot } from "../raft/messages.ts";
import { type ConfigurationMember, decodeConfiguration } from "../record/configuration-format.ts";
import {
  decodeEntries,
  ENTRY_HEADER_BYTES,
  entryIndex,
  entryTerm,
  isConfigurationEntry,
} from "../record/entry-format.ts";

type FramedMessage = Exclude<RaftMessage, Heartbeat | HeartbeatReply>;

const TYPE_NUMBER = {
  preVote: 1,
  preVoteReply: 2,
  vote: 3,
  voteReply: 4,
  append: 5,
  appendReply: 6,
  timeoutNow: 9,
  installSnapshot: 10,
} as const satisfies Record<FramedMessage["type"], number>;

const TYPES = [
  "",
  "preVote",
  "preVoteReply",
  "vote",
  "voteReply",
  "append",
  "appendReply",
  "",
  "",
  "timeoutNow",
  "installSnapshot",
] as const;

export function encodeRaftMessage(message: FramedMessage, into: ByteWriter): void {
  into.u8(TYPE_NUMBER[message.type]);
  into.u64(message.term);
  switch (message.type) {
    case "preVote":
      into.u64(message.lastIndex);
      into.u64(message.lastTerm);
      return;
    case "vote":
      into.u64(message.lastIndex);
      into.u64(message.lastTerm);
      into.u8(message.isTransfer ? 1 : 0);
      return;
    case "preVoteReply":
    case "voteReply":
      into.u8(message.granted ? 1 : 0);
      return;
    case "append":
      into.u64(message.previousIndex);
      into.u64(message.previousTerm);
      into.u64(message.commitIndex);
      into.u64(message.readRound);
      into.u64(message.releaseIndex);
      for (const entry of message.entries) into.raw(entry.bytes);
      return;
    case "appendReply":
      into.u8(message.rejected ? 1 : 0);
      into.u64(message.matchIndex);
      into.u64(message.hintIndex);
      into.u64(message.hintTerm);
      into.u64(message.readRound);
      return;
    case "timeoutNow":
      return;
    case "installSnapshot":
      encodeSnapshot(message.snapshot, into);
      return;
    default:
      unreachable(message);
  }
}

/** Throws PROTOCOL or CORRUPTION: the connection that sent it is not to be trusted further. */
export function decodeRaftMessage(reader: ByteReader, from: NodeId, to: NodeId): FramedMessage {
  const type = TYPES[reader.u8()];
  const envelope = { from, to, term: term(reader.u64()) };
  switch (type) {
    case "preVote":
      return { type, ...envelope, lastIndex: logIndex(reader.u64()), lastTerm: term(reader.u64()) };
    case "vote": {
      const last = { lastIndex: logIndex(reader.u64()), lastTerm: term(reader.u64()) };
      return { type, ...envelope, ...last, isTransfer: reader.flag() };
    }
    case "preVoteReply":
    case "voteReply":
      return { type, ...envelope, granted: reader.flag() };
    case "append":
      return {
        type,
        ...envelope,
        previousIndex: logIndex(reader.u64()),
        previousTerm: term(reader.u64()),
        commitIndex: logIndex(reader.u64()),
        readRound: reader.u64(),
        releaseIndex: logIndex(reader.u64()),
        entries: readEntries(reader),
      };
    case "appendReply":
      return {
        type,
        ...envelope,
        rejected: reader.flag(),
        matchIndex: logIndex(reader.u64()),
        hintIndex: logIndex(reader.u64()),
        hintTerm: term(reader.u64()),
        readRound: reader.u64(),
      };
    case "timeoutNow":
      return { type, ...envelope };
    case "installSnapshot":
      return { type, ...envelope, snapshot: decodeSnapshot(reader) };
    default:
      throw reader.invalid("a Raft message of unknown type");
  }
}

function encodeSnapshot({ id, index, term: lastTerm, configuration }: Snapshot, into: ByteWriter): void {
  into.u64(id);
  into.u64(index);
  into.u64(lastTerm);
  for (const members of [configuration.voters, configuration.learners]) {
    into.u16(members.length);
    for (const member of members) into.u16(member);
  }
}

function decodeSnapshot(reader: ByteReader): Snapshot {
  const head = { id: reader.u64(), index: logIndex(reader.u64()), term: term(reader.u64()) };
  const members = (): NodeId[] => Array.from({ length: reader.u16() }, () => nodeId(reader.u16()));
  return { ...head, configuration: { voters: members(), learners: members() } };
}

function readEntries(reader: ByteReader): RaftEntry[] {
  const entries = decodeEntries(reader.raw(reader.remaining), "an append");
  if (entries instanceof Error) throw entries;
  return entries.map(raftEntry);
}

/** An entry, already verified, as the core knows it. */
export function raftEntry(bytes: Uint8Array): RaftEntry {
  return { index: entryIndex(bytes), term: entryTerm(bytes), bytes, configuration: configurationOf(bytes) };
}

function configurationOf(entry: Uint8Array): Configuration | null {
  return isConfigurationEntry(entry) ? configurationIn(entry.subarray(ENTRY_HEADER_BYTES), "an entry") : null;
}

/** What the core needs to know of the body of a configuration. Throws CORRUPTION. */
export function configurationIn(body: Uint8Array, source: string): Configuration {
  const members = decodeConfiguration(body, source);
  if (members instanceof Error) throw members;
  const idsOf = (role: ConfigurationMember["role"]): NodeId[] =>
    members.filter((member) => member.role === role).map(({ id }) => id);
  return { voters: idsOf("voter"), learners: idsOf("learner") };
}
