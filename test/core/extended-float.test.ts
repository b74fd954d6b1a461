/** What Redis 7 answers to INCRBYFLOAT on x86, in its own words: the values below were asked of one. */
import { expect, test } from "bun:test";
import { utf8 } from "../../src/core/bytes.ts";
import {
  addExtendedFloats,
  FLOAT_TEXT_BYTES_MAX,
  formatExtendedFloat,
  INFINITE,
  parseExtendedFloat,
} from "../../src/core/extended-float.ts";

const NO_FLOAT = "no float";

function sumOf(...texts: readonly string[]): string {
  let sum: ReturnType<typeof parseExtendedFloat> = { mantissa: 0n, exponent: 0 };
  for (const text of texts) {
    const bytes = utf8(`<${text}>`);
    const float = parseExtendedFloat(bytes, 1, bytes.length - 1);
    if (float === null) return NO_FLOAT;
    sum = addExtendedFloats(sum, float);
  }
  return sum === INFINITE ? INFINITE : formatExtendedFloat(sum);
}

test.each([
  ["0.1", "0.2", "0.3"],
  ["3.0e3", "200", "3200"],
  ["10.50", "0.1", "10.6"],
  ["0.1", "-0.3", "-0.2"],
  [".5", "5.", "5.5"],
  ["+0x1.8p+1", "0X.8", "3.5"],
  ["0x10", "1", "17"],
  ["-0", "0", "0"],
  ["-1e-30", "0", "0"],
  ["0.00000000000000000500000000000000001", "0", "0.00000000000000001"],
  ["0x1p-18", "0", "0.00000381469726562"],
  ["0e99999999999999999999", "1", "1"],
  ["123456789012345678901234567890", "1", "123456789012345678899921813504"],
  ["18446744073709551615", "1", "18446744073709551616"],
  ["18446744073709551616", "1", "18446744073709551616"],
  ["18446744073709551617", "1", "18446744073709551616"],
  ["1e4932", "-1e4932", "0"],
  ["0x1p-16445", "0", "0"],
  ["0x1.1p-16446", "0", "0"],
  ["inf", "1", INFINITE],
  ["-Infinity", "inf", INFINITE],
  ["1e4932", "1e4932", INFINITE],
])("%s and %s are %s", (a, b, expected) => {
  expect(sumOf(a, b)).toBe(expected);
});

test.each([
  ["nan"],
  [""],
  [" 1"],
  ["1 "],
  ["1e"],
  ["1e+"],
  ["."],
  ["-"],
  ["0x"],
  ["0x.p1"],
  ["0x1p"],
  ["1_0"],
  ["1\0"],
  ["\ufeff1"],
  ["١"],
  ["infi"],
  ["1.2e4932"],
  ["1e5000"],
  ["1e-4951"],
  ["0x1p-16446"],
])("%j is no float", (text) => {
  expect(sumOf(text)).toBe(NO_FLOAT);
});

test("exponents and texts beyond every length are no floats either", () => {
  const far = "9".repeat(400);
  for (const text of [`1e${far}`, `1e-${far}`, `0x1p${far}`, `-0x1p-${far}`, `1${"0".repeat(5119)}`]) {
    expect(sumOf(text)).toBe(NO_FLOAT);
  }
  expect(sumOf(`${"0".repeat(5118)}1`)).toBe("1");
});

test("a number is as long as the largest, and no longer", () => {
  const most = sumOf("-0x1.fffffffffffffffep16383");
  expect(most).toHaveLength(FLOAT_TEXT_BYTES_MAX);
  expect(most).toStartWith("-1189731495357231765021263853");
  expect(sumOf(`0.${"0".repeat(5000)}1e5001`)).toBe("1");
  expect(sumOf(`${"1".repeat(4000)}e-3999`)).toBe("1.11111111111111111");
});

test("the sum of a number and nothing is the double that JavaScript shows, where 17 digits behind the point show it", () => {
  for (const number of [0.5, 1234.0625, -7, 2 ** 53, 1e15 + 0.5, 3.25e-3]) {
    expect(Number(sumOf(String(number), "0"))).toBe(number);
  }
});
