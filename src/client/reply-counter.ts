/**
 * Counts whole replies in a stream of RESP bytes without building them: for load generators, where an object a reply
 * would cost more than the server does. Nulls are counted apart, and errors are handed over with their first word.
 * A number of values is still open inside an aggregate; the reply is whole when none is.
 */
import { EnvelopeError } from "../core/errors.ts";

const LF = 10;
const CR = 13;
const MINUS = 0x2d;
const ZERO = 0x30;
const ERROR_TEXT_MAX = 256;

export class ReplyCounter {
  /** Whole replies since the start that were null. */
  nullCount = 0;
  readonly #onError: (code: string, message: string) => void;
  /** Payload bytes, with their CRLF, still to pass over. */
  #skip = 0;
  /** First byte of the line being read; 0 between lines. */
  #type = 0;
  #number = 0;
  #isNegative = false;
  /** Values still missing in the reply being read. */
  #openCount = 0;
  #isNested = false;
  #errorText = "";
  #isErrorBlob = false;

  constructor(onError: (code: string, message: string) => void) {
    this.#onError = onError;
  }

  /** Takes bytes; returns how many replies they completed. Throws PROTOCOL when they are not RESP. */
  push(bytes: Uint8Array): number {
    let replyCount = 0;
    let cursor = 0;
    const end = bytes.length;
    while (cursor < end) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, end - cursor);
        if (this.#isErrorBlob) this.#collect(bytes, cursor, cursor + step);
        cursor += step;
        this.#skip -= step;
        if (this.#skip === 0) replyCount += this.#finishBlob();
        continue;
      }
      const byte = bytes[cursor]!;
      cursor += 1;
      if (this.#type === 0) {
        this.#type = byte;
        this.#number = 0;
        this.#isNegative = false;
        continue;
      }
      if (byte === LF) {
        replyCount += this.#finishLine();
        continue;
      }
      if (this.#type === MINUS) this.#collect(bytes, cursor - 1, cursor);
      else if (byte === MINUS) this.#isNegative = true;
      else if (byte !== CR) this.#number = this.#number * 10 + byte - ZERO;
    }
    return replyCount;
  }

  #collect(bytes: Uint8Array, start: number, end: number): void {
    for (let i = start; i < end && this.#errorText.length < ERROR_TEXT_MAX; i++) {
      const byte = bytes[i]!;
      if (byte !== CR && byte !== LF) this.#errorText += String.fromCharCode(byte);
    }
  }

  #finishLine(): number {
    const type = String.fromCharCode(this.#type);
    this.#type = 0;
    switch (type) {
      case "+":
      case ":":
      case ",":
      case "(":
      case "#":
        return this.#close(false);
      case "_":
        return this.#close(true);
      case "-":
        this.#reportError();
        return this.#close(false);
      case "$":
      case "=":
      case "!":
        if (this.#isNegative) return this.#close(true);
        this.#isErrorBlob = type === "!";
        this.#skip = this.#number + 2;
        return 0;
      case "*":
      case "~":
      case ">":
        if (this.#isNegative) return this.#close(true);
        return this.#open(this.#number);
      case "%":
        return this.#open(2 * this.#number);
      default:
        throw new EnvelopeError("PROTOCOL", `the server sent type ${JSON.stringify(type)}, which is not RESP`);
    }
  }

  #finishBlob(): number {
    if (this.#isErrorBlob) this.#reportError();
    this.#isErrorBlob = false;
    return this.#close(false);
  }

  #open(itemCount: number): number {
    if (itemCount === 0) return this.#close(false);
    if (this.#openCount === 0) this.#openCount = 1;
    this.#openCount += itemCount - 1;
    this.#isNested = true;
    return 0;
  }

  /** One value is complete; 1 when the reply is. */
  #close(isNull: boolean): number {
    if (!this.#isNested) {
      if (isNull) this.nullCount += 1;
      return 1;
    }
    this.#openCount -= 1;
    if (this.#openCount > 0) return 0;
    this.#isNested = false;
    return 1;
  }

  #reportError(): void {
    const space = this.#errorText.indexOf(" ");
    const code = space < 0 ? this.#errorText : this.#errorText.slice(0, space);
    this.#onError(code, this.#errorText.slice(code.length + 1));
    this.#errorText = "";
  }
}
