/**
 * The reading side of a memtable: one arena, as any thread may look at it while another writes. What a reader may rely
 * on stands in memtable-format.ts, and until when in memtable-set.ts.
 */
import { type TwoWayCursor, VersionKind } from "../record/version.ts";
import { MemtableCursor } from "./memtable-cursor.ts";
import {
  type ArenaShape,
  arenaShape,
  compareVersionAge,
  DIRECTORY,
  isNodeOf,
  NODE_VERSIONS,
  VERSION_OLDER,
  VERSION_ORIGIN,
  VERSION_STAMP,
  VERSION_VALUE,
  VERSION_VALUE_BYTES,
  versionExpiry,
} from "./memtable-format.ts";

/** Far enough into a node to be on its key's cache line; a node and its first version are longer. */
const WARM_WORDS = 10;
/** Words of a cache line. */
const LINE_WORDS = 16;
const ORIGIN_MAX = 0xffff;

/** A reader of an arena. After a `find` that returned true its fields describe the key's newest version. */
export class MemtableReader {
  stampHigh = 0;
  stampLow = 0;
  origin = 0;
  kind: VersionKind = VersionKind.tombstone;
  /** Milliseconds since 1970, 0: never. */
  expiryMs = 0;
  /** The arena. The value lies at [valueStart, valueEnd); it stays there as long as the arena is not reset. */
  readonly valueBytes: Uint8Array;
  valueStart = 0;
  valueEnd = 0;
  readonly #words: Int32Array;
  readonly #shape: ArenaShape;
  readonly #warmth = new Int32Array(1);

  constructor(arena: SharedArrayBuffer) {
    this.#words = new Int32Array(arena, 0, arena.byteLength >>> 2);
    this.valueBytes = new Uint8Array(arena);
    this.#shape = arenaShape(arena.byteLength);
  }

  /** Looks for the newest version of a key; `keyHash` as given at the insert. */
  find(bucket: number, key: Uint8Array, keyStart: number, keyEnd: number, keyHash: number): boolean {
    const node = this.#nodeOf(bucket, key, keyStart, keyEnd, keyHash);
    if (node === 0) return false;
    this.#take(Atomics.load(this.#words, node + NODE_VERSIONS));
    return true;
  }

  /** The same for the newest version not above the stamp, of those that are kept. For the thread that writes. */
  findAsOf(
    bucket: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    keyHash: number,
    stampHigh: number,
    stampLow: number,
  ): boolean {
    const words = this.#words;
    const node = this.#nodeOf(bucket, key, keyStart, keyEnd, keyHash);
    let version = node === 0 ? 0 : words[node + NODE_VERSIONS]!;
    while (version !== 0 && compareVersionAge(words, version, stampHigh, stampLow, ORIGIN_MAX) > 0) {
      version = words[version + VERSION_OLDER]!;
    }
    if (version === 0) return false;
    this.#take(version);
    return true;
  }

  #nodeOf(bucket: number, key: Uint8Array, keyStart: number, keyEnd: number, keyHash: number): number {
    const words = this.#words;
    const { slotMask, nodeMask } = this.#shape;
    const tag = keyHash & ~nodeMask;
    for (let index = keyHash & slotMask; ; index = (index + 1) & slotMask) {
      const slot = Atomics.load(words, DIRECTORY + index);
      if (slot === 0) return 0;
      if ((slot & ~nodeMask) !== tag) continue;
      const node = (slot & nodeMask) << 1;
      if (isNodeOf(words, this.valueBytes, node, bucket, key, keyStart, keyEnd)) return node;
    }
  }

  /**
   * Looks at what finds under these hashes are going to look at; see MemtableWriter.warm. `nodes` is scratch for `count`
   * numbers.
   */
  warm(hashes: Uint32Array, count: number, nodes: Int32Array): void {
    const words = this.#words;
    const { slotMask, nodeMask, wordCount } = this.#shape;
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const hash = hashes[i]!;
      const slot = words[DIRECTORY + (hash & slotMask)]!;
      nodes[i] = ((slot ^ hash) & ~nodeMask) === 0 ? (slot & nodeMask) << 1 : 0;
    }
    for (let i = 0; i < count; i++) {
      const node = nodes[i]!;
      nodes[i] = words[node + NODE_VERSIONS]!;
      sum ^= words[node + WARM_WORDS]!;
    }
    for (let i = 0; i < count; i++) {
      const version = nodes[i]!;
      sum ^= words[version]! ^ words[Math.min(version + LINE_WORDS, wordCount - 1)]!;
      sum ^= words[Math.min(version + 2 * LINE_WORDS - 1, wordCount - 1)]!;
    }
    this.#warmth[0] = sum;
  }

  /** A walk over all versions in internal-key order, before the first until `seek`. */
  cursor(): TwoWayCursor {
    return new MemtableCursor(this.#words, this.valueBytes);
  }

  #take(version: number): void {
    const words = this.#words;
    this.stampHigh = words[version + VERSION_STAMP]! >>> 0;
    this.stampLow = words[version + VERSION_STAMP + 1]! >>> 0;
    const origin = words[version + VERSION_ORIGIN]!;
    this.origin = origin & 0xffff;
    this.kind = (origin >>> 16) as VersionKind;
    this.expiryMs = versionExpiry(words, version);
    this.valueStart = (version + VERSION_VALUE) << 2;
    this.valueEnd = this.valueStart + words[version + VERSION_VALUE_BYTES]!;
  }
}
