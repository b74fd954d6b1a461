/**
 * The frames of the binary protocol. A client begins with the magic `ED 44 42 01` (0xED, "DB", 1: the version of this framing);
 * from then on both sides send frames and nothing else:
 *
 *   offset  bytes
 *        0      4  frame bytes, header included, u32
 *        4      4  CRC-32 (as in zlib) of everything behind it
 *        8      1  type: a request (RequestType) or a reply (ReplyType)
 *        9      1  flags: 1 the body is compressed, as it was agreed upon in the hello
 *       10      2  zero
 *       12      4  request id, u32
 *       16         body: one MessagePack array, its fields in the order of its type
 *
 * of a compressed body:
 *        0      4  expanded bytes, u32
 *        4         the compressed bytes
 *
 * Little-endian, but for what MessagePack has its own order for. The client chooses request ids from 1 and uses none for two
 * requests that are under way at the same time; id 0 is for what nobody has asked for. Numbers here are never reused.
 *
 * No part of Bun is used here: both sides bring their own checksum.
 */
import { EMPTY_BYTES, plainBytes } from "../core/bytes.ts";
import type { ByteWriter } from "../core/byte-writer.ts";
import { EnvelopeError } from "../core/errors.ts";

export const BINARY_MAGIC: Uint8Array = Uint8Array.of(0xed, 0x44, 0x42, 0x01);
export const BINARY_VERSION_MIN = 1;
export const BINARY_VERSION_MAX = 1;
export const BINARY_HEADER_BYTES = 16;
/** The largest frame before a welcome has said otherwise, either way. */
export const GREETING_FRAME_BYTES_MAX = 64 * 1024;
/** Bodies below this are not worth compressing. */
export const COMPRESSED_BODY_BYTES_MIN = 1024;
/** A body that would grow more than this by being expanded is refused. */
export const EXPANSION_MAX = 100;
export const NO_REQUEST = 0;

const LENGTH_AND_CRC_BYTES = 8;
const FLAG_COMPRESSED = 1;

export const RequestType = {
  hello: 1,
  ping: 2,
  operation: 3,
  batch: 4,
  scan: 5,
  credit: 6,
  cancel: 7,
  createBucket: 8,
  dropBucket: 9,
  emptyBucket: 10,
  listBuckets: 11,
  describeBucket: 12,
  openSession: 13,
  closeSession: 14,
  topology: 15,
  status: 16,
} as const;

export const ReplyType = {
  welcome: 129,
  pong: 130,
  done: 131,
  absent: 132,
  value: 133,
  metadata: 134,
  integer: 135,
  flag: 136,
  results: 137,
  page: 138,
  buckets: 139,
  session: 140,
  topology: 141,
  status: 142,
  error: 255,
} as const;

/** CRC-32 of a range, as zlib has it, as a u32. */
export type Checksum = (bytes: Uint8Array, start: number, end: number) => number;

/** A frame that has come: its body is a view of the chunk, or of bytes of its own when the frame came in pieces. */
export interface BinaryFrame {
  readonly type: number;
  readonly requestId: number;
  readonly isCompressed: boolean;
  readonly body: Uint8Array;
}

/** Begins a frame at the end of `writer`, where its body is to follow; returns where it begins, for `endBinaryFrame`. */
export function beginBinaryFrame(writer: ByteWriter, type: number, requestId: number): number {
  const start = writer.length;
  writer.u32(0);
  writer.u32(0);
  writer.u32(type);
  writer.u32(requestId);
  return start;
}

/** Fills in the length and the checksum of the frame that began at `start`. */
export function endBinaryFrame(writer: ByteWriter, start: number, checksum: Checksum): void {
  writer.patchU32(start, writer.length - start);
  writer.patchU32(start + 4, checksum(writer.bytes, start + LENGTH_AND_CRC_BYTES, writer.length));
}

/** Puts a compressed body in the place of the one that follows the header at `start`. */
export function replaceBody(writer: ByteWriter, start: number, compressed: Uint8Array): void {
  const expandedBytes = writer.length - start - BINARY_HEADER_BYTES;
  writer.length = start + BINARY_HEADER_BYTES;
  writer.bytes[start + 9] = FLAG_COMPRESSED;
  writer.u32(expandedBytes);
  writer.raw(compressed);
}

/**
 * The two parts of a compressed body. Throws TOO_LARGE where it would expand to more than is allowed, before anything is
 * set aside for it.
 */
export function compressedParts(
  body: Uint8Array,
  expandedBytesMax: number,
): { readonly expandedBytes: number; readonly compressed: Uint8Array } {
  if (body.length < 4) throw new EnvelopeError("PROTOCOL", "a compressed body without its length");
  const expandedBytes = u32At(body, 0);
  const compressed = body.subarray(4);
  if (expandedBytes > expandedBytesMax || expandedBytes > compressed.length * EXPANSION_MAX) {
    const grows = `a body of ${compressed.length} bytes that expands to ${expandedBytes}`;
    throw new EnvelopeError(
      "TOO_LARGE",
      `${grows}; ${EXPANSION_MAX} times and ${expandedBytesMax} bytes are the limits`,
    );
  }
  return { expandedBytes, compressed };
}

