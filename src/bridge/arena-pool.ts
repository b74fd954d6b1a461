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
  #newest: number;
  /** The first arena main has not returned. */
  #unreturned: number;
  #isRecalled = false;

  /**
   * The first arena is in use at once. Its number is 1 over fresh memory; a greater one continues behind a pool of which
   * everything has been recalled and returned.
   */
  constructor(state: SharedState, arenas: readonly SharedArrayBuffer[], firstArena = 1) {
    this.#state = state;
    this.#arenas = arenas;
    this.#newest = firstArena;
    this.#unreturned = firstArena;
    this.#writers = arenas.map((arena) => new MemtableWriter(arena, "reuse"));
    if (firstArena > 1) for (const writer of this.#writers) writer.reset();
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
    assert(arena === this.#unreturned, "arenas come back oldest first");
    assert(arena < this.#newest || this.#isRecalled, "the arena being written comes back only when it is recalled");
    this.#unreturned += 1;
  }

  /** All arenas are wanted back, the active one too, which is written no more. */
  recall(): void {
    this.#isRecalled = true;
  }

  /** Whether everything that was recalled has come back. */
  get isReturned(): boolean {
    return this.#unreturned > this.#newest;
  }
}
