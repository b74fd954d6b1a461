/**
 * One client: bytes in, commands to the coordinator, replies out in request order.
 *
 *   onData → intake (command-intake.ts) → handler → coordinator ──resolve(tag)──▶ reply stream ──flush──▶ socket
 *
 * The port flushes every connection that has something to say once a turn. While the intake stalls, the socket is paused as
 * soon as more comes. Beyond `outputBytesMax` of replies that are not read the connection is closed.
 *
 * Between MULTI and EXEC commands are queued. At EXEC their handlers run while the connection *gathers*: what they read,
 * write and reply goes to a transaction (transaction-run.ts) instead of the coordinator and the client.
 *
 * Length: it is one object on purpose, the handler of its socket, the waiter of its commands and what handlers talk to,
 * so that no command needs an object or a closure of its own. Main thread only.
 */
import type { BucketRef, Coordinator, Waiter } from "../cluster/coordinator.ts";
import { EMPTY_BYTES } from "../core/bytes.ts";
import type { Connection, ConnectionHandler } from "../env/network.ts";
import { type ByteRange, CommandType } from "../record/command-format.ts";
import type { Result } from "../record/result.ts";
import { encodeTransaction, type Transaction } from "../record/transaction-format.ts";
import { BINARY_MAGIC } from "../wire/binary-format.ts";
import type { RequestArguments } from "../wire/request-arguments.ts";
import type { RespWriter } from "../wire/resp-writer.ts";
import { ConnectionLogin, type LoginOwner } from "./access/connection-login.ts";
import { ArgumentRange, NO_VALUE } from "./argument-range.ts";
import type { ClientPort } from "./client-port.ts";
import { ClientTransactions, WITHIN_TRANSACTION } from "./client-transactions.ts";
import { CommandIntake } from "./command-intake.ts";
import type { CommandEntry } from "./command-table.ts";
import { ConnectionShare } from "./connection-share.ts";
import { FRAME_PROGRESS_BYTES, FrameWatch } from "./frame-watch.ts";
import type { PortConnection, ShownClient } from "./port-connection.ts";
import { ReplyShape } from "./reply-shape.ts";
import { ReplyStream } from "./reply-stream.ts";
import { FIRST_BUCKET, LINEARIZABLE, type ReadChoice, type Session } from "./session.ts";
import type { TurnTaker } from "./turn-shares.ts";
import { ValueReply, type WriteReply } from "./value-reply.ts";

/** Reads are gathered while they are expected to bring no more than this: large values are counted one by one. */
const GATHERED_BYTES_MAX = 256 * 1024;

/** The first byte of a TLS record: somebody took this for a TLS port. */
const TLS_HANDSHAKE = 0x16;

/** One set for the whole thread. */
const KEY = new ArgumentRange();
const VALUE = new ArgumentRange();
type State =
  /** Takes commands. */
  | "open"
  /** Takes none; closes when everything asked before is answered and sent. */
  | "finishing"
  | "closed";

export class ClientConnection implements ConnectionHandler, LoginOwner, PortConnection, TurnTaker, Waiter {
  readonly id: number;
  readonly port: ClientPort;
  readonly coordinator: Coordinator;
  readonly session: Session;
  readonly login: ConnectionLogin;
  readonly remoteAddress: string;
  readonly openedMs: number;
  readonly frameWatch: FrameWatch;
  /** Of replies that the client does not read. */
  readonly outputWatch: FrameWatch;
  countedBytes = 0;
  readonly transactions: ClientTransactions = new ClientTransactions(this);

  readonly share: ConnectionShare;

  readonly #connection: Connection;
  readonly #intake: CommandIntake;
  readonly #replies: ReplyStream;
  #state: State = "open";
  #dirty = false;
  #socketFull = false;
  #paused = false;
  #greeted = false;
  /** The client speaks the binary protocol, and all that comes is for this one. */
  #successor: ConnectionHandler | null = null;
  #commandsAtRest = 0;

