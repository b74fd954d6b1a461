/**
 * One client of the binary protocol on its socket: bytes in, requests to its session, replies out as they come.
 *
 *   onData → magic → frames → (expand) → decode → session ──reply──▶ output ──flush──▶ socket
 *
 * As a connection of the other protocol, it takes no requests (it *stalls*) while too many are unanswered, while the client
 * does not read what it is sent, and while the node is congested; what has arrived then stays where it is, and the socket is
 * paused as soon as more comes. Beyond `outputBytesMax` it is closed. A message that means nothing is answered with an error;
 * where the framing itself is broken, that is said (with request id 0), and then it is closed. Main thread only.
 */
import { crc32Range } from "../../core/crc32.ts";
import { EnvelopeError } from "../../core/errors.ts";
import type { Connection, ConnectionHandler } from "../../env/network.ts";
import {
  BINARY_MAGIC,
  type BinaryFrame,
  BinaryFrameReader,
  compressedParts,
  NO_REQUEST,
} from "../../wire/binary-format.ts";
import type { BinaryReply, BinaryRequest, CompressionName } from "../../wire/binary-messages.ts";
import { decodeRequest } from "../../wire/binary-request-format.ts";
import { expand } from "../../wire/body-compression.ts";
import { PackReader } from "../../wire/message-pack.ts";
import { ConnectionLogin, type LoginOwner } from "../access/connection-login.ts";
import type { ClientPort } from "../client-port.ts";
import { FRAME_PROGRESS_BYTES, FrameWatch } from "../frame-watch.ts";
import { ConnectionShare } from "../connection-share.ts";
import type { PortConnection, ShownClient } from "../port-connection.ts";
import { FIRST_BUCKET } from "../session.ts";
import type { TurnTaker } from "../turn-shares.ts";
import { BinarySession, type ReplySink } from "./binary-session.ts";
import { FrameOutput } from "./frame-output.ts";
import { LoginGuard } from "./guard.ts";
import { failure } from "./replies.ts";

type State =
  /** Takes requests. */
  | "open"
  /** Takes none; closes when everything asked before is answered and sent. */
  | "finishing"
  | "closed";

const ARGUMENTS_PER_OPERATION = 4;
/** The largest frame of a client that has not been welcomed. */
const STRANGER_FRAME_BYTES_MAX = 16 * 1024;
/** Requests before the login until the connection is closed. */
const STRANGER_REQUESTS_MAX = 100;

/** One for the thread: a body is decoded before the next is looked at. */
const BODY = new PackReader();

export class BinaryConnection implements ConnectionHandler, LoginOwner, PortConnection, ReplySink, TurnTaker {
  readonly id: number;
  readonly remoteAddress: string;
  readonly frameWatch: FrameWatch;
  readonly outputWatch: FrameWatch;
  countedBytes = 0;
  /** Requests, those that mean nothing included. */
  commandCount = 0;
  readonly openedMs: number;
  readonly login: ConnectionLogin;
  readonly session: BinarySession;
  readonly #share: ConnectionShare;
  readonly #port: ClientPort;
  readonly #connection: Connection;
  readonly #frames = new BinaryFrameReader(crc32Range);
  readonly #output: FrameOutput;
  #compression: CompressionName | null = null;
  #state: State = "open";
  #magicBytes = 0;
  /** When the oldest bytes came that are not looked at yet, on the monotonic clock. */
  #receivedMs = 0;
  #dirty = false;
  #socketFull = false;
  #pumping = false;
  #stalled = false;
  #paused = false;

  constructor(id: number, port: ClientPort, connection: Connection) {
    this.id = id;
    this.#port = port;
    this.#connection = connection;
    this.remoteAddress = connection.remoteAddress;
    this.frameWatch = new FrameWatch(port.clock);
    this.outputWatch = new FrameWatch(port.clock);
    this.#output = new FrameOutput(port.writers);
    this.openedMs = port.clock.monotonicMs();
    this.login = new ConnectionLogin(port.access, port.clock, this);
    this.#frames.frameBytesMax = STRANGER_FRAME_BYTES_MAX;
    this.#share = new ConnectionShare(port.shares, this, this.login.tenantName(FIRST_BUCKET));
    this.session = new BinarySession(port.binary, this, new LoginGuard(this.login));
  }

  get unansweredCount(): number {
    return this.session.unansweredCount;
  }

  get unsentBytes(): number {
    return this.#output.unsentBytes;
  }

