import { expect, test } from "bun:test";
import { utf8 } from "../../src/core/bytes.ts";
import { parseI64 } from "../../src/wire/resp-integer.ts";

const parse = (text: string): bigint | null => parseI64(utf8(text), 0, text.length);

test("integers of 64 bits in canonical form are read", () => {
  for (const value of [0n, 1n, -1n, 999_999_999_999_999n, 1_000_000_000_000_000n, 2n ** 63n - 1n, -(2n ** 63n)]) {
    expect(parse(String(value))).toBe(value);
  }
});

test("anything else is not", () => {
  for (const text of ["", "-", "+1", "01", "-0", " 1", "1 ", "1.5", "0x4", "abc", "9223372036854775808"]) {
    expect(parse(text)).toBeNull();
  }
  expect(parse("-9223372036854775809")).toBeNull();
  expect(parse("9".repeat(30))).toBeNull();
});
