/**
 * The reads of a shard: one key, one page of a bucket in key order, some key. They see what is applied, through the
 * memtables and the tables, at the given wall-clock time. Results own their bytes: main may keep them while a quorum
 * confirms the read. Shard thread.
 */
import { unreachable } from "../core/assert.ts";
import { compareBytes, EMPTY_BYTES } from "../core/bytes.ts";
import { globMatches, globPrefix } from "../core/glob.ts";
import { murmur3 } from "../core/murmur3.ts";
import { Random } from "../core/random.ts";
import type { ReadRequest } from "../bridge/shard-protocol.ts";
import { NIL, type Result } from "../record/result.ts";
import { isVisible, type VersionCursor } from "../record/version.ts";
import type { VersionStore } from "./version-store.ts";

/** Versions of one key stepped over one by one before the walk seeks past them. */
const NEIGHBOURS_MAX = 8;
/** How many bytes of a key are drawn by chance when a sample is chosen. */
const SAMPLE_DEPTH_MAX = 48;

type PageRequest = Extract<ReadRequest, { type: "page" }>;

export function answerRead(store: VersionStore, read: ReadRequest, nowMs: number): Result {
  switch (read.type) {
    case "get":
      return get(store, read.bucket, read.key, read.metadataOnly, nowMs);
    case "page": {
      using cursor = store.cursor();
      return page(cursor, read, nowMs);
    }
    case "sample": {
      using cursor = store.cursor();
      return sample(cursor, read.bucket, read.random, nowMs);
    }
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

function page(cursor: VersionCursor, request: PageRequest, nowMs: number): Result {
  const { bucket, after, examineMax, bytesMax, pattern, mode } = request;
  const prefix = pattern === null ? EMPTY_BYTES : globPrefix(pattern);
  const keys: Uint8Array[] = [];
  let matchCount = 0;
  let keyBytes = 0;
  let last: Uint8Array | null = null;
  cursor.seek(bucket, firstBehind(after, prefix));
  for (let examined = 0; isInside(cursor, bucket, prefix); examined++) {
    if (examined >= examineMax || (matchCount > 0 && keyBytes + cursor.key.length > bytesMax && mode === "keys")) {
      return { kind: "page", keys, matchCount, next: last };
    }
    const key = cursor.key.slice();
    if (isVisible(cursor.kind, cursor.expiryMs, nowMs) && (pattern === null || globMatches(pattern, key))) {
      matchCount += 1;
      if (mode === "keys") {
        keys.push(key);
        keyBytes += key.length;
      }
    }
    last = key;
    skipKey(cursor, bucket, key);
  }
  return { kind: "page", keys, matchCount, next: null };
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

/** The smallest byte string behind a key. */
function successorOf(key: Uint8Array): Uint8Array {
  const successor = new Uint8Array(key.length + 1);
  successor.set(key);
  return successor;
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
