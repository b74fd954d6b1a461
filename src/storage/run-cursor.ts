/**
 * A walk over a run: tables in key order of which no two overlap. Blocks are verified as they are entered. The owner
 * keeps the tables alive. One thread.
 */
import type { TwoWayCursor, VersionKind } from "../record/version.ts";
import { BlockCursor, compareToTarget } from "./block-cursor.ts";
import { BlockPlace, BUCKET_BYTES, writeTableKey } from "./block-format.ts";
import { ReadAhead } from "./read-ahead.ts";
import { firstTableEndingAt, type Table } from "./table.ts";

export class RunCursor implements TwoWayCursor {
  readonly #run: readonly Table[];
  readonly #block = new BlockCursor();
  readonly #place = new BlockPlace();
  readonly #ahead = new ReadAhead();
  #table = 0;
  #blockIndex = 0;

  constructor(run: readonly Table[]) {
    this.#run = run;
  }

  get valid(): boolean {
    return this.#block.valid;
  }
  get bucket(): number {
    return this.#block.bucket;
  }
  get key(): Uint8Array {
    return this.#block.key;
  }
  get stampHigh(): number {
    return this.#block.entry.stampHigh;
  }
  get stampLow(): number {
    return this.#block.entry.stampLow;
  }
  get origin(): number {
    return this.#block.entry.origin;
  }
  get kind(): VersionKind {
    return this.#block.entry.kind;
  }
  get expiryMs(): number {
    return this.#block.entry.expiryMs;
  }
  get value(): Uint8Array {
    return this.#block.value;
  }

  seek(bucket: number, key: Uint8Array): void {
    const target = new Uint8Array(key.length + BUCKET_BYTES);
    writeTableKey(target, bucket, key);
    this.#table = firstTableEndingAt(this.#run, target, target.length);
    const table = this.#run[this.#table];
    if (table === undefined) {
      this.#block.leave();
      return;
    }
    // findBlock is for keys within the table only; a seek may also aim before its first.
    const { smallest } = table.footer;
    const isBefore = compareToTarget(smallest, 0, smallest.length, target, target.length) >= 0;
    this.#blockIndex = isBefore ? 0 : table.findBlock(target, target.length);
    table.loadBlock(this.#blockIndex, this.#place, this.#ahead);
    this.#block.seek(this.#place, target, target.length);
    if (!this.#block.valid) this.#enterNext();
  }

  seekBefore(bucket: number, key: Uint8Array): void {
    const target = new Uint8Array(key.length + BUCKET_BYTES);
    writeTableKey(target, bucket, key);
    this.#table = firstTableEndingAt(this.#run, target, target.length);
    this.#blockIndex = 0;
    const table = this.#run[this.#table];
    if (
      table !== undefined &&
      compareToTarget(table.footer.smallest, 0, table.footer.smallest.length, target, target.length) < 0
    ) {
      this.#blockIndex = table.findBlock(target, target.length);
      table.loadBlock(this.#blockIndex, this.#place, this.#ahead);
      this.#block.seekBefore(this.#place, target, target.length);
      if (this.#block.valid) return;
    }
    this.#enterPrevious();
  }

  previous(): void {
    this.#block.previous();
    if (!this.#block.valid) this.#enterPrevious();
  }

  next(): void {
    this.#block.next();
    if (!this.#block.valid) this.#enterNext();
  }

  #enterPrevious(): void {
    let table = this.#run[this.#table];
    this.#blockIndex -= 1;
    if (this.#blockIndex < 0) {
      this.#table -= 1;
      table = this.#run[this.#table];
      this.#blockIndex = (table?.blockCount ?? 0) - 1;
    }
    if (table === undefined) {
      this.#block.leave();
      return;
    }
    table.loadBlock(this.#blockIndex, this.#place, this.#ahead);
    this.#block.last(this.#place);
  }

  #enterNext(): void {
    let table = this.#run[this.#table];
    this.#blockIndex += 1;
    if (table !== undefined && this.#blockIndex === table.blockCount) {
      this.#table += 1;
      this.#blockIndex = 0;
      table = this.#run[this.#table];
    }
    if (table === undefined) {
      this.#block.leave();
      return;
    }
    table.loadBlock(this.#blockIndex, this.#place, this.#ahead);
    this.#block.first(this.#place);
  }
}
