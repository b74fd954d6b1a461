/**
 * An operation that cannot be carried out on the spot: it waits for a leader, or travels to one. It owns its bytes.
 * Most operations never become one, because this node leads their shard. Main thread only.
 */
import type { ReadRequest } from "../bridge/shard-protocol.ts";
import { viewOf } from "../core/bytes.ts";
import { SYSTEM_BUCKET } from "../core/ids.ts";
import { type ByteRange, type CommandType, commandBytes, encodeCommand } from "../record/command-format.ts";
import { errorResult } from "../record/result.ts";
import type { BucketRef, Ordering, ReadMode, Waiter } from "./coordinator.ts";

/** Where a command has the id of its bucket (record/command-format.ts). */
const BUCKET_OFFSET = 16;

export type Work =
  /** A command without stamp and checksum. */
  | { readonly kind: "write"; readonly command: Uint8Array }
  | { readonly kind: "read"; readonly read: ReadRequest }
  /** The index from which on a replica shows everything that was acknowledged by now. Its result is an integer. */
  | { readonly kind: "index" };

export interface Operation {
  /** Order of arrival at this node, over all shards. */
  readonly sequence: number;
  readonly shard: number;
  readonly work: Work;
  /** The bucket by name, to find its id again when the one used turns out to be gone; null in the system bucket. */
  readonly bucket: BucketRef | null;
  readonly ordering: ConnectionOrdering | null;
  /** A read that has to see a write of the same connection that is still on its way. */
  readonly afterOwnWrite: boolean;
  /** Of a read: how it is kept from seeing the past, and how old that may be where some of it is allowed. */
  readonly readMode: ReadMode;
  readonly staleMs: number;
  readonly waiter: Waiter;
  readonly tag: number;
  /** On the monotonic clock. */
  readonly deadlineMs: number;
}

const NO_FLOATS = new Float64Array(0);
const NO_COUNTS = new Int32Array(0);

/**
 * What one connection has written and may not have seen committed, per shard. With a thousand shards that is tens of
 * kilobytes, so nothing is there before the first use.
 */
export class ConnectionOrdering implements Ordering {
  declare readonly __ordering: never;
  readonly #shardCount: number;
  #indexes = NO_FLOATS;
  #terms = NO_FLOATS;
  #underway = NO_COUNTS;
  #followerReads = NO_COUNTS;
  /** The connection is gone: what it has not got under way yet is not to be carried out any more. */
  hasEnded = false;
  /** How its reads are answered, and how old what they show may be in the mode `stale`. */
  readMode: ReadMode = "linearizable";
  staleMs = 0;

  constructor(shardCount: number) {
    this.#shardCount = shardCount;
  }

  /** A write of this connection stands, or will stand, at this index in this term's log. */
  wrote(shard: number, index: number, term: number): void {
    if (this.#indexes.length === 0) {
      this.#indexes = new Float64Array(this.#shardCount);
      this.#terms = new Float64Array(this.#shardCount);
    }
    this.#indexes[shard] = index;
    this.#terms[shard] = term;
  }

  /** The newest of its writes in the leader's own term; an older term's log is not what this leader appends to. */
  ownWriteIndex(shard: number, term: number): number {
    return this.#terms.length > 0 && this.#terms[shard] === term ? this.#indexes[shard]! : 0;
  }

  /** Counts writes that are held or forwarded. */
  underway(shard: number, change: 1 | -1): void {
    if (this.#underway.length === 0) this.#underway = new Int32Array(this.#shardCount);
    this.#underway[shard]! += change;
  }

  hasUnderway(shard: number): boolean {
    return this.#underway.length > 0 && this.#underway[shard]! > 0;
  }

  /** Counts reads that this node, a follower, is going to answer itself (follower-reads.ts). */
  followerRead(shard: number, change: 1 | -1): void {
    if (this.#followerReads.length === 0) this.#followerReads = new Int32Array(this.#shardCount);
    this.#followerReads[shard]! += change;
  }

  hasFollowerReads(shard: number): boolean {
    return this.#followerReads.length > 0 && this.#followerReads[shard]! > 0;
  }
}

/** What an operation comes to whose connection has ended before it was carried out. */
export const ABANDONED = errorResult("UNAVAILABLE", "the client has gone; the operation was not executed");

/** Whether the connection that submitted it has ended. */
export function isAbandoned(operation: Operation): boolean {
  return operation.ordering?.hasEnded === true;
}

/** Bytes of memory an operation holds, roughly. */
export function workBytes(work: Work): number {
  if (work.kind === "write") return work.command.length + 128;
  if (work.kind === "index") return 128;
  const { read } = work;
  return (read.type === "get" || read.type === "stamped" ? read.key.length : 64) + 128;
}

/** A command in bytes of its own. */
export function detachedCommand(
  type: CommandType,
  modifiers: number,
  bucket: number,
  key: ByteRange,
  value: ByteRange,
  expiryMs: number,
): Uint8Array {
  const command = new Uint8Array(commandBytes(expiryMs === 0 ? 0 : 1, key.end - key.start, value.end - value.start));
  encodeCommand(command, viewOf(command), 0, type, modifiers, bucket, key, value, expiryMs);
  return command;
}

/** The id of the bucket that work is on. */
export function bucketOf(work: Work): number {
  if (work.kind === "index") return SYSTEM_BUCKET;
  return work.kind === "read" ? work.read.bucket : viewOf(work.command).getUint32(BUCKET_OFFSET, true);
}

/** The same work on a bucket that has another id by now. */
export function withBucket(work: Work, bucket: number): Work {
  if (work.kind === "index") return work;
  if (work.kind === "read") return { kind: "read", read: { ...work.read, bucket } };
  const command = work.command.slice();
  viewOf(command).setUint32(BUCKET_OFFSET, bucket, true);
  return { kind: "write", command };
}
