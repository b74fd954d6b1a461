/**
 * MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md), as far as the binary protocol needs it, straight from
 * fields to bytes and back: no objects in between whose keys, depth and size a stranger would decide. The writer takes the
 * shortest form of everything; the reader takes every form. Runs on any runtime, on any thread, one at a time.
 */
import type { ByteWriter } from "../core/byte-writer.ts";
import { EMPTY_BYTES, viewOf } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";

const NIL = 0xc0;
const FALSE = 0xc2;
const TRUE = 0xc3;
const BIN8 = 0xc4;
const EXT8 = 0xc7;
const EXT32 = 0xc9;
const FLOAT32 = 0xca;
const FLOAT64 = 0xcb;
const UINT8 = 0xcc;
const UINT64 = 0xcf;
const INT8 = 0xd0;
const INT64 = 0xd3;
const FIXEXT1 = 0xd4;
const FIXEXT16 = 0xd8;
const STR8 = 0xd9;
const STR32 = 0xdb;
const ARRAY16 = 0xdc;
const ARRAY32 = 0xdd;
const MAP16 = 0xde;
const FIXARRAY = 0x90;
const FIXSTR = 0xa0;
const TWO_32 = 0x1_0000_0000;
const U64_LIMIT = 1n << 64n;
const I64_LIMIT = 1n << 63n;
/** How deep may be nested what a reader passes over. */
const SKIP_DEPTH_MAX = 16;

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function packNil(into: ByteWriter): void {
  into.u8(NIL);
}

export function packBoolean(into: ByteWriter, value: boolean): void {
  into.u8(value ? TRUE : FALSE);
}

/** A safe integer. */
export function packInteger(into: ByteWriter, value: number): void {
  if (value >= 0 && value < 0x80) into.u8(value);
  else if (value >= -32 && value < 0) into.u8(value + 0x100);
  else if (value >= 0) packUnsigned(into, value);
  else packSigned(into, value);
}

/** An integer of 64 bits, with or without a sign. */
export function packWide(into: ByteWriter, value: bigint): void {
  if (value === 0n) {
    into.u8(0);
    return;
  }
  if (value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)) {
    packInteger(into, Number(value));
    return;
  }
  into.u8(value < 0n ? INT64 : UINT64);
  const low = Number(BigInt.asUintN(32, value));
  bigEndian32(into, Number(BigInt.asUintN(32, value >> 32n)));
  bigEndian32(into, low);
}

export function packFloat(into: ByteWriter, value: number): void {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  into.u8(FLOAT64);
  into.raw(new Uint8Array(view.buffer));
}

export function packText(into: ByteWriter, value: string): void {
  const bytes = ENCODER.encode(value);
  if (bytes.length < 32) into.u8(FIXSTR | bytes.length);
  else lengthHead(into, STR8, bytes.length);
  into.raw(bytes);
}

export function packBytes(into: ByteWriter, value: Uint8Array): void {
  const { length } = value;
  if (length >= 0x100) {
    lengthHead(into, BIN8, length);
    into.raw(value);
    return;
  }
  const offset = into.reserve(2 + length);
  into.bytes[offset] = BIN8;
  into.bytes[offset + 1] = length;
  into.bytes.set(value, offset + 2);
}

/** The head of an array; its items are to follow. */
export function packArray(into: ByteWriter, count: number): void {
  if (count < 16) into.u8(FIXARRAY | count);
  else {
    into.u8(count < 0x1_0000 ? ARRAY16 : ARRAY32);
    if (count < 0x1_0000) bigEndian16(into, count);
    else bigEndian32(into, count);
  }
}

function packUnsigned(into: ByteWriter, value: number): void {
  if (value < TWO_32) {
    lengthHead(into, UINT8, value);
    return;
  }
  into.u8(UINT64);
  bigEndian32(into, Math.floor(value / TWO_32));
  bigEndian32(into, value % TWO_32);
}

function packSigned(into: ByteWriter, value: number): void {
  if (value >= -0x80) {
    into.u8(INT8);
    into.u8(value + 0x100);
  } else if (value >= -0x8000) {
    into.u8(INT8 + 1);
    bigEndian16(into, value + 0x1_0000);
  } else if (value >= -0x8000_0000) {
    into.u8(INT8 + 2);
    bigEndian32(into, value + TWO_32);
  } else {
    const high = Math.floor(value / TWO_32);
    into.u8(INT64);
    bigEndian32(into, high + TWO_32);
    bigEndian32(into, value - high * TWO_32);
  }
}

