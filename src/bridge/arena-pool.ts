/**
 * The writing side of a shard's memtables: which arena is being written, and when the next may be. Belongs to the
 * shard's thread; the rules of turn-taking and their proof are in memtable-set.ts.
 */
import { assert } from "../core/assert.ts";
import { MemtableWriter } from "./memtable.ts";
import type { SharedState } from "./shared-state.ts";

export class ArenaPool {
  readonly #state: SharedState;
  readonly #writers: readonly MemtableWriter[];
  readonly #arenas: readonly SharedArrayBuffer[];
  #newest = 1;
  /** The first arena main has not returned. */
  #unreturned = 1;

  /** Over fresh memory: arena 1 is in use at once. */
  constructor(state: SharedState, arenas: readonly SharedArrayBuffer[]) {
    this.#state = state;
    this.#arenas = arenas;
    this.#writers = arenas.map((arena) => new MemtableWriter(arena, "reuse"));
    state.publishArena(this.#newest);
  }

  /** The number of the arena being written. */
  get activeArena(): number {
    return this.#newest;
  }

  /** The writer of the active arena; it changes with every rotation. */
  get active(): MemtableWriter {
    return this.#writers[this.#newest % this.#writers.length]!;
  }

  /** The memory of an arena that is in use. */
  memoryOf(arena: number): SharedArrayBuffer {
    assert(arena >= this.#unreturned && arena <= this.#newest, "an arena in use has its memory");
    return this.#arenas[arena % this.#arenas.length]!;
  }

  /** Arenas written and not yet returned, the active one too. */
  get inUseCount(): number {
    return this.#newest - this.#unreturned + 1;
  }

  /** Whether `rotate` would succeed. */
  get canRotate(): boolean {
    return this.inUseCount < this.#writers.length;
  }

  /**
   * Freezes the active arena and goes on to the next, which is published before it returns, and so before any applied
   * index of what will be written there. False when main has not yet returned the buffer whose turn it is.
   */
  rotate(): boolean {
    if (!this.canRotate) return false;
    const next = this.#newest + 1;
    if (next > this.#writers.length) this.#writers[next % this.#writers.length]!.reset();
    this.#newest = next;
    this.#state.publishArena(next);
    return true;
  }

  /** Main's `returnArena`. */
  returned(arena: number): void {
    assert(arena === this.#unreturned && arena < this.#newest, "frozen arenas come back oldest first");
    this.#unreturned += 1;
  }
}
