/**
 * What one client of the binary protocol is doing: takes its requests as they were decoded and gives its replies to a sink, in
 * whatever order they come. It knows no frames and no sockets, so a client inside the process uses it as it is.
 *
 *   handle(id, request) → rights → coordinator ──resolve(tag)──▶ sink.reply(id, reply)
 *
 * Bytes in a request are used before `handle` returns, or copied. Bytes in a reply are good while `reply` runs.
 *
 * Length: every kind of request passes here, so that what holds for all of them (ids, deadlines, rights) is said once.
 * Main thread only.
 */
import type { BucketRef, Coordinator, Ordering, Waiter } from "../../cluster/coordinator.ts";
import { unreachable } from "../../core/assert.ts";
import { EnvelopeError } from "../../core/errors.ts";
import { ownedSession } from "../../core/session-owner.ts";
import type { Clock } from "../../env/clock.ts";
import type { Result } from "../../record/result.ts";
import type { Condition, Transaction } from "../../record/transaction-format.ts";
import { chosenCompression } from "../../wire/body-compression.ts";
import { BINARY_VERSION_MAX, BINARY_VERSION_MIN, NO_REQUEST } from "../../wire/binary-format.ts";
import type {
  BatchRequest,
  BinaryLimits,
  BinaryReadMode,
  BinaryReply,
  BinaryRequest,
  CompressionName,
  HelloRequest,
  KeyOperation,
  Once,
  OperationRequest,
  ScanRequest,
  Topology,
} from "../../wire/binary-messages.ts";
import { FIRST_BUCKET } from "../session.ts";
import { ReadEstimate } from "../read-estimate.ts";
import { atomicReplies, BatchReplies } from "./batch.ts";
import { type BucketRequest, bucketNameProblem, bucketRequest } from "./bucket-requests.ts";
import type { Guard } from "./guard.ts";
import {
  isReadOperation,
  needsTransaction,
  problemWith,
  transactionCondition,
  transactionPart,
  WholeRange,
  WriteCommand,
  type WriteOperation,
} from "./key-commands.ts";
import { type PendingRequest, PendingRequests } from "./pending-requests.ts";
import { failure, formOf, operationReply, type ReplyForm, readRetry } from "./replies.ts";
import { actOf } from "./rights.ts";
import { ScanStream } from "./scan-stream.ts";
import type { TopologyWatch } from "./topology-watch.ts";

/** Scans of one client at a time: each holds a page of every shard. */
const SCANS_MAX = 16;
/** Reads are gathered while they are expected to bring no more than this: large values are sent one by one. */
const GATHERED_BYTES_MAX = 256 * 1024;
const STALE_MS_MAX = 86_400_000;
/** What a reply may take in its frame besides values. */
const REPLY_SLACK_BYTES = 4096;

const KEY = new WholeRange();
const VALUE = new WholeRange();
const COMMAND = new WriteCommand();
const NOT_GREETED = failure("PROTOCOL", "the first request of a connection is a hello");
/** What is told of a client is no longer than this. */
const SHOWN_LENGTH_MAX = 128;
const NOT_RECORDED = failure("IO", "the audit log cannot be written, so this is not done", "never");
const GREETED_TWICE = failure("PROTOCOL", "a connection has one hello");
const ENDING = failure("SHUTTING_DOWN", "this connection takes nothing more; another one may go on", "safe");
const TOO_MANY_SCANS = failure("OVERLOADED", `a connection has at most ${SCANS_MAX} scans at a time`);

/** What every session of a node shares. */
export interface BinaryServices {
  readonly coordinator: Coordinator;
  readonly clock: Clock;
  readonly topology: TopologyWatch;
  readonly limits: BinaryLimits;
  readonly serverVersion: string;
}

