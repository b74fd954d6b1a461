/** The test vectors of the binary protocol: what others write clients by. They do not change as long as the version does not. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { crc32Range } from "../../src/core/crc32.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { BinaryFrameReader, ReplyType, RequestType } from "../../src/wire/binary-format.ts";
import type { BinaryReply, BinaryRequest } from "../../src/wire/binary-messages.ts";
import { decodeReply } from "../../src/wire/binary-reply-format.ts";
import { decodeRequest } from "../../src/wire/binary-request-format.ts";
import { PackReader } from "../../src/wire/message-pack.ts";
import { type BrokenVector, frameOf, fromJson, readVectors, type Vector } from "./binary-vectors.ts";

const OPERATIONS_MAX = 1000;

function decoded(frame: string): { readonly requestId: number; readonly message: unknown } {
  const reader = new BinaryFrameReader(crc32Range);
  reader.feed(Uint8Array.fromHex(frame));
  const whole = reader.next();
  if (whole === null) throw new Error("half a frame");
  const { type, requestId, body } = whole;
  const from = new PackReader().over(body);
  return { requestId, message: type < 128 ? decodeRequest(type, from, OPERATIONS_MAX) : decodeReply(type, from) };
}

test.each(["requests.golden.json", "replies.golden.json"])("%s: messages to frames and back", (name) => {
  const vectors = readVectors<Vector>(name);
  for (const { requestId, message, frame } of vectors) {
    const given = fromJson(message);
    expect(decoded(frame)).toEqual({ requestId, message: given });
    const made = frameOf(requestId, given as BinaryRequest | BinaryReply, name === "requests.golden.json");
    expect(made.toHex()).toBe(frame);
  }
  const types = Object.keys(name === "requests.golden.json" ? RequestType : ReplyType);
  expect(new Set(vectors.map(({ message }) => (message as { type: string }).type))).toEqual(new Set(types));
});

test("broken.golden.json: what is no frame, and what is no message", () => {
  for (const { what, frame, closes } of readVectors<BrokenVector>("broken.golden.json")) {
    const reader = new BinaryFrameReader(crc32Range);
    reader.feed(Uint8Array.fromHex(frame));
    const outcome = ((): string => {
      try {
        const whole = reader.next();
        if (whole === null) return "half a frame";
        if (whole.requestId === 0) return "closes";
        if (whole.isCompressed) return "no message";
        return decodeRequest(whole.type, new PackReader().over(whole.body), OPERATIONS_MAX) === null
          ? "no message"
          : "";
      } catch (error) {
        if (!(error instanceof EnvelopeError)) throw error;
        return / in a message at /.test(error.message) ? "no message" : "closes";
      }
    })();
    expect([what, outcome]).toEqual([what, closes ? "closes" : "no message"]);
  }
});

test("the frames in the protocol's own description are among the vectors", () => {
  const page = readFileSync(join(import.meta.dir, "../../docs/protocol.md"), "utf8");
  const shown = [...page.matchAll(/^([0-9a-f]{8} [0-9a-f ]+?) *(?: {3}.*)?\n([0-9a-f]+)$/gm)];
  const known = readVectors<Vector>("requests.golden.json").map(({ frame }) => frame);
  expect(shown.length).toBe(2);
  for (const [, header = "", body = ""] of shown) expect(known).toContain(header.replaceAll(" ", "") + body);
});
