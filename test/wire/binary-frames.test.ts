/** Frames of the binary protocol: cut anywhere, turned bit by bit, announced and never sent. */
import { expect, test } from "bun:test";
import { ByteWriter } from "../../src/core/byte-writer.ts";
import { utf8 } from "../../src/core/bytes.ts";
import { crc32Range } from "../../src/core/crc32.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { Random } from "../../src/core/random.ts";
import {
  BinaryFrameReader,
  beginBinaryFrame,
  compressedParts,
  EXPANSION_MAX,
  endBinaryFrame,
  GREETING_FRAME_BYTES_MAX,
} from "../../src/wire/binary-format.ts";
import { COMPRESSIONS, compress, compressedBody, expand } from "../../src/wire/body-compression.ts";

function frame(requestId: number, type: number, body: Uint8Array): Uint8Array {
  const writer = new ByteWriter();
  const start = beginBinaryFrame(writer, type, requestId);
  writer.raw(body);
  endBinaryFrame(writer, start, crc32Range);
  return writer.copy();
}

function codeOf(run: () => unknown): string {
  try {
    run();
    return "none";
  } catch (error) {
    return error instanceof EnvelopeError ? error.code : String(error);
  }
}

const FRAMES = [0, 1, 15, 16, 17, 1000, 40_000].map((byteCount, i) => {
  const body = Uint8Array.from({ length: byteCount }, (_, at) => (at * 7 + i) & 0xff);
  return { requestId: i + 1, type: i + 1, body };
});
const STREAM = Buffer.concat(FRAMES.map(({ requestId, type, body }) => frame(requestId, type, body)));

test("frames come out as they went in, however the stream is cut", () => {
  const random = new Random(5);
  for (let round = 0; round < 300; round++) {
    const reader = new BinaryFrameReader(crc32Range);
    const found: object[] = [];
    for (let at = 0; at < STREAM.length; ) {
      const byteCount = 1 + random.below(random.chance(0.5) ? 20 : 20_000);
      reader.feed(new Uint8Array(STREAM.subarray(at, at + byteCount)));
      at += byteCount;
      if (random.chance(0.3)) continue;
      for (let one = reader.next(); one !== null; one = reader.next()) found.push({ ...one, body: one.body.slice() });
    }
    for (let one = reader.next(); one !== null; one = reader.next()) found.push({ ...one, body: one.body.slice() });
    expect(found).toEqual(FRAMES.map((one) => ({ ...one, isCompressed: false })));
    expect(reader.insideFrame).toBe(false);
  }
});

test("a slice of a body is a copy, also where the socket gives Buffers and where it was compressed", () => {
  const reader = new BinaryFrameReader(crc32Range);
  reader.feed(Buffer.from(frame(1, 2, Uint8Array.of(1, 2, 3))));
  const bodies = [reader.next()?.body, ...COMPRESSIONS.map((name) => expand(name, compress(name, utf8("abc")), 3))];
  for (const body of bodies) {
    const before = body?.[0] ?? -1;
    body?.slice().fill(0);
    expect(body?.[0]).toBe(before);
  }
});

test("a frame that is not whole is waited for", () => {
  const whole = frame(1, 2, Uint8Array.of(1, 2, 3));
  for (let end = 1; end < whole.length; end++) {
    const reader = new BinaryFrameReader(crc32Range);
    reader.feed(whole.subarray(0, end));
    expect(reader.next()).toBeNull();
    expect(reader.insideFrame).toBe(true);
    reader.feed(whole.subarray(end));
    expect(reader.next()?.requestId).toBe(1);
  }
});

