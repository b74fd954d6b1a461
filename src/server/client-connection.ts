/**
 * One client: bytes in, commands to the coordinator, replies out in request order.
 *
 *   onData → parser → #execute → handler → coordinator ──resolve(tag)──▶ slots → output ──flush──▶ socket
 *
 * An answer for the oldest open slot is written straight to the output; one that comes early waits in its slot. The
 * port flushes every connection that has something to say once a turn.
 *
 * The connection stops taking commands (*stalls*) while too many are unanswered, while the client does not read its
 * replies, while the node is congested, and around an exclusive command. What has arrived then stays in the parser, and
 * the socket is paused as soon as more comes. Beyond `outputBytesMax` the connection is closed.
 *
 * Main thread only.
 */
import type { BucketRef, Coordinator, Waiter } from "../cluster/coordinator.ts";
import { unreachable } from "../core/assert.ts";
import { EMPTY_BYTES, utf8 } from "../core/bytes.ts";
import type { Connection, ConnectionHandler } from "../env/network.ts";
import type { ByteRange, CommandType } from "../record/command-format.ts";
import type { Result } from "../record/result.ts";
import type { RequestArguments } from "../wire/request-arguments.ts";
import { ParseStatus, RespParser } from "../wire/resp-parser.ts";
import { RespWriter } from "../wire/resp-writer.ts";
import type { ClientPort } from "./client-port.ts";
import type { CommandEntry } from "./command-table.ts";
import { ReplyShape, writeResult } from "./reply-shape.ts";
import { FIRST_BUCKET, type Session } from "./session.ts";
import { SlotRing } from "./slot-ring.ts";
import { unknownCommand, wrongArity } from "./texts.ts";

const OK_LINE = utf8("+OK\r\n");

/** A slot's shape: what the reply is made of, and how it leaves. */
const SHAPE_MASK = 0x0f;
/** Its reply may be as large as a value. */
const SHAPE_VALUE = 0x20;
const SHAPE_SILENT = 0x40;
const SHAPE_RESP3 = 0x80;

/** What an unanswered read is taken to bring before the first has been seen; afterwards a moving average. */
const EXPECTED_BYTES_AT_FIRST = 128 * 1024;
/** Progress within `frameIdleMs` that lets a slow sender go on. */
const FRAME_PROGRESS_BYTES = 4096;
/** The first byte of a TLS record: somebody took this for a TLS port. */
const TLS_HANDSHAKE = 0x16;

class MutableRange implements ByteRange {
  bytes: Uint8Array = EMPTY_BYTES;
  start = 0;
  end = 0;

  point(request: RequestArguments, index: number): this {
    this.bytes = request.bytes;
    this.start = request.starts[index]!;
    this.end = request.ends[index]!;
    return this;
  }
}

/** One set for the whole thread: the coordinator copies what it keeps before its call returns. */
const KEY = new MutableRange();
const VALUE = new MutableRange();
export const NO_VALUE: ByteRange = { bytes: EMPTY_BYTES, start: 0, end: 0 };

type State =
  /** Takes commands. */
  | "open"
  /** Takes none; closes when everything asked before is answered and sent. */
  | "finishing"
  | "closed";

export class ClientConnection implements ConnectionHandler, Waiter {
  readonly id: number;
  readonly port: ClientPort;
  readonly coordinator: Coordinator;
  readonly session: Session;
  readonly remoteAddress: string;
  readonly openedMs: number;
  commandCount = 0;
  lastCommand = "NULL";
  lastCommandMs: number;
  /** Since when a request stands half sent, on the monotonic clock; 0: none does. */
  frameSinceMs = 0;

  readonly #connection: Connection;
  readonly #parser: RespParser;
  readonly #slots = new SlotRing();
  readonly #output: RespWriter;
  /** Bytes at the front of the output that the socket has taken. */
  #sent = 0;
  #state: State = "open";
  #dirty = false;
  #socketFull = false;
  #pumping = false;
  #stalled = false;
  #paused = false;
  #greeted = false;
  /** The exclusive command that waits for its turn. */
  #waiting: CommandEntry | null = null;
  #exclusive = false;
  #openReads = 0;
  #expectedBytes = EXPECTED_BYTES_AT_FIRST;
  #frameBytes = 0;
  #frameCommand = 0;
  /** Where `begin` put the reply that `end` completes. */
  #replying: "output" | "slot" | "nowhere" = "nowhere";

