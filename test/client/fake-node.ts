/**
 * A node of its own making that speaks the binary protocol on a local port, keeps a few keys in memory and remembers
 * sessions, as far as tests of the client need it. `intercept` sees each request first and may do with it what it likes.
 */
import { createServer, type Server, type Socket } from "node:net";
import { ByteWriter } from "../../src/core/byte-writer.ts";
import { compareBytes } from "../../src/core/bytes.ts";
import { crc32Range } from "../../src/core/crc32.ts";
import { retryOf } from "../../src/core/errors.ts";
import {
  BINARY_MAGIC,
  BinaryFrameReader,
  beginBinaryFrame,
  endBinaryFrame,
  NO_REQUEST,
  ReplyType,
} from "../../src/wire/binary-format.ts";
import type {
  BinaryReply,
  BinaryRequest,
  KeyOperation,
  OperationReply,
  OperationRequest,
  Topology,
} from "../../src/wire/binary-messages.ts";
import { encodeReply } from "../../src/wire/binary-reply-format.ts";
import { decodeRequest } from "../../src/wire/binary-request-format.ts";
import { PackReader } from "../../src/wire/message-pack.ts";

const OPERATIONS_MAX = 1024;
const checksum = (bytes: Uint8Array, start: number, end: number): number => crc32Range(bytes, start, end);

export class FakeConnection {
  readonly node: FakeNode;
  readonly #socket: Socket;
  readonly #frames = new BinaryFrameReader(checksum);
  #isGreeted = false;
  #greeting = new Uint8Array(0);