  get shown(): ShownClient {
    const { clientName, clientVersion, lastRequest, bucketName } = this.session;
    const library = [clientName, clientVersion] as const;
    return { name: clientName, bucket: bucketName, lastCommand: lastRequest, library, protocol: "protocol=binary" };
  }

  /** There is one hello, so whoever came to an open node that has been closed has to come again. */
  principalChanged(): void {
    if (this.login.isStranger && this.session.isGreeted)
      this.abort("it has to say who it is: somebody has been entered as a user");
    else this.#share.become(this.login.tenantName(this.session.bucketName));
  }

  // ── from the network ──

  onData(bytes: Uint8Array): void {
    if (this.#state !== "open") return;
    this.#port.receivedBytes += bytes.length;
    this.#share.received();
    if (!this.#takeMagic(bytes)) return this.abort("it began as the binary protocol and did not go on so");
    if (!this.#stalled) this.#receivedMs = this.#port.clock.monotonicMs();
    if (this.#stalled) this.#pauseSocket();
    else this.#pump();
    this.#watchFrame(bytes.length);
    if (this.#isThere()) this.#port.memory.count(this);
  }

  onDrain(): void {
    this.#socketFull = false;
    this.flush();
  }

  onClose(): void {
    if (this.#state !== "closed") this.#close();
  }

  // ── from the session ──

  reply(id: number, reply: BinaryReply): void {
    if (this.#state === "closed") return;
    if (reply.type === "error") this.#port.errorCount += 1;
    this.#output.add(id, reply);
    this.#touch();
  }

  agreed(compression: CompressionName | null): void {
    this.#compression = compression;
    this.#output.compression = compression;
    this.#frames.frameBytesMax = this.#port.binary.limits.frameBytesMax;
  }

  /** The port settles reads before it flushes. */
  gathering(): void {
    this.#touch();
  }

  eased(): void {
    if (this.#stalled) this.#touch();
  }

  get isFull(): boolean {
    return this.#output.unsentBytes > this.#port.outputPauseBytes;
  }

  // ── for the port ──

  flush(): void {
    this.#dirty = false;
    if (this.#state === "closed") return;
    if (!this.#socketFull && this.#share.mustWaitToSend(this.#output.unsentBytes)) this.#share.wait();
    else if (!this.#socketFull && !this.#send()) return;
    const outputBytesMax = this.login.outputBytesMax(this.#port.settings.outputBytesMax);
    if (this.unsentBytes > outputBytesMax) {
      return this.abort(`more than ${outputBytesMax} bytes of replies were not read`);
    }
    if (this.#state === "finishing") return this.#closeIfDone();
    if (!this.isFull) this.session.resume();
    this.tryContinue();
    if (this.#isThere()) this.#port.memory.count(this);
  }

  tryContinue(): void {
    if (!this.#stalled || this.#state !== "open") return;
    if (this.#isBlocked()) return this.#waitForWhatBlocks();
    this.#stalled = false;
    this.#pump();
    if (!this.#stalled && this.#paused && this.#isOpen()) {
      this.#paused = false;
      this.#connection.resume();
    }
    this.#watchFrame(FRAME_PROGRESS_BYTES);
  }

  takeTurn(): void {
    this.flush();
  }

  finish(): void {
    if (this.#state !== "open") return;
    this.#state = "finishing";
    this.session.stopScans();
    this.#touch();
  }

  /** The reader and the output keep nothing while nothing is under way. */
  rest(): void {}

  get heldBytes(): number {
    return this.#frames.heldBytes + this.#output.heldBytes + this.session.heldBytes;
  }

  abort(reason: string): void {
    if (this.#state === "closed") return;
    this.#port.log.info("client closed", { client: this.id, address: this.remoteAddress, reason });
    this.#close();
    this.#connection.terminate();
  }

  // ── requests in ──

  /** Feeds the reader with what lies behind the magic; false: it is another one. */
  #takeMagic(bytes: Uint8Array): boolean {
    let offset = 0;
    while (this.#magicBytes < BINARY_MAGIC.length && offset < bytes.length) {
      if (bytes[offset] !== BINARY_MAGIC[this.#magicBytes]) return false;
      this.#magicBytes += 1;
      offset += 1;
    }
    this.#frames.feed(offset === 0 ? bytes : bytes.subarray(offset));
    return true;
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#state === "open") {
      if (this.#isBlocked()) {
        this.#stalled = true;
        this.#waitForWhatBlocks();
        break;
      }
      if (!this.#takeFrame()) break;
    }
    this.#pumping = false;
  }

  /** False: there is no whole one, or never will be. */
  #takeFrame(): boolean {
    try {
      const frame = this.#frames.next();
      if (frame === null) return false;
      this.commandCount += 1;
      const request = this.#decoded(frame);
      if (request !== null && this.#isCounted(frame, request)) {
        this.session.handle(frame.requestId, request, this.#receivedMs);
      }
      if (this.login.isStranger && this.commandCount > STRANGER_REQUESTS_MAX) this.finish();
      return true;
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
      this.reply(NO_REQUEST, failure(cause.code, cause.message));
      this.finish();
      return false;
    }
  }

  /** False: it is over the rate, which has been said. */
  #isCounted({ requestId, body }: BinaryFrame, request: BinaryRequest): boolean {
    if ("bucket" in request) this.#share.become(this.login.tenantName(request.bucket));
    const operationCount = "operations" in request ? request.operations.length : 1;
    if (this.#share.command(operationCount * ARGUMENTS_PER_OPERATION, body.length)) return true;
    // These two are no requests, and have no answer.
    if (request.type === "credit" || request.type === "cancel") return true;
    this.reply(requestId, failure("RATE_LIMITED", "too many requests a second; it was not executed", "safe"));
    return false;
  }

  /** The request in a frame; null: it is none, which has been said. */
  #decoded(frame: BinaryFrame): BinaryRequest | null {
    const { type, requestId } = frame;
    try {
      const request = decodeRequest(type, BODY.over(this.#bodyOf(frame)), this.#port.binary.limits.operationsMax);
      if (request === null) this.reply(requestId, failure("PROTOCOL", `a request of unknown type ${type}`));
      return request;
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
      this.reply(requestId, failure(cause.code, cause.message));
      return null;
    }
  }

  #bodyOf({ isCompressed, body }: BinaryFrame): Uint8Array {
    if (!isCompressed) return body;
    if (this.#compression === null) throw new EnvelopeError("PROTOCOL", "a compressed body, and none was agreed upon");
    const { expandedBytes, compressed } = compressedParts(body, this.#port.binary.limits.frameBytesMax);
    return expand(this.#compression, compressed, expandedBytes);
  }

  #isBlocked(): boolean {
    const { session } = this;
    if (session.isBeingGreeted) return true;
    if (session.openCount >= this.#port.settings.requestsInflightMax) return true;
    const expectedBytes = this.#output.unsentBytes + session.expectedBytes;
    if (expectedBytes > this.#port.outputPauseBytes || this.#port.coordinator.congested) return true;
    return this.#share.isUsedUp;
  }

  /** Answers wake it by themselves. */
  #waitForWhatBlocks(): void {
    if (this.#port.coordinator.congested) this.#port.waitForRelief(this);
    else if (this.#share.isUsedUp) this.#share.wait();
  }

  #pauseSocket(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#connection.pause();
  }

  #watchFrame(byteCount: number): void {
    const isWhole = this.#magicBytes === BINARY_MAGIC.length && !this.#frames.insideFrame;
    if (this.#stalled || !this.#isOpen() || isWhole) this.frameWatch.stop();
    else this.frameWatch.progress(byteCount, this.commandCount);
  }

  #isOpen(): boolean {
    return this.#state === "open";
  }

  #isThere(): boolean {
    return this.#state !== "closed";
  }

  // ── replies out ──

  #touch(): void {
    if (this.#dirty) return;
    this.#dirty = true;
    this.#port.flushSoon(this);
  }

  /** False when the connection has gone. */
  #send(): boolean {
    const before = this.#output.unsentBytes;
    const outcome = this.#output.send(this.#connection, this.#share.sendBytesMax);
    const sentBytes = before - this.#output.unsentBytes;
    this.#port.sentBytes += sentBytes;
    this.#socketFull = outcome === "full";
    if (this.#socketFull) this.outputWatch.progress(sentBytes, 0);
    else this.outputWatch.stop();
    this.#share.sent(sentBytes);
    if (outcome === "more") this.#share.wait();
    if (outcome !== "gone") return true;
    this.#close();
    this.#connection.terminate();
    return false;
  }

  #closeIfDone(): void {
    if (this.session.unansweredCount > 0 || this.#output.unsentBytes > 0) return;
    this.#close();
    this.#connection.shutdown();
  }

  #close(): void {
    this.#state = "closed";
    this.frameWatch.stop();
    this.outputWatch.stop();
    this.login.end();
    this.#output.release();
    this.#port.memory.forget(this);
    this.#share.end();
    this.session.end();
    this.#port.forget(this);
  }
}