export interface ReplySink {
  reply(id: number, reply: BinaryReply): void;
  /** Both sides have agreed on how bodies are compressed; null: not at all. Replies from now on, the welcome not among them. */
  agreed(compression: CompressionName | null): void;
  /** A read may be waiting for more of its kind: by the end of the turn somebody is to call the coordinator's `settleReads`. */
  gathering(): void;
  /** Operations of requests that were answered before have come back: there may be room for more. */
  eased(): void;
  /** The client does not take what it has been sent: scans wait for `resume`. */
  readonly isFull: boolean;
}

export class BinarySession implements Waiter {
  clientName = "";
  clientVersion = "";
  lastRequest = "NULL";
  readonly #services: BinaryServices;
  readonly #coordinator: Coordinator;
  readonly #sink: ReplySink;
  readonly #guard: Guard;
  readonly #ordering: Ordering;
  readonly #pending: PendingRequests;
  readonly #reads = new ReadEstimate();
  readonly #scans = new Map<number, ScanStream>();
  /** Those included that are over and to which a shard still owes an answer. */
  #scanCount = 0;
  readonly #tellTopology = (topology: Topology): void => this.#sink.reply(NO_REQUEST, { type: "topology", topology });
  #greeting: "due" | "under way" | "done" = "due";
  /** The one named last: most clients stay with it. */
  #bucket: BucketRef;
  /** The one used last, and the number that the shards know it by. */
  #session = 0;
  #sessionOwner = "";
  #ownedSession = 0;
  #mode: BinaryReadMode = "linearizable";
  #staleMs = 0;

  constructor(services: BinaryServices, sink: ReplySink, guard: Guard) {
    this.#services = services;
    this.#guard = guard;
    this.#coordinator = services.coordinator;
    this.#sink = sink;
    this.#bucket = services.coordinator.bucket(FIRST_BUCKET);
    this.#ordering = services.coordinator.newOrdering();
    this.#pending = new PendingRequests(services.clock, (pending) => this.#expire(pending));
  }

  /** Whether it has been said who this is, or need not be. */
  get isGreeted(): boolean {
    return this.#greeting === "done";
  }

  /** Nothing may be asked until it is known who asks. */
  get isBeingGreeted(): boolean {
    return this.#greeting === "under way";
  }

  get bucketName(): string {
    return this.#bucket.name;
  }

  /** Operations under way: a batch counts as many as it has. */
  get openCount(): number {
    return this.#pending.weight;
  }

  /** Requests without an answer. */
  get unansweredCount(): number {
    return this.#pending.count;
  }

  /** Bytes that unanswered reads are expected to bring. */
  get expectedBytes(): number {
    return this.#reads.bytes;
  }