/** `first` with one byte of number behind it, or the next with two, or the one after that with four. */
function lengthHead(into: ByteWriter, first: number, length: number): void {
  if (length < 0x100) {
    into.u8(first);
    into.u8(length);
  } else if (length < 0x1_0000) {
    into.u8(first + 1);
    bigEndian16(into, length);
  } else {
    into.u8(first + 2);
    bigEndian32(into, length);
  }
}

function bigEndian16(into: ByteWriter, value: number): void {
  into.u8(value >>> 8);
  into.u8(value & 0xff);
}

function bigEndian32(into: ByteWriter, value: number): void {
  const offset = into.reserve(4);
  const { bytes } = into;
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}

/** Reads one value after the other. What is not there, or is of another kind, throws PROTOCOL. */
export class PackReader {
  #bytes: Uint8Array = EMPTY_BYTES;
  /** Made when a number needs it: most messages have none that does. */
  #view: DataView | null = null;
  #offset = 0;

  over(bytes: Uint8Array): this {
    this.#bytes = bytes;
    this.#view = null;
    this.#offset = 0;
    return this;
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  /** Whether the next value is nil, which is then passed over. */
  nil(): boolean {
    if (this.#bytes[this.#offset] !== NIL) return false;
    this.#offset += 1;
    return true;
  }

  boolean(): boolean {
    const head = this.#head();
    if (head !== TRUE && head !== FALSE) throw this.invalid("no boolean");
    return head === TRUE;
  }

  /** A safe integer. */
  integer(): number {
    const head = this.#head();
    if (head < 0x80) return head;
    if (head >= 0xe0) return head - 0x100;
    const value = this.#number(head);
    if (!Number.isSafeInteger(value)) throw this.invalid("no integer of 53 bits");
    return value;
  }

  /** A safe integer from 0 to `max`. */
  count(max: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.integer();
    if (value < 0 || value > max) throw this.invalid(`${value}, which is not between 0 and ${max}`);
    return value;
  }

  /** An integer from −2^63 to 2^63 − 1. */
  signed(): bigint {
    const value = this.#wide();
    if (value >= I64_LIMIT) throw this.invalid("no signed integer of 64 bits");
    return value;
  }

  /** An integer from 0 to 2^64 − 1. */
  unsigned(): bigint {
    const value = this.#wide();
    if (value < 0n || value >= U64_LIMIT) throw this.invalid("no unsigned integer of 64 bits");
    return value;
  }

  /** A number that may have a fraction. */
  float(): number {
    const head = this.#head();
    if (head < 0x80) return head;
    return head >= 0xe0 ? head - 0x100 : this.#number(head);
  }

  /** A view of the bytes of a `bin`. */
  bytes(): Uint8Array {
    const head = this.#head();
    if (head < BIN8 || head > BIN8 + 2) throw this.invalid("no bytes");
    return this.#raw(this.#length(head - BIN8));
  }

  /** A `str`, which must be UTF-8. */
  text(bytesMax: number): string {
    const head = this.#head();
    const isShort = head >= FIXSTR && head < NIL;
    if (!isShort && (head < STR8 || head > STR32)) throw this.invalid("no text");
    const byteCount = isShort ? head - FIXSTR : this.#length(head - STR8);
    if (byteCount > bytesMax) throw this.invalid(`a text of ${byteCount} bytes; the limit is ${bytesMax}`);
    const bytes = this.#raw(byteCount);
    return asciiText(bytes) ?? this.#decoded(bytes);
  }

  /** The number of items of an array, of which there cannot be more than bytes. */
  array(countMax: number): number {
    const head = this.#head();
    const isShort = head >= FIXARRAY && head < FIXSTR;
    if (!isShort && head !== ARRAY16 && head !== ARRAY32) throw this.invalid("no array");
    const count = isShort ? head - FIXARRAY : this.#length(head - ARRAY16 + 1);
    if (count > countMax || count > this.remaining)
      throw this.invalid(`an array of ${count}; the limit is ${countMax}`);
    return count;
  }

  /** Passes over one value of any kind. */
  skip(depth = 0): void {
    if (depth > SKIP_DEPTH_MAX) throw this.invalid("values nested too deep");
    const head = this.#head();
    if (head < 0x80 || head >= 0xe0 || head === NIL || head === TRUE || head === FALSE) return;
    if (head < FIXARRAY) this.#skipItems((head - 0x80) * 2, depth);
    else if (head < FIXSTR) this.#skipItems(head - FIXARRAY, depth);
    else if (head < NIL) this.#raw(head - FIXSTR);
    else if (head >= BIN8 && head <= BIN8 + 2) this.#raw(this.#length(head - BIN8));
    else if (head >= EXT8 && head <= EXT32) this.#raw(this.#length(head - EXT8) + 1);
    else if (head >= FLOAT32 && head <= INT64) this.#number(head);
    else if (head >= FIXEXT1 && head <= FIXEXT16) this.#raw(2 ** (head - FIXEXT1) + 1);
    else if (head >= STR8 && head <= STR32) this.#raw(this.#length(head - STR8));
    else if (head >= ARRAY16 && head <= ARRAY32) this.#skipItems(this.#length(head - ARRAY16 + 1), depth);
    else if (head >= MAP16) this.#skipItems(this.#length(head - MAP16 + 1) * 2, depth);
    else throw this.invalid("a byte that means nothing");
  }

  /** To be called last. */
  finish(): void {
    if (this.remaining !== 0) throw this.invalid(`${this.remaining} bytes too many`);
  }

  /** The error for a value that is there and means nothing; the caller throws it. */
  invalid(what: string): EnvelopeError {
    return new EnvelopeError("PROTOCOL", `${what} in a message at offset ${this.#offset}`);
  }

  #skipItems(count: number, depth: number): void {
    if (count > this.remaining) throw this.invalid("a message cut short");
    for (let i = 0; i < count; i++) this.skip(depth + 1);
  }

  #wide(): bigint {
    const head = this.#bytes[this.#offset];
    if (head !== INT64 && head !== UINT64) return BigInt(this.integer());
    const start = this.#advance(9) + 1;
    const view = this.#wideView();
    return head === INT64 ? view.getBigInt64(start) : view.getBigUint64(start);
  }

