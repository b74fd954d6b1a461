/**
 * The frame of the peer port: everything nodes say to each other.
 *
 *   offset  bytes
 *        0      4  CRC-32 of everything behind it
 *        4      4  frame bytes, header included, u32
 *        8      1  type (FrameType)
 *        9      1  protocol version
 *       10      2  shard, u16 (0xffff: none)
 *       12         body
 *
 * A connection carries frames one way only: the node that dialed speaks, and gets back a single `welcome` or `refused`.
 * Both say now and then that they are alive, so that a connection whose other end is gone without a word can be told
 * from one on which there is nothing to say.
 */
import { viewOf } from "../core/bytes.ts";
import type { ByteWriter } from "../core/byte-writer.ts";
import { crc32 } from "../core/crc32.ts";
import { EnvelopeError } from "../core/errors.ts";

const FRAME_HEADER_BYTES = 12;
const PEER_PROTOCOL_VERSION = 3;
export const NO_SHARD = 0xffff;
/** The largest frame: an entry that has waited long to be proposed, with the largest value that can be configured. */
export const FRAME_BYTES_MAX = 640 * 1024 * 1024;
/** The largest frame of somebody who has not been identified: an introduction, with the list of members in it. */
export const STRANGER_FRAME_BYTES_MAX = 256 * 1024;

