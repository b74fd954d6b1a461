/**
 * Requests of a Redis client, taken apart as they arrive:
 *
 *   *<count>\r\n  then <count> times  $<bytes>\r\n<payload>\r\n        or any other line: an inline command
 *
 * A frame that lies whole in a received chunk is read where it lies. Only a frame that a chunk cuts is *held*: its bytes
 * are gathered in an array of its own that grows as bytes really arrive, never by what a length announces, and takes
 * nothing behind the frame's end. What is read does not depend on how the bytes were cut into chunks.
 *
 * Over our own limits (arguments, bytes of one argument, bytes of a frame) the frame is read to its end without being
 * kept and then *refused*: the connection goes on. When the framing itself is wrong it is *broken*, with Redis's own
 * words, and nothing behind it can be read.
 *
 * Lengths in lines that do not parse on the fast path are looked at again, strictly, by `parseI64`.
 */
import { assert, at } from "../core/assert.ts";
import { EMPTY_BYTES } from "../core/bytes.ts";
import { splitInline } from "./inline.ts";
import { RequestArguments } from "./request-arguments.ts";
import { parseI64 } from "./resp-integer.ts";

const CR = 0x0d;
const LF = 0x0a;
const STAR = 0x2a;
const DOLLAR = 0x24;
const ZERO = 0x30;
const NINE = 0x39;

/** Redis's own ceilings: beyond them a length is no length. */
const MULTIBULK_COUNT_MAX = 1024 * 1024;
const BULK_BYTES_MAX = 512 * 1024 * 1024;
/** The same before the login. */
const RESTRICTED_COUNT_MAX = 10;
const RESTRICTED_BULK_BYTES_MAX = 16 * 1024;

const FAST_DIGITS_MAX = 9;
const HELD_BYTES_AT_FIRST = 512;
/** A held array up to this size is kept for the next cut frame. */
const HELD_BYTES_KEPT = 16 * 1024;

export interface RespLimits {
  readonly valueBytesMax: number;
  readonly argumentsMax: number;
  readonly lineBytesMax: number;
  /** All arguments of one request together. */
  readonly frameBytesMax: number;
}

export const ParseStatus = {
  /** The chunks are used up. */
  needMore: 0,
  /** `request` holds a command. */
  command: 1,
  /** A whole frame over a limit of ours was passed over; `errorText` says why. */
  refused: 2,
  /** Framing is lost; `errorText` says why. Nothing may be read any more. */
  broken: 3,
} as const;
export type ParseStatus = (typeof ParseStatus)[keyof typeof ParseStatus];

/** What `#readLength` says besides a length. */
const LENGTH_CUT = -1;
const LENGTH_INVALID = -2;
const LENGTH_TOO_BIG = -3;
const LENGTH_NEGATIVE = -4;

export class RespParser {
  readonly request = new RequestArguments();
  errorText = "";
  /** Whoever has not logged in may send little. */
  isRestricted = false;

  readonly #limits: RespLimits;
  /** Being read: the chunk itself, or the held frame. */
  #bytes: Uint8Array = EMPTY_BYTES;
  #cursor = 0;
  #limit = 0;
  #frameStart = 0;
  /** Up to here the current line is known to have no end. */
  #scanned = 0;

  #holding = false;
  #held: Uint8Array = EMPTY_BYTES;
  #chunk: Uint8Array = EMPTY_BYTES;
  #chunkCursor = 0;
  readonly #chunks: Uint8Array[] = [];
  /** Bytes in `#chunks`. */
  #queuedBytes = 0;

  /** Arguments of the current frame still to come; 0: between frames. */
  #expected = 0;
  /** Payload bytes of the argument being read; −1: its length is still to come. */
  #bulkBytes = -1;
  #frameBytes = 0;
  #refusal: string | null = null;
  #afterLine = 0;

  constructor(limits: RespLimits) {
    this.#limits = limits;
  }

  /** Takes over a chunk. Chunks are read in the order they were fed. */
  feed(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#queuedBytes += chunk.length;
  }

