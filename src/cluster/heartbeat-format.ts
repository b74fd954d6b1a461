/**
 * Heartbeats of many groups in one frame, and the answers to them in another: a node leads and follows many shards, and says
 * the same few numbers of each to the same peers at the same time. The frame names no shard; its body is one record after
 * the other.
 *
 *   heartbeats          u16 shard, u64 term, u64 commit index, u64 read round, u64 release index
 *   heartbeatReplies    u16 shard, u64 term, u64 read round, u64 last index
 */
import type { ByteReader } from "../core/byte-reader.ts";
import type { ByteWriter } from "../core/byte-writer.ts";
import { logIndex, type NodeId, term } from "../core/ids.ts";
import type { Heartbeat, HeartbeatReply } from "../raft/messages.ts";

export function encodeHeartbeat(shard: number, message: Heartbeat, into: ByteWriter): void {
  into.u16(shard);
  into.u64(message.term);
  into.u64(message.commitIndex);
  into.u64(message.readRound);
  into.u64(message.releaseIndex);
}

export function encodeHeartbeatReply(shard: number, message: HeartbeatReply, into: ByteWriter): void {
  into.u16(shard);
  into.u64(message.term);
  into.u64(message.readRound);
  into.u64(message.lastIndex);
}

/** Throws PROTOCOL when the body does not end with a record. */
export function decodeHeartbeats(
  reader: ByteReader,
  from: NodeId,
  to: NodeId,
  visit: (shard: number, message: Heartbeat) => void,
): void {
  while (reader.remaining > 0) {
    const shard = reader.u16();
    visit(shard, {
      type: "heartbeat",
      from,
      to,
      term: term(reader.u64()),
      commitIndex: logIndex(reader.u64()),
      readRound: reader.u64(),
      releaseIndex: logIndex(reader.u64()),
    });
  }
}

/** Throws PROTOCOL when the body does not end with a record. */
export function decodeHeartbeatReplies(
  reader: ByteReader,
  from: NodeId,
  to: NodeId,
  visit: (shard: number, message: HeartbeatReply) => void,
): void {
  while (reader.remaining > 0) {
    const shard = reader.u16();
    const type = "heartbeatReply";
    visit(shard, {
      type,
      from,
      to,
      term: term(reader.u64()),
      readRound: reader.u64(),
      lastIndex: logIndex(reader.u64()),
    });
  }
}
