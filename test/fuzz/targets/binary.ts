/** The binary protocol: frames with bodies of requests, as a node gets them, and of replies, as a client does. */
import { ByteWriter } from "../../../src/core/byte-writer.ts";
import { crc32Range } from "../../../src/core/crc32.ts";
import type { Random } from "../../../src/core/random.ts";
import {
  beginBinaryFrame,
  type BinaryFrame,
  BinaryFrameReader,
  compressedParts,
  endBinaryFrame,
  ReplyType,
  RequestType,
} from "../../../src/wire/binary-format.ts";
import type { BinaryReply, BinaryRequest } from "../../../src/wire/binary-messages.ts";
import { decodeReply, encodeReply } from "../../../src/wire/binary-reply-format.ts";
import { decodeRequest, encodeRequest } from "../../../src/wire/binary-request-format.ts";
import { PackReader } from "../../../src/wire/message-pack.ts";
import { SAMPLE_REPLIES, SAMPLE_REQUESTS } from "../../wire/binary-samples.ts";
import { chanceBytes } from "../mutation.ts";
import { type FuzzTarget, nearly, readTwice, type StreamReading } from "../target.ts";

const OPERATIONS_MAX = 64;
const EXPANDED_BYTES_MAX = 1024 * 1024;

export const BINARY_REQUESTS: FuzzTarget = target("binary-requests", requestFrame, readerOf(requestBytes));
export const BINARY_REPLIES: FuzzTarget = target("binary-replies", replyFrame, readerOf(replyBytes));

export const MESSAGE_PACK: FuzzTarget = {
  name: "message-pack",
  refusals: ["PROTOCOL"],
  make: (random) => nearly((chance) => bodyOf(pick(SAMPLE_REQUESTS, chance)), random),
  take: (input) => {
    const reader = new PackReader().over(input);
    let count = 0;
    for (; reader.remaining > 0; count++) reader.skip();
    return count;
  },
};

function target(name: string, frame: (random: Random) => Uint8Array, read: StreamReading): FuzzTarget {
  return {
    name,
    refusals: ["PROTOCOL", "TOO_LARGE"],
    make: (random) => {
      const frames: Uint8Array[] = [];
      for (let left = random.between(1, 3); left > 0; left--) frames.push(frame(random));
      const stream = (): Uint8Array => new Uint8Array(Buffer.concat(frames));
      // Mostly the bodies alone are wrong: a wrong checksum hides everything behind it.
      return random.chance(0.7) ? stream() : nearly(stream, random);
    },
    take: (input, random) => readTwice(read, input, random),
  };
}

function requestFrame(random: Random): Uint8Array {
  const request = pick(SAMPLE_REQUESTS, random);
  const type = random.chance(0.9) ? RequestType[request.type] : random.below(256);
  return sealed(
    type,
    nearly(() => bodyOf(request), random),
    random,
  );
}

function replyFrame(random: Random): Uint8Array {
  const reply = pick(SAMPLE_REPLIES, random);
  const type = random.chance(0.9) ? ReplyType[reply.type] : random.below(256);
  return sealed(
    type,
    nearly(() => replyBody(reply), random),
    random,
  );
}

function sealed(type: number, body: Uint8Array, random: Random): Uint8Array {
  const writer = new ByteWriter();
  const start = beginBinaryFrame(writer, type, random.u32());
  writer.raw(body);
  if (random.chance(0.05)) writer.bytes[start + 9] = random.below(4);
  endBinaryFrame(writer, start, crc32Range);
  return random.chance(0.9) ? writer.copy() : new Uint8Array(Buffer.concat([writer.copy(), chanceBytes(2, random)]));
}

/** Reads frames; `bytesOf` decodes a body and gives it back as its message is encoded, null for an unknown type. */
function readerOf(bytesOf: (type: number, body: PackReader) => Uint8Array | null): StreamReading {
  return (pieces, seen) => {
    const frames = new BinaryFrameReader(crc32Range);
    const reader = new PackReader();
    for (const piece of pieces) {
      frames.feed(piece);
      for (let frame = frames.next(); frame !== null; frame = frames.next()) {
        seen(takeFrame(frame, reader, bytesOf));
      }
    }
  };
}

function takeFrame(
  { type, isCompressed, body }: BinaryFrame,
  reader: PackReader,
  bytesOf: (type: number, body: PackReader) => Uint8Array | null,
): Uint8Array {
  if (isCompressed) return compressedParts(body, EXPANDED_BYTES_MAX).compressed;
  return bytesOf(type, reader.over(body)) ?? Uint8Array.of(type);
}

function requestBytes(type: number, reader: PackReader): Uint8Array | null {
  const request = decodeRequest(type, reader, OPERATIONS_MAX);
  if (request === null) return null;
  const bytes = bodyOf(request);
  const again = decodeRequest(type, new PackReader().over(bytes), OPERATIONS_MAX);
  if (!Bun.deepEquals(again, request)) throw new Error("a request is not what it was encoded from");
  return bytes;
}

function replyBytes(type: number, reader: PackReader): Uint8Array | null {
  const reply = decodeReply(type, reader);
  if (reply === null) return null;
  const bytes = replyBody(reply);
  const again = decodeReply(type, new PackReader().over(bytes));
  if (!Bun.deepEquals(again, reply)) throw new Error("a reply is not what it was encoded from");
  return bytes;
}

function bodyOf(request: BinaryRequest): Uint8Array {
  const writer = new ByteWriter();
  encodeRequest(request, writer);
  return writer.copy();
}

function replyBody(reply: BinaryReply): Uint8Array {
  const writer = new ByteWriter();
  encodeReply(reply, writer);
  return writer.copy();
}

function pick<T>(list: readonly T[], random: Random): T {
  return list[random.below(list.length)]!;
}
