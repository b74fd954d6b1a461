/**
 * The blocks of a table through a mapping made at the first read. A block's checksum is verified the first time the
 * mapping is read there, and remembered; from then on its bytes are trusted (unless `checks` says otherwise). A block that
 * is stored as it is lies where the file is mapped; a packed one is unpacked into memory of its own, and kept in the cache.
 * Reading ahead is the kernel's business: it is told what the next reads are. One thread.
 */
import { EMPTY_BYTES } from "../core/bytes.ts";
import { corruption } from "../core/errors.ts";
import type { Disk } from "../env/disk.ts";
import type { BlockPlace } from "./block-format.ts";
import type { ReadAhead } from "./read-ahead.ts";
import { checkStoredBlock, checkStoredRange, openStoredBlock, type StoredTable } from "./stored-block.ts";
import { CHECKSUM_BYTES, storedType } from "./stored-block-format.ts";
import type { TableBlocks, TableReading } from "./table-blocks.ts";

export class MappedBlocks implements TableBlocks {
  readonly isDirect = false;
  readonly #disk: Disk;
  readonly #table: StoredTable;
  readonly #isPlain: boolean;
  readonly #blockOffsets: Uint32Array;
  readonly #verified: Uint8Array;
  readonly #reading: TableReading;
  readonly #cacheId: number;
  #map: Uint8Array<ArrayBuffer> | null = null;

  constructor(disk: Disk, table: StoredTable, reading: TableReading) {
    this.#disk = disk;
    this.#table = table;
    this.#isPlain = table.isPlain;
    this.#blockOffsets = table.blockOffsets;
    this.#verified = new Uint8Array(Math.ceil(table.blockCount / 8));
    this.#reading = reading;
    this.#cacheId = reading.cache?.takeTable() ?? 0;
  }

  load(block: number, place: BlockPlace, ahead: ReadAhead | null): void {
    const map = this.#map ?? this.#mapFile();
    const start = this.#blockOffsets[block]!;
    const end = this.#blockOffsets[block + 1]!;
    if (ahead !== null && this.#reading.access === "scattered") this.#announce(map, block, ahead);
    if (this.#isPlain) {
      this.#check(map, block, start, end);
      place.set(map, start, end - CHECKSUM_BYTES);
      return;
    }
    if (storedType(map, start) === "zstd") {
      this.#unpack(map, block, start, end, place, ahead === null);
      return;
    }
    this.#check(map, block, start, end);
    openStoredBlock(this.#table, map, start, end, start, place);
  }

  close(): void {
    if (this.#map !== null) this.#disk.unmap(this.#map);
    this.#map = null;
    this.#reading.cache?.forget(this.#cacheId, this.#table.blockCount);
  }

  /** A walk that has come to where it has not told the kernel of yet says what it will need next. */
  #announce(map: Uint8Array<ArrayBuffer>, block: number, ahead: ReadAhead): void {
    const table = this.#table;
    if (!ahead.has(table, block)) {
      ahead.plan(table, block);
      ahead.fill(table, EMPTY_BYTES);
      const { firstBlock, endBlock } = ahead;
      if (endBlock - firstBlock > 1) {
        this.#disk.willNeed(map, this.#blockOffsets[firstBlock]!, this.#blockOffsets[endBlock]!);
      }
    }
    ahead.note(table, block);
  }

  #unpack(map: Uint8Array, block: number, start: number, end: number, place: BlockPlace, isKept: boolean): void {
    const { cache } = this.#reading;
    const known = cache?.get(this.#cacheId, block, isKept) ?? null;
    if (known !== null) {
      place.set(known, 0, known.length);
      return;
    }
    this.#check(map, block, start, end);
    openStoredBlock(this.#table, map, start, end, start, place);
    if (isKept) cache?.put(this.#cacheId, block, place.bytes);
  }

  #check(map: Uint8Array, block: number, start: number, end: number): void {
    const { checks } = this.#reading;
    const mask = 1 << (block & 7);
    if (checks === "never" || (checks === "first" && (this.#verified[block >>> 3]! & mask) !== 0)) return;
    checkStoredRange(this.#table, start, end);
    checkStoredBlock(this.#table, block, map, start, end, start);
    this.#verified[block >>> 3]! |= mask;
  }

  #mapFile(): Uint8Array<ArrayBuffer> {
    const { path, fileBytes } = this.#table;
    const map = this.#disk.map(path, this.#reading.access);
    if (map.length !== fileBytes) {
      const mapped = map.length;
      this.#disk.unmap(map);
      throw corruption(path, mapped, "a table that changed its size");
    }
    this.#map = map;
    return map;
  }
}
