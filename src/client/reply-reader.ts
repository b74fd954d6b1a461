/**
 * Turns a stream of bytes, cut anywhere, into replies. Work is linear in the bytes: a half-read aggregate stays on a
 * stack and is never read again from its start.
 *
 *   +text  -error  :integer  ,double  (bignumber  #t/#f  _            one line
 *   $length payload    !length error    =length fmt:payload           blob; $-1 and *-1 are null
 *   *count  ~count  >count  %count (pairs)  |count (attributes: read and dropped)
 *
 * Bytes that are not RESP throw EnvelopeError PROTOCOL: framing is lost and the connection must be closed.
 * Runs on Bun, Node and Deno.
 */
import { EnvelopeError } from "../core/errors.ts";
import { errorReply, type Reply } from "./reply.ts";

const BLOB_BYTES_MAX = 1024 * 1024 * 1024;
const ITEMS_MAX = 64 * 1024 * 1024;
const DEPTH_MAX = 64;
const LINE_BYTES_MAX = 1024 * 1024;

const CR = 13;
const LF = 10;
const DECODER = new TextDecoder();
const NULL: Reply = { kind: "null" };

interface Frame {
  readonly kind: "array" | "set" | "map" | "push" | "attribute";
  readonly itemCount: number;
  readonly items: Reply[];
}

export class ReplyReader {
  #bytes: Uint8Array = new Uint8Array(0);
  #start = 0;
  #end = 0;
  /** How far the search for the current line's end has come. */
  #searched = 0;
  /** The blob being waited for, or −1. */
  #blobBytes = -1;
  #blobType = 0;
  readonly #stack: Frame[] = [];

  /** Adds bytes and gives each whole reply to `take`, in order. */
  push(chunk: Uint8Array, take: (reply: Reply) => void): void {
    this.#add(chunk);
    for (;;) {
      const value = this.#blobBytes >= 0 ? this.#blob() : this.#line();
      if (value === "more") return;
      if (value === "opened") continue;
      const whole = this.#close(value);
      if (whole !== null) take(whole);
    }
  }

  #add(chunk: Uint8Array): void {
    const held = this.#end - this.#start;
    if (held === 0) {
      this.#bytes = chunk;
      this.#start = 0;
      this.#end = chunk.length;
      this.#searched = 0;
      return;
    }
    const needed = held + chunk.length;
    const shift = this.#start;
    if (this.#bytes.length < this.#end + chunk.length) {
      // By what has come, never by what a blob announces.
      const known = this.#blobBytes < 0 ? Number.POSITIVE_INFINITY : this.#blobBytes + 2;
      const larger = new Uint8Array(Math.max(needed, Math.min(needed * 2, known)));
      larger.set(this.#bytes.subarray(this.#start, this.#end));
      this.#bytes = larger;
      this.#start = 0;
      this.#end = held;
      this.#searched = Math.max(0, this.#searched - shift);
    }
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  #line(): Reply | "more" | "opened" {
    const bytes = this.#bytes;
    let cursor = Math.max(this.#searched, this.#start);
    while (cursor < this.#end && bytes[cursor] !== LF) cursor += 1;
    if (cursor === this.#end) {
      if (cursor - this.#start > LINE_BYTES_MAX) throw broken("a line without an end");
      this.#searched = cursor;
      return "more";
    }
    if (cursor === this.#start || bytes[cursor - 1] !== CR) throw broken("a line that does not end in CRLF");
    const type = bytes[this.#start] ?? 0;
    const line = DECODER.decode(bytes.subarray(this.#start + 1, cursor - 1));
    this.#start = cursor + 1;
    this.#searched = this.#start;
    return this.#typed(String.fromCharCode(type), line);
  }

  #typed(type: string, line: string): Reply | "opened" | "more" {
    switch (type) {
      case "+":
        return { kind: "status", text: line };
      case "-":
        return errorReply(line);
      case ":":
        return { kind: "integer", value: integer(line) };
      case ",":
        return { kind: "double", text: line };
      case "(":
        return { kind: "bigNumber", text: line };
      case "#":
        if (line !== "t" && line !== "f") throw broken(`boolean ${line}`);
        return { kind: "boolean", value: line === "t" };
      case "_":
        return NULL;
      case "$":
      case "!":
      case "=": {
        if (line === "-1") return NULL;
        this.#blobBytes = length(line, BLOB_BYTES_MAX);
        this.#blobType = type.charCodeAt(0);
        return this.#blob();
      }
      case "*":
        return line === "-1" ? NULL : this.#open("array", length(line, ITEMS_MAX));
      case "~":
        return this.#open("set", length(line, ITEMS_MAX));
      case ">":
        return this.#open("push", length(line, ITEMS_MAX));
      case "%":
        return this.#open("map", 2 * length(line, ITEMS_MAX));
      case "|":
        return this.#open("attribute", 2 * length(line, ITEMS_MAX));
      default:
        throw broken(`type ${JSON.stringify(type)}`);
    }
  }

  #blob(): Reply | "more" {
    const end = this.#start + this.#blobBytes;
    if (end + 2 > this.#end) return "more";
    if (this.#bytes[end] !== CR || this.#bytes[end + 1] !== LF) throw broken("a blob without its CRLF");
    const bytes = this.#bytes.slice(this.#start, end);
    this.#start = end + 2;
    this.#searched = this.#start;
    this.#blobBytes = -1;
    switch (String.fromCharCode(this.#blobType)) {
      case "!":
        return errorReply(DECODER.decode(bytes));
      case "=":
        return { kind: "verbatim", format: DECODER.decode(bytes.subarray(0, 3)), bytes: bytes.subarray(4) };
      default:
        return { kind: "bytes", bytes };
    }
  }

  #open(kind: Frame["kind"], itemCount: number): Reply | "opened" {
    if (itemCount === 0 && kind !== "attribute") return { kind, items: [] };
    if (itemCount === 0) return "opened";
    if (this.#stack.length === DEPTH_MAX) throw broken(`more than ${DEPTH_MAX} levels`);
    this.#stack.push({ kind, itemCount, items: [] });
    return "opened";
  }

  /** Puts a finished value into what is open; returns the reply when nothing is open any more. */
  #close(value: Reply): Reply | null {
    let finished = value;
    for (;;) {
      const frame = this.#stack.at(-1);
      if (frame === undefined) return finished;
      frame.items.push(finished);
      if (frame.items.length < frame.itemCount) return null;
      this.#stack.pop();
      if (frame.kind === "attribute") return null;
      finished = { kind: frame.kind, items: frame.items };
    }
  }
}

function integer(line: string): bigint {
  if (!/^[+-]?\d{1,19}$/.test(line)) throw broken(`integer ${JSON.stringify(line.slice(0, 32))}`);
  return BigInt(line.startsWith("+") ? line.slice(1) : line);
}

function length(line: string, max: number): number {
  const value = /^\d{1,10}$/.test(line) ? Number(line) : -1;
  if (value < 0 || value > max) throw broken(`length ${JSON.stringify(line.slice(0, 32))}`);
  return value;
}

function broken(what: string): EnvelopeError {
  return new EnvelopeError("PROTOCOL", `the server sent ${what}, which is not RESP`);
}
