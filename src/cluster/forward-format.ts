/**
 * Operations on their way to the leader of a shard, and their results: the bodies of `forward` and `forwardReply`
 * frames.
 *
 *   forward       u32 session of the asking process, u32 round, u64 term in which the asking node's own Raft follows the
 *                 receiver (0: it does not), then for each operation:
 *                 u32 request id, u8 kind (1 write, 2 read, 3 read on a lease, 4 read index), u8 after own write,
 *                 write: u32 length and the command, unstamped · read: the read request (read-request-format.ts) ·
 *                 read index: nothing; its result is an integer
 *                 (who refuses an operation refuses all that follow in the same round)
 *   forwardReply  u32 session it answers to, then for each operation:
 *                 u32 request id, u8 outcome (1 result, 2 not the leader: not executed), 1: the result
 */
import { decodeRead, encodeRead } from "../bridge/read-request-format.ts";
import type { ByteReader } from "../core/byte-reader.ts";
import type { ByteWriter } from "../core/byte-writer.ts";
import { SYSTEM_BUCKET } from "../core/ids.ts";
import type { CommandReader, CommandType } from "../record/command-format.ts";
import { isInPlace } from "../record/command-place.ts";
import type { Result } from "../record/result.ts";
import { decodeResult, encodeResult } from "../record/result-format.ts";
import type { ReadMode } from "./coordinator.ts";
import type { Operation, Work } from "./operation.ts";

const KIND_WRITE = 1;
const KIND_READ = 2;
const KIND_LEASE_READ = 3;
const KIND_INDEX = 4;
const OUTCOME_RESULT = 1;
const OUTCOME_NOT_LEADER = 2;

export function encodeForwarded(
  requestId: number,
  { work, afterOwnWrite, readMode }: Pick<Operation, "work" | "afterOwnWrite" | "readMode">,
  into: ByteWriter,
): void {
  into.u32(requestId);
  into.u8(kindOf(work, readMode));
  into.u8(afterOwnWrite ? 1 : 0);
  if (work.kind === "write") into.blob(work.command);
  else if (work.kind === "read") encodeRead(work.read, into);
}

/** The leader is within any bound on a lease; whom a follower asks for an answer instead of an index is to be certain. */
function kindOf(work: Work, readMode: ReadMode): number {
  if (work.kind === "write") return KIND_WRITE;
  if (work.kind === "index") return KIND_INDEX;
  return readMode === "lease" || readMode === "stale" ? KIND_LEASE_READ : KIND_READ;
}

export interface Forwarded {
  readonly requestId: number;
  readonly work: Work;
  readonly afterOwnWrite: boolean;
  /** Of a write: its type and bucket, read from the command. */
  readonly commandType: CommandType | null;
  readonly bucket: number;
  readonly readMode: ReadMode;
}

/** Decodes one operation; it owns its bytes. Throws PROTOCOL when it is none. */
export function decodeForwarded(reader: ByteReader, command: CommandReader): Forwarded {
  const requestId = reader.u32();
  const kind = reader.u8();
  const afterOwnWrite = reader.flag();
  if (kind === KIND_READ || kind === KIND_LEASE_READ) {
    const read = decodeRead(reader);
    const readMode = kind === KIND_READ ? "linearizable" : "lease";
    return { requestId, work: { kind: "read", read }, afterOwnWrite, commandType: null, bucket: read.bucket, readMode };
  }
  if (kind === KIND_INDEX) {
    const work = { kind: "index" } as const;
    return { requestId, work, afterOwnWrite, commandType: null, bucket: SYSTEM_BUCKET, readMode: "linearizable" };
  }
  if (kind !== KIND_WRITE) throw reader.invalid("a forwarded operation of unknown kind");
  const bytes = reader.blob().slice();
  if (command.over(bytes).read(0, bytes.length) !== bytes.length)
    throw reader.invalid("a forwarded command that does not parse");
  if (!isInPlace(command.type, command.bucket)) throw reader.invalid("a forwarded command out of its place");
  return {
    requestId,
    work: { kind: "write", command: bytes },
    afterOwnWrite,
    commandType: command.type,
    bucket: command.bucket,
    readMode: "linearizable",
  };
}

/** `result` null: this node does not lead the shard and has done nothing. */
export function encodeForwardOutcome(requestId: number, result: Result | null, into: ByteWriter): void {
  into.u32(requestId);
  into.u8(result === null ? OUTCOME_NOT_LEADER : OUTCOME_RESULT);
  if (result !== null) encodeResult(result, into);
}

export function decodeForwardOutcome(reader: ByteReader): { requestId: number; result: Result | null } {
  const requestId = reader.u32();
  const outcome = reader.u8();
  if (outcome === OUTCOME_NOT_LEADER) return { requestId, result: null };
  if (outcome !== OUTCOME_RESULT) throw reader.invalid("a forwarded outcome of unknown kind");
  return { requestId, result: decodeResult(reader) };
}