/**
 * Cuts a byte stream into frames. A stream that breaks the framing (a length that cannot be, a wrong checksum, bits that
 * mean nothing) throws PROTOCOL, and the connection is of no more use.
 *
 * What is announced is not set aside before it comes: the bytes that are held grow with those that arrive.
 */
export class BinaryFrameReader {
  /** Larger frames break the framing. May change between two frames. */
  frameBytesMax: number = GREETING_FRAME_BYTES_MAX;
  readonly #checksum: Checksum;
  /** Being read: a chunk, or the held beginning of a frame with what came behind it. */
  #bytes: Uint8Array = EMPTY_BYTES;
  #cursor = 0;
  #limit = 0;
  /** The bytes are the reader's own, not a chunk. */
  #isHeld = false;
  readonly #chunks: Uint8Array[] = [];
  /** Bytes in `#chunks`. */
  #queuedBytes = 0;

  constructor(checksum: Checksum) {
    this.#checksum = checksum;
  }

  /** Takes over a chunk. Chunks are read in the order they were fed. */
  feed(chunk: Uint8Array): void {
    // Sockets give Buffers, and bodies are views of them that somebody may want to copy.
    if (chunk.length === 0) return;
    this.#chunks.push(plainBytes(chunk));
    this.#queuedBytes += chunk.length;
  }

  /** Bytes of memory that what has come and is not used up takes. */
  get heldBytes(): number {
    return this.#queuedBytes + this.#bytes.length;
  }

  /** After `next` gave null: whether a frame has begun and is not whole. */
  get insideFrame(): boolean {
    return this.#cursor < this.#limit;
  }

  /** The next whole frame, or null until more is fed. */
  next(): BinaryFrame | null {
    for (;;) {
      const frameBytes = this.#frameBytes();
      if (frameBytes > 0 && this.#limit - this.#cursor >= frameBytes) return this.#take(frameBytes);
      if (!this.#refill(frameBytes)) return null;
    }
  }

  /** As it is announced; 0: that has not come yet. */
  #frameBytes(): number {
    if (this.#limit - this.#cursor < 4) return 0;
    const frameBytes = u32At(this.#bytes, this.#cursor);
    if (frameBytes < BINARY_HEADER_BYTES || frameBytes > this.frameBytesMax) {
      throw new EnvelopeError("PROTOCOL", `a frame of ${frameBytes} bytes; the limit is ${this.frameBytesMax}`);
    }
    return frameBytes;
  }

  #take(frameBytes: number): BinaryFrame {
    const bytes = this.#bytes;
    const start = this.#cursor;
    const end = start + frameBytes;
    this.#cursor = end;
    if (this.#checksum(bytes, start + LENGTH_AND_CRC_BYTES, end) !== u32At(bytes, start + 4)) {
      throw new EnvelopeError("PROTOCOL", "a frame with a wrong checksum");
    }
    const flags = bytes[start + 9]!;
    if (flags > FLAG_COMPRESSED || bytes[start + 10] !== 0 || bytes[start + 11] !== 0) {
      throw new EnvelopeError("PROTOCOL", "a frame with unknown flags");
    }
    return {
      type: bytes[start + 8]!,
      requestId: u32At(bytes, start + 12),
      isCompressed: flags === FLAG_COMPRESSED,
      body: bytes.subarray(start + BINARY_HEADER_BYTES, end),
    };
  }

  /** Goes on to the next chunk, behind what is left of this one; false when there is none. */
  #refill(frameBytes: number): boolean {
    const chunk = this.#chunks.shift();
    this.#queuedBytes -= chunk?.length ?? 0;
    const left = this.#limit - this.#cursor;
    if (chunk === undefined) {
      // An idle connection holds nothing.
      if (left === 0) {
        this.#bytes = EMPTY_BYTES;
        this.#cursor = 0;
        this.#limit = 0;
      }
      return false;
    }
    if (left === 0) {
      this.#bytes = chunk;
      this.#cursor = 0;
      this.#limit = chunk.length;
      this.#isHeld = false;
      return true;
    }
    this.#hold(left + chunk.length, frameBytes);
    this.#bytes.set(chunk, this.#limit);
    this.#limit += chunk.length;
    return true;
  }

  /** Makes the bytes our own, with room for `byteCount` from the cursor on: at least twice as much as before, or a frame. */
  #hold(byteCount: number, frameBytes: number): void {
    if (this.#isHeld && this.#cursor + byteCount <= this.#bytes.length) return;
    const room = Math.max(byteCount, Math.min(frameBytes, byteCount * 2));
    const held = new Uint8Array(room);
    held.set(this.#bytes.subarray(this.#cursor, this.#limit));
    this.#limit -= this.#cursor;
    this.#cursor = 0;
    this.#bytes = held;
    this.#isHeld = true;
  }
}

function u32At(bytes: Uint8Array, offset: number): number {
  const low = bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16);
  return (low | (bytes[offset + 3]! << 24)) >>> 0;
}
