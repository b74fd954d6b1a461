/**
 * When a thread asks for a collection of young objects. JavaScriptCore begins one by itself when as much has been
 * allocated as the heap is large, and counts mapped files and shared memory as heap: with 1 GB of tables mapped, 1.4 GB of
 * small dead objects gathered between two collections, each of which took 2 to 4 ms. Asked for after so much work, a
 * collection takes 0.1 to 0.4 ms, and the memory that dead objects leave is still in the caches when the next ones want
 * it; what has lived for long costs nothing. One for each thread.
 */

/** A byte of commands, or of replies, leaves 10 to 20 bytes of garbage. */
const WORK_BYTES = 1024 * 1024;

export class YoungGarbage {
  readonly #collect: () => void;
  #workBytes = 0;

  /** `collect` asks for an eden collection: `Bun.gc(false)`. */
  constructor(collect: () => void) {
    this.#collect = collect;
  }

  /** Messages of so many bytes have been worked off or made. True: a collection is worth it. */
  note(byteCount: number): boolean {
    this.#workBytes += byteCount;
    return this.#workBytes >= WORK_BYTES;
  }

  /** To be called when those who wait have been answered: collects if that is worth it. */
  collectIfDue(): void {
    if (this.#workBytes < WORK_BYTES) return;
    this.#workBytes = 0;
    this.#collect();
  }
}
