/** The bodies of the binary protocol: what is written is read back, and nothing else is taken for a message. */
import { expect, test } from "bun:test";
import { decode as foreignDecode, encode as foreignEncode } from "@msgpack/msgpack";
import { ByteWriter } from "../../src/core/byte-writer.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { Random } from "../../src/core/random.ts";
import { ReplyType, RequestType } from "../../src/wire/binary-format.ts";
import { decodeReply, encodeReply } from "../../src/wire/binary-reply-format.ts";
import { decodeRequest, encodeRequest } from "../../src/wire/binary-request-format.ts";
import { PackReader } from "../../src/wire/message-pack.ts";
import { SAMPLE_REPLIES, SAMPLE_REQUESTS } from "./binary-samples.ts";

const OPERATIONS_MAX = 1000;

interface Body {
  readonly bytes: Uint8Array;
  readonly message: unknown;
  decode(bytes: Uint8Array): unknown;
}

function requestBody(request: (typeof SAMPLE_REQUESTS)[number]): Body {
  const into = new ByteWriter();
  encodeRequest(request, into);
  const type = RequestType[request.type];
  return {
    bytes: into.copy(),
    message: request,
    decode: (bytes) => decodeRequest(type, new PackReader().over(bytes), OPERATIONS_MAX),
  };
}

function replyBody(reply: (typeof SAMPLE_REPLIES)[number]): Body {
  const into = new ByteWriter();
  encodeReply(reply, into);
  const type = ReplyType[reply.type];
  return {
    bytes: into.copy(),
    message: reply,
    decode: (bytes) => decodeReply(type, new PackReader().over(bytes)),
  };
}

const BODIES = [...SAMPLE_REQUESTS.map(requestBody), ...SAMPLE_REPLIES.map(replyBody)];

/** PROTOCOL, or a message: nothing else may come of any bytes. */
function outcome(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    if (error instanceof EnvelopeError && error.code === "PROTOCOL") return "PROTOCOL";
    throw error;
  }
}

test("every message is read back as it was written", () => {
  for (const { bytes, message, decode } of BODIES) expect(decode(bytes)).toEqual(message as object);
});

test("there is a sample of every type", () => {
  expect(new Set(SAMPLE_REQUESTS.map(({ type }) => type))).toEqual(new Set(Object.keys(RequestType)) as Set<never>);
  expect(new Set(SAMPLE_REPLIES.map(({ type }) => type))).toEqual(new Set(Object.keys(ReplyType)) as Set<never>);
});

test("a foreign MessagePack reads the bodies, and what it writes is read", () => {
  for (const { bytes, message, decode } of BODIES) {
    const foreign = foreignDecode(bytes, { useBigInt64: true });
    expect(Array.isArray(foreign)).toBe(true);
    expect(decode(foreignEncode(foreign, { useBigInt64: true }))).toEqual(message as object);
  }
});

test("a body cut short anywhere is no message", () => {
  for (const { bytes, decode } of BODIES) {
    for (let end = 0; end < bytes.length; end++) {
      expect(outcome(() => decode(bytes.subarray(0, end)))).toBe("PROTOCOL");
    }
  }
});

test("fields that a later version adds are passed over", () => {
  const later = [{ deep: [1, "x", new Uint8Array(300)] }, -1, 1.5, null, true, 2 ** 40];
  for (const { bytes, message, decode } of BODIES) {
    const fields = foreignDecode(bytes, { useBigInt64: true }) as unknown[];
    expect(decode(foreignEncode([...fields, ...later], { useBigInt64: true }))).toEqual(message as object);
  }
});

test("whatever bits are turned, a message or PROTOCOL comes of it", () => {
  const random = new Random(7);
  for (const { bytes, decode } of BODIES) {
    for (let i = 0; i < 400; i++) {
      const changed = bytes.slice();
      for (let left = 1 + random.below(3); left > 0; left--) {
        if (changed.length > 0) changed[random.below(changed.length)]! ^= 1 << random.below(8);
      }
      outcome(() => decode(changed));
    }
  }
});

test("what is announced and not there is refused before anything is made for it", () => {
  const absurd = [
    [0xdd, 0xff, 0xff, 0xff, 0xff],
    [0x97, 0, 0xa1, 0x30, 1, 0, 0xc0, 0xc2, 0xdd, 0x7f, 0xff, 0xff, 0xff],
    [0x96, 0, 0xdb, 0xff, 0xff, 0xff, 0xff],
    new Array(5000).fill(0x91),
    [...new Array(40).fill(0x81), 0xc0],
  ];
  for (const bytes of absurd) {
    for (const type of Object.values(RequestType)) {
      const decode = () => decodeRequest(type, new PackReader().over(Uint8Array.from(bytes)), OPERATIONS_MAX);
      expect(outcome(decode)).toBe("PROTOCOL");
    }
  }
});