  /** Bytes of memory that scans hold. */
  get heldBytes(): number {
    let total = 0;
    for (const scan of this.#scans.values()) total += scan.heldBytes;
    return total;
  }

  /**
   * Takes a request that came at `receivedMs` on the monotonic clock. Throws PROTOCOL when it cannot be answered, because its
   * id is none or that of another one: then there is no speaking with this client any more.
   */
  handle(id: number, request: BinaryRequest, receivedMs: number): void {
    this.lastRequest = request.type === "operation" ? request.operation.type : request.type;
    if (request.type === "credit") return this.#grant(request.target, request.credits);
    if (request.type === "cancel") return this.#cancel(request.target);
    if (id === NO_REQUEST) throw new EnvelopeError("PROTOCOL", "a request with the id 0");
    if (this.#pending.find(id) !== null) throw new EnvelopeError("PROTOCOL", `a second request with the id ${id}`);
    if (request.type === "hello") return this.#greet(id, request);
    const objection = this.#guard.objection(request);
    if (objection !== null) return this.#sink.reply(id, objection);
    if (!this.isGreeted) return this.#sink.reply(id, NOT_GREETED);
    const deadlineMs = request.deadlineMs === 0 ? Number.POSITIVE_INFINITY : receivedMs + request.deadlineMs;
    if (deadlineMs <= this.#services.clock.monotonicMs()) {
      return this.#sink.reply(id, failure("DEADLINE_EXCEEDED", "the deadline had passed; it was not executed", "safe"));
    }
    this.#carryOut(id, request, deadlineMs);
  }

  /** The result of a request's own operation, or of the transaction that it has become. */
  resolve(tag: number, result: Result): void {
    const pending = this.#pending.end(tag);
    const { kind, forms } = pending;
    if (kind === "operation" && isValueRead(forms[0]!)) {
      this.#reads.answered(result.kind === "version" || result.kind === "stamped" ? result.valueBytes : 0);
    }
    if (result.kind === "error" && result.code === "SESSION_GONE") this.#guard.missedSession();
    if (!this.#pending.answer(pending)) return this.#sink.eased();
    const reply = kind === "operation" ? operationReply(forms[0]!, result) : this.#transacted(forms, result);
    this.#sink.reply(pending.id, reply);
  }

  /** The client takes replies again. */
  resume(): void {
    for (const scan of [...this.#scans.values()]) scan.resume();
  }

  /** No more credits come, for which scans would wait. */
  stopScans(): void {
    for (const id of [...this.#scans.keys()]) {
      const pending = this.#pending.find(id);
      if (pending !== null && this.#pending.answer(pending)) this.#sink.reply(id, ENDING);
    }
  }

  /** The client has gone. */
  end(): void {
    this.#pending.close();
    this.#services.topology.remove(this.#tellTopology);
    this.#coordinator.endOrdering(this.#ordering);
  }

  // ── what holds for all requests ──

  #greet(id: number, hello: HelloRequest): void {
    if (this.#greeting !== "due") return this.#sink.reply(id, GREETED_TWICE);
    const version = Math.min(hello.versionMax, BINARY_VERSION_MAX);
    if (version < Math.max(hello.versionMin, BINARY_VERSION_MIN)) {
      const spoken = `${BINARY_VERSION_MIN} to ${BINARY_VERSION_MAX}`;
      return this.#sink.reply(id, failure("PROTOCOL", `this node speaks versions ${spoken} of the protocol`));
    }
    this.#greeting = "under way";
    const pending = this.#pending.beginOther(id, Number.POSITIVE_INFINITY, false);
    this.#guard.admit(hello.credentials, (problem) => {
      this.#greeting = problem === null ? "done" : "due";
      if (problem === null) this.#welcome(pending, hello, version);
      else this.#answer(pending, problem);
      this.#sink.eased();
    });
  }

  #welcome(pending: PendingRequest, hello: HelloRequest, version: number): void {
    const { limits, serverVersion, topology } = this.#services;
    const compression = chosenCompression(hello.compression);
    this.clientName = shown(hello.clientName);
    this.clientVersion = shown(hello.clientVersion);
    const node = this.#coordinator.nodeName;
    const now = topology.current();
    this.#answer(pending, { type: "welcome", version, serverVersion, node, compression, limits, topology: now });
    this.#sink.agreed(compression);
    if (hello.watchesTopology) topology.add(this.#tellTopology);
  }

  #expire(pending: PendingRequest): void {
    this.#answerEarly(pending, "DEADLINE_EXCEEDED", "the deadline has passed");
  }

  #cancel(target: number): void {
    const pending = this.#pending.find(target);
    if (pending !== null) this.#answerEarly(pending, "CANCELLED", "it was cancelled");
  }

  /** Whatever becomes of its operation. */
  #answerEarly(pending: PendingRequest, code: "DEADLINE_EXCEEDED" | "CANCELLED", message: string): void {
    if (!this.#pending.answer(pending)) return;
    const { id, mayWrite } = pending;
    const text = mayWrite ? `${message}; it may have been executed` : message;
    this.#sink.reply(id, failure(code, text, mayWrite ? "unknown" : readRetry(code)));
  }

  #answer(pending: PendingRequest, reply: BinaryReply): void {
    this.#pending.end(pending.tag);
    if (this.#pending.answer(pending)) this.#sink.reply(pending.id, reply);
    else this.#sink.eased();
  }

  #carryOut(id: number, request: Exclude<BinaryRequest, Untimed>, deadlineMs: number): void {
    switch (request.type) {
      case "operation":
        return this.#operation(id, request, deadlineMs);
      case "batch":
        return this.#batch(id, request, deadlineMs);
      case "scan":
        return this.#startScan(id, request, deadlineMs);
      case "ping":
        return this.#sink.reply(id, { type: "pong" });
      case "topology":
        return this.#sink.reply(id, { type: "topology", topology: this.#services.topology.current() });
      case "status":
        return this.#sink.reply(id, this.#status());
      case "openSession":
      case "closeSession": {
        const pending = this.#pending.beginOther(id, deadlineMs, true);
        const waiter = { resolve: (_: number, result: Result) => this.#answer(pending, sessionReply(result)) };
        const { sessionOwner } = this.#guard;
        if (request.type === "openSession") this.#coordinator.openSession(sessionOwner, request.ttlMs, waiter, 0);
        else this.#coordinator.closeSession(ownedSession(sessionOwner, request.session), waiter, 0);
        return;
      }
      case "createBucket":
      case "dropBucket":
      case "emptyBucket":
      case "listBuckets":
      case "describeBucket":
        return this.#bucketRequest(id, request, deadlineMs);
      default:
        unreachable(request);
    }
  }

  #bucketRequest(id: number, request: BucketRequest, deadlineMs: number): void {
    const act = actOf(request);
    const pending = this.#pending.beginOther(id, deadlineMs, act !== null);
    const sees = (bucket: string): boolean => this.#guard.sees(bucket);
    const carryOut = (): void =>
      bucketRequest(this.#coordinator, request, sees, (reply) => this.#answer(pending, reply));
    if (act === null || request.type === "listBuckets") return carryOut();
    this.#guard.record(act, request.bucket, (isRecorded) => {
      // Who has gone, or has been answered meanwhile, has been told that it may have been done, and it is not.
      if (!isRecorded || pending.isAnswered) return this.#answer(pending, NOT_RECORDED);
      // Rights may have been taken away while the line was written.
      const objection = this.#guard.objection(request);
      if (objection === null) carryOut();
      else this.#answer(pending, objection);
    });
  }

  #status(): BinaryReply {
    const figures = Object.entries(this.#coordinator.figures());
    return { type: "status", node: this.#coordinator.nodeName, figures };
  }

  // ── one key ──

  #operation(id: number, request: OperationRequest, deadlineMs: number): void {
    const { operation, mode, staleMs, once } = request;
    const problem =
      this.#problem(request.bucket, mode, staleMs) ?? problemWith(operation, this.#services.limits, false);
    if (problem !== null) return this.#sink.reply(id, problem);
    const form = formOf(operation);
    const { tag } = this.#pending.begin(id, deadlineMs, "operation", [form]);
    if (!isReadOperation(operation)) return this.#write(this.#bucket, operation, once, this, tag);
    if (isValueRead(form)) this.#reads.opened();
    this.#chooseMode(mode, staleMs);
    this.#read(this.#bucket, operation, this, tag);
    if (this.#reads.bytes > GATHERED_BYTES_MAX) this.#coordinator.settleReads();
  }

  /** Finds the bucket of a request; a name that was not the last one is looked at first. */
  #problem(name: string, mode: BinaryReadMode, staleMs: number): BinaryReply | null {
    if (mode === "stale" && staleMs > STALE_MS_MAX) {
      return failure("INVALID_ARGUMENT", `staleMs is ${staleMs}; the limit is ${STALE_MS_MAX}`);
    }
    if (name === this.#bucket.name) return null;
    const problem = bucketNameProblem(name);
    if (problem === null) this.#bucket = this.#coordinator.bucket(name);
    return problem;
  }

  #chooseMode(mode: BinaryReadMode, staleMs: number): void {
    if (mode === this.#mode && staleMs === this.#staleMs) return;
    this.#mode = mode;
    this.#staleMs = staleMs;
    this.#coordinator.setReadMode(this.#ordering, mode, staleMs);
  }

  #read(bucket: BucketRef, operation: KeyOperation, waiter: Waiter, tag: number): void {
    this.#sink.gathering();
    const key = KEY.over(operation.key);
    const metadataOnly = operation.type === "metadata";
    const isVersioned = operation.type !== "getField" && isReadOperation(operation) && operation.versioned;
    if (isVersioned) this.#coordinator.readStamped(this.#ordering, bucket, key, metadataOnly, waiter, tag);
    else this.#coordinator.read(this.#ordering, bucket, key, metadataOnly, waiter, tag);
  }

  #write(bucket: BucketRef, operation: WriteOperation, once: Once | null, waiter: Waiter, tag: number): void {
    if (needsTransaction(operation)) return this.#transact(bucket, [operation], once, waiter, tag);
    const key = KEY.over(operation.key);
    const { type, modifiers, value, expiryMs } = COMMAND.become(operation, this.#timeOf(bucket, operation), false);
    const range = VALUE.over(value);
    const coordinator = this.#coordinator;
    if (once === null) {
      coordinator.write(this.#ordering, type, modifiers, bucket, key, range, expiryMs, waiter, tag);
      return;
    }
    coordinator.writeOnce(
      this.#ordering,
      this.#owned(once.session),
      once.sequence,
      type,
      modifiers,
      bucket,
      key,
      range,
      expiryMs,
      waiter,
      tag,
    );
  }

  /** A client stays with a session for many writes. */
  #owned(session: number): number {
    const owner = this.#guard.sessionOwner;
    if (owner === "") return session;
    if (session !== this.#session || owner !== this.#sessionOwner) {
      this.#session = session;
      this.#sessionOwner = owner;
      this.#ownedSession = ownedSession(owner, session);
    }
    return this.#ownedSession;
  }

  #timeOf(bucket: BucketRef, operation: KeyOperation): number {
    const hasTtl = (operation.type === "put" || operation.type === "expire") && operation.expiry.kind === "ttl";
    return hasTtl ? this.#coordinator.timeOf(bucket, KEY.over(operation.key)) : 0;
  }