  constructor(id: number, port: ClientPort, connection: Connection) {
    this.id = id;
    this.port = port;
    this.coordinator = port.coordinator;
    this.#connection = connection;
    this.remoteAddress = connection.remoteAddress;
    this.#replies = new ReplyStream(port.pool, port.scratch, port.coordinator);
    this.#intake = new CommandIntake(this, this.#replies);
    this.frameWatch = new FrameWatch(port.clock);
    this.outputWatch = new FrameWatch(port.clock);
    this.openedMs = port.clock.monotonicMs();
    this.session = {
      bucket: port.coordinator.bucket(FIRST_BUCKET),
      read: LINEARIZABLE,
      ordering: port.coordinator.newOrdering(),
      version: 2,
      name: "",
      libraryName: "",
      libraryVersion: "",
      replies: "on",
    };
    this.login = new ConnectionLogin(port.access, port.clock, this);
    this.share = new ConnectionShare(port.shares, this, this.login.tenantName(FIRST_BUCKET));
    this.#intake.parser.isRestricted = this.login.isStranger;
  }

  // ── from the network ──

  onData(bytes: Uint8Array): void {
    if (this.#successor !== null) return this.#successor.onData(bytes);
    if (this.#state !== "open") return;
    if (!this.#greeted && bytes.length > 0) {
      this.#greeted = true;
      if (bytes[0] === TLS_HANDSHAKE) {
        this.port.refusals.note(this.remoteAddress, "it speaks TLS, and this port is without");
        this.#close();
        this.#connection.terminate();
        return;
      }
      if (bytes[0] === BINARY_MAGIC[0]) {
        this.#giveWay().onData(bytes);
        return;
      }
    }
    this.port.receivedBytes += bytes.length;
    this.share.received();
    this.#intake.parser.feed(bytes);
    if (this.#intake.isStalled) this.#pauseSocket();
    else this.#intake.pump();
    this.#watchFrame(bytes.length);
    if (this.#state === "open") this.port.memory.count(this);
  }

  onDrain(): void {
    if (this.#successor !== null) return this.#successor.onDrain();
    this.#socketFull = false;
    this.flush();
  }

  onClose(): void {
    if (this.#successor !== null) return this.#successor.onClose();
    if (this.#state === "closed") return;
    this.#close();
  }

  // ── from the coordinator ──

  resolve(tag: number, result: Result): void {
    if (this.#state === "closed") return;
    if (result.kind === "version") this.share.hasRead(result.valueBytes);
    if (tag < WITHIN_TRANSACTION) this.#replies.resolve(tag, result);
    else this.transactions.resolve(tag, result);
    this.#touch();
  }

  // ── for the port ──

  /** Hands the gathered replies to the socket and, if that ended a stall, goes on with what has arrived. */
  flush(): void {
    this.#dirty = false;
    if (this.#state === "closed") return;
    if (!this.#socketFull && this.share.mustWaitToSend(this.unsentBytes)) this.share.wait();
    else if (!this.#socketFull && !this.#send()) return;
    const outputBytesMax = this.login.outputBytesMax(this.port.settings.outputBytesMax);
    if (this.unsentBytes > outputBytesMax) {
      this.abort(`more than ${outputBytesMax} bytes of replies were not read`);
      return;
    }
    if (this.#state === "finishing") this.#closeIfDone();
    else this.tryContinue();
    if (!this.isGone) this.port.memory.count(this);
  }

  /** Goes on after a stall, if nothing stands against it any more. */
  tryContinue(): void {
    if (!this.#intake.isStalled || this.#state !== "open") return;
    if (!this.#intake.goOn()) return;
    if (!this.#intake.isStalled && this.#paused && this.isOpen) {
      this.#paused = false;
      this.#connection.resume();
    }
    this.#watchFrame(FRAME_PROGRESS_BYTES);
  }

  takeTurn(): void {
    this.flush();
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

  /** Gives back what it keeps for what may come, if nothing has come for a while. */
  rest(): void {
    const isResting =
      this.commandCount === this.#commandsAtRest && this.#replies.openCount === 0 && !this.#intake.isStalled;
    this.#commandsAtRest = this.commandCount;
    if (!isResting) return;
    this.#intake.parser.giveBack();
    this.#replies.giveBack();
  }

  get commandCount(): number {
    return this.#intake.commandCount;
  }

  /** It takes commands. */
  get isOpen(): boolean {
    return this.#state === "open";
  }

  get isGone(): boolean {
    return this.#state === "closed";
  }

  get heldBytes(): number {
    return this.#intake.parser.heldBytes + this.#replies.heldBytes + this.transactions.heldBytes;
  }

  get unsentBytes(): number {
    return this.#replies.unsentBytes;
  }

  get unansweredCount(): number {
    return this.#replies.openCount;
  }

  /** What CLIENT LIST tells of it. */
  get shown(): ShownClient {
    const { name, bucket, libraryName, libraryVersion, version } = this.session;
    return {
      name,
      bucket: bucket.name,
      lastCommand: this.#intake.lastCommand,
      library: [libraryName, libraryVersion],
      protocol: `resp=${version}`,
    };
  }

  // ── who it is ──

  principalChanged(): void {
    this.#chooseTenant();
    this.#intake.parser.isRestricted = this.login.isStranger;
  }

  #chooseTenant(): void {
    this.share.become(this.login.tenantName(this.session.bucket.name));
  }

  // ── for the handlers: replies known at once ──

  /** A writer for the reply of the command being executed, which `end` completes. */
  begin(): RespWriter {
    return this.#stream.begin(this.session.version, this.#isSilent());
  }

  end(): void {
    this.#stream.end();
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

  /**
   * Takes the slot of the command being executed; `settle` answers it, in the same call or later. `isValue`: what is read
   * for it may be as large as values.
   */
  defer(isValue = false): number {
    return this.#open(ReplyShape.plain, isValue);
  }

  settle(tag: number, write: (reply: RespWriter) => void, readBytes = 0): void {
    if (this.#state === "closed") return;
    if (tag < WITHIN_TRANSACTION) this.#replies.settle(tag, write, readBytes);
    else this.transactions.settle(tag, write, readBytes);
    this.#touch();
  }

  // ── for the handlers: operations on one key ──

  /** What time it is for a key, as far as its expiry goes. */
  timeOf(request: RequestArguments, keyIndex: number): number {
    return this.coordinator.timeOf(this.session.bucket, KEY.point(request, keyIndex));
  }

  read(request: RequestArguments, keyIndex: number, shape: ReplyShape): void {
    const isValue = shape === ReplyShape.plain;
    const tag = this.#open(shape, isValue);
    if (isValue) this.share.willRead();
    this.readFor(request, keyIndex, !isValue, this, tag);
    if (this.#replies.openReadBytes > GATHERED_BYTES_MAX) this.coordinator.settleReads();
  }

  /** Reads a value that the reply is made of. */
  readWith(request: RequestArguments, keyIndex: number, write: WriteReply): void {
    const tag = this.#open(ReplyShape.plain, true);
    this.share.willRead();
    this.readFor(request, keyIndex, false, new ValueReply(this, write), tag);
    if (this.#replies.openReadBytes > GATHERED_BYTES_MAX) this.coordinator.settleReads();
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
    this.writeFor(type, modifiers, request, keyIndex, value, expiryMs, this, this.#open(shape, false));
  }

  writeValue(type: CommandType, request: RequestArguments, keyIndex: number, value: ByteRange): void {
    this.writeFor(type, 0, request, keyIndex, value, 0, this, this.#open(ReplyShape.plain, false));
  }

  /** As `read`, for a waiter of its own (a command on several keys). */
  readFor(request: RequestArguments, keyIndex: number, metadataOnly: boolean, waiter: Waiter, tag: number): void {
    const { session } = this;
    this.#touch();
    const { gathering } = this.transactions;
    if (gathering !== null) {
      gathering.add({ kind: "read", key: request.copy(keyIndex), metadataOnly }, waiter, tag);
      return;
    }
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
    const { gathering } = this.transactions;
    if (gathering !== null) {
      const bytes = value.bytes.slice(value.start, value.end);
      const key = request.copy(keyIndex);
      gathering.add({ kind: "write", type, modifiers, key, value: bytes, expiryMs }, waiter, tag);
      return;
    }
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

  /** Proposes several operations as one command. Within a transaction they are one of its operations. */
  transact(transaction: Transaction, shape: ReplyShape): void {
    const { session } = this;
    const tag = this.#open(shape, false);
    const { gathering } = this.transactions;
    if (gathering === null) {
      this.coordinator.transact(session.ordering, session.bucket, transaction, this, tag);
      return;
    }
    const key = transaction.operations[0]?.key ?? EMPTY_BYTES;
    const value = encodeTransaction(transaction);
    gathering.add({ kind: "write", type: CommandType.transaction, modifiers: 0, key, value, expiryMs: 0 }, this, tag);
  }

  /** Reads the stamp of a key. */
  readStampedFor(key: Uint8Array, waiter: Waiter, tag: number): void {
    const { session } = this;
    const range = { bytes: key, start: 0, end: key.length };
    this.coordinator.readStamped(session.ordering, session.bucket, range, true, waiter, tag);
  }

  useBucket(bucket: BucketRef): void {
    this.session.bucket = bucket;
    this.#chooseTenant();
  }

  setReadMode(choice: ReadChoice): void {
    this.session.read = choice;
    this.coordinator.setReadMode(this.session.ordering, choice.mode, choice.staleMs);
  }

  /** Runs the command that another one has in its arguments, in its place. */
  runInner(entry: CommandEntry, request: RequestArguments): void {
    this.#intake.runInner(entry, request);
  }

  get #stream(): ReplyStream {
    return this.transactions.gathering?.replies ?? this.#replies;
  }

  #open(shape: ReplyShape, isValue: boolean): number {
    const tag = this.#stream.open(shape, isValue, this.session.version, this.#isSilent());
    return this.transactions.gathering === null ? tag : tag + WITHIN_TRANSACTION;
  }

  #isSilent(): boolean {
    return this.session.replies === "off" || this.session.replies === "skip";
  }

  #pauseSocket(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#connection.pause();
  }

  #watchFrame(byteCount: number): void {
    if (this.#intake.isStalled || !this.isOpen || !this.#intake.parser.insideFrame) this.frameWatch.stop();
    else this.frameWatch.progress(byteCount, this.commandCount);
  }

  // ── replies out ──

  #touch(): void {
    if (this.#dirty) return;
    this.#dirty = true;
    this.port.flushSoon(this);
  }

  /** False when the connection has gone. */
  #send(): boolean {
    const before = this.#replies.unsentBytes;
    const outcome = this.#replies.send(this.#connection, this.share.sendBytesMax);
    const sentBytes = before - this.#replies.unsentBytes;
    this.port.sentBytes += sentBytes;
    this.#socketFull = outcome === "full";
    if (this.#socketFull) this.outputWatch.progress(sentBytes, 0);
    else this.outputWatch.stop();
    this.share.sent(sentBytes);
    if (outcome === "more") this.share.wait();
    if (outcome !== "gone") return true;
    this.#close();
    this.#connection.terminate();
    return false;
  }

  #closeIfDone(): void {
    if (this.#replies.openCount > 0 || this.#replies.unsentBytes > 0) return;
    this.#close();
    this.#connection.shutdown();
  }

  /** Another takes its place, before it has said or heard anything. */
  #giveWay(): ConnectionHandler {
    this.#state = "closed";
    this.login.end();
    this.share.end();
    const successor = this.port.speaksBinary(this, this.#connection);
    this.#successor = successor;
    this.coordinator.endOrdering(this.session.ordering);
    return successor;
  }

  #close(): void {
    this.#state = "closed";
    this.frameWatch.stop();
    this.outputWatch.stop();
    this.login.end();
    this.#replies.release();
    this.transactions.drop();
    this.port.memory.forget(this);
    this.share.end();
    this.coordinator.endOrdering(this.session.ordering);
    this.port.forget(this);
  }
}
