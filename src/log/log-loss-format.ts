/**
 * What a member has lost of its log (`log-loss.meta`): entries that it may have acknowledged are not on its disk any more. Until
 * it has them again, or what took their place, it does not campaign, and votes only for those that are not behind what it had.
 *
 *   offset  bytes
 *        0      4  magic "EVPL"
 *        4      4  CRC-32 of everything behind it
 *        8      2  format version, u16
 *       10      2  shard, u16
 *       12      4  zero
 *       16     16  cluster id
 *       32      8  term that was entered when it was found, u64: an entry of this term or a later one makes the log whole
 *       40      8  index of the last entry it had, u64; 0: not known, and then it votes for nobody
 *       48      8  term of that entry, u64
 *       56      4  bytes of the reason, u32
 *       60         what was found, UTF-8
 */
import { equalBytes, getU64, setU64, text, utf8, viewOf } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import type { LogIdentity } from "./log-options.ts";

const HEADER_BYTES = 60;
const MAGIC = 0x4c50_5645;
const VERSION = 1;
const CLUSTER_ID_OFFSET = 16;
const CLUSTER_ID_BYTES = 16;

/** Where the log ended. */
export interface LogEnd {
  readonly index: number;
  readonly term: number;
}

export interface LogLossRecord {
  readonly wholeFromTerm: number;
  /** Null: not known. */
  readonly end: LogEnd | null;
  readonly reason: string;
}

export function encodeLogLoss({ wholeFromTerm, end, reason }: LogLossRecord, identity: LogIdentity): Uint8Array {
  const said = utf8(reason);
  const bytes = new Uint8Array(HEADER_BYTES + said.length);
  const view = viewOf(bytes);
  view.setUint32(0, MAGIC, true);
  view.setUint16(8, VERSION, true);
  view.setUint16(10, identity.shard, true);
  bytes.set(identity.clusterId, CLUSTER_ID_OFFSET);
  setU64(view, 32, wholeFromTerm);
  setU64(view, 40, end?.index ?? 0);
  setU64(view, 48, end?.term ?? 0);
  view.setUint32(56, said.length, true);
  bytes.set(said, HEADER_BYTES);
  view.setUint32(4, crc32(bytes.subarray(8)), true);
  return bytes;
}

/** CORRUPTION when damaged, NEWER_FORMAT, FOREIGN_DIRECTORY. */
export function decodeLogLoss(bytes: Uint8Array, identity: LogIdentity, file: string): LogLossRecord | EnvelopeError {
  if (bytes.length < HEADER_BYTES) return corruption(file, bytes.length, "a record of a loss cut short");
  const view = viewOf(bytes);
  const isWhole = view.getUint32(0, true) === MAGIC && crc32(bytes.subarray(8)) === view.getUint32(4, true);
  if (!isWhole) return corruption(file, 4, "a record of a loss with a wrong checksum");
  const version = view.getUint16(8, true);
  if (version > VERSION) {
    return new EnvelopeError("NEWER_FORMAT", `${file} has loss format ${version}; this release knows ${VERSION}`);
  }
  const clusterId = bytes.subarray(CLUSTER_ID_OFFSET, CLUSTER_ID_OFFSET + CLUSTER_ID_BYTES);
  if (view.getUint16(10, true) !== identity.shard || !equalBytes(clusterId, identity.clusterId)) {
    return new EnvelopeError("FOREIGN_DIRECTORY", `${file} belongs to another shard or cluster`);
  }
  const index = getU64(view, 40);
  return {
    wholeFromTerm: getU64(view, 32),
    end: index === 0 ? null : { index, term: getU64(view, 48) },
    reason: text(bytes.subarray(HEADER_BYTES)),
  };
}