test("no turned bit goes unnoticed", () => {
  const whole = frame(1, 2, Uint8Array.of(1, 2, 3, 4, 5));
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const turned = whole.slice();
    turned[bit >> 3]! ^= 1 << (bit & 7);
    const reader = new BinaryFrameReader(crc32Range);
    reader.feed(turned);
    const outcome = codeOf(() => {
      // A length that has grown is waited for.
      if (reader.next() !== null) throw new Error(`bit ${bit} was not noticed`);
    });
    expect(["PROTOCOL", "none"]).toContain(outcome);
    if (outcome === "none") expect(bit).toBeLessThan(32);
  }
});

test("the limit is that of whoever has not been greeted, until it is said otherwise", () => {
  const large = frame(1, 2, new Uint8Array(GREETING_FRAME_BYTES_MAX));
  const reader = new BinaryFrameReader(crc32Range);
  reader.feed(large);
  expect(codeOf(() => reader.next())).toBe("PROTOCOL");
  const greeted = new BinaryFrameReader(crc32Range);
  greeted.frameBytesMax = large.length;
  greeted.feed(large);
  expect(greeted.next()?.body.length).toBe(GREETING_FRAME_BYTES_MAX);
});

test("what is announced takes no memory before it comes", () => {
  const readers: BinaryFrameReader[] = [];
  const start = frame(1, 2, new Uint8Array(0)).slice();
  new DataView(start.buffer).setUint32(0, 512 * 1024 * 1024, true);
  Bun.gc(true);
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 100; i++) {
    const reader = new BinaryFrameReader(crc32Range);
    reader.frameBytesMax = 2 ** 31;
    reader.feed(start.slice());
    reader.feed(start.slice());
    expect(reader.next()).toBeNull();
    readers.push(reader);
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10 * 1024 * 1024);
  expect(readers.length).toBe(100);
});

test.each([...COMPRESSIONS])("%s: bodies come back, and lies about them are noticed", (name) => {
  const body = Uint8Array.from({ length: 50_000 }, (_, i) => (i * i) & 0x3f);
  const compressed = compress(name, body);
  expect(expand(name, compressed, body.length)).toEqual(Buffer.from(body) as Uint8Array);
  expect(codeOf(() => expand(name, compressed, body.length - 1))).toBe("PROTOCOL");
  expect(codeOf(() => expand(name, compressed, body.length + 1))).toBe("PROTOCOL");
  expect(codeOf(() => expand(name, compressed.subarray(0, compressed.length / 2), body.length))).toBe("PROTOCOL");
  expect(codeOf(() => expand(name, Uint8Array.of(1, 2, 3), 10))).toBe("PROTOCOL");
  expect(codeOf(() => expand(name, new Uint8Array(0), 10))).toBe("PROTOCOL");
});

test("a body is compressed where that is worth it and does not look like a trap", () => {
  for (const name of COMPRESSIONS) {
    const random = new Random(1);
    expect(compressedBody(name, new Uint8Array(100))).toBeNull();
    expect(compressedBody(name, new Uint8Array(1_000_000))).toBeNull();
    expect(
      compressedBody(
        name,
        Uint8Array.from({ length: 5000 }, () => random.below(256)),
      ),
    ).toBeNull();
    const words = Array.from({ length: 2000 }, () => `{"user":"${random.below(1000)}"}`).join(",");
    expect(compressedBody(name, utf8(words))).not.toBeNull();
  }
});

test("a compressed body must say what it expands to, within a hundred times of itself", () => {
  const parts = (expandedBytes: number, byteCount: number): unknown => {
    const body = new Uint8Array(4 + byteCount);
    new DataView(body.buffer).setUint32(0, expandedBytes, true);
    return compressedParts(body, 1_000_000);
  };
  expect(codeOf(() => compressedParts(new Uint8Array(3), 1000))).toBe("PROTOCOL");
  expect(codeOf(() => parts(EXPANSION_MAX * 10, 10))).toBe("none");
  expect(codeOf(() => parts(EXPANSION_MAX * 10 + 1, 10))).toBe("TOO_LARGE");
  expect(codeOf(() => parts(1_000_001, 100_000))).toBe("TOO_LARGE");
});
