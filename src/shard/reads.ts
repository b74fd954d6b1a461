/**
 * The reads of a shard: one key, one page of a bucket in key order, some key. They see what is applied, through the
 * memtables and the tables, at the given wall-clock time. Results own their bytes: main may keep them while a quorum
 * confirms the read. Shard thread.
 */
import { unreachable } from "../core/assert.ts";
import { compareBytes, EMPTY_BYTES } from "../core/bytes.ts";
import { EnvelopeError, type ErrorCode } from "../core/errors.ts";
import { globMatches, globPrefix } from "../core/glob.ts";
import { murmur3 } from "../core/murmur3.ts";
import { Random } from "../core/random.ts";
import { MAX_STAMP, stampMilliseconds } from "../core/stamp.ts";
import type { ReadRequest, ScanRequest } from "../bridge/shard-protocol.ts";
import { errorResult, NIL, type Result, type ScanEntry } from "../record/result.ts";
import { isVisible, type VersionCursor, VersionKind } from "../record/version.ts";
import { ValuePointer } from "../storage/value-pointer-format.ts";
import { keyRange, successorOf } from "./key-range.ts";
import { ShardIterator } from "./shard-iterator.ts";
import type { VersionStore } from "./version-store.ts";

/** Versions of one key stepped over one by one before the walk seeks past them. */
const NEIGHBOURS_MAX = 8;
/** How many bytes of a key are drawn by chance when a sample is chosen. */
const SAMPLE_DEPTH_MAX = 48;

/** Errors that are about the request and not about the shard. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set(["HISTORY_GONE", "INVALID_ARGUMENT"]);

/** One for the thread. */
const POINTER = new ValuePointer();

type PageRequest = Extract<ReadRequest, { type: "page" }>;

export function answerRead(store: VersionStore, read: ReadRequest, nowMs: number): Result {
  switch (read.type) {
    case "get":
      return get(store, read.bucket, read.key, read.metadataOnly, nowMs);
    case "stamped":
      return stamped(store, read.bucket, read.key, read.metadataOnly, nowMs);
    case "page": {
      store.undecided.checkBucket(read.bucket);
      using cursor = store.cursor();
      return page(cursor, read, nowMs);
    }
    case "sample": {
      store.undecided.checkBucket(read.bucket);
      using cursor = store.cursor();
      return sample(cursor, read.bucket, read.random, nowMs);
    }
    case "scan":
      return scan(store, read, nowMs);
    default:
      return unreachable(read);
  }
}

function get(store: VersionStore, bucket: number, key: Uint8Array, metadataOnly: boolean, nowMs: number): Result {
  if (!store.find(bucket, key, 0, key.length, murmur3(key, 0, key.length, bucket))) return NIL;
  if (!isVisible(store.kind, store.expiryMs, nowMs)) return NIL;
  return {
    kind: "version",
    valueBytes: store.valueEnd - store.valueStart,
    expiryMs: store.expiryMs,
    value: metadataOnly ? EMPTY_BYTES : store.valueBytes.slice(store.valueStart, store.valueEnd),
  };
}

function stamped(store: VersionStore, bucket: number, key: Uint8Array, metadataOnly: boolean, nowMs: number): Result {
  const result = get(store, bucket, key, metadataOnly, nowMs);
  if (result.kind !== "version") return result;
  const { valueBytes, expiryMs, value } = result;
  return { kind: "stamped", stampHigh: store.stampHigh, stampLow: store.stampLow, valueBytes, expiryMs, value };
}

/** What the world got wrong in the request is the answer; damage is the shard's. */
function scan(store: VersionStore, request: ScanRequest, nowMs: number): Result {
  const { bucket, prefix, lower, upper, asOf } = request;
  try {
    const range = keyRange(bucket, prefix, lower, upper);
    if (asOf !== null) store.snapshots.check(asOf, store.lastStamp);
    const at = { stamp: asOf ?? MAX_STAMP, nowMs: asOf === null ? nowMs : stampMilliseconds(asOf.high, asOf.low) };
    using iterator = new ShardIterator(store, range, at, () => undefined);
    return scanned(iterator, request);
  } catch (cause) {
    if (!(cause instanceof EnvelopeError) || !REFUSALS.has(cause.code)) throw cause;
    return errorResult(cause.code, cause.message);
  }
}

