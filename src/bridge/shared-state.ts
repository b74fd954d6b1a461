/**
 * The few words of a shard that main reads without asking: one SharedArrayBuffer a shard, written by the shard but for one
 * word, read on any thread.
 *
 *     word
 *        0  applied index, low 32 bits
 *        1  number of the newest arena; 0 before the first
 *        2  1: there have been tables
 *        3  1: the log has room for writes
 *        4  fences applied, counted modulo 2^32
 *        5  turns of main's loop, counted modulo 2^32: the one word that main writes
 *        6  microseconds that a MiB of writes is to wait, because compaction is behind
 *        7  MiB that compaction still has to rewrite
 *        8  times the shard could not apply because no arena was free, modulo 2^32
 *        9  files of the shard that are quarantined
 *       10  number of the oldest arena that may still be read
 *       11  why main may not read memtables by itself, added up: 1 of some keys nothing can be said, and only the shard knows of
 *           which, 2 a transaction is being written, of which nobody may see a part
 *
 * Every word is stored and loaded by Atomics, and the JavaScript memory model puts all of those in one order. The shard
 * publishes in this order, and all of main's reading rests on it:
 *
 *     versions into the arena · newest arena · tables · fence count · THEN the applied index
 *
 * A thread that loads an applied index therefore finds everything up to that index by looking only afterwards.
 */
import { assert } from "../core/assert.ts";
import type { LogIndex } from "../core/ids.ts";

const APPLIED = 0;
const NEWEST_ARENA = 1;
const HAD_TABLES = 2;
const WRITABLE = 3;
const FENCES = 4;
const READER_TURN = 5;
const WRITE_DELAY = 6;
const DEBT_MIB = 7;
const STALLS = 8;
const QUARANTINED = 9;
const OLDEST_READABLE = 10;
const HIDDEN = 11;
const HIDDEN_UNDECIDED = 1;
const HIDDEN_HALF_WRITTEN = 2;
const STATE_WORDS = 16;
const MIB = 1024 * 1024;

export const STATE_BYTES = STATE_WORDS * 4;

export class SharedState {
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    assert(memory.byteLength === STATE_BYTES, "a shared state has its size");
    this.#words = new Int32Array(memory);
  }

  /**
   * Whether everything up to `index` is applied and visible here. Only low words are compared, wrap-safe: right as long
   * as the two lie less than 2^31 apart, which holds for the index of any read, taken from a log that is being applied.
   */
  readable(index: LogIndex): boolean {
    const isApplied = ((Atomics.load(this.#words, APPLIED) - (index % 0x1_0000_0000)) | 0) >= 0;
    return isApplied && Atomics.load(this.#words, HIDDEN) === 0;
  }

  get newestArena(): number {
    return Atomics.load(this.#words, NEWEST_ARENA) >>> 0;
  }

  /**
   * Whether a key that no live arena has is nowhere: the shard never had a table. It is loaded after the search of the
   * arenas. Frozen arenas need no regard: main searches each until it returns it, and it returns one only after the
   * shard has retired it, which comes after its tables (if any version survived) were counted here.
   */
  get missIsFinal(): boolean {
    return Atomics.load(this.#words, HAD_TABLES) === 0;
  }

  /** False: the disk is full; writes are refused before they reach the shard. */
  get writable(): boolean {
    return Atomics.load(this.#words, WRITABLE) === 1;
  }

  get fenceCount(): number {
    return Atomics.load(this.#words, FENCES) >>> 0;
  }

  /** Microseconds that a MiB of writes is to wait. */
  get writeDelayMicros(): number {
    return Atomics.load(this.#words, WRITE_DELAY);
  }

  /** Bytes that compaction still has to rewrite, to a MiB. */
  get debtBytes(): number {
    return Atomics.load(this.#words, DEBT_MIB) * MIB;
  }

  /** How often the shard could not apply because no arena was free. */
  get stallCount(): number {
    return Atomics.load(this.#words, STALLS) >>> 0;
  }

  /** Files of the shard that are known to be damaged. */
  get quarantinedCount(): number {
    return Atomics.load(this.#words, QUARANTINED);
  }

  /** Arenas below this one are read no more: what they held is in tables, and may have been found damaged there. */
  get oldestReadable(): number {
    return Atomics.load(this.#words, OLDEST_READABLE) >>> 0;
  }

  /** Main holds no view into any arena now: a turn of its loop begins. */
  noteReaderTurn(): void {
    Atomics.add(this.#words, READER_TURN, 1);
  }

  // ---- the shard's side ------------------------------------------------------------------------------------------

  publishApplied(index: LogIndex): void {
    Atomics.store(this.#words, APPLIED, (index % 0x1_0000_0000) | 0);
  }

  publishArena(arena: number): void {
    Atomics.store(this.#words, NEWEST_ARENA, arena | 0);
  }

  /**
   * To be called when a table becomes part of the tree, before the arena it came from is retired. It stays so until
   * the process ends, even if all tables vanish: a flag that could fall again would need more proof than it is worth.
   */
  noteTables(): void {
    Atomics.store(this.#words, HAD_TABLES, 1);
  }

  setWritable(writable: boolean): void {
    Atomics.store(this.#words, WRITABLE, writable ? 1 : 0);
  }

  /** How far what goes on behind the scenes has fallen behind. */
  publishPressure(writeDelayMicros: number, debtBytes: number, stallCount: number): void {
    Atomics.store(this.#words, WRITE_DELAY, writeDelayMicros | 0);
    Atomics.store(this.#words, DEBT_MIB, Math.round(debtBytes / MIB) | 0);
    Atomics.store(this.#words, STALLS, stallCount | 0);
  }

  /** Before an index is published that was applied in this knowledge. */
  setUndecided(isAny: boolean): void {
    this.#hide(HIDDEN_UNDECIDED, isAny);
  }

  /**
   * True before the first version of a transaction, false behind the last. Main asks before each look-up, so whoever has seen
   * one of them sees the others, too, or is answered by the shard.
   */
  setHalfWritten(isHalf: boolean): void {
    this.#hide(HIDDEN_HALF_WRITTEN, isHalf);
  }

  #hide(reason: number, isHidden: boolean): void {
    if (isHidden) Atomics.or(this.#words, HIDDEN, reason);
    else Atomics.and(this.#words, HIDDEN, ~reason);
  }

  setQuarantined(count: number): void {
    Atomics.store(this.#words, QUARANTINED, count);
  }

  /** Before an index is published that was applied in the knowledge of the damage. */
  publishOldestReadable(arena: number): void {
    Atomics.store(this.#words, OLDEST_READABLE, arena | 0);
  }

  get readerTurn(): number {
    return Atomics.load(this.#words, READER_TURN);
  }

  countFence(): void {
    Atomics.add(this.#words, FENCES, 1);
  }
}
