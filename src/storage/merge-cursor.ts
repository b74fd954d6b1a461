/**
 * One walk over many sources (memtables, runs of tables) in the order of record/version.ts. A heap of sources; where
 * two stand on the same version, the earlier source in the list comes first, and both are visited. One thread.
 */
import { at } from "../core/assert.ts";
import { compareVersions, type VersionCursor, type VersionKind } from "../record/version.ts";

export class MergeCursor implements VersionCursor {
  readonly #sources: readonly VersionCursor[];
  /** Indexes of the sources that are not exhausted, as a binary heap: the smallest version is first. */
  #heap: number[] = [];

  /** The sources belong to this cursor from now on: it moves them. Not valid before the first `seek`. */
  constructor(sources: readonly VersionCursor[]) {
    this.#sources = sources;
  }

  get valid(): boolean {
    return this.#heap.length > 0;
  }
  get bucket(): number {
    return this.#top.bucket;
  }
  get key(): Uint8Array {
    return this.#top.key;
  }
  get stampHigh(): number {
    return this.#top.stampHigh;
  }
  get stampLow(): number {
    return this.#top.stampLow;
  }
  get origin(): number {
    return this.#top.origin;
  }
  get kind(): VersionKind {
    return this.#top.kind;
  }
  get expiryMs(): number {
    return this.#top.expiryMs;
  }
  get value(): Uint8Array {
    return this.#top.value;
  }

  seek(bucket: number, key: Uint8Array): void {
    this.#heap = [];
    for (let i = 0; i < this.#sources.length; i++) {
      const source = at(this.#sources, i);
      source.seek(bucket, key);
      if (source.valid) this.#heap.push(i);
    }
    for (let i = (this.#heap.length >>> 1) - 1; i >= 0; i--) this.#siftDown(i);
  }

  next(): void {
    const top = this.#top;
    top.next();
    if (!top.valid) {
      const last = this.#heap.pop();
      if (this.#heap.length === 0 || last === undefined) return;
      this.#heap[0] = last;
    }
    this.#siftDown(0);
  }

  get #top(): VersionCursor {
    return at(this.#sources, at(this.#heap, 0));
  }

  #siftDown(from: number): void {
    const heap = this.#heap;
    const moving = heap[from]!;
    let hole = from;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!this.#isBefore(heap[child]!, moving)) break;
      heap[hole] = heap[child]!;
      hole = child;
    }
    heap[hole] = moving;
  }

  #isBefore(a: number, b: number): boolean {
    const order = compareVersions(this.#sources[a]!, this.#sources[b]!);
    return order < 0 || (order === 0 && a < b);
  }
}
