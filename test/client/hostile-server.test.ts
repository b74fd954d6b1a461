/** A client whose server means it ill, or is none: each call ends with an error of the closed set or an answer, and nothing else happens. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";
import { connect } from "../../src/client.ts";
import { ByteWriter } from "../../src/core/byte-writer.ts";
import { crc32Range } from "../../src/core/crc32.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { Random } from "../../src/core/random.ts";
import { beginBinaryFrame, endBinaryFrame, ReplyType } from "../../src/wire/binary-format.ts";
import type { BinaryReply } from "../../src/wire/binary-messages.ts";
import { encodeReply } from "../../src/wire/binary-reply-format.ts";
import { chanceBytes } from "../fuzz/mutation.ts";
import { nearly } from "../fuzz/target.ts";
import { SAMPLE_REPLIES } from "../wire/binary-samples.ts";

setDefaultTimeout(120_000);

const SERVERS = 160;
const TOGETHER = 20;
const CALL_MS = 150;
/** Ids that the client has under way are small. */
const IDS = 6;

const LIMITS = {
  keyBytesMax: 1000,
  valueBytesMax: 1000,
  frameBytesMax: 65_536,
  requestsInflightMax: 9,
  operationsMax: 9,
};
const TOPOLOGY = { version: 1, shardCount: 1, pointsPerShard: 64, members: [], leaders: [-1] };

function welcome(shardCount: number): BinaryReply {
  const topology = { ...TOPOLOGY, shardCount };
  return { type: "welcome", version: 1, serverVersion: "0", node: "n1", compression: null, limits: LIMITS, topology };
}

function bodyOf(reply: BinaryReply): Uint8Array {
  const writer = new ByteWriter();
  encodeReply(reply, writer);
  return writer.copy();
}

function frame(type: number, id: number, body: Uint8Array): Uint8Array {
  const writer = new ByteWriter();
  const start = beginBinaryFrame(writer, type, id);
  writer.raw(body);
  endBinaryFrame(writer, start, crc32Range);
  return writer.copy();
}

/** Says it whenever it is spoken to. */
async function serving(say: (socket: Socket) => void): Promise<{ readonly address: string; stop(): void }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("data", () => say(socket));
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${(server.address() as { port: number }).port}`,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** What a user would do; returns the codes of the errors, "" for an answer. */
async function callsTo(address: string): Promise<string[]> {
  const outcomes: string[] = [];
  const tried = async (call: () => Promise<unknown>): Promise<void> => {
    try {
      await call();
      outcomes.push("");
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
      outcomes.push(cause.code);
    }
  };
  let db: Awaited<ReturnType<typeof connect>> | null = null;
  await tried(async () => {
    db = await connect({ nodes: [address], timeoutMs: CALL_MS, connectTimeoutMs: CALL_MS, silenceMs: CALL_MS });
  });
  const open = db as Awaited<ReturnType<typeof connect>> | null;
  if (open === null) return outcomes;
  const bucket = open.bucket<unknown>("b");
  await Promise.all([
    tried(() => bucket.get("k")),
    tried(() => bucket.put("k", 1)),
    tried(async () => {
      for await (const _entry of bucket.scan()) break;
    }),
  ]);
  await tried(() => open.close());
  return outcomes;
}

test("replies that nearly are some, to requests that were asked and to others", async () => {
  for (let first = 1; first <= SERVERS; first += TOGETHER) {
    await Promise.all(
      Array.from({ length: TOGETHER }, async (_, i) => {
        const random = new Random(first + i);
        const server = await serving((socket) => {
          if (random.chance(0.7)) socket.write(frame(ReplyType.welcome, 1, bodyOf(welcome(1))));
          if (random.chance(0.1)) socket.write(chanceBytes(random.below(64), random));
          for (let left = random.below(6); left > 0; left--) {
            const reply = SAMPLE_REPLIES[random.below(SAMPLE_REPLIES.length)]!;
            const body = nearly(() => bodyOf(reply), random);
            socket.write(frame(ReplyType[reply.type], random.below(IDS), random.chance(0.4) ? bodyOf(reply) : body));
          }
        });
        expect((await callsTo(server.address)).length).toBeGreaterThan(0);
        server.stop();
      }),
    );
  }
});

test("a cluster of no shards, or of more than there can be, is none; one that is too large to lay out is asked anywhere", async () => {
  for (const [shardCount, code] of [
    [0, "UNAVAILABLE"],
    [0x1_0000, "UNAVAILABLE"],
    [0xffff_ffff, "UNAVAILABLE"],
    [0xffff, ""],
  ] as const) {
    const server = await serving((socket) => socket.write(frame(ReplyType.welcome, 1, bodyOf(welcome(shardCount)))));
    expect([shardCount, (await callsTo(server.address))[0]]).toEqual([shardCount, code]);
    server.stop();
  }
});
