/**
 * One walk over many sources (memtables, runs of tables) in the order of record/version.ts, or against it. A heap of
 * sources; where two stand on the same version, the earlier source in the list comes first on the way forward and last on
 * the way back, and both are visited. While one source gives version after version, each costs one comparison, with the
 * runner-up. One thread.
 */
import { assert } from "../core/assert.ts";
import { compareVersions, type TwoWayCursor, type VersionCursor, type VersionKind } from "../record/version.ts";

/** The walk forward is all that most sources can do, and all that jobs need. */
export class MergeCursor<Source extends VersionCursor = VersionCursor> implements VersionCursor {
  protected readonly sources: readonly Source[];
  /** Indexes of the sources that are not exhausted, as a binary heap: the one to be visited next is first. */
  readonly #heap: Int32Array;
  #heapCount = 0;
  /** 1 on the way forward, −1 on the way back. */
  #direction: 1 | -1 = 1;
  /** Place in the heap of the better of the root's children, 0: not known. */
  #runnerUp = 0;

  /** The sources belong to this cursor from now on: it moves them. Not valid before the first `seek`. */
  constructor(sources: readonly Source[]) {
    this.sources = sources;
    this.#heap = new Int32Array(sources.length);
  }

  get valid(): boolean {
    return this.#heapCount > 0;
  }
  get bucket(): number {
    return this.top.bucket;
  }
  get key(): Uint8Array {
    return this.top.key;
  }
  get stampHigh(): number {
    return this.top.stampHigh;
  }
  get stampLow(): number {
    return this.top.stampLow;
  }
  get origin(): number {
    return this.top.origin;
  }
  get kind(): VersionKind {
    return this.top.kind;
  }
  get expiryMs(): number {
    return this.top.expiryMs;
  }
  get value(): Uint8Array {
    return this.top.value;
  }

  seek(bucket: number, key: Uint8Array): void {
    for (const source of this.sources) source.seek(bucket, key);
    this.begin(1);
  }

  next(): void {
    assert(this.#direction === 1, "a walk goes forward after a seek");
    const top = this.top;
    top.next();
    this.moved(top);
  }

  /** The source under visit. */
  protected get top(): Source {
    assert(this.#heapCount > 0, "a cursor that is read is valid");
    return this.sources[this.#heap[0]!]!;
  }

  protected get direction(): 1 | -1 {
    return this.#direction;
  }

  /** Orders the sources anew: all of them have been positioned. */
  protected begin(direction: 1 | -1): void {
    this.#direction = direction;
    this.#heapCount = 0;
    for (let i = 0; i < this.sources.length; i++) if (this.sources[i]!.valid) this.#heap[this.#heapCount++] = i;
    for (let i = (this.#heapCount >>> 1) - 1; i >= 0; i--) this.#siftDown(i);
    this.#runnerUp = 0;
  }

  /** The first source has been moved. */
  protected moved(top: Source): void {
    if (!top.valid) {
      this.#heapCount -= 1;
      this.#heap[0] = this.#heap[this.#heapCount]!;
      this.#runnerUp = 0;
      if (this.#heapCount > 0) this.#siftDown(0);
      return;
    }
    if (this.#heapCount === 1) return;
    if (this.#runnerUp === 0) {
      this.#runnerUp = this.#heapCount > 2 && this.#isBefore(this.#heap[2]!, this.#heap[1]!) ? 2 : 1;
    }
    if (this.#isBefore(this.#heap[0]!, this.#heap[this.#runnerUp]!)) return;
    this.#siftDown(0);
    this.#runnerUp = 0;
  }

  #siftDown(from: number): void {
    const heap = this.#heap;
    const moving = heap[from]!;
    let hole = from;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= this.#heapCount) break;
      if (child + 1 < this.#heapCount && this.#isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!this.#isBefore(heap[child]!, moving)) break;
      heap[hole] = heap[child]!;
      hole = child;
    }
    heap[hole] = moving;
  }

  #isBefore(a: number, b: number): boolean {
    const order = compareVersions(this.sources[a]!, this.sources[b]!);
    return order === 0 ? (a - b) * this.#direction < 0 : order * this.#direction < 0;
  }
}

/** The walk in both directions. To turn round, it is positioned anew. */
export class TwoWayMergeCursor extends MergeCursor<TwoWayCursor> implements TwoWayCursor {
  seekBefore(bucket: number, key: Uint8Array): void {
    for (const source of this.sources) source.seekBefore(bucket, key);
    this.begin(-1);
  }

  previous(): void {
    assert(this.direction === -1, "a walk goes back after a seekBefore");
    const top = this.top;
    top.previous();
    this.moved(top);
  }
}
