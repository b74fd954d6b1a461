/**
 * The order of everything in a history, and when it was: numbers from 1 on, each with its time. What may show the past is
 * judged by this: a read with a bound is right if it could have been called, and answered as it was, at any moment within
 * the bound. So it is an ordinary read that was called at the first of these moments, and whatever had returned before
 * that has to show.
 */
export class Moments {
  readonly #nowMs: () => number;
  /** When each was, ascending; the first number is 1. */
  readonly #timesMs: number[] = [];

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** The number of what happens now. */
  next(): number {
    return this.#timesMs.push(this.#nowMs());
  }

  /** Before everything that happened in the last `ms`, and behind everything earlier: a number between two others. */
  firstWithin(ms: number): number {
    const sinceMs = this.#nowMs() - ms;
    let low = 0;
    let high = this.#timesMs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#timesMs[middle]! < sinceMs) low = middle + 1;
      else high = middle;
    }
    return low + 0.5;
  }
}
