/**
 * The blocks of a table by reads past the kernel's page cache: what is kept in memory is what our own cache keeps, in its
 * bytes, and a block that the disk cannot read is an error here and not a signal. A look-up reads its block and leaves it,
 * unpacked, in the cache; a walk looks there, reads what is missing in larger pieces for itself, and leaves nothing.
 *
 * A block comes from the disk anew whenever it is read, and so it is verified whenever it is read, unless `checks` says
 * never; what the cache holds is trusted. Its frames are written over by the blocks that come, so their bytes are only lent:
 * a look-up takes its value with it, and a walk copies the block into memory of its own.
 *
 * A read that fails is tried once more; if it fails again, the block counts as damaged. One thread.
 */
import { copyBytes } from "../core/copy-bytes.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import type { DiskFile } from "../env/disk.ts";
import type { BlockPlace } from "./block-format.ts";
import type { DirectFiles } from "./direct-files.ts";
import type { ReadAhead } from "./read-ahead.ts";
import { checkStoredBlock, checkStoredRange, openStoredBlock, type StoredTable } from "./stored-block.ts";
import type { TableBlocks, TableReading } from "./table-blocks.ts";

export class DirectBlocks implements TableBlocks {
  readonly isDirect = true;
  readonly #table: StoredTable;
  readonly #reading: TableReading;
  readonly #files: DirectFiles;
  readonly #cacheId: number;

  constructor(table: StoredTable, reading: TableReading, files: DirectFiles) {
    this.#table = table;
    this.#reading = reading;
    this.#files = files;
    this.#cacheId = reading.cache?.takeTable() ?? 0;
  }

  load(block: number, place: BlockPlace, ahead: ReadAhead | null): void {
    if (ahead === null) {
      if (!this.#inCache(block, place, true)) this.#fetch(block, place);
      return;
    }
    const table = this.#table;
    if (ahead.has(table, block)) this.#openAhead(block, place, ahead);
    else if (this.#inCache(block, place, false)) copyInto(ahead, place);
    else {
      this.#readAhead(block, ahead);
      this.#openAhead(block, place, ahead);
    }
    ahead.note(table, block);
  }

  close(): void {
    this.#files.close(this.#table.path);
    this.#reading.cache?.forget(this.#cacheId, this.#table.blockCount);
  }

  #inCache(block: number, place: BlockPlace, isUse: boolean): boolean {
    const known = this.#reading.cache?.get(this.#cacheId, block, isUse) ?? null;
    if (known !== null) place.lend(known, 0, known.length);
    return known !== null;
  }

  #fetch(block: number, place: BlockPlace): void {
    const scratch = this.#files.scratch(this.#storedBytes(block));
    this.#read(block, scratch);
    this.#open(block, scratch, 0, place);
    const body = place.bytes.subarray(place.start, place.end);
    const kept = this.#reading.cache?.copyIn(this.#cacheId, block, body) ?? body;
    place.lend(kept, 0, kept.length);
  }

  #openAhead(block: number, place: BlockPlace, ahead: ReadAhead): void {
    const { blockOffsets } = this.#table;
    this.#open(block, ahead.bytes, blockOffsets[block]! - blockOffsets[ahead.firstBlock]!, place);
  }

  /** The block begins at `start` of these bytes. */
  #open(block: number, bytes: Uint8Array, start: number, place: BlockPlace): void {
    const { blockOffsets } = this.#table;
    const offset = blockOffsets[block]!;
    const end = start + blockOffsets[block + 1]! - offset;
    if (this.#reading.checks !== "never") checkStoredBlock(this.#table, block, bytes, start, end, offset);
    openStoredBlock(this.#table, bytes, start, end, offset, place);
  }

  #readAhead(block: number, ahead: ReadAhead): void {
    const table = this.#table;
    ahead.plan(table, block);
    const start = table.blockOffsets[ahead.firstBlock]!;
    const byteCount = table.blockOffsets[ahead.endBlock]! - start;
    if (ahead.endBlock - ahead.firstBlock > 1 && start + byteCount <= table.blocksEnd) {
      const bytes = ahead.take(byteCount);
      if (tryRead(this.#files.open(table.path), bytes, start) === null) return ahead.fill(table, bytes);
    }
    // What is wrong with the blocks beside it is not this one's business.
    ahead.firstBlock = block;
    ahead.endBlock = block + 1;
    const bytes = ahead.take(this.#storedBytes(block));
    this.#read(block, bytes);
    ahead.fill(table, bytes);
  }

  /** Throws CORRUPTION when the block cannot be one. */
  #storedBytes(block: number): number {
    const { blockOffsets } = this.#table;
    const start = blockOffsets[block]!;
    const end = blockOffsets[block + 1]!;
    checkStoredRange(this.#table, start, end);
    return end - start;
  }

  /** The block as it is stored. Throws CORRUPTION when the disk cannot read it, or the file ends before it does. */
  #read(block: number, into: Uint8Array): void {
    const { path, blockOffsets } = this.#table;
    const start = blockOffsets[block]!;
    const file = this.#files.open(path);
    const failure = tryRead(file, into, start) === null ? null : tryRead(file, into, start);
    if (failure !== null) throw corruption(path, start, failure);
  }
}

/** A block that was lent to a walk. */
function copyInto(ahead: ReadAhead, place: BlockPlace): void {
  const byteCount = place.end - place.start;
  const copy = ahead.take(byteCount);
  copyBytes(place.bytes, place.start, place.end, copy, 0);
  place.set(copy, 0, byteCount);
}

/** Null, or what went wrong. */
function tryRead(file: DiskFile, into: Uint8Array, position: number): string | null {
  try {
    return file.read(into, position) === into.length ? null : "a table cut short";
  } catch (cause) {
    if (!(cause instanceof EnvelopeError)) throw cause;
    return `a block that cannot be read (${cause.message})`;
  }
}