function scanned(iterator: ShardIterator, request: ScanRequest): Result {
  const { isReverse, keysOnly, entriesMax, bytesMax } = request;
  const entries: ScanEntry[] = [];
  let byteCount = 0;
  if (isReverse) iterator.last();
  else iterator.first();
  while (iterator.valid) {
    const value = keysOnly ? EMPTY_BYTES : iterator.value;
    byteCount += iterator.key.length + value.length;
    if (entries.length > 0 && (entries.length >= entriesMax || byteCount > bytesMax)) {
      return { kind: "entries", entries, isCut: true };
    }
    entries.push({ key: iterator.key.slice(), expiryMs: iterator.expiryMs, value: value.slice() });
    if (isReverse) iterator.previous();
    else iterator.next();
  }
  return { kind: "entries", entries, isCut: false };
}

function page(cursor: VersionCursor, request: PageRequest, nowMs: number): Result {
  const { bucket, after, examineMax, bytesMax, pattern, mode } = request;
  const prefix = pattern === null ? EMPTY_BYTES : globPrefix(pattern);
  const keys: Uint8Array[] = [];
  let matchCount = 0;
  let keyBytes = 0;
  let byteCount = 0;
  let last: Uint8Array | null = null;
  cursor.seek(bucket, firstBehind(after, prefix));
  for (let examined = 0; isInside(cursor, bucket, prefix); examined++) {
    if (examined >= examineMax || (matchCount > 0 && keyBytes + cursor.key.length > bytesMax && mode === "keys")) {
      return { kind: "page", keys, matchCount, byteCount, next: last };
    }
    const key = cursor.key.slice();
    if (isVisible(cursor.kind, cursor.expiryMs, nowMs) && (pattern === null || globMatches(pattern, key))) {
      matchCount += 1;
      byteCount += key.length + valueBytesAt(cursor);
      if (mode === "keys") {
        keys.push(key);
        keyBytes += key.length;
      }
    }
    last = key;
    skipKey(cursor, bucket, key);
  }
  return { kind: "page", keys, matchCount, byteCount, next: null };
}

/** Of a value that lies elsewhere too. */
function valueBytesAt({ kind, value }: VersionCursor): number {
  return kind === VersionKind.pointer ? POINTER.read(value, 0).valueBytes : value.length;
}

/** The first key of a walk: behind the last one seen, and not before the prefix that all matches have. */
function firstBehind(after: Uint8Array | null, prefix: Uint8Array): Uint8Array {
  if (after === null) return prefix;
  const successor = successorOf(after);
  return compareBytes(successor, prefix) > 0 ? successor : prefix;
}

function isInside(cursor: VersionCursor, bucket: number, prefix: Uint8Array): boolean {
  return cursor.valid && cursor.bucket === bucket && startsWith(cursor.key, prefix);
}

/** From the newest version of `key` to the first version of the next key. */
function skipKey(cursor: VersionCursor, bucket: number, key: Uint8Array): void {
  for (let i = 0; i < NEIGHBOURS_MAX; i++) {
    cursor.next();
    if (!cursor.valid || cursor.bucket !== bucket || compareBytes(cursor.key, key) !== 0) return;
  }
  cursor.seek(bucket, successorOf(key));
}

function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  if (key.length < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) {
    if (key[i] !== prefix[i]) return false;
  }
  return true;
}

/**
 * Walks down the tree of prefixes, each time to a byte chosen by chance among those that occur, then takes the first
 * visible key from there on, round the end if need be. Every part of the key space has a chance, not an equal one.
 */
function sample(cursor: VersionCursor, bucket: number, seed: number, nowMs: number): Result {
  const random = new Random(seed);
  const probe = new Uint8Array(SAMPLE_DEPTH_MAX);
  let depth = 0;
  while (depth < SAMPLE_DEPTH_MAX) {
    const prefix = probe.slice(0, depth);
    probe[depth] = random.below(256);
    cursor.seek(bucket, probe.subarray(0, depth + 1));
    if (!isInside(cursor, bucket, prefix)) cursor.seek(bucket, prefix);
    if (!isInside(cursor, bucket, prefix) || cursor.key.length === depth) break;
    probe[depth] = cursor.key[depth]!;
    depth += 1;
  }
  const start = probe.slice(0, depth);
  return firstVisible(cursor, bucket, start, nowMs) ?? firstVisible(cursor, bucket, EMPTY_BYTES, nowMs) ?? NIL;
}

function firstVisible(cursor: VersionCursor, bucket: number, start: Uint8Array, nowMs: number): Result | null {
  cursor.seek(bucket, start);
  while (isInside(cursor, bucket, EMPTY_BYTES)) {
    const key = cursor.key.slice();
    if (isVisible(cursor.kind, cursor.expiryMs, nowMs)) return { kind: "bytes", bytes: key };
    skipKey(cursor, bucket, key);
  }
  return null;
}
