/**
 * A channel over a socket, plain or TLS, in frames of the binary protocol (wire/binary-format.ts).
 *
 * Requests of one turn leave with one write. More than the node takes at a time wait here, unsent. When answers are due and
 * nothing has come for half of `silenceMs` the node is pinged, and given up after all of it. Runs on Bun, Node and Deno.
 */
import type { Socket } from "node:net";
import { ByteWriter } from "../core/byte-writer.ts";
import { EnvelopeError } from "../core/errors.ts";
import {
  BINARY_HEADER_BYTES,
  BINARY_MAGIC,
  BINARY_VERSION_MAX,
  BINARY_VERSION_MIN,
  type BinaryFrame,
  BinaryFrameReader,
  beginBinaryFrame,
  compressedParts,
  endBinaryFrame,
  NO_REQUEST,
  replaceBody,
  RequestType,
} from "../wire/binary-format.ts";
import type { BinaryLimits, BinaryReply, BinaryRequest, Credentials } from "../wire/binary-messages.ts";
import { decodeReply } from "../wire/binary-reply-format.ts";
import { encodeRequest } from "../wire/binary-request-format.ts";
import { COMPRESSIONS, compressedBody, expand } from "../wire/body-compression.ts";
import { PackReader } from "../wire/message-pack.ts";
import type { Channel, ChannelEvents, ReplySink } from "./channel.ts";
import { checksum } from "./checksum.ts";
import { errorOf, ProtocolError } from "./errors.ts";
import { errorFrom } from "./retry-policy.ts";
import type { Settings } from "./settings.ts";

const CLIENT_VERSION = "0.1.0";
const REQUEST_ID_MAX = 0xffff_ffff;
/** The largest reply that is taken; pages and batches of large values stay below. */
const REPLY_BYTES_MAX = 256 * 1024 * 1024;
const WRITER_BYTES_KEPT = 256 * 1024;

type Welcome = Extract<BinaryReply, { type: "welcome" }>;

/** What comes of the greeting; one of them, once. */
export interface GreetingEvents {
  welcomed(): void;
  refused(error: EnvelopeError): void;
}

interface Waiting {
  readonly request: BinaryRequest;
  readonly sink: ReplySink;
}

export class SocketChannel implements Channel {
  readonly #address: string;
  readonly #socket: Socket;
  readonly #events: ChannelEvents;
  readonly #greeting: GreetingEvents;
  readonly #frames = new BinaryFrameReader(checksum);
  readonly #pack = new PackReader();
  readonly #writer = new ByteWriter(4096);
  readonly #silenceMs: number;
  /** From the welcome on; whoever opens a channel watches over the greeting. */
  #watch: ReturnType<typeof setInterval> | null = null;
  #welcome: Welcome | null = null;
  /** Sent and without their (last) reply, by number. */
  readonly #sent = new Map<number, ReplySink>();
  /** Not sent, because the node has enough; in order. */
  readonly #held = new Map<number, Waiting>();
  #lastId = 0;
  #heardAt = performance.now();
  #isPinged = false;
  #isFlushDue = false;
  #isClosed = false;

