/**
 * The space of overwritten versions, on its way to be used again. A memtable whose keys are written over and over would
 * otherwise fill with versions nobody will ever ask for.
 *
 * A block may be written again only when no reader can still be looking at it. Readers look without a lock, but only
 * within one turn of main's loop: at the start of each turn main counts up a shared word (SharedState.noteReaderTurn).
 * Blocks therefore pass through two stages. What was retired before one observation of that word, and is still waiting
 * when the next observation finds it changed, has seen the start of a turn go by after its retirement: whoever read it
 * has finished (quiescent-state reclamation, McKenney and Slingwine, "Read-Copy Update", 1998).
 *
 *   retire ──▶ retired ──observe──▶ waiting ──observe, turn has changed──▶ free, by size ──▶ take
 *
 * The writer's thread only.
 */

/** Larger blocks, in words, are not kept: they are few, and every size has a list of its own. */
const BLOCK_WORDS_MAX = 1024;
/** Words of a cache line. */
const LINE_WORDS = 16;

export class VersionBlocks {
  /** Free blocks of each size, in words. */
  readonly #free: (number[] | undefined)[] = new Array<number[] | undefined>(BLOCK_WORDS_MAX + 1);
  /** Block and size, in turn. */
  #retired: number[] = [];
  #waiting: number[] = [];
  #seenTurn = 0;

  /** A free block of exactly this size, or 0. */
  take(words: number): number {
    return this.#free[words]?.pop() ?? 0;
  }

  /**
   * Loads what the next `count` calls of `take` would write into, each as long as `words`: a block has been left alone
   * for long, and its cache lines come in the time of one when they are asked for together. Returns what keeps the loads.
   */
  warm(arena: Int32Array, words: number, count: number): number {
    const list = this.#free[words];
    if (list === undefined) return 0;
    let sum = 0;
    for (let i = Math.max(0, list.length - count); i < list.length; i++) {
      const block = list[i]!;
      for (let word = 0; word < words; word += LINE_WORDS) sum ^= arena[block + word]!;
      sum ^= arena[block + words - 1]!;
    }
    return sum;
  }

  /** Nothing new leads to this block any more. */
  retire(block: number, words: number): void {
    if (words <= BLOCK_WORDS_MAX) this.#retired.push(block, words);
  }

  /** Looks at main's turn; to be called now and then, for instance once a batch. */
  observe(readerTurn: number): void {
    if (readerTurn === this.#seenTurn) return;
    this.#seenTurn = readerTurn;
    const ripe = this.#waiting;
    this.#waiting = this.#retired;
    this.#retired = ripe;
    for (let i = 0; i < ripe.length; i += 2) this.#release(ripe[i]!, ripe[i + 1]!);
    ripe.length = 0;
  }

  /** Forgets every block: the arena begins anew. */
  reset(): void {
    this.#free.fill(undefined);
    this.#retired.length = 0;
    this.#waiting.length = 0;
  }

  #release(block: number, words: number): void {
    const list = this.#free[words];
    if (list === undefined) this.#free[words] = [block];
    else list.push(block);
  }
}
