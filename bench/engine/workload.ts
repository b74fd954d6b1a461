/**
 * The keys and values of the engine benchmark: those of RocksDB's db_bench, so that every engine stores the same bytes.
 *
 *   key    8 bytes of the key's number, big-endian, then '0' to 16; a key that is missing ends in '1', so that it lies
 *          between two that are there
 *   value  half of it random, the other half the same bytes again, as db_bench's compression ratio of 0.5
 */
import type { Random } from "../../src/core/random.ts";

export const KEY_BYTES = 16;
export const VALUE_BYTES = 100;
export const RECORD_BYTES = KEY_BYTES + VALUE_BYTES;

const ZERO = 48;
const ONE = 49;
const VALUE_COUNT = 8192;
const TWO_32 = 0x1_0000_0000;
const GOLDEN_SHARE = (Math.sqrt(5) - 1) / 2;

export type KeyOrder = "sequential" | "random" | "permuted";

/** One key buffer that `number` writes over; an engine copies what it keeps. */
export class KeyBuffer {
  readonly bytes: Uint8Array = Buffer.alloc(KEY_BYTES, ZERO);
  readonly #view = new DataView(this.bytes.buffer, this.bytes.byteOffset, KEY_BYTES);

  present(number: number): Uint8Array {
    this.#view.setUint32(0, number / TWO_32);
    this.#view.setUint32(4, number % TWO_32);
    return this.bytes;
  }

  missing(number: number): Uint8Array {
    this.present(number);
    this.bytes[KEY_BYTES - 1] = ONE;
    return this.bytes;
  }
}

/** Values made ahead, given out in turn. */
export class Values {
  readonly #values: Uint8Array[] = [];
  #next = 0;

  constructor(random: Random) {
    for (let i = 0; i < VALUE_COUNT; i++) {
      const value = Buffer.alloc(VALUE_BYTES);
      for (let j = 0; j < VALUE_BYTES / 2; j++) value[j] = random.below(256);
      value.copyWithin(VALUE_BYTES / 2, 0, VALUE_BYTES / 2);
      this.#values.push(value);
    }
  }

  next(): Uint8Array {
    this.#next = (this.#next + 1) % VALUE_COUNT;
    return this.#values[this.#next]!;
  }
}

/**
 * The numbers of `keyCount` keys in some order. `permuted` visits each once, far from the one before: steps of the
 * golden section, made coprime to the count.
 */
export function keyNumbers(order: KeyOrder, keyCount: number, random: Random): () => number {
  if (order === "random") return () => random.below(keyCount);
  const step = order === "sequential" ? 1 : coprimeNear(Math.floor(keyCount * GOLDEN_SHARE), keyCount);
  let number = keyCount - step;
  return () => {
    number += step;
    if (number >= keyCount) number -= keyCount;
    return number;
  };
}

/** Different keys among `count` drawn at random from `keyCount`, on average. */
export function distinctKeys(order: KeyOrder, count: number, keyCount: number): number {
  if (order !== "random") return Math.min(count, keyCount);
  return keyCount * (1 - (1 - 1 / keyCount) ** count);
}

function coprimeNear(wanted: number, count: number): number {
  let step = Math.max(1, wanted);
  while (greatestDivisor(step, count) !== 1) step++;
  return step;
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}
