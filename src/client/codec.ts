/**
 * How values become bytes and come back. A codec is lossless: what `decode` gives was given to `encode`, or both throw.
 * Runs on Bun, Node and Deno.
 */
import { utf8 } from "../core/bytes.ts";
import { InvalidArgumentError, NotJsonError } from "./errors.ts";

export interface Codec<T> {
  /** For messages. */
  readonly name: string;
  encode(value: T): Uint8Array;
  /** `stored` may be a view of something larger; then what is given out of it is copied. */
  decode(stored: Uint8Array): T;
}

const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Asking a short array for its buffer costs more than a copy of it. */
const SHORT_BYTES_MAX = 4096;

/** Bytes as they are. Long ones that have a buffer to themselves are given out without a copy. */
export const bytes: Codec<Uint8Array> = {
  name: "bytes",
  encode: checkedBytes,
  decode: (stored) => (isWholeBuffer(stored) ? stored : stored.slice()),
};

function isWholeBuffer(stored: Uint8Array): boolean {
  return stored.length > SHORT_BYTES_MAX && stored.length === stored.buffer.byteLength;
}

/** Text as UTF-8. */
export const text: Codec<string> = {
  name: "text",
  encode: encodeText,
  decode: (stored) => {
    const value = decodeText(stored);
    if (value === null) throw new InvalidArgumentError("the value is not UTF-8; read it with the codec `bytes`");
    return value;
  },
};

/** JSON text; whether it is a T is for a schema to say. */
export function json<T>(): Codec<T> {
  return { name: "json", encode: encodeJson, decode: (stored) => decodeJson(stored) as T };
}

/** INVALID_ARGUMENT for text that UTF-8 has no bytes for. */
export function encodeText(value: string): Uint8Array {
  if (typeof value !== "string") throw new InvalidArgumentError(`text is needed, not ${typeof value}`);
  if (!value.isWellFormed())
    throw new InvalidArgumentError("the text has half a surrogate pair, which UTF-8 cannot hold");
  return utf8(value);
}

/** INVALID_ARGUMENT for anything else. */
export function checkedBytes(value: Uint8Array): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new InvalidArgumentError(`bytes are needed, not ${typeof value}`);
  return value;
}

/** Null when it is not UTF-8. */
function decodeText(stored: Uint8Array): string | null {
  try {
    return DECODER.decode(stored);
  } catch (cause) {
    if (cause instanceof TypeError) return null;
    throw cause;
  }
}

function encodeJson(value: unknown): Uint8Array {
  const written = toJson(value);
  if (written === undefined) throw new InvalidArgumentError(`JSON has no ${typeof value}`);
  return utf8(written);
}

/** JSON.stringify is typed as if it always gave text. */
function toJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    if (cause instanceof TypeError) throw new InvalidArgumentError(`JSON has no such value: ${cause.message}`);
    throw cause;
  }
}

/** NOT_JSON for anything else. */
export function decodeJson(stored: Uint8Array): unknown {
  const written = decodeText(stored);
  if (written === null) throw new NotJsonError("the value is not JSON");
  try {
    return JSON.parse(written);
  } catch (cause) {
    if (cause instanceof SyntaxError) throw new NotJsonError("the value is not JSON");
    throw cause;
  }
}
