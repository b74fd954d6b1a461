/**
 * The memory of one memtable: an arena in a SharedArrayBuffer, written by one thread and read by any without a lock.
 * Everything is addressed by word (4 bytes) from the arena's start; word 0 is never a target, so 0 means "none".
 *
 *     word  words
 *        0     16  unused
 *       16     18  the head: a node without a key, its tower MAX_HEIGHT high
 *       34      D  hash directory: D slots, a power of two, about 1/16 of the arena
 *   34 + D         nodes and versions, in the order of their coming, to the end of the arena
 *
 *   node (one for each user key, at an even word)
 *        0      1  bucket id
 *        1      2  the first 8 key bytes, zero-padded: two big-endian u32, each with its top bit flipped, so that the
 *                  order of signed numbers is the order of the bytes
 *        3      1  key bytes in the low 24 bits, height of the tower in the high 8
 *        4      1  newest version                                                  atomic
 *        5      1  the writer's own: words of the newest version, if none stands behind it, else 0
 *        6  height tower: the next node on each level, level 0 first               atomic
 *                  the key, padded to a word
 *
 *   version
 *        0      1  next older version of the same key                              atomic
 *        1      2  stamp: high, low
 *        3      1  origin node in the low 16 bits, kind in the next 8
 *        4      2  expiry: low, high
 *        6      1  value bytes
 *        7         the value, padded to a word
 *
 *   directory slot                                                                 atomic
 *        the low bits: half the word of a node; the bits above: those of the key's hash, so that a probe seldom looks
 *        at a foreign node. A key's probe starts at its hash modulo D and goes on slot by slot to an empty one.
 *
 * What is marked atomic is the only thing a reader looks at that is ever changed after its owner has been published. A version or node is
 * written whole, and then published by one Atomics.store of the word that leads to it; a reader that arrives by
 * Atomics.load sees all of it. Nothing is removed before `reset`, which nobody may read across (see memtable-set.ts).
 */
import { assert } from "../core/assert.ts";

export const MAX_HEIGHT = 12;

export const NODE_BUCKET = 0;
export const NODE_PREFIX = 1;
export const NODE_SHAPE = 3;
export const NODE_VERSIONS = 4;
export const NODE_ALONE = 5;
export const NODE_TOWER = 6;

export const VERSION_OLDER = 0;
export const VERSION_STAMP = 1;
export const VERSION_ORIGIN = 3;
export const VERSION_EXPIRY = 4;
export const VERSION_VALUE_BYTES = 6;
export const VERSION_VALUE = 7;

export const HEAD = 16;
export const DIRECTORY = 34;

const TWO_32 = 0x1_0000_0000;
const ARENA_BYTES_MIN = 4096;
const ARENA_BYTES_MAX = 2 ** 31;
/**
 * Bytes of the arena for each slot. A node and its version take 60 beside key and value, so the directory, which takes
 * keys up to 7/8 of its slots, is full before the arena only where both are but a few bytes.
 */
const ARENA_BYTES_PER_SLOT = 64;

/** How an arena of some size is divided. */
export interface ArenaShape {
  /** Slots − 1. */
  readonly slotMask: number;
  /** The bits of a slot that hold half a node's word. */
  readonly nodeMask: number;
  /** First word behind the directory. */
  readonly firstWord: number;
  readonly wordCount: number;
}

export function arenaShape(arenaBytes: number): ArenaShape {
  assert(arenaBytes >= ARENA_BYTES_MIN && arenaBytes <= ARENA_BYTES_MAX, "an arena has 4 KiB to 2 GiB");
  // The last word of 2 GiB stays unused, so that every byte offset, one past the end too, is a positive i32.
  const wordCount = Math.min(arenaBytes >>> 2, 2 ** 29 - 1);
  const slotCount = 2 ** Math.floor(Math.log2(arenaBytes / ARENA_BYTES_PER_SLOT));
  const nodeBits = 32 - Math.clz32((wordCount - 1) >>> 1);
  return { slotMask: slotCount - 1, nodeMask: 2 ** nodeBits - 1, firstWord: DIRECTORY + slotCount, wordCount };
}

/** Four key bytes from `start` as a signed number in lexical order; missing ones count as zero. */
export function prefixWord(key: Uint8Array, start: number, end: number): number {
  const left = end - start;
  if (left >= 4) {
    return ((key[start]! << 24) | (key[start + 1]! << 16) | (key[start + 2]! << 8) | key[start + 3]!) ^ 0x8000_0000;
  }
  let word = 0;
  for (let i = 0; i < left; i++) word |= key[start + i]! << (24 - 8 * i);
  return word ^ 0x8000_0000;
}

/** First byte of a node's key in the arena. */
export function nodeKeyStart(words: Int32Array, node: number): number {
  return (node + NODE_TOWER + (words[node + NODE_SHAPE]! >>> 24)) << 2;
}

export function nodeKeyBytes(words: Int32Array, node: number): number {
  return words[node + NODE_SHAPE]! & 0xff_ffff;
}

/** Negative when the node sorts before (bucket, key), positive when behind. The prefix words are the key's own. */
export function compareNode(
  words: Int32Array,
  bytes: Uint8Array,
  node: number,
  bucket: number,
  prefixHigh: number,
  prefixLow: number,
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
): number {
  const nodeBucket = words[node + NODE_BUCKET]!;
  if (nodeBucket !== (bucket | 0)) return (nodeBucket >>> 0) - bucket;
  const high = words[node + NODE_PREFIX]!;
  if (high !== prefixHigh) return high - prefixHigh;
  const low = words[node + NODE_PREFIX + 1]!;
  if (low !== prefixLow) return low - prefixLow;
  const nodeBytes = nodeKeyBytes(words, node);
  const keyBytes = keyEnd - keyStart;
  const shared = Math.min(nodeBytes, keyBytes);
  const start = nodeKeyStart(words, node);
  for (let i = 8; i < shared; i++) {
    const difference = bytes[start + i]! - key[keyStart + i]!;
    if (difference !== 0) return difference;
  }
  return nodeBytes - keyBytes;
}

/** Whether the node is that of (bucket, key). */
export function isNodeOf(
  words: Int32Array,
  bytes: Uint8Array,
  node: number,
  bucket: number,
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
): boolean {
  const keyBytes = keyEnd - keyStart;
  if (nodeKeyBytes(words, node) !== keyBytes || words[node + NODE_BUCKET]! !== (bucket | 0)) return false;
  const start = nodeKeyStart(words, node);
  for (let i = 0; i < keyBytes; i++) if (bytes[start + i]! !== key[keyStart + i]!) return false;
  return true;
}

/**
 * Order of a version against a stamp and origin in a chain: positive when it is newer and so stands before it,
 * zero when it is the very same write.
 */
export function compareVersionAge(
  words: Int32Array,
  version: number,
  stampHigh: number,
  stampLow: number,
  origin: number,
): number {
  const high = words[version + VERSION_STAMP]! >>> 0;
  if (high !== stampHigh) return high - stampHigh;
  const low = words[version + VERSION_STAMP + 1]! >>> 0;
  if (low !== stampLow) return low - stampLow;
  return (words[version + VERSION_ORIGIN]! & 0xffff) - origin;
}

export function versionExpiry(words: Int32Array, version: number): number {
  const high = words[version + VERSION_EXPIRY + 1]! >>> 0;
  const low = words[version + VERSION_EXPIRY]! >>> 0;
  return high === 0 ? low : high * TWO_32 + low;
}
