/**
 * A growable array of little-endian bytes: what every encoder of messages writes into. Reused over many messages
 * (`reset`), so that a steady state allocates nothing. Growth doubles; what is encoded is bounded by its caller's
 * limits. Not for files whose layout has fixed offsets: those write through a DataView. Any thread, one at a time.
 */
import { assert } from "./assert.ts";
import { setU64, utf8 } from "./bytes.ts";

export class ByteWriter {
  /** The array being filled; replaced when it grows. Only the first `length` bytes mean anything. */
  bytes: Uint8Array;
  /** Bytes written since the last reset. */
  length = 0;
  #view: DataView;

  constructor(initialBytes = 256) {
    assert(initialBytes > 0, "a writer starts with room");
    this.bytes = new Uint8Array(initialBytes);
    this.#view = new DataView(this.bytes.buffer);
  }

  /** Forgets what was written and keeps the room, unless it grew past `keepBytesMax`. */
  reset(keepBytesMax = Number.POSITIVE_INFINITY): void {
    this.length = 0;
    if (this.bytes.length > keepBytesMax) this.#replace(new Uint8Array(keepBytesMax));
  }

  /** Makes room for `byteCount` bytes behind what is there, and returns the offset where they go. */
  reserve(byteCount: number): number {
    const start = this.length;
    const end = start + byteCount;
    if (end > this.bytes.length) this.#grow(end);
    this.length = end;
    return start;
  }

  u8(value: number): void {
    const offset = this.reserve(1);
    this.bytes[offset] = value;
  }

  u16(value: number): void {
    const offset = this.reserve(2);
    this.#view.setUint16(offset, value, true);
  }

  u32(value: number): void {
    const offset = this.reserve(4);
    this.#view.setUint32(offset, value, true);
  }

  /** A safe integer, not negative, as eight bytes. */
  u64(value: number): void {
    const offset = this.reserve(8);
    setU64(this.#view, offset, value);
  }

  i64(value: bigint): void {
    const offset = this.reserve(8);
    this.#view.setBigInt64(offset, value, true);
  }

  /** The bytes as they are, without their length. */
  raw(bytes: Uint8Array): void {
    const offset = this.reserve(bytes.length);
    this.bytes.set(bytes, offset);
  }

  /** u32 length, then the bytes. */
  blob(bytes: Uint8Array): void {
    const offset = this.reserve(4 + bytes.length);
    this.#view.setUint32(offset, bytes.length, true);
    this.bytes.set(bytes, offset + 4);
  }

  /** u32 count, then each as a blob. */
  blobs(items: readonly Uint8Array[]): void {
    this.u32(items.length);
    for (const item of items) this.blob(item);
  }

  /** u8 1 and the blob, or u8 0 for null. */
  optionalBlob(bytes: Uint8Array | null): void {
    this.u8(bytes === null ? 0 : 1);
    if (bytes !== null) this.blob(bytes);
  }

  /** u32 length of the UTF-8, then the UTF-8. */
  text(value: string): void {
    this.blob(utf8(value));
  }

  /** Overwrites four bytes written before: a length known only afterwards. */
  patchU32(offset: number, value: number): void {
    assert(offset + 4 <= this.length, "a patch lies inside what was written");
    this.#view.setUint32(offset, value, true);
  }

  /** A view of what was written, valid until the next write or reset. */
  written(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  /** A copy of what was written. */
  copy(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }

  #grow(needed: number): void {
    const larger = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    larger.set(this.bytes.subarray(0, this.length));
    this.#replace(larger);
  }

  #replace(bytes: Uint8Array): void {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}
