/**
 * One copy of a shard's hard state (`hard-state.0.meta`, `hard-state.1.meta`): what Raft must never forget.
 *
 *   offset  bytes
 *        0      4  magic "EVPM"
 *        4      4  CRC-32 of bytes 8–4095
 *        8      2  format version, u16
 *       10      2  shard, u16
 *       12      4  zero
 *       16     16  cluster id
 *       32      8  generation, u64: counts saves, from 1; the larger of two good copies is the newer one
 *       40      8  term, u64
 *       48      8  node voted for in that term, u64; 0: none
 *       56      8  index that the log must reach before this member votes again, u64; 0: it has never given up a log
 *       64         zeros to 4096
 *
 * Version 1, which is still read, has at 56 what nothing wrote.
 */
import { equalBytes, getU64, setU64, viewOf } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import { type LogIndex, logIndex, type NodeId, nodeId, shardId, type Term, term } from "../core/ids.ts";
import type { LogIdentity } from "./log-options.ts";

const HARD_STATE_BYTES = 4096;
const HARD_STATE_MAGIC = 0x4d50_5645;
const HARD_STATE_VERSION = 2;
const CLUSTER_ID_OFFSET = 16;
const CLUSTER_ID_BYTES = 16;

export interface HardState {
  readonly generation: number;
  readonly term: Term;
  readonly vote: NodeId;
  readonly votesFrom: LogIndex;
}

export function encodeHardState(state: HardState, identity: LogIdentity): Uint8Array {
  const bytes = new Uint8Array(HARD_STATE_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, HARD_STATE_MAGIC, true);
  view.setUint16(8, HARD_STATE_VERSION, true);
  view.setUint16(10, identity.shard, true);
  bytes.set(identity.clusterId, CLUSTER_ID_OFFSET);
  setU64(view, 32, state.generation);
  setU64(view, 40, state.term);
  setU64(view, 48, state.vote);
  setU64(view, 56, state.votesFrom);
  view.setUint32(4, crc32(bytes.subarray(8)), true);
  return bytes;
}

/**
 * CORRUPTION when damaged, FOREIGN_DIRECTORY when it is whole and somebody else's (with a null identity it may be
 * anybody's), NEWER_FORMAT.
 */
export function decodeHardState(
  bytes: Uint8Array,
  identity: LogIdentity | null,
  file: string,
): HardState | EnvelopeError {
  if (bytes.length !== HARD_STATE_BYTES) return corruption(file, bytes.length, "a hard state of the wrong length");
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== HARD_STATE_MAGIC) return corruption(file, 0, "no hard state");
  if (crc32(bytes.subarray(8)) !== view.getUint32(4, true)) {
    return corruption(file, 4, "a hard state with a wrong checksum");
  }
  const version = view.getUint16(8, true);
  if (version > HARD_STATE_VERSION) {
    const known = `this release knows ${HARD_STATE_VERSION}`;
    return new EnvelopeError("NEWER_FORMAT", `${file} has hard state format ${version}; ${known}`);
  }
  if (identity !== null && !isOf(hardStateIdentity(bytes), identity)) {
    return new EnvelopeError("FOREIGN_DIRECTORY", `${file} belongs to another shard or cluster`);
  }
  return {
    generation: getU64(view, 32),
    term: term(getU64(view, 40)),
    vote: nodeId(getU64(view, 48)),
    votesFrom: logIndex(version === 1 ? 0 : getU64(view, 56)),
  };
}

/** Whose hard state it is. The bytes have been decoded without an error. */
export function hardStateIdentity(bytes: Uint8Array): LogIdentity {
  return {
    shard: shardId(viewOf(bytes).getUint16(10, true)),
    clusterId: bytes.slice(CLUSTER_ID_OFFSET, CLUSTER_ID_OFFSET + CLUSTER_ID_BYTES),
  };
}

function isOf(found: LogIdentity, wanted: LogIdentity): boolean {
  return found.shard === wanted.shard && equalBytes(found.clusterId, wanted.clusterId);
}