  /** The number behind a head from FLOAT32 to INT64; 64 bits may lose their low ones. */
  #number(head: number): number {
    if (head === UINT8) return this.#length(0);
    if (head === UINT8 + 1) return this.#length(1);
    if (head === UINT8 + 2) return this.#length(2);
    const view = this.#wideView();
    switch (head) {
      case FLOAT32:
        return view.getFloat32(this.#advance(4));
      case FLOAT64:
        return view.getFloat64(this.#advance(8));
      case UINT64:
        return view.getUint32(this.#advance(8)) * TWO_32 + view.getUint32(this.#offset - 4);
      case INT8:
        return view.getInt8(this.#advance(1));
      case INT8 + 1:
        return view.getInt16(this.#advance(2));
      case INT8 + 2:
        return view.getInt32(this.#advance(4));
      case INT64:
        return view.getInt32(this.#advance(8)) * TWO_32 + view.getUint32(this.#offset - 4);
      default:
        throw this.invalid("no number");
    }
  }

  /** A length of 1, 2 or 4 bytes, for 0, 1 or 2. */
  #length(form: number): number {
    const byteCount = 1 << form;
    let at = this.#advance(byteCount);
    const bytes = this.#bytes;
    let value = 0;
    for (const end = at + byteCount; at < end; at++) value = (value << 8) | bytes[at]!;
    return value >>> 0;
  }

  #wideView(): DataView {
    this.#view ??= viewOf(this.#bytes);
    return this.#view;
  }

  #head(): number {
    return this.#bytes[this.#advance(1)]!;
  }

  #raw(byteCount: number): Uint8Array {
    const start = this.#advance(byteCount);
    return this.#bytes.subarray(start, this.#offset);
  }

  /** Where the next `byteCount` bytes begin, which are then passed over. */
  #advance(byteCount: number): number {
    const start = this.#offset;
    if (start + byteCount > this.#bytes.length) throw this.invalid("a message cut short");
    this.#offset = start + byteCount;
    return start;
  }

  #decoded(bytes: Uint8Array): string {
    try {
      return DECODER.decode(bytes);
    } catch (cause) {
      if (cause instanceof TypeError) throw this.invalid("a text that is not UTF-8");
      throw cause;
    }
  }
}

/** Short text of plain ASCII, as most names are; null: it has to be decoded. */
function asciiText(bytes: Uint8Array): string | null {
  if (bytes.length > 24) return null;
  let made = "";
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (byte >= 0x80) return null;
    made += String.fromCharCode(byte);
  }
  return made;
}