export const FrameType = {
  /** First frame of the dialer: who it is. */
  hello: 1,
  /** The only answers of the listener. */
  welcome: 2,
  refused: 3,
  raft: 4,
  /** Operations for the leader of a shard, and their results. */
  forward: 5,
  forwardReply: 6,
  /** Without a body, either way. */
  alive: 7,
  /** What is known of nodes' health and load. */
  report: 8,
  /** A follower fetches a snapshot from its leader. */
  snapshotAsk: 9,
  snapshotGiven: 10,
  /** Instead of a hello: a node that is no member yet asks to become one, and is told. */
  join: 11,
  joined: 12,
  /** The newest list of members. */
  members: 13,
  /** Of all groups that have something to say to the peer. */
  heartbeats: 14,
  heartbeatReplies: 15,
  /** A member that has lost ranges of keys fetches them from another one. */
  repairAsk: 16,
  repairGiven: 17,
  /** The receiver, who leads the shard, is asked to hand it over. */
  handOver: 18,
  /** Whether the sender is still a member of the shard's group; answered only by its leader, and only when it is not. */
  membershipAsk: 19,
  farewell: 20,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

const KNOWN_TYPES: ReadonlySet<number> = new Set(Object.values(FrameType));

export interface Frame {
  readonly type: FrameType;
  readonly shard: number;
  readonly body: Uint8Array;
}

/** Begins a frame at the end of `writer`; returns where it begins, for `endFrame`. */
export function beginFrame(writer: ByteWriter, type: FrameType, shard: number): number {
  const start = writer.length;
  writer.u32(0);
  writer.u32(0);
  writer.u8(type);
  writer.u8(PEER_PROTOCOL_VERSION);
  writer.u16(shard);
  return start;
}

/** Fills in the length and the checksum of the frame that began at `start`. */
export function endFrame(writer: ByteWriter, start: number): void {
  writer.patchU32(start + 4, writer.length - start);
  writer.patchU32(start, crc32(writer.bytes.subarray(start + 4, writer.length)));
}

/**
 * Cuts a byte stream into frames. Bodies are views of the chunk they came in, or of a buffer of their own when a frame
 * came in several chunks. A stream that breaks the framing throws PROTOCOL, and the connection is of no more use.
 */
export class FrameReader {
  /** Larger frames break the framing. May change between two frames. */
  frameBytesMax: number = FRAME_BYTES_MAX;
  #partial: Uint8Array = new Uint8Array(0);
  #partialBytes = 0;

  /** Calls `visit` for every whole frame. */
  push(chunk: Uint8Array, visit: (frame: Frame) => void): void {
    let rest = chunk;
    if (this.#partialBytes > 0) {
      rest = this.#complete(chunk, visit);
      if (this.#partialBytes > 0) return;
    }
    let offset = 0;
    for (;;) {
      const frameBytes = this.#wholeFrameBytes(rest, offset);
      if (frameBytes === 0) break;
      visit(decodeFrame(rest.subarray(offset, offset + frameBytes)));
      offset += frameBytes;
    }
    if (offset < rest.length) this.#keep(rest.subarray(offset));
  }

  /** Adds to the frame that is being put together; returns what lies behind its end. */
  #complete(chunk: Uint8Array, visit: (frame: Frame) => void): Uint8Array {
    let taken = 0;
    if (this.#partialBytes < 8) {
      taken = Math.min(8 - this.#partialBytes, chunk.length);
      this.#append(chunk.subarray(0, taken));
      if (this.#partialBytes < 8) return chunk.subarray(taken);
    }
    const frameBytes = this.#announcedBytes(this.#partial, 0);
    const more = Math.min(frameBytes - this.#partialBytes, chunk.length - taken);
    const needed = this.#partialBytes + more;
    // By what has come, never by what is announced.
    if (needed > this.#partial.length) this.#reserve(Math.min(frameBytes, 2 * needed));
    this.#append(chunk.subarray(taken, taken + more));
    if (this.#partialBytes === frameBytes) {
      const whole = this.#partial.subarray(0, frameBytes);
      this.#partial = new Uint8Array(0);
      this.#partialBytes = 0;
      visit(decodeFrame(whole));
    }
    return chunk.subarray(taken + more);
  }

  #keep(bytes: Uint8Array): void {
    const frameBytes = bytes.length >= 8 ? this.#announcedBytes(bytes, 0) : 64;
    this.#reserve(Math.min(frameBytes, Math.max(bytes.length * 2, 64 * 1024)));
    this.#append(bytes);
  }

  #append(bytes: Uint8Array): void {
    this.#reserve(this.#partialBytes + bytes.length);
    this.#partial.set(bytes, this.#partialBytes);
    this.#partialBytes += bytes.length;
  }

  #reserve(byteCount: number): void {
    if (this.#partial.length >= byteCount) return;
    const larger = new Uint8Array(byteCount);
    larger.set(this.#partial.subarray(0, this.#partialBytes));
    this.#partial = larger;
  }

  /** Bytes of the frame at `offset` when it is whole, else 0. */
  #wholeFrameBytes(bytes: Uint8Array, offset: number): number {
    const rest = bytes.length - offset;
    if (rest < FRAME_HEADER_BYTES) return 0;
    const frameBytes = this.#announcedBytes(bytes, offset);
    return rest < frameBytes ? 0 : frameBytes;
  }

  #announcedBytes(bytes: Uint8Array, offset: number): number {
    // By bytes: a view for each chunk that comes would be garbage.
    const low = bytes[offset + 4]! | (bytes[offset + 5]! << 8);
    const frameBytes = (low | (bytes[offset + 6]! << 16) | (bytes[offset + 7]! << 24)) >>> 0;
    if (frameBytes < FRAME_HEADER_BYTES || frameBytes > this.frameBytesMax) {
      throw new EnvelopeError("PROTOCOL", `a peer frame of ${frameBytes} bytes`);
    }
    return frameBytes;
  }
}

function decodeFrame(frame: Uint8Array): Frame {
  const view = viewOf(frame);
  if (crc32(frame.subarray(4)) !== view.getUint32(0, true)) {
    throw new EnvelopeError("PROTOCOL", "a peer frame with a wrong checksum");
  }
  const version = view.getUint8(9);
  if (version !== PEER_PROTOCOL_VERSION) {
    throw new EnvelopeError(
      "PROTOCOL",
      `a peer frame of protocol version ${version}; this build speaks ${PEER_PROTOCOL_VERSION}`,
    );
  }
  const type = view.getUint8(8);
  if (!KNOWN_TYPES.has(type)) {
    throw new EnvelopeError("PROTOCOL", `a peer frame of unknown type ${type}`);
  }
  return { type: type as FrameType, shard: view.getUint16(10, true), body: frame.subarray(FRAME_HEADER_BYTES) };
}
