/**
 * How the body of a block (block-format.ts) stands in a table. In tables of format version 1:
 *
 *   body · CRC-32, u32
 *
 * and from version 2 on:
 *
 *   1   type: 1 body as it is, 2 body as a zstd frame
 *  (4)  bytes of the body, u32            type 2
 *       body or frame
 *   4   CRC-32 of all of the above
 *
 * The checksum begins with the block's seed and is of the bytes that are stored, so that damage is found before anything
 * is unpacked. A body that zstd does not make smaller by an eighth stays as it is: it is read in place then, and costs
 * neither time nor cache. Any thread.
 */
import { EMPTY_BYTES } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { readU32, writeU32 } from "./block-format.ts";

export const TYPE_BYTES = 1;
const TYPE_RAW = 1;
const TYPE_ZSTD = 2;
const BODY_COUNT_BYTES = 4;
export const CHECKSUM_BYTES = 4;
/** A block of version 2 is never smaller: type, a body that is but a restart count, checksum. */
export const STORED_BYTES_MIN = TYPE_BYTES + 4 + CHECKSUM_BYTES;
/** zstd's own bound on what a frame may unpack to is the format's u32; this is ours, against absurd counts. */
const BODY_BYTES_MAX = 1024 * 1024 * 1024;

/** Encodes bodies as blocks of version 2, into one buffer that is reused. */
export class BlockPacker {
  readonly #level: number;
  #buffer = new Uint8Array(8192);

  /** `level`: that of zstd, 1 to 22, or 0 to store bodies as they are. */
  constructor(level: number) {
    this.#level = level;
  }

  /** The stored block: a view, valid until the next call. */
  pack(body: Uint8Array, seed: number): Uint8Array {
    const frame = this.#level === 0 ? EMPTY_BYTES : Bun.zstdCompressSync(body, { level: this.#level });
    const isPacked = this.#level !== 0 && frame.length + BODY_COUNT_BYTES <= body.length - body.length / 8;
    const content = isPacked ? frame : body;
    const contentStart = TYPE_BYTES + (isPacked ? BODY_COUNT_BYTES : 0);
    const checksumStart = contentStart + content.length;
    if (this.#buffer.length < checksumStart + CHECKSUM_BYTES) this.#buffer = new Uint8Array(checksumStart * 2);
    const buffer = this.#buffer;
    buffer[0] = isPacked ? TYPE_ZSTD : TYPE_RAW;
    if (isPacked) writeU32(buffer, TYPE_BYTES, body.length);
    buffer.set(content, contentStart);
    writeU32(buffer, checksumStart, crc32(buffer.subarray(0, checksumStart), seed));
    return buffer.subarray(0, checksumStart + CHECKSUM_BYTES);
  }
}

/** What the stored block that begins at `start` is; null: nothing this format knows. */
export function storedType(bytes: Uint8Array, start: number): "raw" | "zstd" | null {
  const type = bytes[start];
  if (type === TYPE_RAW) return "raw";
  return type === TYPE_ZSTD ? "zstd" : null;
}

/** The body of the block of type zstd at `start`–`end`, in memory of its own; null when it does not unpack. */
export function unpackBody(bytes: Uint8Array, start: number, end: number): Uint8Array | null {
  const bodyBytes = readU32(bytes, start + TYPE_BYTES);
  if (bodyBytes > BODY_BYTES_MAX) return null;
  const frame = bytes.subarray(start + TYPE_BYTES + BODY_COUNT_BYTES, end - CHECKSUM_BYTES);
  const body = unpacked(frame);
  return body?.length === bodyBytes ? body : null;
}

/** zstd throws errors of no class of its own at frames that are none. */
function unpacked(frame: Uint8Array<ArrayBufferLike>): Uint8Array | null {
  try {
    return Bun.zstdDecompressSync(frame as Uint8Array<ArrayBuffer>);
  } catch {
    return null;
  }
}