  // ── several ──

  #batch(id: number, request: BatchRequest, deadlineMs: number): void {
    const { operations, isAtomic, once, mode, staleMs } = request;
    const problem = this.#problem(request.bucket, mode, staleMs) ?? this.#batchProblem(request);
    if (problem !== null) return this.#sink.reply(id, problem);
    if (operations.length === 0) return this.#sink.reply(id, { type: "results", results: [] });
    const pending = this.#pending.begin(id, deadlineMs, "batch", operations.map(formOf));
    if (isAtomic) return this.#transact(this.#bucket, operations, once, this, pending.tag);
    const replies = new BatchReplies(pending.forms, this.#reads, this.#replyBytesMax, (results) =>
      this.#answer(pending, { type: "results", results }),
    );
    pending.stop = () => {
      replies.isDropped = true;
    };
    this.#chooseMode(mode, staleMs);
    for (let place = 0; place < operations.length; place++) this.#batchPart(operations[place]!, replies, place);
  }

  #batchPart(operation: KeyOperation, replies: BatchReplies, place: number): void {
    const wrong = problemWith(operation, this.#services.limits, false);
    if (wrong !== null) replies.refuse(place, wrong);
    else if (!isReadOperation(operation)) this.#write(this.#bucket, operation, null, replies, place);
    else {
      replies.reads();
      this.#read(this.#bucket, operation, replies, place);
    }
  }

  get #replyBytesMax(): number {
    return this.#services.limits.frameBytesMax - REPLY_SLACK_BYTES;
  }

  #batchProblem({ operations, isAtomic, once }: BatchRequest): BinaryReply | null {
    if (!isAtomic)
      return once === null ? null : failure("INVALID_ARGUMENT", "only an atomic batch is carried out once");
    for (const operation of operations) {
      const problem = problemWith(operation, this.#services.limits, true);
      if (problem !== null) return problem;
    }
    return null;
  }

  #transact(
    bucket: BucketRef,
    operations: readonly KeyOperation[],
    once: Once | null,
    waiter: Waiter,
    tag: number,
  ): void {
    const transaction: Transaction = {
      conditions: operations
        .map(transactionCondition)
        .filter((condition): condition is Condition => condition !== null),
      operations: operations.map((operation) => transactionPart(operation, this.#timeOf(bucket, operation), COMMAND)),
    };
    if (once === null) this.#coordinator.transact(this.#ordering, bucket, transaction, waiter, tag);
    else {
      const session = this.#owned(once.session);
      this.#coordinator.transactOnce(this.#ordering, session, once.sequence, bucket, transaction, waiter, tag);
    }
  }

  #transacted(forms: readonly ReplyForm[], result: Result): BinaryReply {
    if (result.kind === "error") return failure(result.code, result.message);
    if (result.kind !== "results") return failure("IO", `a transaction came to ${result.kind}`);
    return { type: "results", results: atomicReplies(forms, result.results, this.#replyBytesMax) };
  }

  // ── scans ──

  #startScan(id: number, request: ScanRequest, deadlineMs: number): void {
    const problem = bucketNameProblem(request.bucket);
    if (problem !== null) return this.#sink.reply(id, problem);
    if (this.#scanCount >= SCANS_MAX) return this.#sink.reply(id, TOO_MANY_SCANS);
    const owned = detachedScan(request);
    const pending = this.#pending.beginOther(id, deadlineMs, false);
    const bucket = this.#coordinator.bucket(request.bucket);
    const scan = new ScanStream(this.#coordinator, bucket, owned, {
      mayLeave: () => !this.#sink.isFull,
      page: (entries, isLast) => {
        if (!isLast || this.#pending.answer(pending)) this.#sink.reply(id, { type: "page", entries, isLast });
      },
      failed: ({ code, message }) => {
        if (this.#pending.answer(pending)) this.#sink.reply(id, failure(code, message, readRetry(code)));
      },
      ended: () => {
        this.#pending.end(pending.tag);
        this.#scanCount -= 1;
        this.#sink.eased();
      },
    });
    this.#scans.set(id, scan);
    this.#scanCount += 1;
    pending.stop = () => {
      this.#scans.delete(id);
      scan.stop();
    };
    scan.start();
  }

  #grant(target: number, credits: number): void {
    this.#scans.get(target)?.grant(credits);
  }
}

/** What has no deadline and is handled before those that may have one. */
type Untimed = Extract<BinaryRequest, { readonly type: "hello" | "credit" | "cancel" }>;

/** The request's bytes belong to the chunk in which it came. */
function detachedScan(scan: ScanRequest): ScanRequest {
  const { prefix, lower, upper } = scan;
  return {
    ...scan,
    prefix: prefix.slice(),
    lower: lower === null ? null : { ...lower, key: lower.key.slice() },
    upper: upper === null ? null : { ...upper, key: upper.key.slice() },
  };
}

/** Names stand in lists of `field=value`. */
function shown(name: string): string {
  return name.slice(0, SHOWN_LENGTH_MAX).replace(/[^!-~]/g, "_");
}

function isValueRead(form: ReplyForm): boolean {
  return !form.isWrite && form.shape !== "metadata";
}

function sessionReply(result: Result): BinaryReply {
  if (result.kind === "error") return failure(result.code, result.message);
  return result.kind === "integer"
    ? { type: "session", session: Number(result.value) }
    : { type: "done", durability: "sync" };
}
