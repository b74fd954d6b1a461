import { expect, test } from "bun:test";
import { utf8 } from "../../src/core/bytes.ts";
import { globMatches, globPrefix } from "../../src/core/glob.ts";
import { Random } from "../../src/core/random.ts";

const CASES: readonly [pattern: string, text: string, expected: boolean][] = [
  ["", "", true],
  ["", "a", false],
  ["*", "", true],
  ["*", "anything", true],
  ["h?llo", "hello", true],
  ["h?llo", "hllo", false],
  ["h*llo", "heeeello", true],
  ["h*llo", "hellow", false],
  ["h[ae]llo", "hallo", true],
  ["h[ae]llo", "hillo", false],
  ["h[^e]llo", "hallo", true],
  ["h[^e]llo", "hello", false],
  ["h[a-c]llo", "hbllo", true],
  ["h[c-a]llo", "hbllo", true],
  ["h[a-c]llo", "hdllo", false],
  ["\\*", "*", true],
  ["\\*", "a", false],
  ["a\\", "a\\", true],
  ["[\\]]", "]", true],
  ["[a", "a", true],
  ["[]", "a", false],
  ["[^]", "a", true],
  ["*a*b*c*", "xxaxxbxxcxx", true],
  ["*a*b*c*", "xxaxxcxxbxx", false],
  ["a*a*a", "aa", false],
  ["user:[0-9]*", "user:7:name", true],
];

test.each(CASES)("glob %j on %j is %p", (pattern, text, expected) => {
  expect(globMatches(utf8(pattern), utf8(text))).toBe(expected);
});

test("bytes are bytes, whatever they spell", () => {
  expect(globMatches(Uint8Array.of(0xff, 0x2a), Uint8Array.of(0xff, 0x00, 0x80))).toBe(true);
  expect(globMatches(Uint8Array.of(0x3f), Uint8Array.of(0xc3, 0xa9))).toBe(false);
});

test("a hundred stars that match nothing still come to an end", () => {
  const pattern = utf8(`${"a*".repeat(100)}b`);
  expect(globMatches(pattern, utf8("a".repeat(65_536)))).toBe(false);
});

/** The definition, straight from the words: try every length for a star. */
function naive(pattern: string, text: string): boolean {
  if (pattern === "") return text === "";
  if (pattern[0] === "*") return naive(pattern.slice(1), text) || (text !== "" && naive(pattern, text.slice(1)));
  return text !== "" && (pattern[0] === "?" || pattern[0] === text[0]) && naive(pattern.slice(1), text.slice(1));
}

test("random globs agree with the plain definition, and every match begins with the prefix", () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const random = new Random(seed);
  const draw = (letters: string, most: number): string =>
    Array.from({ length: random.below(most) }, () => letters[random.below(letters.length)]).join("");
  for (let i = 0; i < 5000; i++) {
    const pattern = draw("ab*?", 8);
    const text = draw("ab", 10);
    const matches = globMatches(utf8(pattern), utf8(text));
    expect(matches, `seed ${seed}: ${pattern} on ${text}`).toBe(naive(pattern, text));
    if (!matches) continue;
    const prefix = globPrefix(utf8(pattern));
    expect(utf8(text).subarray(0, prefix.length), `seed ${seed}: ${pattern}`).toEqual(prefix);
  }
});
