/**
 * The walk over a memtable in internal-key order, all versions. It may run while the writer inserts: it then sees each
 * new version or does not, but never out of order. Views of key and value are made when asked for. Any thread.
 */
import { assert } from "../core/assert.ts";
import type { TwoWayCursor, VersionKind } from "../record/version.ts";
import {
  compareNode,
  HEAD,
  MAX_HEIGHT,
  NODE_BUCKET,
  NODE_PREFIX,
  NODE_TOWER,
  NODE_VERSIONS,
  nodeKeyBytes,
  nodeKeyStart,
  prefixWord,
  VERSION_OLDER,
  VERSION_ORIGIN,
  VERSION_STAMP,
  VERSION_VALUE,
  VERSION_VALUE_BYTES,
  versionExpiry,
} from "./memtable-format.ts";

export class MemtableCursor implements TwoWayCursor {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  #node = 0;
  #version = 0;
  /** The view of the key of `#keyNode`: merging cursors ask for it many times. */
  #key: Uint8Array;
  #keyNode = 0;

  constructor(words: Int32Array, bytes: Uint8Array) {
    this.#words = words;
    this.#bytes = bytes;
    this.#key = bytes.subarray(0, 0);
  }

  get valid(): boolean {
    return this.#version !== 0;
  }

  get bucket(): number {
    return this.#words[this.#node + NODE_BUCKET]! >>> 0;
  }

  get key(): Uint8Array {
    if (this.#keyNode !== this.#node) {
      const start = nodeKeyStart(this.#words, this.#node);
      this.#key = this.#bytes.subarray(start, start + nodeKeyBytes(this.#words, this.#node));
      this.#keyNode = this.#node;
    }
    return this.#key;
  }

  get stampHigh(): number {
    return this.#words[this.#version + VERSION_STAMP]! >>> 0;
  }

  get stampLow(): number {
    return this.#words[this.#version + VERSION_STAMP + 1]! >>> 0;
  }

  get origin(): number {
    return this.#words[this.#version + VERSION_ORIGIN]! & 0xffff;
  }

  get kind(): VersionKind {
    return (this.#words[this.#version + VERSION_ORIGIN]! >>> 16) as VersionKind;
  }

  get expiryMs(): number {
    return versionExpiry(this.#words, this.#version);
  }

  get value(): Uint8Array {
    const start = (this.#version + VERSION_VALUE) << 2;
    return this.#bytes.subarray(start, start + this.#words[this.#version + VERSION_VALUE_BYTES]!);
  }

  seek(bucket: number, key: Uint8Array): void {
    const high = prefixWord(key, 0, key.length);
    const low = prefixWord(key, 4, key.length);
    const last = this.#nodeBefore(bucket, high, low, key, 0, key.length);
    this.#enter(Atomics.load(this.#words, last + NODE_TOWER));
  }

  next(): void {
    assert(this.#version !== 0, "a cursor moves on from a version");
    const older = Atomics.load(this.#words, this.#version + VERSION_OLDER);
    if (older !== 0) this.#version = older;
    else this.#enter(Atomics.load(this.#words, this.#node + NODE_TOWER));
  }

  seekBefore(bucket: number, key: Uint8Array): void {
    const high = prefixWord(key, 0, key.length);
    const low = prefixWord(key, 4, key.length);
    this.#enterOldest(this.#nodeBefore(bucket, high, low, key, 0, key.length));
  }

  /** The list leads forward only, so that every step back to another key is a search for it. */
  previous(): void {
    assert(this.#version !== 0, "a cursor moves on from a version");
    const words = this.#words;
    const node = this.#node;
    let newer = Atomics.load(words, node + NODE_VERSIONS);
    if (newer !== this.#version) {
      for (let older = newer; older !== this.#version; older = Atomics.load(words, older + VERSION_OLDER))
        newer = older;
      this.#version = newer;
      return;
    }
    const start = nodeKeyStart(words, node);
    const end = start + nodeKeyBytes(words, node);
    const bucket = words[node + NODE_BUCKET]! >>> 0;
    const high = words[node + NODE_PREFIX]!;
    const low = words[node + NODE_PREFIX + 1]!;
    this.#enterOldest(this.#nodeBefore(bucket, high, low, this.#bytes, start, end));
  }

  /** The last node before (bucket, key), HEAD when there is none. */
  #nodeBefore(bucket: number, high: number, low: number, key: Uint8Array, keyStart: number, keyEnd: number): number {
    const words = this.#words;
    let last = HEAD;
    for (let level = MAX_HEIGHT - 1; level >= 0; level--) {
      let next = Atomics.load(words, last + NODE_TOWER + level);
      while (next !== 0 && compareNode(words, this.#bytes, next, bucket, high, low, key, keyStart, keyEnd) < 0) {
        last = next;
        next = Atomics.load(words, last + NODE_TOWER + level);
      }
    }
    return last;
  }

  #enterOldest(node: number): void {
    this.#enter(node === HEAD ? 0 : node);
    if (this.#version === 0) return;
    const words = this.#words;
    for (let older = this.#version; older !== 0; older = Atomics.load(words, older + VERSION_OLDER))
      this.#version = older;
  }

  #enter(node: number): void {
    this.#node = node;
    this.#version = node === 0 ? 0 : Atomics.load(this.#words, node + NODE_VERSIONS);
  }
}
