/**
 * What a ByteWriter wrote a ByteReader reads, and what nobody wrote is refused with the reader's own error.
 */
import { expect, test } from "bun:test";
import { ByteReader } from "../../src/core/byte-reader.ts";
import { ByteWriter } from "../../src/core/byte-writer.ts";
import { EnvelopeError } from "../../src/core/errors.ts";

function reader(bytes: Uint8Array): ByteReader {
  return new ByteReader("PROTOCOL", "a test").over(bytes);
}

test("every kind of field comes back, through any number of growths", () => {
  const writer = new ByteWriter(1);
  for (let round = 0; round < 50; round++) {
    writer.u8(255);
    writer.u16(65535);
    writer.u32(0xffff_ffff);
    writer.u64(Number.MAX_SAFE_INTEGER);
    writer.i64(-(2n ** 63n));
    writer.raw(Uint8Array.of(1, 2, 3));
    writer.blob(new Uint8Array(0));
    writer.text("grüße, 世界");
    writer.blobs([Uint8Array.of(4), Uint8Array.of(5, 6)]);
    writer.optionalBlob(null);
    writer.optionalBlob(Uint8Array.of(7));
  }
  const from = reader(writer.copy());
  for (let round = 0; round < 50; round++) {
    expect([from.u8(), from.u16(), from.u32(), from.u64()]).toEqual([255, 65535, 0xffff_ffff, 2 ** 53 - 1]);
    expect(from.i64()).toBe(-(2n ** 63n));
    expect(from.raw(3)).toEqual(Uint8Array.of(1, 2, 3));
    expect([from.blob().length, from.text()]).toEqual([0, "grüße, 世界"]);
    expect(from.blobs()).toEqual([Uint8Array.of(4), Uint8Array.of(5, 6)]);
    expect([from.optionalBlob(), from.optionalBlob()]).toEqual([null, Uint8Array.of(7)]);
  }
  from.finish();
});

test("integers are little-endian, and a length can be patched in afterwards", () => {
  const writer = new ByteWriter();
  const place = writer.reserve(4);
  writer.u16(0x0102);
  writer.patchU32(place, 0x0a0b0c0d);
  expect(writer.written()).toEqual(Uint8Array.of(0x0d, 0x0c, 0x0b, 0x0a, 0x02, 0x01));
});

test("a reset writer starts over and gives back what it grew past its limit", () => {
  const writer = new ByteWriter(16);
  writer.raw(new Uint8Array(5000));
  writer.reset(64);
  expect([writer.length, writer.bytes.length]).toEqual([0, 64]);
  writer.u32(7);
  expect(reader(writer.copy()).u32()).toBe(7);
});

test("a reader stays inside its range and says what is wrong", () => {
  const bytes = Uint8Array.of(9, 9, 1, 0, 0, 0, 9);
  const from = new ByteReader("CORRUPTION", "some.file").over(bytes, 2, 6);
  expect([from.remaining, from.u32()]).toEqual([4, 1]);
  expect(() => from.u8()).toThrow(new EnvelopeError("CORRUPTION", "a message cut short in some.file at offset 6"));
  expect(() => reader(bytes).finish()).toThrow("7 bytes too many");
  expect(() => reader(Uint8Array.of(2)).flag()).toThrow("a flag of 2");
  expect(() => reader(new Uint8Array(8).fill(255)).u64()).toThrow("above 2^53");
  expect(() => reader(Uint8Array.of(255, 255, 255, 255, 0)).blobs()).toThrow("a count of 4294967295");
  expect(() => reader(Uint8Array.of(255, 255, 255, 255, 0)).blob()).toThrow("cut short");
});
