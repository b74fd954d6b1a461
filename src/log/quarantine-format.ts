/**
 * A quarantine record (`00000012.sst.quarantine`, `00000003.evp.quarantine`): the file of this name is known to be
 * damaged, and what it held is not to be believed before somebody has repaired it. A file of its own beside the damaged
 * one, rather than an edit of the manifest: segments stand in no manifest, a record must not wait for one that is being
 * written anew, and whoever restores the damaged file from a copy removes the record by its name. A segment that has left
 * the log for the values in it (`.kept.evp`) keeps the record under the name that it had there.
 *
 *   offset  bytes
 *        0      4  magic "EVPQ"
 *        4      4  CRC-32 of everything behind it
 *        8      2  format version, u16: 1; 2 of kind 4, 3 of kind 5
 *       10      2  kind, u16: 1 table, 2 segment, 3 value segment (storage/value-segment-format.ts); from version 2 on:
 *                  4 sessions: no file, but what the shard remembers of client sessions lacks something (`sessions.quarantine`);
 *                  5 keys: no file, but of the keys of a bucket between two of them nothing can be said (`keys-<id>.quarantine`)
 *       12      2  shard, u16
 *       14      2  zero
 *       16     16  cluster id
 *       32      8  number in the damaged file's name, u64; of kind 5 the bucket's id
 *       40      8  offset at which the damage was seen, u64
 *       48      8  when it was found: milliseconds since 1970, u64
 *       56      8  segment: index of its first live entry, u64; others, and one that has left the log: 0
 *       64      8  segment: index of its last live entry, u64; others, and one that has left the log: 0
 *       72      4  smallest key bytes, u32; segments: 0
 *       76      4  largest key bytes, u32; segments: 0
 *       80      4  checksum that ties it to the file: of a table's footer, of a segment's header
 *       84      4  bytes of the reason, u32
 *       88         smallest table key, largest table key, reason (UTF-8)
 */
import { equalBytes, getU64, setU64, text, utf8, viewOf } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import type { LogIdentity } from "./log-options.ts";

const HEADER_BYTES = 88;
const MAGIC = 0x5150_5645;
const VERSION = 3;
const SESSIONS_VERSION = 2;
const FIRST_VERSION = 1;
const CLUSTER_ID_OFFSET = 16;
const CLUSTER_ID_BYTES = 16;
const ENDING = ".quarantine";

export const QuarantineKind = { table: 1, segment: 2, valueSegment: 3, sessions: 4, keys: 5 } as const;
export type QuarantineKind = (typeof QuarantineKind)[keyof typeof QuarantineKind];

export interface QuarantineRecord {
  readonly kind: QuarantineKind;
  readonly number: number;
  /** Where in the file the damage was seen, why it is taken for damage, and when. */
  readonly offset: number;
  readonly reason: string;
  readonly foundMs: number;
  readonly fileChecksum: number;
  /** Of a table, and of keys: the table keys between which nothing can be said. */
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
  /** Of a segment: the entries it holds. */
  readonly firstIndex: number;
  readonly lastIndex: number;
}

/** The record of a damaged file. */
export function quarantinePath(path: string): string {
  return `${path}${ENDING}`;
}

/** The damaged file that a record is about; null when the name is not that of a record. */
export function quarantinedName(name: string): string | null {
  return name.endsWith(ENDING) ? name.slice(0, -ENDING.length) : null;
}

export function encodeQuarantine(record: QuarantineRecord, identity: LogIdentity): Uint8Array {
  const reason = utf8(record.reason);
  const bytes = new Uint8Array(HEADER_BYTES + record.smallest.length + record.largest.length + reason.length);
  const view = viewOf(bytes);
  view.setUint32(0, MAGIC, true);
  view.setUint16(8, versionOf(record.kind), true);
  view.setUint16(10, record.kind, true);
  view.setUint16(12, identity.shard, true);
  bytes.set(identity.clusterId, CLUSTER_ID_OFFSET);
  setU64(view, 32, record.number);
  setU64(view, 40, record.offset);
  setU64(view, 48, record.foundMs);
  setU64(view, 56, record.firstIndex);
  setU64(view, 64, record.lastIndex);
  view.setUint32(72, record.smallest.length, true);
  view.setUint32(76, record.largest.length, true);
  view.setUint32(80, record.fileChecksum, true);
  view.setUint32(84, reason.length, true);
  bytes.set(record.smallest, HEADER_BYTES);
  bytes.set(record.largest, HEADER_BYTES + record.smallest.length);
  bytes.set(reason, HEADER_BYTES + record.smallest.length + record.largest.length);
  view.setUint32(4, crc32(bytes.subarray(8)), true);
  return bytes;
}

/** CORRUPTION when damaged, NEWER_FORMAT, FOREIGN_DIRECTORY; with a null identity it may be anybody's. */
export function decodeQuarantine(
  bytes: Uint8Array,
  identity: LogIdentity | null,
  file: string,
): QuarantineRecord | EnvelopeError {
  if (bytes.length < HEADER_BYTES) return corruption(file, bytes.length, "a quarantine record cut short");
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== MAGIC) return corruption(file, 0, "no quarantine record");
  if (crc32(bytes.subarray(8)) !== view.getUint32(4, true)) {
    return corruption(file, 4, "a quarantine record with a wrong checksum");
  }
  const version = view.getUint16(8, true);
  if (version > VERSION) {
    return new EnvelopeError("NEWER_FORMAT", `${file} has quarantine format ${version}; this release knows ${VERSION}`);
  }
  const clusterId = bytes.subarray(CLUSTER_ID_OFFSET, CLUSTER_ID_OFFSET + CLUSTER_ID_BYTES);
  const isOwn =
    identity === null || (view.getUint16(12, true) === identity.shard && equalBytes(clusterId, identity.clusterId));
  if (!isOwn) return new EnvelopeError("FOREIGN_DIRECTORY", `${file} belongs to another shard or cluster`);
  const kind = view.getUint16(10, true);
  const largestStart = HEADER_BYTES + view.getUint32(72, true);
  const reasonStart = largestStart + view.getUint32(76, true);
  if (!isKind(kind) || reasonStart + view.getUint32(84, true) !== bytes.length) {
    return corruption(file, 8, "an absurd quarantine record");
  }
  return {
    kind,
    number: getU64(view, 32),
    offset: getU64(view, 40),
    foundMs: getU64(view, 48),
    firstIndex: getU64(view, 56),
    lastIndex: getU64(view, 64),
    fileChecksum: view.getUint32(80, true),
    smallest: bytes.slice(HEADER_BYTES, largestStart),
    largest: bytes.slice(largestStart, reasonStart),
    reason: text(bytes.subarray(reasonStart)),
  };
}

/** The first that knows the kind: an older release refuses what it does not understand. */
function versionOf(kind: QuarantineKind): number {
  if (kind === QuarantineKind.keys) return VERSION;
  return kind === QuarantineKind.sessions ? SESSIONS_VERSION : FIRST_VERSION;
}

function isKind(kind: number): kind is QuarantineKind {
  return kind >= QuarantineKind.table && kind <= QuarantineKind.keys;
}
