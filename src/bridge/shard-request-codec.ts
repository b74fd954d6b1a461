/**
 * The bytes of a ShardRequest in a ring; those of a reply are in shard-reply-codec.ts:
 *
 *   shard u16 · type u8 · the variant's fields in the order of its declaration
 *
 * Indexes, terms and the numbers of questions are u64, because none of them is ever used twice; ids and counts u32 (node
 * ids u16), flags u8; byte strings and texts follow their u32 length; lists follow their u32 count; what may be null
 * follows a u8 that says whether it is there. Little-endian.
 * Both ends are threads of one process, so numbers of types may change from build to build, but not what they mean
 * within one. A message that does not parse is a broken promise of ours: the reader throws.
 *
 * Byte fields of a decoded message are views of the reader's bytes.
 */
import { decodeRead, encodeRead } from "./read-request-format.ts";
import type { ByteReader } from "../core/byte-reader.ts";
import type { ByteWriter } from "../core/byte-writer.ts";
import { logIndex, nodeId, type ShardId, shardId, term } from "../core/ids.ts";
import { decodeRepairRequest, encodeRepairRequest, REPAIR_REQUEST } from "./repair-protocol.ts";
import type { ShardRequest } from "./shard-protocol.ts";

const REQUEST = {
  append: 1,
  commit: 2,
  saveHardState: 3,
  read: 4,
  readEntries: 5,
  release: 6,
  flush: 7,
  compact: 8,
  stats: 9,
  returnArena: 10,
  stop: 11,
  snapshot: 12,
  snapshotRead: 13,
  snapshotDrop: 14,
  installBegin: 15,
  installPiece: 16,
  installEnd: 17,
  empty: 18,
  ...REPAIR_REQUEST,
} as const satisfies Record<ShardRequest["type"], number>;

export function encodeRequest(shard: ShardId, request: ShardRequest, into: ByteWriter): void {
  into.u16(shard);
  into.u8(REQUEST[request.type]);
  switch (request.type) {
    case "append":
      into.blobs(request.entries);
      into.u64(request.commitIndex);
      into.u64(request.applyThrough);
      into.u8(request.wantResults ? 1 : 0);
      break;
    case "commit":
      into.u64(request.commitIndex);
      break;
    case "saveHardState":
      into.u64(request.term);
      into.u16(request.vote);
      break;
    case "read":
      into.u64(request.requestId);
      into.u64(request.minIndex);
      encodeRead(request.read, into);
      break;
    case "readEntries":
      into.u64(request.from);
      into.u32(request.bytesMax);
      break;
    case "release":
      into.u64(request.index);
      into.u64(request.retainedBytes);
      break;
    case "flush":
    case "compact":
    case "stats":
    case "snapshot":
    case "installEnd":
      into.u64(request.requestId);
      break;
    case "empty":
      into.u64(request.requestId);
      into.u64(request.votesFrom);
      break;
    case "snapshotRead":
      into.u64(request.requestId);
      into.u32(request.id);
      into.u32(request.file);
      into.u64(request.offset);
      into.u32(request.byteCount);
      break;
    case "snapshotDrop":
      into.u32(request.id);
      break;
    case "installBegin":
      into.u64(request.requestId);
      into.blob(request.description);
      break;
    case "installPiece":
      into.u64(request.requestId);
      into.u32(request.file);
      into.u64(request.offset);
      into.blob(request.bytes);
      break;
    case "returnArena":
      into.u32(request.arena);
      break;
    case "stop":
      break;
    default:
      encodeRepairRequest(request, into);
  }
}

/** The shard a message is for or from; then comes `decodeRequest` or `decodeReply`. */
export function decodeShard(from: ByteReader): ShardId {
  return shardId(from.u16());
}

export function decodeRequest(from: ByteReader): ShardRequest {
  const type = from.u8();
  switch (type) {
    case REQUEST.append:
      return {
        type: "append",
        entries: from.blobs(),
        commitIndex: logIndex(from.u64()),
        applyThrough: logIndex(from.u64()),
        wantResults: from.flag(),
      };
    case REQUEST.commit:
      return { type: "commit", commitIndex: logIndex(from.u64()) };
    case REQUEST.saveHardState:
      return { type: "saveHardState", term: term(from.u64()), vote: nodeId(from.u16()) };
    case REQUEST.read:
      return { type: "read", requestId: from.u64(), minIndex: logIndex(from.u64()), read: decodeRead(from) };
    case REQUEST.readEntries:
      return { type: "readEntries", from: logIndex(from.u64()), bytesMax: from.u32() };
    case REQUEST.release:
      return { type: "release", index: logIndex(from.u64()), retainedBytes: from.u64() };
    case REQUEST.flush:
      return { type: "flush", requestId: from.u64() };
    case REQUEST.compact:
      return { type: "compact", requestId: from.u64() };
    case REQUEST.stats:
      return { type: "stats", requestId: from.u64() };
    case REQUEST.returnArena:
      return { type: "returnArena", arena: from.u32() };
    case REQUEST.snapshot:
      return { type: "snapshot", requestId: from.u64() };
    case REQUEST.snapshotRead:
      return decodeSnapshotRead(from);
    case REQUEST.snapshotDrop:
      return { type: "snapshotDrop", id: from.u32() };
    case REQUEST.installBegin:
      return { type: "installBegin", requestId: from.u64(), description: from.blob() };
    case REQUEST.installPiece:
      return decodeInstallPiece(from);
    case REQUEST.installEnd:
      return { type: "installEnd", requestId: from.u64() };
    case REQUEST.empty:
      return { type: "empty", requestId: from.u64(), votesFrom: logIndex(from.u64()) };
    case REQUEST.stop:
      return { type: "stop" };
    default:
      return decodeRepairRequest(type, from);
  }
}

function decodeInstallPiece(from: ByteReader): ShardRequest {
  const requestId = from.u64();
  const file = from.u32();
  return { type: "installPiece", requestId, file, offset: from.u64(), bytes: from.blob() };
}

function decodeSnapshotRead(from: ByteReader): ShardRequest {
  const requestId = from.u64();
  const id = from.u32();
  const file = from.u32();
  return { type: "snapshotRead", requestId, id, file, offset: from.u64(), byteCount: from.u32() };
}
