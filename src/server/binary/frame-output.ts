/**
 * Frames on their way to one client: replies are encoded where they are sent from, and a turn's worth of them leaves with one
 * write. While there is nothing to say it holds no memory: writers come from a pool. Main thread only.
 */
import { ByteWriter } from "../../core/byte-writer.ts";
import { crc32Range } from "../../core/crc32.ts";
import type { Connection } from "../../env/network.ts";
import {
  BINARY_HEADER_BYTES,
  beginBinaryFrame,
  endBinaryFrame,
  ReplyType,
  replaceBody,
} from "../../wire/binary-format.ts";
import type { BinaryReply, CompressionName } from "../../wire/binary-messages.ts";
import { encodeReply } from "../../wire/binary-reply-format.ts";
import { compressedBody } from "../../wire/body-compression.ts";

const WRITER_BYTES = 16 * 1024;
const WRITERS_KEPT_MAX = 256;

export class WriterPool {
  readonly #free: ByteWriter[] = [];

  take(): ByteWriter {
    return this.#free.pop() ?? new ByteWriter(WRITER_BYTES);
  }

  give(writer: ByteWriter): void {
    if (this.#free.length >= WRITERS_KEPT_MAX) return;
    writer.reset(WRITER_BYTES);
    this.#free.push(writer);
  }
}

export class FrameOutput {
  compression: CompressionName | null = null;
  readonly #pool: WriterPool;
  #writer: ByteWriter | null = null;
  /** Bytes at the front that the socket has taken. */
  #sent = 0;

  constructor(pool: WriterPool) {
    this.#pool = pool;
  }

  get unsentBytes(): number {
    return this.#writer === null ? 0 : this.#writer.length - this.#sent;
  }

  /** Bytes of memory that replies take which the client has not got. */
  get heldBytes(): number {
    return this.#writer === null ? 0 : this.#writer.bytes.length;
  }

  add(requestId: number, reply: BinaryReply): void {
    this.#writer ??= this.#pool.take();
    const writer = this.#writer;
    const start = beginBinaryFrame(writer, ReplyType[reply.type], requestId);
    encodeReply(reply, writer);
    if (this.compression !== null) compressBody(writer, start, this.compression);
    endBinaryFrame(writer, start, crc32Range);
  }

  /**
   * Hands what is there to the socket, at most `bytesMax` of it: "sent" all of it, "full", there is "more" than was to be sent,
   * or the connection is "gone".
   */
  send(connection: Connection, bytesMax: number): "sent" | "full" | "more" | "gone" {
    const writer = this.#writer;
    if (writer === null) return "sent";
    const all = writer.length - this.#sent;
    const unsent = Math.min(all, bytesMax);
    const taken = connection.write(writer.bytes, this.#sent, unsent);
    if (taken < 0) return "gone";
    this.#sent += taken;
    if (taken === all) {
      this.release();
      return "sent";
    }
    if (this.#sent * 2 > writer.length) this.#dropSent(writer);
    return taken === unsent ? "more" : "full";
  }

  /** Forgets what is there and not sent. */
  release(): void {
    if (this.#writer !== null) this.#pool.give(this.#writer);
    this.#writer = null;
    this.#sent = 0;
  }

  #dropSent(writer: ByteWriter): void {
    writer.bytes.copyWithin(0, this.#sent, writer.length);
    writer.length -= this.#sent;
    this.#sent = 0;
  }
}

function compressBody(writer: ByteWriter, start: number, compression: CompressionName): void {
  const compressed = compressedBody(compression, writer.bytes.subarray(start + BINARY_HEADER_BYTES, writer.length));
  if (compressed !== null) replaceBody(writer, start, compressed);
}
