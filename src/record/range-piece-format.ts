/**
 * A piece of what a member has between two keys, as it goes to another one that has lost it: the newest version of each key
 * as of one moment, tombstones left out, in the order of versions. Pieces of one transfer are numbered; the same number
 * asked for again is the same piece.
 *
 *   offset  bytes
 *        0      4  magic "EVPP"
 *        4      4  CRC-32 of everything behind it
 *        8      2  format version, u16
 *       10      2  1: the last piece, u16
 *       12      4  number of the piece, from 0, u32
 *       16      8  index of the last entry in what is given, u64
 *       24      4  version count, u32
 *       28         the versions: bucket u32, stamp high u32, stamp low u32, origin u16, expiry u64 (0: never),
 *                  key and value, each behind its length u32
 *
 * Any thread.
 */
import { ByteReader } from "../core/byte-reader.ts";
import { ByteWriter } from "../core/byte-writer.ts";
import { viewOf } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { EnvelopeError } from "../core/errors.ts";

const MAGIC = 0x5050_5645;
const VERSION = 1;
const HEADER_BYTES = 28;
const VERSION_BYTES_MIN = 30;
const CHECKSUM_OFFSET = 4;
const LAST_OFFSET = 10;
const COUNT_OFFSET = 24;

/** What of a version a piece has: all of a value that is there. */
export interface GivenVersion {
  readonly bucket: number;
  readonly key: Uint8Array;
  readonly stampHigh: number;
  readonly stampLow: number;
  readonly origin: number;
  readonly expiryMs: number;
  readonly value: Uint8Array;
}

export interface RangePiece {
  readonly ordinal: number;
  readonly index: number;
  readonly isLast: boolean;
  readonly versions: readonly GivenVersion[];
}

/** Fills one piece after the other. */
export class RangePieceWriter {
  readonly #writer = new ByteWriter();
  #count = 0;

  begin(ordinal: number, index: number): void {
    const writer = this.#writer;
    writer.reset();
    this.#count = 0;
    writer.u32(MAGIC);
    writer.u32(0);
    writer.u16(VERSION);
    writer.u16(0);
    writer.u32(ordinal);
    writer.u64(index);
    writer.u32(0);
  }

  get byteCount(): number {
    return this.#writer.length;
  }

  add({ bucket, key, stampHigh, stampLow, origin, expiryMs, value }: GivenVersion): void {
    const writer = this.#writer;
    writer.u32(bucket);
    writer.u32(stampHigh);
    writer.u32(stampLow);
    writer.u16(origin);
    writer.u64(expiryMs);
    writer.blob(key);
    writer.blob(value);
    this.#count += 1;
  }

  /** The piece, in bytes of its own. */
  end(isLast: boolean): Uint8Array {
    const bytes = this.#writer.copy();
    const view = viewOf(bytes);
    view.setUint16(LAST_OFFSET, isLast ? 1 : 0, true);
    view.setUint32(COUNT_OFFSET, this.#count, true);
    view.setUint32(CHECKSUM_OFFSET, crc32(bytes.subarray(CHECKSUM_OFFSET + 4)), true);
    return bytes;
  }
}

/** Keys and values are views of the bytes. Throws PROTOCOL when they are no piece, NEWER_FORMAT. */
export function decodeRangePiece(bytes: Uint8Array): RangePiece {
  const reader = new ByteReader("PROTOCOL", "a piece of a range").over(bytes);
  const isWhole = bytes.length >= HEADER_BYTES && reader.u32() === MAGIC;
  if (!isWhole || reader.u32() !== crc32(bytes.subarray(CHECKSUM_OFFSET + 4))) throw reader.invalid("no whole piece");
  const version = reader.u16();
  if (version > VERSION) {
    throw new EnvelopeError("NEWER_FORMAT", `a piece of a range in format ${version}; this release knows ${VERSION}`);
  }
  const isLast = reader.u16() === 1;
  const ordinal = reader.u32();
  const index = reader.u64();
  const versions: GivenVersion[] = [];
  for (let left = reader.count(VERSION_BYTES_MIN); left > 0; left--) {
    const bucket = reader.u32();
    const stampHigh = reader.u32();
    const stampLow = reader.u32();
    const origin = reader.u16();
    const expiryMs = reader.u64();
    const key = reader.blob();
    versions.push({ bucket, key, stampHigh, stampLow, origin, expiryMs, value: reader.blob() });
  }
  reader.finish();
  return { ordinal, index, isLast, versions };
}
