/**
 * Replies in RESP2 and RESP3, written behind one another into one growing array.
 *
 *               RESP2            RESP3
 *   null        $-1              _
 *   null array  *-1              _
 *   map         *<2n>            %<n>
 *   set         *<n>             ~<n>
 *   verbatim    $…               =<n> txt:…
 */
import { copyBytes } from "../core/copy-bytes.ts";
import { concatBytes, EMPTY_BYTES, utf8 } from "../core/bytes.ts";
import type { BufferPool } from "./buffer-pool.ts";

export type RespVersion = 2 | 3;

const CR = 0x0d;
const LF = 0x0a;
const PLUS = 0x2b;
const MINUS = 0x2d;
const COLON = 0x3a;
const DOLLAR = 0x24;
const STAR = 0x2a;
const PERCENT = 0x25;
const TILDE = 0x7e;
const ZERO = 0x30;

/** A type byte, 20 characters of number, CRLF. */
const NUMBER_LINE_BYTES_MAX = 24;
/** Below this a loop over characters beats TextEncoder. */
const SHORT_TEXT = 64;

const OK_LINE = utf8("+OK\r\n");
const NULL_2 = utf8("$-1\r\n");
const NULL_ARRAY_2 = utf8("*-1\r\n");
const NULL_3 = utf8("_\r\n");
const LINE_BREAKS = /[\r\n]/g;
const LAST_LINE_BREAKS = /[\r\n]+$/;
/** A low surrogate behind no high one stands for the byte in its low eight bits. */
const RAW_BYTE = 0xdc00;
const RAW_BYTES = /(?<![\ud800-\udbff])([\udc80-\udcff])/;

/** Bytes as a text from which `error` makes the same bytes, whether they are UTF-8 or not. */
export function rawText(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte < 0x80 ? byte : RAW_BYTE | byte);
  return text;
}

function bytesOfText(text: string): Uint8Array {
  if (!RAW_BYTES.test(text)) return utf8(text);
  const pieces = text.split(RAW_BYTES);
  return concatBytes(pieces.map((piece, i) => (i % 2 === 0 ? utf8(piece) : Uint8Array.of(piece.charCodeAt(0) & 0xff))));
}

export class RespWriter {
  bytes: Uint8Array = EMPTY_BYTES;
  /** Bytes written. */
  length = 0;
  version: RespVersion = 2;
  readonly #pool: BufferPool;

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  /** Forgets everything and gives the memory back. */
  release(): void {
    if (this.bytes.length > 0) this.#pool.give(this.bytes);
    this.bytes = EMPTY_BYTES;
    this.length = 0;
  }

  /** Forgets the first bytes: they have been sent. */
  dropFront(byteCount: number): void {
    this.bytes.copyWithin(0, byteCount, this.length);
    this.length -= byteCount;
  }

  reserve(byteCount: number): void {
    const needed = this.length + byteCount;
    if (needed <= this.bytes.length) return;
    const grown = this.bytes.length === 0 ? this.#pool.take() : EMPTY_BYTES;
    if (grown.length >= needed) {
      this.bytes = grown;
      return;
    }
    if (grown.length > 0) this.#pool.give(grown);
    const larger = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    larger.set(this.bytes.subarray(0, this.length));
    if (this.bytes.length > 0) this.#pool.give(this.bytes);
    this.bytes = larger;
  }

  /** Bytes that are a reply already. */
  encoded(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  ok(): void {
    this.encoded(OK_LINE);
  }

  nil(): void {
    this.encoded(this.version === 3 ? NULL_3 : NULL_2);
  }

  /** In the place of an array. */
  nullArray(): void {
    this.encoded(this.version === 3 ? NULL_3 : NULL_ARRAY_2);
  }

  simple(text: string): void {
    this.#line(PLUS, text);
  }

  /**
   * `text` begins with the code word; what `rawText` made may be part of it. Line breaks in it become blanks, those at
   * its end nothing, so it can never carry a second reply.
   */
  error(text: string): void {
    this.#line(MINUS, text.replace(LAST_LINE_BREAKS, "").replace(LINE_BREAKS, " "));
  }

  integer(value: number | bigint): void {
    this.#number(COLON, value);
  }

  bulk(bytes: Uint8Array): void {
    this.bulkRange(bytes, 0, bytes.length);
  }

  /** The same for bytes within a larger array. */
  bulkRange(bytes: Uint8Array, start: number, end: number): void {
    const byteCount = end - start;
    this.#number(DOLLAR, byteCount);
    this.reserve(byteCount + 2);
    copyBytes(bytes, start, end, this.bytes, this.length);
    this.length += byteCount;
    this.#lineEnd();
  }

  bulkText(text: string): void {
    this.bulk(utf8(text));
  }

  /** Text meant for people. */
  verbatim(text: string): void {
    if (this.version === 2) {
      this.bulkText(text);
      return;
    }
    const bytes = utf8(text);
    this.#line(0x3d, `${bytes.length + 4}`);
    this.encoded(utf8("txt:"));
    this.encoded(bytes);
    this.reserve(2);
    this.#lineEnd();
  }

  array(count: number): void {
    this.#number(STAR, count);
  }

  /** `count` pairs follow. */
  map(count: number): void {
    if (this.version === 2) this.#number(STAR, count * 2);
    else this.#number(PERCENT, count);
  }

  set(count: number): void {
    this.#number(this.version === 2 ? STAR : TILDE, count);
  }

  #line(kind: number, text: string): void {
    const short = text.length <= SHORT_TEXT && isAscii(text);
    const bytes = short ? EMPTY_BYTES : bytesOfText(text);
    this.reserve(text.length + bytes.length + 3);
    this.bytes[this.length++] = kind;
    if (short) {
      for (let i = 0; i < text.length; i++) this.bytes[this.length++] = text.charCodeAt(i);
    } else {
      this.bytes.set(bytes, this.length);
      this.length += bytes.length;
    }
    this.#lineEnd();
  }

  #number(kind: number, value: number | bigint): void {
    this.reserve(NUMBER_LINE_BYTES_MAX);
    this.bytes[this.length++] = kind;
    if (typeof value === "number" && value >= 0 && value < 1_000_000) this.#smallNumber(value);
    else {
      const digits = String(value);
      for (let i = 0; i < digits.length; i++) this.bytes[this.length++] = digits.charCodeAt(i);
    }
    this.#lineEnd();
  }

  #smallNumber(value: number): void {
    let digits = 1;
    for (let bound = 10; value >= bound; bound *= 10) digits += 1;
    let rest = value | 0;
    for (let at = this.length + digits - 1; at >= this.length; at--) {
      const tenth = (rest / 10) | 0;
      this.bytes[at] = ZERO + (rest - tenth * 10);
      rest = tenth;
    }
    this.length += digits;
  }

  #lineEnd(): void {
    this.bytes[this.length++] = CR;
    this.bytes[this.length++] = LF;
  }
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}