  constructor(node: FakeNode, socket: Socket) {
    this.node = node;
    this.#socket = socket;
    this.#frames.frameBytesMax = 1 << 30;
    socket.on("data", (chunk) => this.#receive(chunk as Uint8Array));
    socket.on("error", () => undefined);
  }

  reply(id: number, reply: BinaryReply): void {
    const writer = new ByteWriter();
    const start = beginBinaryFrame(writer, ReplyType[reply.type], id);
    encodeReply(reply, writer);
    endBinaryFrame(writer, start, checksum);
    this.#socket.write(writer.copy());
  }

  raw(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Uint8Array): void {
    let rest = chunk;
    if (!this.#isGreeted) {
      this.#greeting = Buffer.concat([this.#greeting, chunk]);
      if (this.#greeting.length < BINARY_MAGIC.length) return;
      if (compareBytes(this.#greeting.subarray(0, BINARY_MAGIC.length), BINARY_MAGIC) !== 0) {
        this.close();
        return;
      }
      this.#isGreeted = true;
      rest = this.#greeting.subarray(BINARY_MAGIC.length);
    }
    this.#frames.feed(rest);
    for (let frame = this.#frames.next(); frame !== null; frame = this.#frames.next()) {
      const request = decodeRequest(frame.type, new PackReader().over(frame.body.slice()), OPERATIONS_MAX);
      if (request === null) throw new Error(`the client sent a frame of type ${frame.type}`);
      this.node.receive(this, frame.requestId, request);
    }
  }
}

/** True: it has been seen to, and the node does nothing more about it. */
export type Intercept = (connection: FakeConnection, id: number, request: BinaryRequest) => boolean;

export class FakeNode {
  readonly name: string;
  readonly requests: BinaryRequest[] = [];
  readonly store: Map<string, Uint8Array>;
  readonly connections = new Set<FakeConnection>();
  intercept: Intercept = () => false;
  topology: Topology;
  requestsInflightMax = 1024;
  /** Entries of a page of a scan. */
  pageEntries = 2;
  /** Where it listens, or did. */
  port = 0;
  #server: Server | null = null;
  #sessionCount = 0;
  readonly #outcomes = new Map<string, OperationReply>();
  readonly #sessions: Set<number>;
  readonly #scans = new Map<number, { credits: number; next: () => void }>();

  private constructor(name: string, shared: FakeNode | null) {
    this.name = name;
    this.store = shared?.store ?? new Map();
    this.#outcomes = shared === null ? new Map() : shared.#outcomes;
    this.#sessions = shared === null ? new Set() : shared.#sessions;
    this.topology = { version: 1, shardCount: 1, pointsPerShard: 64, members: [], leaders: [-1] };
  }

  /** `shared`: another node of the same cluster, whose keys and sessions it has. */
  static async start(name: string, shared: FakeNode | null = null): Promise<FakeNode> {
    const node = new FakeNode(name, shared);
    await node.listen(0);
    return node;
  }

  listen(port: number): Promise<void> {
    const server = createServer((socket) => {
      const connection = new FakeConnection(this, socket);
      this.connections.add(connection);
      socket.on("close", () => this.connections.delete(connection));
    });
    this.#server = server;
    return new Promise((resolve) =>
      server.listen(port, "127.0.0.1", () => {
        this.port = (server.address() as { port: number }).port;
        resolve();
      }),
    );
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Requests of one type that have come. */
  seen<Type extends BinaryRequest["type"]>(type: Type): Extract<BinaryRequest, { type: Type }>[] {
    return this.requests.filter((request): request is Extract<BinaryRequest, { type: Type }> => request.type === type);
  }

  push(topology: Topology): void {
    this.topology = topology;
    for (const connection of this.connections) connection.reply(NO_REQUEST, { type: "topology", topology });
  }

  /** Ends all connections, and takes no new ones. */
  stop(): Promise<void> {
    for (const connection of this.connections) connection.close();
    return new Promise((resolve) => {
      if (this.#server === null) resolve();
      else this.#server.close(() => resolve());
    });
  }

  /** Forgets all sessions. */
  forget(): void {
    this.#sessions.clear();
  }

  receive(connection: FakeConnection, id: number, request: BinaryRequest): void {
    this.requests.push(request);
    if (!this.intercept(connection, id, request)) this.answer(connection, id, request);
  }

  answer(connection: FakeConnection, id: number, request: BinaryRequest): void {
    switch (request.type) {
      case "operation": {
        connection.reply(id, this.carryOut(request));
        return;
      }
      case "batch":
        connection.reply(id, { type: "results", results: request.operations.map((one) => this.apply(one)) });
        return;
      case "scan":
        this.#scan(connection, id, request);
        return;
      case "credit": {
        const scan = this.#scans.get(request.target);
        if (scan !== undefined) scan.credits += request.credits;
        scan?.next();
        return;
      }
      case "cancel":
        this.#scans.delete(request.target);
        return;
      case "describeBucket":
      case "listBuckets": {
        const name = request.type === "describeBucket" ? request.bucket : "b";
        const known = { name, id: 7, seed: 7, durability: "sync", keyCount: this.store.size };
        connection.reply(id, { type: "buckets", buckets: [known] });
        return;
      }
      default:
        this.#answerPlain(connection, id, request.type);
    }
  }

  #answerPlain(connection: FakeConnection, id: number, type: BinaryRequest["type"]): void {
    switch (type) {
      case "hello": {
        const { name: node, topology, requestsInflightMax } = this;
        const sizes = { keyBytesMax: 65_536, valueBytesMax: 1 << 24, frameBytesMax: 1 << 25 };
        const limits = { ...sizes, requestsInflightMax, operationsMax: OPERATIONS_MAX };
        connection.reply(id, {
          type: "welcome",
          version: 1,
          serverVersion: "0",
          node,
          compression: null,
          limits,
          topology,
        });
        return;
      }
      case "openSession": {
        this.#sessionCount += 1;
        const session = this.#sessionCount;
        this.#sessions.add(session);
        connection.reply(id, { type: "session", session });
        return;
      }
      case "ping":
        connection.reply(id, { type: "pong" });
        return;
      case "topology":
        connection.reply(id, { type: "topology", topology: this.topology });
        return;
      case "status":
        connection.reply(id, { type: "status", node: this.name, figures: [["keys", this.store.size]] });
        return;
      default:
        connection.reply(id, { type: "done", durability: "sync" });
    }
  }

  /** What the operation comes to, or came to the first time. */
  carryOut({ once, operation }: OperationRequest): OperationReply {
    if (once === null) return this.apply(operation);
    if (!this.#sessions.has(once.session)) return failure("SESSION_GONE", "the session has ended");
    const name = `${once.session}/${once.sequence}`;
    const known = this.#outcomes.get(name);
    if (known !== undefined) return known;
    const reply = this.apply(operation);
    this.#outcomes.set(name, reply);
    return reply;
  }

  apply(operation: KeyOperation): OperationReply {
    const key = Buffer.from(operation.key).toString("latin1");
    const old = this.store.get(key);
    switch (operation.type) {
      case "get":
        return old === undefined ? { type: "absent" } : { type: "value", value: old, expiryMs: 0, version: 1n };
      case "put":
        if (operation.condition.kind === "absent" && old !== undefined) return failure("CONFLICT", "it is there");
        this.store.set(key, operation.value.slice());
        return { type: "done", durability: "sync" };
      case "delete":
        return { type: "flag", value: this.store.delete(key) };
      case "increment": {
        const value = BigInt(Buffer.from(old ?? Buffer.from("0")).toString()) + operation.by;
        this.store.set(key, Buffer.from(String(value)));
        return { type: "integer", value };
      }
      default:
        return failure("INVALID_ARGUMENT", `the fake node knows no ${operation.type}`);
    }
  }

  #scan(connection: FakeConnection, id: number, request: Extract<BinaryRequest, { type: "scan" }>): void {
    const after = request.lower === null ? "" : Buffer.from(request.lower.key).toString("latin1");
    const isBehind = (key: string): boolean => (request.lower?.isInclusive === false ? key > after : key >= after);
    const keys = [...this.store.keys()].filter(isBehind).sort();
    if (request.limit > 0) keys.length = Math.min(keys.length, request.limit);
    const scan = {
      credits: request.credits,
      next: (): void => {
        while (scan.credits > 0 && this.#scans.get(id) === scan) {
          scan.credits -= 1;
          const page = keys.splice(0, this.pageEntries);
          const isLast = keys.length === 0;
          if (isLast) this.#scans.delete(id);
          const entries = page.map((key) => ({
            key: Buffer.from(key, "latin1"),
            expiryMs: 0,
            value: this.store.get(key) ?? new Uint8Array(0),
          }));
          connection.reply(id, { type: "page", entries, isLast });
        }
      },
    };
    this.#scans.set(id, scan);
    scan.next();
  }

  /** Scans that have neither ended nor been cancelled. */
  get openScans(): number {
    return this.#scans.size;
  }
}

/** As a node says it that has not executed anything. */
export function failure(
  code: Extract<OperationReply, { type: "error" }>["code"],
  message: string,
): Extract<OperationReply, { type: "error" }> {
  return { type: "error", code, message, retry: code === "DEADLINE_EXCEEDED" ? "safe" : retryOf(code) };
}
