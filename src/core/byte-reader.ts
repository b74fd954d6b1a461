/**
 * The other half of `byte-writer.ts`: reads little-endian fields one after the other. Reading past the end throws an
 * EnvelopeError of the code given at construction, so a decoder is written straight down and its gate catches that one
 * error. Reused over many messages (`over`). Any thread, one at a time.
 */
import { assert } from "./assert.ts";
import { EMPTY_BYTES, getU64, text, viewOf } from "./bytes.ts";
import { EnvelopeError, type ErrorCode } from "./errors.ts";

const LENGTH_BYTES = 4;

export class ByteReader {
  bytes: Uint8Array = EMPTY_BYTES;
  /** Offset in `bytes` of the next field. */
  offset = 0;
  #view: DataView = viewOf(EMPTY_BYTES);
  #end = 0;
  readonly #code: ErrorCode;
  readonly #source: string;

  /** `source` names where the bytes came from (a peer, a file), for the message of the error. */
  constructor(code: ErrorCode, source: string) {
    this.#code = code;
    this.#source = source;
  }

  /** Starts over at `start` of `bytes`. The same array object as before costs nothing. */
  over(bytes: Uint8Array, start = 0, end = bytes.length): this {
    assert(start <= end && end <= bytes.length, "a reader stays inside its bytes");
    if (bytes !== this.bytes) {
      this.bytes = bytes;
      this.#view = viewOf(bytes);
    }
    this.offset = start;
    this.#end = end;
    return this;
  }

  get remaining(): number {
    return this.#end - this.offset;
  }

  u8(): number {
    return this.bytes[this.#take(1)]!;
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  /** A safe integer of eight bytes; a larger one is refused. */
  u64(): number {
    const value = getU64(this.#view, this.#take(8));
    if (!Number.isSafeInteger(value)) throw this.invalid("an integer above 2^53");
    return value;
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true);
  }

  /** A u8 that is 0 or 1. */
  flag(): boolean {
    const value = this.u8();
    if (value > 1) throw this.invalid(`a flag of ${value}`);
    return value === 1;
  }

  /** A view of the next `byteCount` bytes. */
  raw(byteCount: number): Uint8Array {
    const start = this.#take(byteCount);
    return this.bytes.subarray(start, start + byteCount);
  }

  /** A view of the bytes behind a u32 length. */
  blob(): Uint8Array {
    return this.raw(this.u32());
  }

  /** The list behind a u32 count. */
  blobs(): Uint8Array[] {
    const items: Uint8Array[] = [];
    for (let left = this.count(LENGTH_BYTES); left > 0; left--) items.push(this.blob());
    return items;
  }

  optionalBlob(): Uint8Array | null {
    return this.flag() ? this.blob() : null;
  }

  /** The text behind a u32 length of UTF-8. */
  text(): string {
    return text(this.blob());
  }

  /** A u32 count of things that take at least `bytesEach` bytes apiece: an absurd count is refused before it allocates. */
  count(bytesEach: number): number {
    const value = this.u32();
    if (value * bytesEach > this.remaining) throw this.invalid(`a count of ${value} in ${this.remaining} bytes`);
    return value;
  }

  /** To be called last: bytes left over mean that the two sides disagree about the format. */
  finish(): void {
    if (this.remaining !== 0) throw this.invalid(`${this.remaining} bytes too many`);
  }

  /** The error for a field that is there but means nothing; the caller throws it. */
  invalid(what: string): EnvelopeError {
    return new EnvelopeError(this.#code, `${what} in ${this.#source} at offset ${this.offset}`);
  }

  #take(byteCount: number): number {
    const start = this.offset;
    if (start + byteCount > this.#end) throw this.invalid("a message cut short");
    this.offset = start + byteCount;
    return start;
  }
}