  constructor(id: number, port: ClientPort, connection: Connection) {
    this.id = id;
    this.port = port;
    this.coordinator = port.coordinator;
    this.#connection = connection;
    this.remoteAddress = connection.remoteAddress;
    this.#parser = new RespParser(port.respLimits);
    this.#output = new RespWriter(port.pool);
    this.openedMs = port.clock.monotonicMs();
    this.lastCommandMs = this.openedMs;
    this.session = {
      bucket: port.coordinator.bucket(FIRST_BUCKET),
      ordering: port.coordinator.newOrdering(),
      version: 2,
      name: "",
      libraryName: "",
      libraryVersion: "",
      replies: "on",
    };
  }

  // ── from the network ──

  onData(bytes: Uint8Array): void {
    if (this.#state !== "open") return;
    if (!this.#greeted && bytes.length > 0) {
      this.#greeted = true;
      if (bytes[0] === TLS_HANDSHAKE) {
        this.abort("a TLS handshake on a plain port");
        return;
      }
    }
    this.port.receivedBytes += bytes.length;
    this.#parser.feed(bytes);
    if (this.#stalled) this.#pauseSocket();
    else this.#pump();
    this.#watchFrame(bytes.length);
  }

  onDrain(): void {
    this.#socketFull = false;
    this.flush();
  }

  onClose(): void {
    if (this.#state === "closed") return;
    this.#close();
  }

  // ── from the coordinator ──

  resolve(tag: number, result: Result): void {
    if (this.#state === "closed") return;
    const slots = this.#slots;
    const shape = slots.shapeOf(tag);
    if ((shape & SHAPE_VALUE) !== 0) this.#readAnswered(result);
    const form = shape & SHAPE_MASK;
    if (tag !== slots.head) {
      this.#keep(tag, shape, form, result);
    } else {
      if ((shape & SHAPE_SILENT) === 0) {
        this.#output.version = (shape & SHAPE_RESP3) === 0 ? 2 : 3;
        writeResult(this.#output, form, result, this.#nowFor(form));
      }
      slots.pop();
      this.#releaseReady();
    }
    this.#touch();
  }

  // ── for the port ──

  /** Hands the gathered replies to the socket and, if that ended a stall, goes on with what has arrived. */
  flush(): void {
    this.#dirty = false;
    if (this.#state === "closed") return;
    if (!this.#socketFull && !this.#send()) return;
    if (this.unsentBytes > this.port.settings.outputBytesMax) {
      this.abort(`more than ${this.port.settings.outputBytesMax} bytes of replies were not read`);
      return;
    }
    if (this.#state === "finishing") this.#closeIfDone();
    else this.tryContinue();
  }

  /** Goes on after a stall, if nothing stands against it any more. */
  tryContinue(): void {
    if (!this.#stalled || this.#state !== "open") return;
    if (this.#isBlocked()) {
      if (this.coordinator.congested) this.port.waitForRelief(this);
      return;
    }
    this.#stalled = false;
    this.#pump();
    if (!this.#stalled && this.#paused && this.#isOpen()) {
      this.#paused = false;
      this.#connection.resume();
    }
    this.#watchFrame(FRAME_PROGRESS_BYTES);
  }

  /** Takes no more commands; closes when everything asked before is answered and sent. */
  finish(): void {
    if (this.#state !== "open") return;
    this.#state = "finishing";
    this.#touch();
  }

  /** Closes at once and tells the operator why. */
  abort(reason: string): void {
    if (this.#state === "closed") return;
    this.port.log.info("client closed", { client: this.id, address: this.remoteAddress, reason });
    this.#close();
    this.#connection.terminate();
  }

  get unsentBytes(): number {
    return this.#output.length - this.#sent + this.#slots.waitingBytes;
  }

  get unansweredCount(): number {
    return this.#slots.count;
  }

  // ── for the handlers: replies known at once ──

  /** A writer for the reply of the command being executed, which `end` completes. */
  begin(): RespWriter {
    const { session } = this;
    const silent = this.#isSilent();
    this.#replying = silent ? "nowhere" : this.#slots.count === 0 ? "output" : "slot";
    const writer = this.#replying === "output" ? this.#output : this.port.scratch;
    if (writer === this.port.scratch) writer.length = 0;
    writer.version = session.version;
    return writer;
  }

  end(): void {
    if (this.#replying === "slot") {
      const tag = this.#slots.open(0);
      const { scratch } = this.port;
      this.#slots.keep(tag, scratch.bytes.slice(0, scratch.length));
    }
    this.#touch();
  }

  replyOk(): void {
    this.begin().ok();
    this.end();
  }

  replyError(text: string): void {
    this.begin().error(text);
    this.end();
    this.port.errorCount += 1;
  }

  // ── for the handlers: replies that come later ──

  /** Takes the slot of the command being executed; `settle` answers it, in the same call or later. */
  defer(): number {
    return this.#open(ReplyShape.plain, 0);
  }

  settle(tag: number, write: (reply: RespWriter) => void): void {
    if (this.#state === "closed") return;
    const slots = this.#slots;
    const shape = slots.shapeOf(tag);
    const writer = tag === slots.head ? this.#output : this.port.scratch;
    if (writer === this.port.scratch) writer.length = 0;
    writer.version = (shape & SHAPE_RESP3) === 0 ? 2 : 3;
    const before = writer.length;
    write(writer);
    if ((shape & SHAPE_SILENT) !== 0) writer.length = before;
    if (tag === slots.head) {
      slots.pop();
      this.#releaseReady();
    } else {
      slots.keep(tag, writer.bytes.slice(0, writer.length));
    }
    this.#touch();
  }

  // ── for the handlers: operations on one key ──

  read(request: RequestArguments, keyIndex: number, shape: ReplyShape): void {
    const isValue = shape === ReplyShape.plain;
    if (isValue) this.#openReads += 1;
    const tag = this.#open(shape, isValue ? SHAPE_VALUE : 0);
    this.readFor(request, keyIndex, !isValue, this, tag);
  }

  /** Proposes a command; its result is the reply. `valueIndex` 0: no value. */
  write(
    type: CommandType,
    modifiers: number,
    request: RequestArguments,
    keyIndex: number,
    valueIndex: number,
    expiryMs: number,
    shape: ReplyShape,
  ): void {
    const value = valueIndex === 0 ? NO_VALUE : VALUE.point(request, valueIndex);
    this.writeFor(type, modifiers, request, keyIndex, value, expiryMs, this, this.#open(shape, 0));
  }

  writeValue(type: CommandType, request: RequestArguments, keyIndex: number, value: ByteRange): void {
    this.writeFor(type, 0, request, keyIndex, value, 0, this, this.#open(ReplyShape.plain, 0));
  }

  /** As `read`, for a waiter of its own (a command on several keys). */
  readFor(request: RequestArguments, keyIndex: number, metadataOnly: boolean, waiter: Waiter, tag: number): void {
    const { session } = this;
    this.coordinator.read(session.ordering, session.bucket, KEY.point(request, keyIndex), metadataOnly, waiter, tag);
  }

  writeFor(
    type: CommandType,
    modifiers: number,
    request: RequestArguments,
    keyIndex: number,
    value: ByteRange,
    expiryMs: number,
    waiter: Waiter,
    tag: number,
  ): void {
    const { session } = this;
    this.coordinator.write(
      session.ordering,
      type,
      modifiers,
      session.bucket,
      KEY.point(request, keyIndex),
      value,
      expiryMs,
      waiter,
      tag,
    );
  }

  useBucket(bucket: BucketRef): void {
    this.session.bucket = bucket;
  }

  // ── commands in ──

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#state === "open") {
      if (this.#isBlocked()) {
        this.#stalled = true;
        if (this.coordinator.congested) this.port.waitForRelief(this);
        break;
      }
      const waiting = this.#waiting;
      if (waiting !== null) {
        this.#waiting = null;
        this.#run(waiting, this.#parser.request);
        continue;
      }
      this.#exclusive = false;
      const status = this.#parser.next();
      if (status === ParseStatus.needMore) break;
      this.#accept(status);
    }
    this.#pumping = false;
  }

  #accept(status: ParseStatus): void {
    switch (status) {
      case ParseStatus.command:
        this.#execute(this.#parser.request);
        return;
      case ParseStatus.refused:
        this.replyError(this.#parser.errorText);
        return;
      case ParseStatus.broken:
        this.session.replies = "on";
        this.replyError(this.#parser.errorText);
        this.finish();
        return;
      case ParseStatus.needMore:
        return;
      default:
        unreachable(status);
    }
  }

  #execute(request: RequestArguments): void {
    this.commandCount += 1;
    const entry = this.port.commands.find(request.bytes, request.starts[0]!, request.ends[0]!);
    if (entry === null) {
      this.replyError(unknownCommand(request));
      return;
    }
    const { arity } = entry;
    if (arity > 0 ? request.count !== arity : request.count < -arity) {
      this.replyError(wrongArity(entry.name));
      return;
    }
    if (entry.keys[0] > 0 && !this.#keysAreShort(entry, request)) return;
    if (entry.exclusive && this.#slots.count > 0) this.#waiting = entry;
    else this.#run(entry, request);
  }

  #run(entry: CommandEntry, request: RequestArguments): void {
    this.lastCommand = entry.name;
    this.#exclusive = entry.exclusive;
    entry.handler(this, request);
    const { session } = this;
    if (session.replies !== "on") this.#afterSilence();
  }

  #keysAreShort(entry: CommandEntry, request: RequestArguments): boolean {
    const { keyBytesMax } = this.port.settings;
    const step = entry.keys[2];
    const last = entry.keys[1] < 0 ? request.count + entry.keys[1] : entry.keys[1];
    for (let i = entry.keys[0]; i <= last; i += step) {
      const byteCount = request.byteCount(i);
      if (byteCount <= keyBytesMax) continue;
      this.replyError(`ERR key of ${byteCount} bytes is too large, the limit is ${keyBytesMax}`);
      return false;
    }
    return true;
  }

  #isBlocked(): boolean {
    const open = this.#slots.count;
    if (open > 0) {
      if (this.#exclusive || this.#waiting !== null) return true;
      if (open >= this.port.settings.requestsInflightMax) return true;
    }
    const unread = this.unsentBytes + this.#openReads * this.#expectedBytes;
    return unread > this.port.outputPauseBytes || this.coordinator.congested;
  }

  #open(shape: ReplyShape, bits: number): number {
    let full = shape | bits;
    if (this.session.version === 3) full |= SHAPE_RESP3;
    if (this.#isSilent()) full |= SHAPE_SILENT;
    return this.#slots.open(full);
  }

  #isSilent(): boolean {
    return this.session.replies === "off" || this.session.replies === "skip";
  }

  #afterSilence(): void {
    const { session } = this;
    if (session.replies === "skip") session.replies = "on";
    else if (session.replies === "skipNext") session.replies = "skip";
  }

  #pauseSocket(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#connection.pause();
  }

  /** Restarts the watch over half a request whenever one begins or makes progress. */
  #watchFrame(byteCount: number): void {
    if (this.#stalled || !this.#isOpen() || !this.#parser.insideFrame) {
      this.frameSinceMs = 0;
      return;
    }
    this.#frameBytes += byteCount;
    if (
      this.frameSinceMs !== 0 &&
      this.#frameCommand === this.commandCount &&
      this.#frameBytes < FRAME_PROGRESS_BYTES
    ) {
      return;
    }
    this.frameSinceMs = this.port.clock.monotonicMs();
    this.#frameCommand = this.commandCount;
    this.#frameBytes = 0;
  }

  #isOpen(): boolean {
    return this.#state === "open";
  }

  // ── replies out ──

  #keep(tag: number, shape: number, form: number, result: Result): void {
    if ((shape & SHAPE_SILENT) !== 0) {
      this.#slots.keep(tag, EMPTY_BYTES);
      return;
    }
    if (result.kind === "ok" && form === ReplyShape.plain) {
      this.#slots.keep(tag, OK_LINE);
      return;
    }
    const { scratch } = this.port;
    scratch.length = 0;
    scratch.version = (shape & SHAPE_RESP3) === 0 ? 2 : 3;
    writeResult(scratch, form, result, this.#nowFor(form));
    this.#slots.keep(tag, scratch.bytes.slice(0, scratch.length));
  }

  /** Moves answers that waited for the one just written behind it. */
  #releaseReady(): void {
    for (let answer = this.#slots.ready(); answer !== null; answer = this.#slots.ready()) {
      this.#output.encoded(answer);
      this.#slots.pop();
    }
  }

  #readAnswered(result: Result): void {
    this.#openReads -= 1;
    const byteCount = result.kind === "version" ? result.value.length : 0;
    if (byteCount >= this.#expectedBytes) this.#expectedBytes = byteCount;
    else this.#expectedBytes -= (this.#expectedBytes - byteCount) >> 3;
  }

  #nowFor(form: number): number {
    return form >= ReplyShape.ttlSeconds ? this.coordinator.wallMs() : 0;
  }

  #touch(): void {
    if (this.#dirty) return;
    this.#dirty = true;
    this.port.flushSoon(this);
  }

  /** False when the connection has gone. */
  #send(): boolean {
    const output = this.#output;
    const unsent = output.length - this.#sent;
    if (unsent > 0) {
      const taken = this.#connection.write(output.bytes, this.#sent, unsent);
      if (taken < 0) {
        this.#close();
        this.#connection.terminate();
        return false;
      }
      this.#sent += taken;
      this.port.sentBytes += taken;
      this.#socketFull = taken < unsent;
    }
    if (this.#sent === output.length) {
      output.release();
      this.#sent = 0;
    } else if (this.#sent * 2 > output.length) {
      output.dropFront(this.#sent);
      this.#sent = 0;
    }
    return true;
  }

  #closeIfDone(): void {
    if (this.#slots.count > 0 || this.#output.length > this.#sent) return;
    this.#close();
    this.#connection.shutdown();
  }

  #close(): void {
    this.#state = "closed";
    this.frameSinceMs = 0;
    this.#output.release();
    this.port.forget(this);
  }
}
