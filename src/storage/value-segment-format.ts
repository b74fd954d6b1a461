/**
 * A value segment (`.values.evp`): values that a collection has moved out of files that were mostly garbage. It is what
 * is left of a log segment if everything but the commands with those values is taken away, Raft's entries and indexes
 * too; the commands are the same bytes as in the log.
 *
 *   offset  bytes
 *        0      4  magic "EVPV"
 *        4      4  CRC-32 of bytes 8–63
 *        8      2  format version, u16
 *       10      2  shard, u16
 *       12      4  zero
 *       16      8  file number, u64
 *       24     16  cluster id
 *       40     24  zero
 *       64         commands (record/command-format.ts), one behind the other, to the end of the file
 *
 * Written once, synced, and then named by the manifest, which also knows its length. Any thread.
 */
import { equalBytes, getU64, setU64, viewOf } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import { type FileNumber, shardId } from "../core/ids.ts";
import type { TreeIdentity } from "./tree-options.ts";

export const VALUE_SEGMENT_HEADER_BYTES = 64;
const VALUE_SEGMENT_MAGIC = 0x5650_5645;
const VALUE_SEGMENT_VERSION = 1;
const CLUSTER_ID_OFFSET = 24;
const CLUSTER_ID_BYTES = 16;

export function encodeValueSegmentHeader(identity: TreeIdentity, number: FileNumber): Uint8Array {
  const bytes = new Uint8Array(VALUE_SEGMENT_HEADER_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, VALUE_SEGMENT_MAGIC, true);
  view.setUint16(8, VALUE_SEGMENT_VERSION, true);
  view.setUint16(10, identity.shard, true);
  setU64(view, 16, number);
  bytes.set(identity.clusterId, CLUSTER_ID_OFFSET);
  view.setUint32(4, crc32(bytes.subarray(8)), true);
  return bytes;
}

/** The checksum in an encoded header: the file's identity. */
export function valueSegmentChecksum(header: Uint8Array): number {
  return viewOf(header).getUint32(4, true);
}

/** Whose value segment it is, and its number. Throws CORRUPTION, NEWER_FORMAT. */
export function readValueSegmentHeader(
  bytes: Uint8Array,
  file: string,
): { readonly identity: TreeIdentity; readonly number: number } {
  if (bytes.length < VALUE_SEGMENT_HEADER_BYTES) throw corruption(file, bytes.length, "a value segment cut short");
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== VALUE_SEGMENT_MAGIC) throw corruption(file, 0, "no value segment");
  if (crc32(bytes.subarray(8, VALUE_SEGMENT_HEADER_BYTES)) !== valueSegmentChecksum(bytes)) {
    throw corruption(file, 4, "a value segment header with a wrong checksum");
  }
  const version = view.getUint16(8, true);
  if (version > VALUE_SEGMENT_VERSION) {
    throw new EnvelopeError("NEWER_FORMAT", `${file} has value segment format ${version}: it needs a newer release`);
  }
  const clusterId = bytes.slice(CLUSTER_ID_OFFSET, CLUSTER_ID_OFFSET + CLUSTER_ID_BYTES);
  return { identity: { shard: shardId(view.getUint16(10, true)), clusterId }, number: getU64(view, 16) };
}

/** Checks that it is the header of this very file. Throws CORRUPTION, FOREIGN_DIRECTORY or NEWER_FORMAT. */
export function checkValueSegmentHeader(bytes: Uint8Array, identity: TreeIdentity, number: number, file: string): void {
  const found = readValueSegmentHeader(bytes, file);
  if (found.identity.shard !== identity.shard || !equalBytes(found.identity.clusterId, identity.clusterId)) {
    throw new EnvelopeError("FOREIGN_DIRECTORY", `${file} belongs to another cluster or shard`);
  }
  if (found.number !== number) throw corruption(file, 16, "the header of another value segment");
}
