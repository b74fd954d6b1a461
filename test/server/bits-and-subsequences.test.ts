import { expect, test } from "bun:test";
import { utf8 } from "../../src/core/bytes.ts";
import { Random } from "../../src/core/random.ts";
import { bitAt, countBits, findBit } from "../../src/server/bit-search.ts";
import { commonSubsequence } from "../../src/server/common-subsequence.ts";

function newRandom(): { readonly seed: number; readonly random: Random } {
  const seed = Math.floor(Math.random() * 2 ** 32);
  return { seed, random: new Random(seed) };
}

/** Bytes of which many are all zeros or all ones. */
function randomBytes(random: Random, byteCount: number): Uint8Array {
  return Uint8Array.from({ length: byteCount }, () => [0x00, 0xff, random.below(256)][random.below(3)] ?? 0);
}

test("bits are counted and found as in the text of the value", () => {
  const { seed, random } = newRandom();
  for (let round = 0; round < 3000; round++) {
    const bytes = randomBytes(random, random.between(1, 8));
    const text = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
    const first = random.below(text.length);
    const last = random.between(first, text.length - 1);
    const part = text.slice(first, last + 1);
    const place = (bit: string): number => (part.includes(bit) ? first + part.indexOf(bit) : -1);
    const said = [countBits(bytes, first, last), findBit(bytes, 0, first, last), findBit(bytes, 1, first, last)];
    expect(said, `seed ${seed} round ${round}`).toEqual([part.replaceAll("0", "").length, place("0"), place("1")]);
    expect(bitAt(bytes, first)).toBe(Number(text[first]));
  }
  expect(bitAt(new Uint8Array(1), 8)).toBe(0);
});

/** The length of the longest common subsequence, by its definition. */
function lengthOf(a: string, b: string): number {
  if (a === "" || b === "") return 0;
  if (a.at(-1) === b.at(-1)) return lengthOf(a.slice(0, -1), b.slice(0, -1)) + 1;
  return Math.max(lengthOf(a.slice(0, -1), b), lengthOf(a, b.slice(0, -1)));
}

function isSubsequence(part: string, whole: string): boolean {
  let at = 0;
  for (const letter of whole) if (letter === part[at]) at += 1;
  return at === part.length;
}

test("a longest common subsequence is one, is as long as any, and its runs spell it", () => {
  const { seed, random } = newRandom();
  const randomText = (): string => Array.from({ length: random.below(9) }, () => "abc"[random.below(3)]).join("");
  for (let round = 0; round < 1000; round++) {
    const [a, b] = [randomText(), randomText()];
    const { bytes, runs } = commonSubsequence(utf8(a), utf8(b));
    const text = Buffer.from(bytes).toString();
    const where = `seed ${seed} round ${round}: ${a} ${b}`;
    expect([isSubsequence(text, a), isSubsequence(text, b), text.length], where).toEqual([true, true, lengthOf(a, b)]);
    const forwards = runs.toReversed();
    expect(forwards.map(({ aFirst, aLast }) => a.slice(aFirst, aLast + 1)).join(""), where).toBe(text);
    expect(forwards.map(({ bFirst, bLast }) => b.slice(bFirst, bLast + 1)).join(""), where).toBe(text);
  }
});
