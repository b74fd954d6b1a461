/**
 * The memtables of a shard as one thread reads them: the arena being written and the frozen ones before it. Main has
 * one set and the shard another; each belongs to its thread.
 *
 * Arenas are numbered 1, 2, 3, … in the order of their use and take turns in the pool: arena n lies in buffer n modulo
 * the number of buffers. The shard rotates from one to the next (arena-pool.ts), flushes the frozen one, retires it
 * in its own set and says `arenaRetired`; main goes on reading it until no buffer is free for the next rotation, then
 * retires it in its set and says `returnArena`; only then may the buffer be written again. Arenas are retired oldest
 * first, so a set is a range [oldest, newest] of numbers.
 *
 * Why main neither misses an arena nor reads a recycled one:
 *
 *   1  Main loads the applied index A first, then the newest arena N. The shard has published N before any index whose
 *      versions lie in it. So every version at or below A is in an arena up to N, or already in tables.
 *   2  An arena below `oldest` was retired by main after `arenaRetired`, which the shard sends only after the versions
 *      worth keeping are in tables and `noteTables` has been called; the same call precedes the first applied index of
 *      a shard that opens with tables. So a search that finds nothing is final if there were never any tables, and
 *      otherwise the read goes through the ring to the shard, which has both.
 *   3  The shard writes arena n only after main has returned arena n − buffers. `oldest` moves in the same call in which
 *      that answer is given, so every arena in [oldest, N] still lies whole in its buffer. N is loaded once for each
 *      search; a rotation during it only adds an arena the search may do without.
 *   4  `find` is synchronous and main retires arenas on the same thread, so no retirement falls inside a search.
 *      Its result is a view into the arena: whoever keeps the value beyond the current call of the loop copies it.
 *
 * When a table or value file is found damaged, commands that would need it change nothing in this shard. A flushed arena that
 * still has such a key would answer as if they had not come, so the shard publishes, before it applies anything in
 * that knowledge, that flushed arenas are read no more (`oldestReadable`), and the read goes through the ring.
 *
 * What a shard holds may be replaced as a whole, by a snapshot of another member. Then no arena may be read any more, for
 * what is in tables afterwards is newer; and the buffers are emptied. So the shard, which applies nothing meanwhile, first
 * calls `noteTables` and then says `arenasRecalled`: main retires everything, the arena being written too, and returns it
 * (`recall`); a read that comes now finds nothing here and goes through the ring, as by rule 2. When all are back the shard
 * switches, empties the buffers, publishes the next number as the newest arena, and only then the applied index of the
 * snapshot: rule 1 holds from there as from the start.
 *
 * A hit needs no look at the tables: within a shard stamps rise with the log (each leader's clock starts above its
 * log's last), so what was applied later, and thus lies in a later arena, is newer than everything before it.
 */
import { assert } from "../core/assert.ts";
import type { TwoWayCursor } from "../record/version.ts";
import { MemtableReader } from "./memtable-reader.ts";
import type { SharedState } from "./shared-state.ts";

const WARM_AT_FIRST = 64;
/** Of an arena: the rest may be its hash directory. */
const NODE_SHARE = 15 / 16;
/** More than a node and its version take beside key and value. */
const NODE_BYTES = 512;

export class MemtableSet {
  readonly #state: SharedState;
  readonly #readers: readonly MemtableReader[];
  /** Bytes of the longest command whose version fits into an empty arena for sure. */
  readonly commandBytesMax: number;
  #oldest: number;
  /** Up to here the tables have everything. */
  #flushed: number;
  /** Scratch for `warm`. */
  #nodes = new Int32Array(WARM_AT_FIRST);

  /** `firstArena`: the first that is not retired. */
  constructor(state: SharedState, arenas: readonly SharedArrayBuffer[], firstArena = 1) {
    this.#oldest = firstArena;
    this.#flushed = firstArena - 1;
    this.#state = state;
    this.#readers = arenas.map((arena) => new MemtableReader(arena));
    this.commandBytesMax = Math.floor((arenas[0]?.byteLength ?? 0) * NODE_SHARE) - NODE_BYTES;
  }

  /** The first arena not yet retired here. */
  get oldestArena(): number {
    return this.#oldest;
  }

  /**
   * The newest version of a key in any arena, described by the reader's fields until the next `find`, or null. Main has
   * asked `state.readable` before, and on null asks `state.missIsFinal` after.
   */
  find(bucket: number, key: Uint8Array, keyStart: number, keyEnd: number, keyHash: number): MemtableReader | null {
    const oldest = Math.max(this.#oldest, this.#state.oldestReadable);
    for (let arena = this.#state.newestArena; arena >= oldest; arena--) {
      const reader = this.#reader(arena);
      if (reader.find(bucket, key, keyStart, keyEnd, keyHash)) return reader;
    }
    return null;
  }

  /** The same for the newest version not above the stamp, of those that are kept. For the thread that writes. */
  findAsOf(
    bucket: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    keyHash: number,
    stampHigh: number,
    stampLow: number,
  ): MemtableReader | null {
    for (let arena = this.#state.newestArena; arena >= this.#oldest; arena--) {
      const reader = this.#reader(arena);
      if (reader.findAsOf(bucket, key, keyStart, keyEnd, keyHash, stampHigh, stampLow)) return reader;
    }
    return null;
  }

  /** Brings what `find` under these hashes will look at into the caches, all at once. */
  warm(hashes: Uint32Array, count: number): void {
    if (this.#nodes.length < count) this.#nodes = new Int32Array(count);
    for (let arena = this.#state.newestArena; arena >= this.#oldest; arena--) {
      this.#reader(arena).warm(hashes, count, this.#nodes);
    }
  }

  /** A cursor over one arena that is not retired. */
  cursorOf(arena: number): TwoWayCursor {
    assert(arena >= this.#oldest && arena <= this.#state.newestArena, "a cursor runs over an arena in use");
    return this.#reader(arena).cursor();
  }

  /** A cursor over each arena, newest first. They may be used until the arena is retired here. */
  cursors(): TwoWayCursor[] {
    const cursors: TwoWayCursor[] = [];
    for (let arena = this.#state.newestArena; arena >= this.#oldest; arena--) {
      cursors.push(this.#reader(arena).cursor());
    }
    return cursors;
  }

  /** This thread reads the arena no longer. Arenas are retired in the order of their numbers. */
  retire(arena: number): void {
    assert(arena === this.#oldest, "arenas are retired oldest first");
    assert(arena < this.#state.newestArena, "the arena being written is not retired");
    this.#oldest += 1;
  }

  /** The tables have everything of this arena: it may be retired, and serves as a cache until its buffer is wanted. */
  noteFlushed(arena: number): void {
    assert(arena === this.#flushed + 1, "arenas are flushed oldest first");
    this.#flushed = arena;
  }

  /**
   * The shard wants all arenas back: this thread reads none of them any more. Returns their numbers, oldest first, the one
   * being written last.
   */
  recall(): number[] {
    const recalled: number[] = [];
    for (; this.#oldest <= this.#state.newestArena; this.#oldest++) recalled.push(this.#oldest);
    this.#flushed = this.#oldest - 1;
    return recalled;
  }

  /** Retires the oldest arena if it is flushed and no buffer is free for the writer; returns its number, or 0. */
  retireSpare(): number {
    const arena = this.#oldest;
    if (arena > this.#flushed || this.#state.newestArena - arena + 1 < this.#readers.length) return 0;
    this.retire(arena);
    return arena;
  }

  #reader(arena: number): MemtableReader {
    return this.#readers[arena % this.#readers.length]!;
  }
}
