import { expect, test } from "bun:test";
import { utf8 } from "../../src/core/bytes.ts";
import { crc32, crc32Range } from "../../src/core/crc32.ts";
import { Random } from "../../src/core/random.ts";

test("the check value of CRC-32/ISO-HDLC", () => {
  const digits = utf8("123456789");
  expect(crc32(digits)).toBe(0xcbf4_3926);
  expect(crc32Range(digits, 0, 9)).toBe(0xcbf4_3926);
});

test("a range has the checksum of its bytes, whatever its length, place and seed", () => {
  const random = new Random(3);
  const bytes = Uint8Array.from({ length: 600 }, () => random.below(256));
  for (let length = 0; length <= 300; length++) {
    const start = random.below(bytes.length - length);
    const seed = random.u32();
    expect(crc32Range(bytes, start, start + length, seed)).toBe(crc32(bytes.slice(start, start + length), seed));
    expect(crc32Range(bytes, start, start + length)).toBe(crc32(bytes.slice(start, start + length)));
  }
});

test("a checksum goes on where that of the bytes before left off", () => {
  const bytes = utf8("one range after the other, however it is cut");
  for (let cut = 0; cut <= bytes.length; cut++) {
    expect(crc32Range(bytes, cut, bytes.length, crc32Range(bytes, 0, cut))).toBe(crc32(bytes));
  }
});
