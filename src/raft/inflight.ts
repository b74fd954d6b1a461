/**
 * The appends on the way to one follower: a ring of (last index, entry bytes), bounded in both count and bytes. An
 * append larger than the whole bound may go when nothing else is under way.
 */
import { assert } from "../core/assert.ts";

export class Inflight {
  readonly #lastIndexes: Float64Array;
  readonly #sizes: Float64Array;
  readonly #bytesMax: number;
  #head = 0;
  #count = 0;
  #bytes = 0;

  constructor(countMax: number, bytesMax: number) {
    this.#lastIndexes = new Float64Array(countMax);
    this.#sizes = new Float64Array(countMax);
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#count === this.#sizes.length || this.#bytes >= this.#bytesMax;
  }

  /** Bytes that may still be sent. */
  get room(): number {
    return this.#bytesMax - this.#bytes;
  }

  add(lastIndex: number, bytes: number): void {
    assert(!this.full, "what is in flight is bounded");
    const slot = (this.#head + this.#count) % this.#sizes.length;
    this.#lastIndexes[slot] = lastIndex;
    this.#sizes[slot] = bytes;
    this.#count += 1;
    this.#bytes += bytes;
  }

  acknowledge(index: number): void {
    while (this.#count > 0 && this.#lastIndexes[this.#head]! <= index) {
      this.#bytes -= this.#sizes[this.#head]!;
      this.#head = (this.#head + 1) % this.#sizes.length;
      this.#count -= 1;
    }
  }

  clear(): void {
    this.#head = 0;
    this.#count = 0;
    this.#bytes = 0;
  }
}
