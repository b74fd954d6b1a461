/**
 * What one walk over tables has read ahead of itself: blocks of one table that lie side by side. The first block of a walk
 * is read alone, for it may be the only one; from then on, as long as the walk goes on from block to block, in either
 * direction, each read is twice as long as the one before. There are two buffers in turn, so that the value a walk has just
 * left is still there when the next block is. One thread.
 */
import { EMPTY_BYTES } from "../core/bytes.ts";
import type { StoredTable } from "./stored-block.ts";

/** What the second read of a walk is to bring, and the largest one. A block is read whole however large it is. */
const PIECE_BYTES_MIN = 16 * 1024;
export const PIECE_BYTES_MAX = 256 * 1024;

export class ReadAhead {
  /** Blocks `firstBlock` to before `endBlock`, one behind the other. */
  bytes: Uint8Array = EMPTY_BYTES;
  firstBlock = 0;
  endBlock = 0;
  #table: StoredTable | null = null;
  #buffer: Uint8Array = EMPTY_BYTES;
  #otherBuffer: Uint8Array = EMPTY_BYTES;
  /** The block that the walk was in last, and of which table. */
  #lastBlock = 0;
  #lastTable: StoredTable | null = null;
  #pieceBytes = 0;

  has(table: StoredTable, block: number): boolean {
    return table === this.#table && block >= this.firstBlock && block < this.endBlock;
  }

  /** The walk is in this block now. */
  note(table: StoredTable, block: number): void {
    this.#lastTable = table;
    this.#lastBlock = block;
  }

  /** Decides which blocks are to be read, of which this one is needed: `firstBlock` to before `endBlock`. */
  plan(table: StoredTable, block: number): void {
    const isForward = table === this.#lastTable ? block > this.#lastBlock : block === 0;
    this.#pieceBytes = this.#goesOn(table, block)
      ? Math.min(PIECE_BYTES_MAX, Math.max(PIECE_BYTES_MIN, this.#pieceBytes * 2))
      : 0;
    const { blockOffsets, blockCount } = table;
    let first = block;
    let end = block + 1;
    if (isForward)
      while (end < blockCount && blockOffsets[end + 1]! - blockOffsets[first]! <= this.#pieceBytes) end += 1;
    else while (first > 0 && blockOffsets[end]! - blockOffsets[first - 1]! <= this.#pieceBytes) first -= 1;
    this.#table = null;
    this.firstBlock = first;
    this.endBlock = end;
  }

  /** Memory for what is read next. What it held is gone. */
  take(byteCount: number): Uint8Array {
    this.#table = null;
    let buffer = this.#otherBuffer;
    if (buffer.length < byteCount) buffer = new Uint8Array(byteCount);
    this.#otherBuffer = this.#buffer;
    this.#buffer = buffer;
    return buffer.subarray(0, byteCount);
  }

  /** The blocks that were planned. */
  fill(table: StoredTable, bytes: Uint8Array): void {
    this.#table = table;
    this.bytes = bytes;
  }

  /** From block to block of a table, or over the border to the next one. */
  #goesOn(table: StoredTable, block: number): boolean {
    if (this.#lastTable === null) return false;
    if (table === this.#lastTable) return Math.abs(block - this.#lastBlock) === 1;
    return block === 0 || block === table.blockCount - 1;
  }
}
