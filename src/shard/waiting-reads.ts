/**
 * Reads that wait until an index is applied, in the order of that index and, for equal ones, of their arrival. Each is
 * answered at the first moment it may be: that is what keeps a later write out of an earlier read. Shard thread.
 */
import type { ReadRequest } from "../bridge/shard-protocol.ts";

export interface WaitingRead {
  readonly requestId: number;
  readonly minIndex: number;
  readonly read: ReadRequest;
}

export class WaitingReads {
  #reads: WaitingRead[] = [];
  #head = 0;

  /** The lowest index anybody waits for; infinite when nobody does. */
  get nextIndex(): number {
    return this.#reads[this.#head]?.minIndex ?? Number.POSITIVE_INFINITY;
  }

  add(read: WaitingRead): void {
    const reads = this.#reads;
    let place = reads.length;
    while (place > this.#head && reads[place - 1]!.minIndex > read.minIndex) place -= 1;
    if (place === reads.length) reads.push(read);
    else reads.splice(place, 0, read);
  }

  /** The next read that may be answered at this index. */
  take(appliedIndex: number): WaitingRead | null {
    const read = this.#reads[this.#head];
    if (read === undefined || read.minIndex > appliedIndex) return null;
    this.#head += 1;
    if (this.#head === this.#reads.length) {
      this.#reads = [];
      this.#head = 0;
    }
    return read;
  }
}
