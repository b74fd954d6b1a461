/**
 * How many bytes unanswered reads are expected to bring: each as much as those before it, by a moving average that goes up
 * at once and down slowly. A connection takes no more requests while that is more than may wait for a slow reader.
 */

/** What a read is taken to bring before the first has been seen. */
const BYTES_AT_FIRST = 128 * 1024;

export class ReadEstimate {
  #openCount = 0;
  #bytesEach = BYTES_AT_FIRST;

  opened(): void {
    this.#openCount += 1;
  }

  answered(byteCount: number): void {
    this.#openCount -= 1;
    if (byteCount >= this.#bytesEach) this.#bytesEach = byteCount;
    else this.#bytesEach -= (this.#bytesEach - byteCount) >> 3;
  }

  /** Nobody waits for those that are open any more. */
  abandoned(): void {
    this.#openCount = 0;
  }

  get bytes(): number {
    return this.#openCount * this.#bytesEach;
  }
}
