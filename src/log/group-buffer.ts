/**
 * The group being gathered: staged entries are copied once, to where they will be written from. The buffer is reused
 * from group to group. What the index has to know of each entry waits in columns. The shard's thread only.
 */
import { assert } from "../core/assert.ts";
import { getU64 } from "../core/bytes.ts";
import { crc32, crc32Range } from "../core/crc32.ts";
import { ENTRY_HEADER_BYTES } from "../record/entry-format.ts";
import {
  encodeGroupHeader,
  GROUP_HEADER_BYTES,
  type GroupHeader,
  groupBytesAt,
  LOG_BLOCK_BYTES,
} from "../record/group-format.ts";

const INITIAL_BYTES = 256 * 1024;
/** A buffer that a few huge values made larger than this is not kept. */
const KEPT_BYTES_MAX = 8 * 1024 * 1024;
const INITIAL_ENTRIES = 64;
/** Bodies are counted in a u32; entries larger than this never come near it. */
const BODY_BYTES_MAX = 0xffff_ffff - 2 * LOG_BLOCK_BYTES;

export class GroupBuffer {
  entryCount = 0;
  indexes = new Float64Array(INITIAL_ENTRIES);
  terms = new Float64Array(INITIAL_ENTRIES);
  /** Offsets from the start of the group. */
  offsets = new Uint32Array(INITIAL_ENTRIES);
  byteCounts = new Uint32Array(INITIAL_ENTRIES);
  checksums = new Uint32Array(INITIAL_ENTRIES);
  #bytes = new Uint8Array(INITIAL_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #end = GROUP_HEADER_BYTES;
  /** CRC-32 of the body so far. The first entry's own checksum is its start, so that one entry is read only once. */
  #bodyChecksum = 0;

  /** Bytes of the entries. */
  get bodyBytes(): number {
    return this.#end - GROUP_HEADER_BYTES;
  }

  /** Bytes the group takes in a segment from `offset` on. */
  groupBytesAt(offset: number, isSynced: boolean): number {
    return groupBytesAt(offset, this.bodyBytes, isSynced);
  }

  /** Copies a whole, verified entry. */
  add(entry: Uint8Array): void {
    const offset = this.#end;
    this.#makeRoom(entry.length);
    this.#bytes.set(entry, offset);
    assert(
      entry.length >= ENTRY_HEADER_BYTES && this.#view.getUint32(offset + 4, true) === entry.length,
      "an entry is staged whole",
    );
    const ordinal = this.entryCount;
    const checksum = crc32(entry);
    this.indexes[ordinal] = getU64(this.#view, offset + 8);
    this.terms[ordinal] = getU64(this.#view, offset + 16);
    this.offsets[ordinal] = offset;
    this.byteCounts[ordinal] = entry.length;
    this.checksums[ordinal] = checksum;
    this.#bodyChecksum = ordinal === 0 ? checksum : crc32(entry, this.#bodyChecksum);
    this.#end = offset + entry.length;
    this.entryCount = ordinal + 1;
  }

  /**
   * Completes `header` with what is known here, seals the group at a length of `groupBytes` and returns its bytes, valid
   * until `reset`.
   */
  seal(header: GroupHeader, seed: number, groupBytes: number): Uint8Array {
    this.#bytes.fill(0, this.#end, groupBytes);
    header.groupBytes = groupBytes;
    header.bodyBytes = this.bodyBytes;
    header.bodyChecksum = crc32Range(this.#bytes, this.#end, groupBytes, this.#bodyChecksum);
    header.entryCount = this.entryCount;
    encodeGroupHeader(header, seed, this.#bytes, this.#view, 0);
    return this.#bytes.subarray(0, groupBytes);
  }

  /** Empties the group. */
  reset(): void {
    this.#end = GROUP_HEADER_BYTES;
    this.entryCount = 0;
    this.#bodyChecksum = 0;
    if (this.#bytes.length > KEPT_BYTES_MAX) this.#replaceBytes(INITIAL_BYTES);
  }

  #makeRoom(entryBytes: number): void {
    const needed = this.#end + entryBytes;
    assert(needed < BODY_BYTES_MAX, "a group's length fits in a u32");
    // Room to the end of the block is always there, for the padding.
    if (needed + LOG_BLOCK_BYTES > this.#bytes.length) {
      const old = this.#bytes;
      this.#replaceBytes(Math.max(old.length * 2, needed + LOG_BLOCK_BYTES));
      this.#bytes.set(old.subarray(0, this.#end));
    }
    if (this.entryCount === this.indexes.length) this.#growColumns();
  }

  #replaceBytes(byteCount: number): void {
    this.#bytes = new Uint8Array(byteCount);
    this.#view = new DataView(this.#bytes.buffer);
  }

  #growColumns(): void {
    const room = this.indexes.length * 2;
    const [indexes, terms] = [new Float64Array(room), new Float64Array(room)];
    const [offsets, byteCounts, checksums] = [new Uint32Array(room), new Uint32Array(room), new Uint32Array(room)];
    indexes.set(this.indexes);
    terms.set(this.terms);
    offsets.set(this.offsets);
    byteCounts.set(this.byteCounts);
    checksums.set(this.checksums);
    this.indexes = indexes;
    this.terms = terms;
    this.offsets = offsets;
    this.byteCounts = byteCounts;
    this.checksums = checksums;
  }
}