  /** Bytes of memory that what has come and is not used up takes. */
  get heldBytes(): number {
    return this.#queuedBytes + this.#chunk.length + this.#held.length;
  }

  /** Gives back what is kept for requests to come, between two of them. */
  giveBack(): void {
    if (this.insideFrame || this.#chunks.length > 0) return;
    this.#held = EMPTY_BYTES;
    this.request.clear();
  }

  /** After `needMore`: whether a frame has begun and is not whole. */
  get insideFrame(): boolean {
    return this.#expected > 0 || this.#limit > this.#frameStart;
  }

  next(): ParseStatus {
    for (;;) {
      const status = this.#advance();
      if (status !== ParseStatus.needMore) return status;
      if (!this.#refill()) return ParseStatus.needMore;
    }
  }

  #advance(): ParseStatus {
    for (;;) {
      if (this.#expected === 0) {
        this.#frameStart = this.#cursor;
        if (this.#cursor >= this.#limit) return ParseStatus.needMore;
        const isMultibulk = this.#bytes[this.#cursor] === STAR;
        const status = isMultibulk ? this.#readHeader() : this.#readInline();
        if (status !== ParseStatus.command || !isMultibulk) {
          if (status === ParseStatus.command && this.request.count === 0) continue;
          return status;
        }
        if (this.#expected === 0) continue;
      }
      return this.#readArguments();
    }
  }

  /** `*<count>\r\n`: sets `#expected`. A count of zero or less is no request at all. */
  #readHeader(): ParseStatus {
    const count = this.#readLength(this.#cursor + 1);
    if (count === LENGTH_CUT) return ParseStatus.needMore;
    if (count === LENGTH_TOO_BIG) return this.#break("too big mbulk count string");
    if (count === LENGTH_INVALID || count > MULTIBULK_COUNT_MAX) return this.#break("invalid multibulk length");
    if (this.isRestricted && count > RESTRICTED_COUNT_MAX) return this.#break("unauthenticated multibulk length");
    this.#cursor = this.#afterLine;
    if (count <= 0) return ParseStatus.command;
    this.#expected = count;
    this.#bulkBytes = -1;
    this.#frameBytes = 0;
    this.request.count = 0;
    this.#refusal =
      count > this.#limits.argumentsMax
        ? `ERR too many arguments: ${count}, the limit is ${this.#limits.argumentsMax}`
        : null;
    return ParseStatus.command;
  }

  #readArguments(): ParseStatus {
    const bytes = this.#bytes;
    const limit = this.#limit;
    const request = this.request;
    while (this.#expected > 0) {
      if (this.#bulkBytes < 0) {
        const status = this.#readBulkLength();
        if (status !== ParseStatus.command) return status;
      }
      if (this.#refusal !== null && !this.#skipPayload()) return ParseStatus.needMore;
      const start = this.#cursor;
      const end = start + this.#bulkBytes;
      if (end + 2 > limit) return ParseStatus.needMore;
      if (bytes[end] !== CR || bytes[end + 1] !== LF) return this.#break("expected CRLF after a bulk payload");
      if (this.#refusal === null) request.push(start, end);
      this.#cursor = end + 2;
      this.#bulkBytes = -1;
      this.#expected -= 1;
    }
    if (this.#refusal !== null) {
      this.errorText = this.#refusal;
      this.#refusal = null;
      return ParseStatus.refused;
    }
    request.bytes = bytes;
    return ParseStatus.command;
  }

  #readBulkLength(): ParseStatus {
    if (this.#refusal !== null) this.#frameStart = this.#cursor;
    if (this.#cursor >= this.#limit) return ParseStatus.needMore;
    const first = this.#bytes[this.#cursor]!;
    if (first !== DOLLAR) return this.#break(`expected '$', got '${String.fromCharCode(first)}'`);
    const length = this.#readLength(this.#cursor + 1);
    if (length === LENGTH_CUT) return ParseStatus.needMore;
    if (length === LENGTH_TOO_BIG) return this.#break("too big bulk count string");
    if (length < 0 || length > BULK_BYTES_MAX) return this.#break("invalid bulk length");
    if (this.isRestricted && length > RESTRICTED_BULK_BYTES_MAX) return this.#break("unauthenticated bulk length");
    this.#cursor = this.#afterLine;
    this.#bulkBytes = length;
    this.#frameBytes += length;
    if (this.#refusal === null) this.#refusal = this.#refusalFor(length);
    return ParseStatus.command;
  }

  #refusalFor(length: number): string | null {
    const { valueBytesMax, frameBytesMax } = this.#limits;
    if (length > valueBytesMax) return `ERR argument of ${length} bytes is too large, the limit is ${valueBytesMax}`;
    if (this.#frameBytes > frameBytesMax) return `ERR request is too large, the limit is ${frameBytesMax} bytes`;
    return null;
  }

  /** Passes over the payload of a refused frame as it comes; true once only its CRLF is left. */
  #skipPayload(): boolean {
    const skipped = Math.min(this.#bulkBytes, this.#limit - this.#cursor);
    this.#cursor += skipped;
    this.#bulkBytes -= skipped;
    this.#frameStart = this.#cursor;
    return this.#bulkBytes === 0;
  }

  /** The number in a line from `start`; `#afterLine` is where the next line begins. */
  #readLength(start: number): number {
    const bytes = this.#bytes;
    const limit = this.#limit;
    let value = 0;
    let cursor = start;
    let byte = 0;
    while (cursor < limit) {
      byte = bytes[cursor]!;
      if (byte < ZERO || byte > NINE) break;
      value = value * 10 + (byte - ZERO);
      cursor += 1;
    }
    const digits = cursor - start;
    const isPlain = digits === 1 || (digits > 1 && digits <= FAST_DIGITS_MAX && bytes[start] !== ZERO);
    if (isPlain && cursor + 1 < limit && byte === CR && bytes[cursor + 1] === LF) {
      this.#afterLine = cursor + 2;
      return value;
    }
    return this.#readLengthStrictly(start);
  }

  #readLengthStrictly(start: number): number {
    const lineEnd = this.#findLineEnd(start - 1);
    if (lineEnd < 0) return lineEnd;
    this.#afterLine = lineEnd + 1;
    if (this.#bytes[lineEnd - 1] !== CR) return LENGTH_INVALID;
    const value = parseI64(this.#bytes, start, lineEnd - 1);
    if (value === null) return LENGTH_INVALID;
    if (value < 0n) return LENGTH_NEGATIVE;
    return Number(value);
  }

  /** Offset of the LF that ends the line which begins at `start`, or LENGTH_CUT, or LENGTH_TOO_BIG. */
  #findLineEnd(start: number): number {
    const lineEnd = this.#bytes.indexOf(LF, Math.max(start, this.#scanned));
    const found = lineEnd >= 0 && lineEnd < this.#limit;
    const lineBytes = (found ? lineEnd : this.#limit) - start;
    if (lineBytes > this.#limits.lineBytesMax) return LENGTH_TOO_BIG;
    this.#scanned = found ? 0 : this.#limit;
    return found ? lineEnd : LENGTH_CUT;
  }

  #readInline(): ParseStatus {
    const start = this.#cursor;
    const lineEnd = this.#findLineEnd(start);
    if (lineEnd === LENGTH_CUT) return ParseStatus.needMore;
    if (lineEnd === LENGTH_TOO_BIG) return this.#break("too big inline request");
    const bytes = this.#bytes;
    const end = lineEnd > start && bytes[lineEnd - 1] === CR ? lineEnd - 1 : lineEnd;
    this.#cursor = lineEnd + 1;
    if (!splitInline(bytes, start, end, this.request)) return this.#break("unbalanced quotes in request");
    if (this.request.count <= this.#limits.argumentsMax) return ParseStatus.command;
    this.errorText = `ERR too many arguments: ${this.request.count}, the limit is ${this.#limits.argumentsMax}`;
    return ParseStatus.refused;
  }

  #break(what: string): ParseStatus {
    this.errorText = `ERR Protocol error: ${what}`;
    return ParseStatus.broken;
  }

  /** Makes more bytes readable behind what is there; false when no chunk is left. */
  #refill(): boolean {
    if (!this.#holding) {
      if (this.#limit > this.#frameStart) this.#hold();
      else this.#read(EMPTY_BYTES, 0);
      this.#chunk = EMPTY_BYTES;
      this.#chunkCursor = 0;
    }
    if (this.#chunkCursor === this.#chunk.length) {
      this.#chunk = EMPTY_BYTES;
      this.#chunkCursor = 0;
      if (this.#chunks.length === 0) {
        if (this.#holding && this.#frameStart === this.#limit) this.#letGo();
        // Whoever says nothing more for an hour must not keep its last request in memory.
        if (!this.#holding) this.request.bytes = EMPTY_BYTES;
        return false;
      }
      this.#chunk = at(this.#chunks, 0);
      this.#chunks.shift();
      this.#queuedBytes -= this.#chunk.length;
    }
    if (this.#holding && this.#frameStart < this.#limit) this.#appendWanted();
    else this.#letGo();
    return true;
  }

  /** Reads from the chunk itself: nothing held is needed. */
  #letGo(): void {
    this.#holding = false;
    if (this.#held.length > HELD_BYTES_KEPT) this.#held = EMPTY_BYTES;
    this.#read(this.#chunk, this.#chunkCursor);
  }

  #read(bytes: Uint8Array, cursor: number): void {
    this.#bytes = bytes;
    this.#cursor = cursor;
    this.#frameStart = cursor;
    this.#limit = bytes.length;
    this.#scanned = 0;
  }

  /** Copies the cut frame out of its chunk; every offset moves with it. */
  #hold(): void {
    const from = this.#frameStart;
    const heldBytes = this.#limit - from;
    if (this.#held.length < heldBytes) this.#held = new Uint8Array(Math.max(HELD_BYTES_AT_FIRST, heldBytes));
    this.#held.set(this.#bytes.subarray(from, this.#limit));
    this.request.shift(-from);
    this.#cursor -= from;
    this.#scanned = Math.max(0, this.#scanned - from);
    this.#frameStart = 0;
    this.#limit = heldBytes;
    this.#bytes = this.#held;
    this.#holding = true;
  }

  /** Takes what the frame needs next from the chunk and not a byte more: the rest of a payload, or of a line. */
  #appendWanted(): void {
    const available = this.#chunk.length - this.#chunkCursor;
    let wanted = available;
    let known = 0;
    if (this.#expected > 0 && this.#bulkBytes >= 0) {
      known = this.#cursor + this.#bulkBytes + 2;
      wanted = Math.min(available, known - this.#limit);
    } else {
      const lineEnd = this.#chunk.indexOf(LF, this.#chunkCursor);
      if (lineEnd >= 0) wanted = lineEnd + 1 - this.#chunkCursor;
    }
    assert(wanted > 0, "a frame that is not whole wants bytes");
    this.#makeRoom(this.#limit + wanted, known);
    this.#held.set(this.#chunk.subarray(this.#chunkCursor, this.#chunkCursor + wanted), this.#limit);
    this.#limit += wanted;
    this.#chunkCursor += wanted;
  }

  /** Doubling, but never past the end that is already known. */
  #makeRoom(needed: number, known: number): void {
    if (needed <= this.#held.length) return;
    const doubled = Math.max(HELD_BYTES_AT_FIRST, this.#held.length * 2);
    const bounded = known > 0 ? Math.min(doubled, known) : doubled;
    const larger = new Uint8Array(Math.max(needed, bounded));
    larger.set(this.#held.subarray(0, this.#limit));
    this.#held = larger;
    this.#bytes = larger;
  }
}
