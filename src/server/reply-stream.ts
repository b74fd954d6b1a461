/**
 * The replies of one connection, from slots to socket, in request order. An answer for the oldest open slot is written
 * straight to the output; one that comes early waits in its slot. A slot's shape says what the reply is made of and how
 * it leaves:
 *
 *   bit    7      6       5      3…0
 *        RESP3  silent  value   ReplyShape
 */
import type { Coordinator } from "../cluster/coordinator.ts";
import { EMPTY_BYTES, utf8 } from "../core/bytes.ts";
import type { Connection } from "../env/network.ts";
import type { Result } from "../record/result.ts";
import type { BufferPool } from "../wire/buffer-pool.ts";
import { type RespVersion, RespWriter } from "../wire/resp-writer.ts";
import { ReadEstimate } from "./read-estimate.ts";
import { ReplyShape, writeResult } from "./reply-shape.ts";
import { SlotRing } from "./slot-ring.ts";

const OK_LINE = utf8("+OK\r\n");

const SHAPE_MASK = 0x0f;
/** What is read for its reply may be as large as a value. */
const SHAPE_VALUE = 0x20;
const SHAPE_SILENT = 0x40;
const SHAPE_RESP3 = 0x80;

export class ReplyStream {
  readonly #slots = new SlotRing();
  readonly #output: RespWriter;
  /** Shared by all connections, used within one call only. */
  readonly #scratch: RespWriter;
  readonly #coordinator: Coordinator;
  /** Bytes at the front of the output that the socket has taken. */
  #sent = 0;
  readonly #reads = new ReadEstimate();
  /** Where `begin` put the reply that `end` completes. */
  #replying: "output" | "slot" | "nowhere" = "nowhere";

  constructor(pool: BufferPool, scratch: RespWriter, coordinator: Coordinator) {
    this.#output = new RespWriter(pool);
    this.#scratch = scratch;
    this.#coordinator = coordinator;
  }

  /** Commands without an answer, and answers that wait for one. */
  get openCount(): number {
    return this.#slots.count;
  }

  get unsentBytes(): number {
    return this.#output.length - this.#sent + this.#slots.waitingBytes;
  }

  /** Bytes of memory that replies take which the client has not got. */
  get heldBytes(): number {
    return this.#output.bytes.length + this.#slots.waitingBytes;
  }

  /** Gives back what many open commands took. */
  giveBack(): void {
    this.#slots.giveBack();
  }

  /** Bytes that open reads are expected to bring. */
  get openReadBytes(): number {
    return this.#reads.bytes;
  }

  /** Unsent bytes and those that open reads are expected to bring. */
  get expectedBytes(): number {
    return this.unsentBytes + this.openReadBytes;
  }

  /** Takes the next slot; its tag names it to `resolve` or `settle`. */
  open(shape: ReplyShape, isValue: boolean, version: RespVersion, silent: boolean): number {
    let full: number = shape;
    if (isValue) {
      full |= SHAPE_VALUE;
      this.#reads.opened();
    }
    if (version === 3) full |= SHAPE_RESP3;
    if (silent) full |= SHAPE_SILENT;
    return this.#slots.open(full);
  }

  resolve(tag: number, result: Result): void {
    const slots = this.#slots;
    const shape = slots.shapeOf(tag);
    if ((shape & SHAPE_VALUE) !== 0) this.#reads.answered(result.kind === "version" ? result.valueBytes : 0);
    if (tag !== slots.head) {
      this.#keep(tag, shape, result);
      return;
    }
    if ((shape & SHAPE_SILENT) === 0) this.#word(this.#output, shape, result);
    slots.pop();
    this.#releaseReady();
  }

  /** Answers an open slot with whatever `write` writes; `readBytes`: what a read has brought for that. */
  settle(tag: number, write: (reply: RespWriter) => void, readBytes = 0): void {
    const slots = this.#slots;
    const shape = slots.shapeOf(tag);
    const isHead = tag === slots.head;
    const writer = isHead ? this.#output : this.#emptyScratch();
    writer.version = (shape & SHAPE_RESP3) === 0 ? 2 : 3;
    const before = writer.length;
    write(writer);
    if ((shape & SHAPE_VALUE) !== 0) this.#reads.answered(readBytes);
    if ((shape & SHAPE_SILENT) !== 0) writer.length = before;
    if (!isHead) {
      slots.keep(tag, writer.bytes.slice(0, writer.length));
      return;
    }
    slots.pop();
    this.#releaseReady();
  }

  /** A writer for a reply that is known now and takes the next place; `end` completes it. */
  begin(version: RespVersion, silent: boolean): RespWriter {
    this.#replying = silent ? "nowhere" : this.#slots.count === 0 ? "output" : "slot";
    const writer = this.#replying === "output" ? this.#output : this.#emptyScratch();
    writer.version = version;
    return writer;
  }

  end(): void {
    if (this.#replying !== "slot") return;
    this.#slots.keep(this.#slots.open(ReplyShape.plain), this.#scratch.bytes.slice(0, this.#scratch.length));
  }

  /**
   * Hands the output to the socket, at most `bytesMax` of it: "sent" all of it, "full", there is "more" than was to be sent, or
   * the connection is "gone".
   */
  send(connection: Connection, bytesMax: number): "sent" | "full" | "more" | "gone" {
    const output = this.#output;
    const all = output.length - this.#sent;
    const unsent = Math.min(all, bytesMax);
    const taken = unsent === 0 ? 0 : connection.write(output.bytes, this.#sent, unsent);
    if (taken < 0) return "gone";
    this.#sent += taken;
    if (taken === all) {
      this.release();
      return "sent";
    }
    if (this.#sent * 2 > output.length) {
      output.dropFront(this.#sent);
      this.#sent = 0;
    }
    return taken === unsent ? "more" : "full";
  }

  /** Whether this is the tag of a slot that is still open. */
  isOpen(tag: number): boolean {
    return this.#slots.has(tag);
  }

  /** Writes all replies to another place: none is missing. */
  writeTo(reply: RespWriter): void {
    reply.encoded(this.#output.bytes.subarray(this.#sent, this.#output.length));
  }

  /** Forgets all replies, those that are to come too. */
  abandon(): void {
    this.#slots.clear();
    this.#reads.abandoned();
    this.release();
  }

  /** Forgets what is written and not sent. */
  release(): void {
    this.#output.release();
    this.#sent = 0;
  }

  #emptyScratch(): RespWriter {
    this.#scratch.length = 0;
    return this.#scratch;
  }

  #word(writer: RespWriter, shape: number, result: Result): void {
    const form = shape & SHAPE_MASK;
    writer.version = (shape & SHAPE_RESP3) === 0 ? 2 : 3;
    writeResult(writer, form, result, form >= ReplyShape.ttlSeconds ? this.#coordinator.wallMs() : 0);
  }

  #keep(tag: number, shape: number, result: Result): void {
    if ((shape & SHAPE_SILENT) !== 0) this.#slots.keep(tag, EMPTY_BYTES);
    else if (result.kind === "ok" && (shape & SHAPE_MASK) === ReplyShape.plain) this.#slots.keep(tag, OK_LINE);
    else {
      const writer = this.#emptyScratch();
      this.#word(writer, shape, result);
      this.#slots.keep(tag, writer.bytes.slice(0, writer.length));
    }
  }

  /** Moves answers that waited for the one just written behind it. */
  #releaseReady(): void {
    for (let answer = this.#slots.ready(); answer !== null; answer = this.#slots.ready()) {
      this.#output.encoded(answer);
      this.#slots.pop();
    }
  }
}
