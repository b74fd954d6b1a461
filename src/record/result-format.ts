/**
 * The bytes of a Result: the same in the ring between threads, on the peer link and in the binary protocol.
 *
 *   kind u8, then
 *     1 ok        nothing
 *     2 nil       nothing
 *     3 integer   i64
 *     4 bytes     u32 length, bytes
 *     5 version   value bytes u32, expiry u64, u32 length, value (empty when only the metadata was asked for)
 *     6 page      match count u32, bytes of the matches u64, has-next u8, [next: u32 length, bytes], key count u32, keys: u32 length, bytes each
 *     7 error     u32 length, code text; u32 length, message text
 *     8 ok        nothing: answered before it is on disk, which it is within an interval (durability.ts)
 *     9 ok        nothing: answered when the operating system had it
 *    10 entries   is-cut u8, entry count u32, entries: key (u32 length, bytes), expiry u64, value (u32 length, bytes)
 *    11 results   result count u32, results
 *    12 stamped   stamp high u32, stamp low u32, value bytes u32, expiry u64, u32 length, value (empty when only the
 *                 metadata was asked for)
 *
 * Little-endian. An error's code travels as its text: nodes of different versions agree on names, not on numbers.
 */
import { unreachable } from "../core/assert.ts";
import type { ByteReader } from "../core/byte-reader.ts";
import type { ByteWriter } from "../core/byte-writer.ts";
import { isErrorCode } from "../core/errors.ts";
import {
  type EntriesResult,
  NIL,
  OK,
  OK_INTERVAL,
  OK_OS,
  type PageResult,
  type Result,
  type ResultsResult,
  type ScanEntry,
  type StampedResult,
} from "./result.ts";

const KIND_OK = 1;
const KIND_NIL = 2;
const KIND_INTEGER = 3;
const KIND_BYTES = 4;
const KIND_VERSION = 5;
const KIND_PAGE = 6;
const KIND_ERROR = 7;
const KIND_INTERVAL_OK = 8;
const KIND_OS_OK = 9;
const OK_KINDS = { sync: KIND_OK, interval: KIND_INTERVAL_OK, os: KIND_OS_OK } as const;
const KIND_ENTRIES = 10;
const KIND_RESULTS = 11;
const KIND_STAMPED = 12;
/** How deep results lie in results: a transaction may have others in it, and these none. */
const DEPTH_MAX = 2;
/** The least bytes an entry takes, against absurd counts. */
const ENTRY_BYTES_MIN = 16;

export function encodeResult(result: Result, into: ByteWriter): void {
  switch (result.kind) {
    case "ok":
      into.u8(OK_KINDS[result.durability]);
      return;
    case "nil":
      into.u8(KIND_NIL);
      return;
    case "integer":
      into.u8(KIND_INTEGER);
      into.i64(result.value);
      return;
    case "bytes":
      into.u8(KIND_BYTES);
      into.blob(result.bytes);
      return;
    case "version":
      into.u8(KIND_VERSION);
      into.u32(result.valueBytes);
      into.u64(result.expiryMs);
      into.blob(result.value);
      return;
    case "page":
      into.u8(KIND_PAGE);
      encodePage(result, into);
      return;
    case "entries":
      into.u8(KIND_ENTRIES);
      encodeEntries(result, into);
      return;
    case "results":
      into.u8(KIND_RESULTS);
      into.u32(result.results.length);
      for (const inner of result.results) encodeResult(inner, into);
      return;
    case "stamped":
      into.u8(KIND_STAMPED);
      into.u32(result.stampHigh);
      into.u32(result.stampLow);
      into.u32(result.valueBytes);
      into.u64(result.expiryMs);
      into.blob(result.value);
      return;
    case "error":
      into.u8(KIND_ERROR);
      into.text(result.code);
      into.text(result.message);
      return;
    default:
      unreachable(result);
  }
}

/** The result at the reader's place; it throws the reader's error when there is none. Byte fields are views. */
export function decodeResult(from: ByteReader, depth = 0): Result {
  const kind = from.u8();
  switch (kind) {
    case KIND_OK:
      return OK;
    case KIND_INTERVAL_OK:
      return OK_INTERVAL;
    case KIND_OS_OK:
      return OK_OS;
    case KIND_NIL:
      return NIL;
    case KIND_INTEGER:
      return { kind: "integer", value: from.i64() };
    case KIND_BYTES:
      return { kind: "bytes", bytes: from.blob() };
    case KIND_VERSION:
      return { kind: "version", valueBytes: from.u32(), expiryMs: from.u64(), value: from.blob() };
    case KIND_PAGE:
      return decodePage(from);
    case KIND_ENTRIES:
      return decodeEntries(from);
    case KIND_RESULTS:
      if (depth === DEPTH_MAX) throw from.invalid("results too deep in others");
      return decodeResults(from, depth + 1);
    case KIND_STAMPED:
      return decodeStamped(from);
    case KIND_ERROR:
      return decodeError(from);
    default:
      throw from.invalid(`a result of unknown kind ${kind}`);
  }
}

function encodePage(page: PageResult, into: ByteWriter): void {
  into.u32(page.matchCount);
  into.u64(page.byteCount);
  into.optionalBlob(page.next);
  into.blobs(page.keys);
}

function decodePage(from: ByteReader): PageResult {
  const matchCount = from.u32();
  const byteCount = from.u64();
  const next = from.optionalBlob();
  return { kind: "page", keys: from.blobs(), matchCount, byteCount, next };
}

function encodeEntries(result: EntriesResult, into: ByteWriter): void {
  into.u8(result.isCut ? 1 : 0);
  into.u32(result.entries.length);
  for (const { key, expiryMs, value } of result.entries) {
    into.blob(key);
    into.u64(expiryMs);
    into.blob(value);
  }
}

function decodeEntries(from: ByteReader): EntriesResult {
  const isCut = from.flag();
  const entries: ScanEntry[] = [];
  for (let left = from.count(ENTRY_BYTES_MIN); left > 0; left--) {
    entries.push({ key: from.blob(), expiryMs: from.u64(), value: from.blob() });
  }
  return { kind: "entries", entries, isCut };
}

function decodeResults(from: ByteReader, depth: number): ResultsResult {
  const results: Result[] = [];
  for (let left = from.count(1); left > 0; left--) results.push(decodeResult(from, depth));
  return { kind: "results", results };
}

function decodeStamped(from: ByteReader): StampedResult {
  const stampHigh = from.u32();
  const stampLow = from.u32();
  return { kind: "stamped", stampHigh, stampLow, valueBytes: from.u32(), expiryMs: from.u64(), value: from.blob() };
}

function decodeError(from: ByteReader): Result {
  const code = from.text();
  const message = from.text();
  if (!isErrorCode(code)) throw from.invalid("an error of unknown code");
  return { kind: "error", code, message };
}
