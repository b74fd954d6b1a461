/** MessagePack of strangers: what is announced and not there is refused before anything is set aside for it. */
import { expect, test } from "bun:test";
import { encode } from "@msgpack/msgpack";
import { EnvelopeError } from "../../src/core/errors.ts";
import { decodePack } from "../../src/record/decode-pack.ts";

function codeOf(bytes: Uint8Array): string {
  try {
    decodePack(bytes, "a test");
  } catch (cause) {
    if (cause instanceof EnvelopeError) return cause.code;
    throw cause;
  }
  return "none";
}

/** The same head again and again: each item of an array is the next array. */
function nested(head: readonly number[], count: number): Uint8Array {
  return new Uint8Array(new Array(count).fill(head).flat());
}

test("values of every kind come back", () => {
  const long = "x".repeat(70_000);
  const items = [null, true, false, 0, 127, -1, -32, 200, 70_000, 2 ** 40, -(2 ** 40), 1.5, "", "text", long];
  const value = { items, bytes: new Uint8Array(300), map: { a: { b: [] } }, many: new Array(70_000).fill(1) };
  expect(decodePack(encode(value), "a test")).toEqual(value);
  for (const item of items) expect(decodePack(encode(item), "a test")).toEqual(item);
});

test("a value cut anywhere, or with a byte behind it, is refused", () => {
  const whole = encode({
    id: 1,
    name: "n1",
    list: [1, 2, [3]],
    bytes: new Uint8Array(5),
    big: 2 ** 50,
    date: new Date(0),
  });
  for (let end = 0; end < whole.length; end++) expect(codeOf(whole.subarray(0, end))).toBe("PROTOCOL");
  expect(codeOf(new Uint8Array([...whole, 0]))).toBe("PROTOCOL");
  expect(codeOf(whole)).toBe("none");
});

test("arrays and maps that announce more than is there cost nothing", () => {
  const before = process.memoryUsage().rss;
  for (const head of [
    [0xdd, 0x00, 0x01, 0xff, 0xff],
    [0xdd, 0xff, 0xff, 0xff, 0xff],
    [0xdc, 0xff, 0xff],
    [0xdf, 0xff, 0xff, 0xff, 0xff],
    [0xde, 0xff, 0xff],
  ]) {
    expect(codeOf(nested(head, 1))).toBe("PROTOCOL");
    expect(codeOf(nested(head, 50_000))).toBe("PROTOCOL");
  }
  expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
});

test("what lies too deep, bytes that mean nothing, names of prototypes", () => {
  expect(codeOf(new Uint8Array([...new Array<number>(16).fill(0x91), 0xc0]))).toBe("none");
  expect(codeOf(new Uint8Array([...new Array<number>(17).fill(0x91), 0xc0]))).toBe("PROTOCOL");
  expect(codeOf(Uint8Array.of(0xc1))).toBe("PROTOCOL");
  expect(codeOf(Uint8Array.of(0x81, 0xa9, ...Buffer.from("__proto__"), 0x80))).toBe("PROTOCOL");
  expect(codeOf(Uint8Array.of(0xc7, 0x00, 0x01))).toBe("none");
});