  /** Takes over a connected socket that nobody listens to, and greets. */
  constructor(
    address: string,
    socket: Socket,
    events: ChannelEvents,
    settings: Settings,
    credentials: Credentials | null,
    greeting: GreetingEvents,
  ) {
    this.#address = address;
    this.#socket = socket;
    this.#events = events;
    this.#greeting = greeting;
    this.#silenceMs = settings.silenceMs;
    // Without setEncoding, chunks are always bytes.
    socket.on("data", (chunk) => this.#receive(chunk as Uint8Array));
    socket.on("error", (error) => this.#end(error.message));
    socket.on("close", () => this.#end("the node closed the connection"));
    this.#writer.raw(BINARY_MAGIC);
    this.#encode(1, helloOf(settings, credentials));
    this.#lastId = 1;
  }

  get node(): string {
    return this.#greeted.node;
  }

  get limits(): BinaryLimits {
    return this.#greeted.limits;
  }

  get underway(): number {
    return this.#sent.size + this.#held.size;
  }

  send(request: BinaryRequest, sink: ReplySink): number {
    const id = this.#freeId();
    if (this.#isClosed) queueMicrotask(() => sink.lost("the connection is closed", false));
    else if (this.#sent.size >= this.limits.requestsInflightMax) this.#held.set(id, { request, sink });
    else this.#sendNow(id, request, sink);
    return id;
  }

  grant(id: number, credits: number): void {
    if (this.#sent.has(id)) this.#encode(this.#freeId(), { type: "credit", target: id, credits });
  }

  drop(id: number): boolean {
    if (this.#held.delete(id)) return false;
    if (!this.#sent.delete(id)) return true;
    this.#encode(this.#freeId(), { type: "cancel", target: id });
    this.#sendHeld();
    return true;
  }

  close(reason: string): void {
    this.#flush();
    this.#end(reason);
  }

  get #greeted(): Welcome {
    if (this.#welcome === null) throw new ProtocolError("the node has not greeted");
    return this.#welcome;
  }

  #sendNow(id: number, request: BinaryRequest, sink: ReplySink): void {
    if (this.#sent.size === 0) this.#heardAt = performance.now();
    const frameBytes = this.#encode(id, request);
    const { frameBytesMax } = this.limits;
    if (frameBytes > frameBytesMax) {
      this.#writer.length -= frameBytes;
      const message = `a request of ${frameBytes} bytes; the node takes ${frameBytesMax}`;
      queueMicrotask(() => sink.replied({ type: "error", code: "TOO_LARGE", message, retry: "never" }));
      return;
    }
    this.#sent.set(id, sink);
  }

  #sendHeld(): void {
    for (const [id, { request, sink }] of this.#held) {
      if (this.#sent.size >= this.limits.requestsInflightMax) return;
      this.#held.delete(id);
      this.#sendNow(id, request, sink);
    }
  }

  /** Writes the frame; it leaves when this turn is over. Returns its length. */
  #encode(id: number, request: BinaryRequest): number {
    const start = beginBinaryFrame(this.#writer, RequestType[request.type], id);
    encodeRequest(request, this.#writer);
    this.#compress(start);
    endBinaryFrame(this.#writer, start, checksum);
    if (!this.#isFlushDue) {
      this.#isFlushDue = true;
      queueMicrotask(() => this.#flush());
    }
    return this.#writer.length - start;
  }

  #compress(start: number): void {
    const name = this.#welcome?.compression ?? null;
    if (name === null) return;
    const writer = this.#writer;
    const compressed = compressedBody(name, writer.bytes.subarray(start + BINARY_HEADER_BYTES, writer.length));
    if (compressed !== null) replaceBody(writer, start, compressed);
  }

  #bodyOf({ isCompressed, body }: BinaryFrame): Uint8Array {
    if (!isCompressed) return body;
    const name = this.#welcome?.compression ?? null;
    if (name === null) throw new ProtocolError("the node compresses, which was not agreed upon");
    const { expandedBytes, compressed } = compressedParts(body, REPLY_BYTES_MAX);
    return expand(name, compressed, expandedBytes);
  }

  #flush(): void {
    this.#isFlushDue = false;
    if (this.#writer.length === 0 || this.#isClosed) return;
    this.#socket.write(this.#writer.copy());
    this.#writer.reset(WRITER_BYTES_KEPT);
  }

  #freeId(): number {
    do this.#lastId = this.#lastId === REQUEST_ID_MAX ? 1 : this.#lastId + 1;
    while (this.#sent.has(this.#lastId) || this.#held.has(this.#lastId));
    return this.#lastId;
  }

  #receive(chunk: Uint8Array): void {
    this.#heardAt = performance.now();
    this.#isPinged = false;
    this.#frames.feed(chunk);
    try {
      for (let frame = this.#frames.next(); frame !== null && !this.#isClosed; frame = this.#frames.next()) {
        this.#take(frame);
      }
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
      this.#end(cause.message);
    }
  }

  #take(frame: BinaryFrame): void {
    const reply = decodeReply(frame.type, this.#pack.over(this.#bodyOf(frame)));
    // What a later version of the node says unasked.
    if (reply === null) return;
    if (this.#welcome === null) this.#greet(reply);
    else if (frame.requestId === NO_REQUEST) this.#hear(reply);
    else this.#answer(frame.requestId, reply);
  }

  #greet(reply: BinaryReply): void {
    if (reply.type === "error") {
      const { code, message, retry } = reply;
      this.#abandon();
      this.#greeting.refused(errorOf(code, `${this.#address}: ${message}`, retry));
      return;
    }
    if (reply.type !== "welcome") throw new ProtocolError(`the node greets with ${reply.type}`);
    this.#welcome = reply;
    this.#watch = setInterval(() => this.#look(), Math.max(1, this.#silenceMs / 4));
    this.#frames.frameBytesMax = REPLY_BYTES_MAX;
    this.#events.learned(reply.topology);
    this.#greeting.welcomed();
  }

  #hear(reply: BinaryReply): void {
    if (reply.type === "topology") this.#events.learned(reply.topology);
    else if (reply.type === "error") this.#end(errorFrom(reply).message);
  }

  #answer(id: number, reply: BinaryReply): void {
    const sink = this.#sent.get(id);
    // Dropped meanwhile.
    if (sink === undefined) return;
    if (reply.type !== "page" || reply.isLast) {
      this.#sent.delete(id);
      this.#sendHeld();
    }
    sink.replied(reply);
  }

  #look(): void {
    if (this.#sent.size === 0) return;
    const silentMs = performance.now() - this.#heardAt;
    if (silentMs > this.#silenceMs) this.#end(`nothing has come for ${this.#silenceMs} ms`);
    else if (silentMs > this.#silenceMs / 2 && !this.#isPinged) {
      this.#isPinged = true;
      this.#encode(this.#freeId(), { type: "ping", deadlineMs: 0 });
    }
  }

  #abandon(): void {
    this.#isClosed = true;
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#socket.destroy();
  }

  #end(why: string): void {
    if (this.#isClosed) return;
    this.#abandon();
    const reason = `${this.#address}: ${why}`;
    if (this.#welcome === null) {
      this.#greeting.refused(errorOf("UNAVAILABLE", reason));
      return;
    }
    for (const sink of this.#sent.values()) sink.lost(reason, true);
    for (const { sink } of this.#held.values()) sink.lost(reason, false);
    this.#sent.clear();
    this.#held.clear();
    this.#events.closed(reason);
  }
}

function helloOf(settings: Settings, credentials: Credentials | null): BinaryRequest {
  return {
    type: "hello",
    versionMin: BINARY_VERSION_MIN,
    versionMax: BINARY_VERSION_MAX,
    clientName: settings.clientName,
    clientVersion: CLIENT_VERSION,
    credentials,
    compression: settings.compress ? COMPRESSIONS : [],
    watchesTopology: true,
  };
}
