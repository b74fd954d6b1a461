/**
 * The identities of the system. Each is a number with a brand of its own, minted here and nowhere else, so that a term
 * can never be passed where an index is meant. Any thread.
 */
import { assert } from "./assert.ts";

declare const brand: unique symbol;
type Branded<Name extends string> = number & { readonly [brand]: Name };

/** A member of the cluster, 1–65535. 0 stands for "none". */
export type NodeId = Branded<"NodeId">;
/** One partition of the key space, one Raft group, one directory: 0–65534. */
export type ShardId = Branded<"ShardId">;
/** A Raft term: a safe integer, 0 before the first election. */
export type Term = Branded<"Term">;
/** A Raft log index: a safe integer, 0 before the first entry. */
export type LogIndex = Branded<"LogIndex">;
/** A bucket: u32, never reused. 0 is the shard's own system bucket, the largest its sessions. */
export type BucketId = Branded<"BucketId">;
/** A file of one shard (segment, table, manifest): a safe integer from 1, never reused. */
export type FileNumber = Branded<"FileNumber">;
/** A file that tables point into for values: a safe integer from 2 (value-pointer-format.ts says how it is made up). */
export type ValueFileId = Branded<"ValueFileId">;
/** A byte position in the shard's log, counted over all its segments: a safe integer. */
export type LogPosition = Branded<"LogPosition">;

export const NO_NODE = 0 as NodeId;
export const SYSTEM_BUCKET = 0 as BucketId;
/** What a shard remembers of client sessions (record/session-format.ts). */
export const SESSION_BUCKET = 0xffff_ffff as BucketId;

export function nodeId(value: number): NodeId {
  assert(Number.isInteger(value) && value >= 0 && value <= 0xffff, "a node id is a u16");
  return value as NodeId;
}

export function shardId(value: number): ShardId {
  assert(Number.isInteger(value) && value >= 0 && value < 0xffff, "a shard id is a u16 below 65535");
  return value as ShardId;
}

export function term(value: number): Term {
  assert(Number.isSafeInteger(value) && value >= 0, "a term is a safe integer");
  return value as Term;
}

export function logIndex(value: number): LogIndex {
  assert(Number.isSafeInteger(value) && value >= 0, "a log index is a safe integer");
  return value as LogIndex;
}

export function fileNumber(value: number): FileNumber {
  assert(Number.isSafeInteger(value) && value >= 1, "a file number starts at 1");
  return value as FileNumber;
}

export function valueFileId(value: number): ValueFileId {
  assert(Number.isSafeInteger(value) && value >= 2, "a value file id starts at 2");
  return value as ValueFileId;
}

export function logPosition(value: number): LogPosition {
  assert(Number.isSafeInteger(value) && value >= 0, "a log position is a safe integer");
  return value as LogPosition;
}
