/**
 * The binary protocol beside Redis's, on one node that is running already, and what its messages cost by themselves.
 *
 *   bun bench/binary-bench.ts [host:port] [seconds]
 *
 * Each of 50 connections sends a round of requests that was encoded before, and the next when all its replies have come,
 * which are counted by their bytes: the client costs next to nothing, and as much for one protocol as for the other.
 */
import { ByteWriter } from "../src/core/byte-writer.ts";
import { crc32Range } from "../src/core/crc32.ts";
import { utf8 } from "../src/core/bytes.ts";
import { BINARY_MAGIC, beginBinaryFrame, endBinaryFrame, RequestType } from "../src/wire/binary-format.ts";
import type { BinaryRequest, KeyOperation } from "../src/wire/binary-messages.ts";
import { decodeRequest, encodeRequest } from "../src/wire/binary-request-format.ts";
import { encodeReply } from "../src/wire/binary-reply-format.ts";
import { PackReader } from "../src/wire/message-pack.ts";

const CONNECTIONS = 50;
const KEYS = 10_000;
const VALUE = utf8("v".repeat(100));
const DONE_BYTES = 18;
const VALUE_BYTES = 16 + 1 + 2 + 100 + 1 + 1;
const ANY = { expiry: { kind: "none" }, condition: { kind: "always" }, returnOld: false } as const;
const HELLO: BinaryRequest = {
  type: "hello",
  versionMin: 1,
  versionMax: 1,
  clientName: "bench",
  clientVersion: "0",
  credentials: null,
  compression: [],
  watchesTopology: false,
};

interface Load {
  readonly name: string;
  readonly isBinary: boolean;
  readonly request: (id: number, key: string) => Uint8Array;
  readonly replyBytes: number;
}

function frame(id: number, request: BinaryRequest): Uint8Array {
  const writer = new ByteWriter();
  const start = beginBinaryFrame(writer, RequestType[request.type], id);
  encodeRequest(request, writer);
  endBinaryFrame(writer, start, crc32Range);
  return writer.copy();
}

function operation(given: KeyOperation): BinaryRequest {
  const rest = { deadlineMs: 0, bucket: "0", mode: "linearizable", staleMs: 0, once: null } as const;
  return { type: "operation", ...rest, operation: given };
}

function resp(...words: string[]): Uint8Array {
  return utf8(`*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`);
}

const LOADS: readonly Load[] = [
  {
    name: "RESP   SET",
    isBinary: false,
    request: (_id, key) => resp("SET", key, "v".repeat(100)),
    replyBytes: 5,
  },
  {
    name: "binary put",
    isBinary: true,
    request: (id, key) => frame(id, operation({ type: "put", key: utf8(key), value: VALUE, ...ANY })),
    replyBytes: DONE_BYTES,
  },
  { name: "RESP   GET", isBinary: false, request: (_id, key) => resp("GET", key), replyBytes: 108 },
  {
    name: "binary get",
    isBinary: true,
    request: (id, key) => frame(id, operation({ type: "get", key: utf8(key), versioned: false })),
    replyBytes: VALUE_BYTES,
  },
];

/** One connection: rounds until `until`; returns how many requests were answered. */
async function connection(address: string, load: Load, depth: number, number: number, until: number): Promise<number> {
  const [host = "127.0.0.1", port = "9001"] = address.split(":");
  const round = Buffer.concat(
    Array.from({ length: depth }, (_, i) => load.request(i + 1, `key:${(number * 7919 + i * 104_729) % KEYS}`)),
  );
  const roundBytes = depth * load.replyBytes;
  let answered = 0;
  let waitingBytes = 0;
  let isGreeted = !load.isBinary;
  let finished: () => void = () => undefined;
  const isOver = new Promise<void>((resolve) => {
    finished = resolve;
  });
  await Bun.connect({
    hostname: host,
    port: Number(port),
    socket: {
      open(socket) {
        if (load.isBinary) socket.write(Buffer.concat([BINARY_MAGIC, frame(1, HELLO)]));
        else socket.write(round);
        waitingBytes = roundBytes;
      },
      data(socket, bytes) {
        if (!isGreeted) isGreeted = true;
        else waitingBytes -= bytes.length;
        if (waitingBytes > 0 && waitingBytes < roundBytes) return;
        if (waitingBytes <= 0) answered += depth;
        if (performance.now() > until) {
          socket.end();
          finished();
          return;
        }
        waitingBytes = roundBytes;
        socket.write(round);
      },
    },
  });
  await isOver;
  return answered;
}

async function run(address: string, load: Load, depth: number, seconds: number): Promise<number> {
  const until = performance.now() + seconds * 1000;
  const all = Array.from({ length: CONNECTIONS }, (_, number) => connection(address, load, depth, number, until));
  const counts = await Promise.all(all);
  return counts.reduce((sum, count) => sum + count, 0) / seconds;
}

function nanosecondsEach(work: () => void): number {
  const count = 300_000;
  for (let i = 0; i < count; i++) work();
  const start = performance.now();
  for (let i = 0; i < count; i++) work();
  return ((performance.now() - start) * 1e6) / count;
}

function codecs(): void {
  const writer = new ByteWriter();
  const reader = new PackReader();
  const put = operation({ type: "put", key: utf8("key:1234"), value: VALUE, ...ANY });
  encodeRequest(put, writer);
  const body = writer.copy();
  const value = { type: "value", value: VALUE, expiryMs: 0, version: 0n } as const;
  const table = {
    "encode a put": () => {
      writer.reset();
      encodeRequest(put, writer);
    },
    "decode a put": () => {
      decodeRequest(RequestType.operation, reader.over(body), 1000);
    },
    "a value reply, framed": () => {
      writer.reset();
      const start = beginBinaryFrame(writer, 133, 1);
      encodeReply(value, writer);
      endBinaryFrame(writer, start, crc32Range);
    },
  };
  for (const [name, work] of Object.entries(table))
    console.log(`${name.padEnd(24)} ${nanosecondsEach(work).toFixed(0)} ns`);
}

const [address = "127.0.0.1:9001", secondsText = "3"] = process.argv.slice(2);
codecs();
for (const depth of [1, 16]) {
  for (const load of [...LOADS, ...LOADS]) {
    const rate = await run(address, load, depth, Number(secondsText));
    console.log(`${load.name} ${String(depth).padStart(3)} deep ${Math.round(rate).toLocaleString("en")} a second`);
  }
}
