/** The words that random commands are made of: few keys, so that commands meet; values and numbers at every edge. */
import { utf8 } from "../../../src/core/bytes.ts";
import type { Random } from "../../../src/core/random.ts";

export type Word = string | Uint8Array;

const KEYS: readonly Word[] = ["k0", "k1", "k2", "k3", "{t}a", "{t}b", new Uint8Array([0, 255, 13, 10, 32]), ""];
const NUMBERS = [
  ...["0", "1", "-1", "10", "-10", "100", "9223372036854775807", "-9223372036854775808", "9223372036854775806"],
  ...["9223372036854775808", "-9223372036854775809", "18446744073709551615", "99999999999999999999", "2147483648"],
];
const BAD_NUMBERS = ["", "abc", "1.5", "+1", "01", " 1", "1 ", "-0", "--1", "0x10", "1e3", "-", "1\u0000"];
const FLOATS = [
  ...["0", "1", "-1", "0.1", "-0.1", "3.0", "3.00", "1e5", "5.0e3", "200", "10.5", "1e-7", "0.000001", "1e17", "1e21"],
  ...["123456789.123456789", "-1.5e2", "1e300", "1e-300", "3.14159265358979323846", "0x10", "1e308", "-1e308", "00.5"],
];
const BAD_FLOATS = ["", "abc", "nan", "inf", "-inf", "+inf", " 1.0", "1.0 ", "1e400", "1.2.3", "--1", "e5", "infinity"];
const TEXTS = ["", "a", "ab", "foo", "foobar", "Hello World", "foobarfoo", "OK", "1a", "äöü€"];

export class Words {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  key(): Word {
    return this.pick(KEYS);
  }

  keys(countMax: number): Word[] {
    return this.many(1, countMax, () => this.key());
  }

  value(): Word {
    const kind = this.#random.below(12);
    if (kind < 3) return String(this.#random.between(-20, 20));
    if (kind < 4) return this.pick(NUMBERS);
    if (kind < 5) return this.pick(BAD_NUMBERS);
    if (kind < 6) return this.pick(FLOATS);
    if (kind < 8) return this.pick(TEXTS);
    if (kind < 9) return "x".repeat(this.pick([43, 44, 45, 63, 64, 100, 300]));
    return this.bytes(this.#random.below(24));
  }

  bytes(count: number): Uint8Array {
    const few = this.chance(0.5);
    return Uint8Array.from({ length: count }, () => (few ? this.pick([0, 1, 0x80, 0xff]) : this.#random.below(256)));
  }

  /** Mostly small, now and then at an edge, seldom none at all. */
  integer(low = -5, high = 20): Word {
    const kind = this.#random.below(20);
    if (kind < 16) return String(this.#random.between(low, high));
    return kind < 18 ? this.pick(NUMBERS) : this.pick(BAD_NUMBERS);
  }

  /** Within bounds, or no number at all: for what would cost both servers too much memory in between. */
  bounded(low: number, high: number, beyond: readonly Word[]): Word {
    const kind = this.#random.below(20);
    if (kind < 17) return String(this.#random.between(low, high));
    return kind < 19 ? this.pick(beyond) : this.pick(BAD_NUMBERS);
  }

  float(): Word {
    const kind = this.#random.below(10);
    if (kind < 3) return String(this.#random.between(-20, 20));
    if (kind < 5) return (this.#random.fraction() * 10 ** this.#random.between(-6, 9)).toFixed(this.#random.below(18));
    return kind < 9 ? this.pick(FLOATS) : this.pick(BAD_FLOATS);
  }

  /** A time to live far enough from every other that no comparison of two hangs on a moment. */
  ttlSeconds(): Word {
    return this.#time((1_000 + 50 * this.#random.below(200_000)).toString());
  }

  ttlMs(): Word {
    return this.#time((1_000_000 + 50_000 * this.#random.below(200_000)).toString());
  }

  atSeconds(): Word {
    return this.#time((4_000_000_000 + 50 * this.#random.below(200_000)).toString());
  }

  atMs(): Word {
    return this.#time((4_000_000_000_000 + 50_000 * this.#random.below(200_000)).toString());
  }

  pattern(): Word {
    return this.pick([
      "*",
      "k*",
      "k?",
      "k[0-2]",
      "k[^0]",
      "\\k1",
      "[",
      "k[",
      "k[0",
      "",
      "?",
      "{t}*",
      "nothing",
      "*1",
      "**",
    ]);
  }

  pick<Item>(from: readonly Item[]): Item {
    const item = from[this.#random.below(from.length)];
    if (item === undefined) throw new Error("there is nothing to pick from");
    return item;
  }

  chance(probability: number): boolean {
    return this.#random.chance(probability);
  }

  many<Item>(low: number, high: number, make: () => Item): Item[] {
    return Array.from({ length: this.#random.between(low, high) }, make);
  }

  /** Some of the alternatives, often none, in any order and now and then twice. */
  options(countMax: number, alternatives: readonly (() => readonly Word[])[]): Word[] {
    if (this.chance(0.4)) return [];
    return this.many(1, countMax, () => this.pick(alternatives)()).flat();
  }

  #time(usual: string): Word {
    const kind = this.#random.below(24);
    if (kind < 20) return usual;
    return kind < 22 ? this.pick(["0", "-1", "9223372036854775807", "-9223372036854775808"]) : this.pick(BAD_NUMBERS);
  }
}

export function bytesOf(word: Word): Uint8Array {
  return typeof word === "string" ? utf8(word) : word;
}
