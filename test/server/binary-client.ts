/** A bare client of the binary protocol for tests: frames out, replies in, nothing repeated and nothing hidden. */
import { ByteWriter } from "../../src/core/byte-writer.ts";
import { crc32Range } from "../../src/core/crc32.ts";
import {
  BINARY_MAGIC,
  BinaryFrameReader,
  beginBinaryFrame,
  compressedParts,
  endBinaryFrame,
  RequestType,
} from "../../src/wire/binary-format.ts";
import type {
  BinaryReply,
  BinaryRequest,
  CompressionName,
  HelloRequest,
  KeyOperation,
  OperationRequest,
} from "../../src/wire/binary-messages.ts";
import { decodeReply } from "../../src/wire/binary-reply-format.ts";
import { encodeRequest } from "../../src/wire/binary-request-format.ts";
import { expand } from "../../src/wire/body-compression.ts";
import { PackReader } from "../../src/wire/message-pack.ts";
import { RawClient } from "./started-port.ts";

export interface Received {
  readonly id: number;
  readonly reply: BinaryReply;
  readonly wasCompressed: boolean;
}

export const HELLO: HelloRequest = {
  type: "hello",
  versionMin: 1,
  versionMax: 1,
  clientName: "test",
  clientVersion: "0",
  credentials: null,
  compression: [],
  watchesTopology: false,
};

export function requestFrame(id: number, request: BinaryRequest): Uint8Array {
  const writer = new ByteWriter();
  const start = beginBinaryFrame(writer, RequestType[request.type], id);
  encodeRequest(request, writer);
  endBinaryFrame(writer, start, crc32Range);
  return writer.copy();
}

/** A frame of any type and body. */
export function rawFrame(id: number, type: number, body: Uint8Array, flags = 0): Uint8Array {
  const writer = new ByteWriter();
  const start = beginBinaryFrame(writer, type | (flags << 8), id);
  writer.raw(body);
  endBinaryFrame(writer, start, crc32Range);
  return writer.copy();
}

export function operation(given: KeyOperation, changes: Partial<OperationRequest> = {}): OperationRequest {
  const base = { type: "operation", deadlineMs: 0, bucket: "0", mode: "linearizable", staleMs: 0, once: null } as const;
  return { ...base, operation: given, ...changes };
}

export class BinaryClient {
  readonly raw: RawClient;
  /** In the order in which they came. */
  readonly received: Received[] = [];
  compression: CompressionName | null = null;
  #nextId = 1;
  #taken = 0;
  readonly #frames = new BinaryFrameReader(crc32Range);

  constructor(raw: RawClient) {
    this.raw = raw;
    this.#frames.frameBytesMax = 2 ** 31;
  }

  /** Connected and, unless `hello` is null, greeted. */
  static async open(port: number, hello: HelloRequest | null = HELLO): Promise<BinaryClient> {
    const client = new BinaryClient(await RawClient.open(port));
    client.raw.send(BINARY_MAGIC);
    if (hello !== null) {
      const reply = await client.call(hello);
      if (reply.type === "welcome") client.compression = reply.compression;
    }
    return client;
  }

  /** Sends a request and returns its id. */
  send(request: BinaryRequest, id: number = this.#nextId++): number {
    this.raw.send(requestFrame(id, request));
    return id;
  }

  async call(request: BinaryRequest): Promise<BinaryReply> {
    return this.reply(this.send(request));
  }

  async do(given: KeyOperation, changes: Partial<OperationRequest> = {}): Promise<BinaryReply> {
    return this.call(operation(given, changes));
  }

  /** The first reply with this id, once it is there; each is given once. */
  async reply(id: number): Promise<BinaryReply> {
    for (;;) {
      this.#readFrames();
      const place = this.received.findIndex((one) => one.id === id);
      const [found] = place < 0 ? [] : this.received.splice(place, 1);
      if (found !== undefined) return found.reply;
      if (this.raw.closed) throw new Error(`closed before a reply to ${id}`);
      await this.raw.untilBytes(this.raw.received.length + 1);
    }
  }

  async untilClosed(): Promise<void> {
    await this.raw.untilClosed();
    this.#readFrames();
  }

  close(): void {
    this.raw.close();
  }

  #readFrames(): void {
    const { received } = this.raw;
    this.#frames.feed(new Uint8Array(received.subarray(this.#taken)));
    this.#taken = received.length;
    for (let frame = this.#frames.next(); frame !== null; frame = this.#frames.next()) {
      const { type, requestId: id, isCompressed } = frame;
      const reply = decodeReply(type, new PackReader().over(isCompressed ? this.#expanded(frame.body) : frame.body));
      if (reply === null) throw new Error(`a reply of unknown type ${type}`);
      this.received.push({ id, reply, wasCompressed: isCompressed });
    }
  }

  #expanded(body: Uint8Array): Uint8Array {
    const { expandedBytes, compressed } = compressedParts(body, 2 ** 31);
    return expand(this.compression ?? "deflate", compressed, expandedBytes);
  }
}
