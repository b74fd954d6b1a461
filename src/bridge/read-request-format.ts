/**
 * A read of one shard as bytes: in the rings, and on the peer link when it is forwarded. Numbers are on the wire: never
 * reuse one.
 *
 *   u8 type   1 get     u32 bucket, blob key, u8 metadata only
 *             2 page    u32 bucket, optional blob after, u32 examine max, u32 bytes max, optional blob pattern, u8 count
 *             3 sample  u32 bucket, u32 random
 *             4 scan    u32 bucket, blob prefix, bound lower, bound upper, u8 reverse, u8 keys only, u32 entries max,
 *                       u32 bytes max, u8 as of a stamp: then u32 high, u32 low
 *                       bound: optional blob, and when it is there u8 inclusive
 *             5 stamped u32 bucket, blob key, u8 metadata only
 */
import { unreachable } from "../core/assert.ts";
import type { ByteReader } from "../core/byte-reader.ts";
import type { ByteWriter } from "../core/byte-writer.ts";
import type { KeyBound, ReadRequest, ScanRequest } from "./shard-protocol.ts";

const READ = { get: 1, page: 2, sample: 3, scan: 4, stamped: 5 } as const satisfies Record<ReadRequest["type"], number>;

export function encodeRead(read: ReadRequest, into: ByteWriter): void {
  into.u8(READ[read.type]);
  switch (read.type) {
    case "get":
    case "stamped":
      into.u32(read.bucket);
      into.blob(read.key);
      into.u8(read.metadataOnly ? 1 : 0);
      break;
    case "page":
      into.u32(read.bucket);
      into.optionalBlob(read.after);
      into.u32(read.examineMax);
      into.u32(read.bytesMax);
      into.optionalBlob(read.pattern);
      into.u8(read.mode === "count" ? 1 : 0);
      break;
    case "sample":
      into.u32(read.bucket);
      into.u32(read.random);
      break;
    case "scan":
      encodeScan(read, into);
      break;
    default:
      unreachable(read);
  }
}

/** Throws the reader's error when it does not parse; `key`, `after` and `pattern` are views. */
export function decodeRead(from: ByteReader): ReadRequest {
  const type = from.u8();
  switch (type) {
    case READ.get:
      return { type: "get", bucket: from.u32(), key: from.blob(), metadataOnly: from.flag() };
    case READ.stamped:
      return { type: "stamped", bucket: from.u32(), key: from.blob(), metadataOnly: from.flag() };
    case READ.page:
      return {
        type: "page",
        bucket: from.u32(),
        after: from.optionalBlob(),
        examineMax: from.u32(),
        bytesMax: from.u32(),
        pattern: from.optionalBlob(),
        mode: from.flag() ? "count" : "keys",
      };
    case READ.sample:
      return { type: "sample", bucket: from.u32(), random: from.u32() };
    case READ.scan:
      return decodeScan(from);
    default:
      throw from.invalid(`a read of unknown type ${type}`);
  }
}

function encodeScan(scan: ScanRequest, into: ByteWriter): void {
  into.u32(scan.bucket);
  into.blob(scan.prefix);
  encodeBound(scan.lower, into);
  encodeBound(scan.upper, into);
  into.u8(scan.isReverse ? 1 : 0);
  into.u8(scan.keysOnly ? 1 : 0);
  into.u32(scan.entriesMax);
  into.u32(scan.bytesMax);
  into.u8(scan.asOf === null ? 0 : 1);
  if (scan.asOf === null) return;
  into.u32(scan.asOf.high);
  into.u32(scan.asOf.low);
}

function decodeScan(from: ByteReader): ScanRequest {
  return {
    type: "scan",
    bucket: from.u32(),
    prefix: from.blob(),
    lower: decodeBound(from),
    upper: decodeBound(from),
    isReverse: from.flag(),
    keysOnly: from.flag(),
    entriesMax: from.u32(),
    bytesMax: from.u32(),
    asOf: from.flag() ? { high: from.u32(), low: from.u32() } : null,
  };
}

function encodeBound(bound: KeyBound | null, into: ByteWriter): void {
  into.optionalBlob(bound === null ? null : bound.key);
  if (bound !== null) into.u8(bound.isInclusive ? 1 : 0);
}

function decodeBound(from: ByteReader): KeyBound | null {
  const key = from.optionalBlob();
  return key === null ? null : { key, isInclusive: from.flag() };
}
