/**
 * The writing side of a memtable (the reading one is memtable-reader.ts). Keys stand in a skip list (Pugh, "Skip Lists: A
 * Probabilistic Alternative to Balanced Trees", 1990) in internal-key order, each with a chain of its versions, newest
 * first; a hash directory beside it finds a key without walking the list, so a look-up and an overwrite cost one probe and
 * only a new key pays for its place in the order (node-list.ts), though not at once. The bytes are drawn in
 * memtable-format.ts.
 *
 * One thread writes, any thread reads without a lock. A reader sees a version wholly or not at all, a key's newest
 * version never goes back, and a walk is in order whatever is being inserted, and sees every version that was there at
 * the last `link`.
 *
 * Heights come from a xorshift generator (Marsaglia, "Xorshift RNGs", 2003) with a fixed seed: the same inserts give
 * the same arena, byte for byte.
 */
import { assert } from "../core/assert.ts";
import { copyBytes } from "../core/copy-bytes.ts";
import { compareStamps, type Stamp } from "../core/stamp.ts";
import { KEY_BYTES_LIMIT } from "../record/command-format.ts";
import type { VersionKind } from "../record/version.ts";
import type { KeysAhead } from "./keys-ahead.ts";
import {
  type ArenaShape,
  arenaShape,
  compareVersionAge,
  DIRECTORY,
  isNodeOf,
  MAX_HEIGHT,
  NODE_ALONE,
  NODE_BUCKET,
  NODE_PREFIX,
  NODE_SHAPE,
  NODE_TOWER,
  NODE_VERSIONS,
  prefixWord,
  VERSION_EXPIRY,
  VERSION_OLDER,
  VERSION_ORIGIN,
  VERSION_STAMP,
  VERSION_VALUE,
  VERSION_VALUE_BYTES,
} from "./memtable-format.ts";
import { NodeList } from "./node-list.ts";
import { VersionBlocks } from "./version-blocks.ts";

const HEIGHT_SEED = 0x9e37_79b9;
const TWO_32 = 0x1_0000_0000;
/** Far enough into a node to be on its key's cache line; a node and its first version are longer. */
const WARM_WORDS = 10;

/** The one writer of an arena. The arena is fresh (all zeros) or `reset` is called first. */
export class MemtableWriter {
  /** Versions inserted since the reset. */
  entryCount = 0;
  /** User keys among them. */
  keyCount = 0;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #shape: ArenaShape;
  readonly #keyCountMax: number;
  /** The next free word. */
  #end: number;
  #random = HEIGHT_SEED;
  readonly #list: NodeList;
  #newestHigh = 0;
  #newestLow = 0;
  /** Keeps the loads of `warm` from being optimized away. */
  readonly #warmth = new Int32Array(1);
  /** The newest stamp at which somebody reads besides the present; zero: nobody does. */
  #keepHigh = 0;
  #keepLow = 0;
  /** Null: overwritten versions stay where they are. */
  readonly #blocks: VersionBlocks | null;

  /** `overwritten`: whether older versions of a key stay readable, or their space is used again. */
  constructor(arena: SharedArrayBuffer, overwritten: "keep" | "reuse") {
    this.#blocks = overwritten === "reuse" ? new VersionBlocks() : null;
    this.#words = new Int32Array(arena, 0, arena.byteLength >>> 2);
    this.#bytes = new Uint8Array(arena);
    this.#list = new NodeList(this.#words, this.#bytes);
    this.#shape = arenaShape(arena.byteLength);
    this.#keyCountMax = this.#shape.slotMask - (this.#shape.slotMask >>> 3);
    this.#end = this.#shape.firstWord;
  }

  /** Empties the arena. The caller knows that nobody reads it any more. */
  reset(): void {
    this.#words.fill(0, 0, this.#shape.firstWord);
    this.#end = this.#shape.firstWord;
    this.entryCount = 0;
    this.keyCount = 0;
    this.#random = HEIGHT_SEED;
    this.#list.reset();
    this.#blocks?.reset();
    this.#newestHigh = 0;
    this.#newestLow = 0;
  }

  /** Main's current turn (SharedState.readerTurn): what it can no longer be reading may be written again. */
  observe(readerTurn: number): void {
    this.#blocks?.observe(readerTurn);
  }

  /**
   * From now on an overwritten version at or below the stamp is kept, with those behind it, because somebody may read it;
   * the zero stamp keeps none. What was kept and is not needed any more goes when its key is next overwritten.
   */
  keepThrough(stamp: Stamp): void {
    this.#keepHigh = stamp.high;
    this.#keepLow = stamp.low;
  }

  /** The largest stamp inserted since the reset. */
  get newestStamp(): Stamp {
    return { high: this.#newestHigh, low: this.#newestLow };
  }

  /** Bytes taken by nodes and versions. */
  get bytesUsed(): number {
    return (this.#end - this.#shape.firstWord) << 2;
  }

  /** Bytes there are for nodes and versions. */
  get bytesMax(): number {
    return (this.#shape.wordCount - this.#shape.firstWord) << 2;
  }

  /**
   * Inserts one version and publishes it. `keyHash` is the token of (bucket, key), the same on every call and for
   * every reader. The same stamp and origin again changes nothing. False: the arena has no room, nothing happened.
   */
  insert(
    bucket: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    keyHash: number,
    stampHigh: number,
    stampLow: number,
    origin: number,
    kind: VersionKind,
    expiryMs: number,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): boolean {
    const words = this.#words;
    const versionSize = versionWords(valueEnd - valueStart);
    const slot = this.#probe(bucket, key, keyStart, keyEnd, keyHash);
    const known = (words[slot]! & this.#shape.nodeMask) << 1;
    if (known !== 0) {
      const link = this.#placeInChain(known, stampHigh, stampLow, origin);
      if (link < 0) return true;
      const version = this.#allocate(versionSize);
      if (version === 0) return false;
      const replaced = words[link]!;
      const isNewest = link === known + NODE_VERSIONS;
      const isOverwrite = isNewest && this.#blocks !== null && !this.#isKept(replaced);
      // Versions behind the overwritten one stay only for readers of the past.
      const keepsRest = isOverwrite && (this.#keepHigh | this.#keepLow) !== 0;
      const older = !isOverwrite ? replaced : keepsRest ? words[replaced + VERSION_OLDER]! : 0;
      this.#write(version, older, stampHigh, stampLow, origin, kind, expiryMs, value, valueStart, valueEnd);
      Atomics.store(words, link, version);
      // An overwritten version is out of reach now for everyone who is not looking at it already.
      if (keepsRest) this.#blocks?.retire(replaced, versionWords(words[replaced + VERSION_VALUE_BYTES]!));
      else if (isOverwrite) this.#retire(replaced, words[known + NODE_ALONE]!);
      words[known + NODE_ALONE] = isNewest && older === 0 ? versionSize : 0;
      return true;
    }
    const node = this.#newNode(bucket, key, keyStart, keyEnd, valueEnd - valueStart);
    const version = node === 0 ? 0 : this.#allocate(versionSize);
    if (version === 0) return false;
    this.#write(version, 0, stampHigh, stampLow, origin, kind, expiryMs, value, valueStart, valueEnd);
    words[node + NODE_VERSIONS] = version;
    words[node + NODE_ALONE] = versionSize;
    Atomics.store(words, slot, (keyHash & ~this.#shape.nodeMask) | (node >>> 1));
    this.keyCount += 1;
    this.#list.add(node);
    return true;
  }

  /** Puts the nodes that are not yet in the list into it: to be called before somebody walks. */
  link(): void {
    this.#list.link();
  }

  /**
   * Looks at what the inserts of these keys are going to look at. One insert waits for memory again and again; many of
   * these waits, which do not depend on each other, pass in the time of one.
   */
  warm(keys: KeysAhead): void {
    const words = this.#words;
    const { slotMask, nodeMask } = this.#shape;
    const { hashes, count } = keys;
    let sum = 0;
    for (let i = 0; i < count; i++) sum ^= words[DIRECTORY + (hashes[i]! & slotMask)]!;
    for (let i = 0; i < count; i++) {
      const node = (words[DIRECTORY + (hashes[i]! & slotMask)]! & nodeMask) << 1;
      sum ^= words[node]! ^ words[node + WARM_WORDS]!;
    }
    if (this.#blocks !== null) sum ^= this.#blocks.warm(words, versionWords(keys.valueBytes), count);
    this.#warmth[0] = sum;
  }

  /** The slot that holds the key's node, or the empty one where it would go. */
  #probe(bucket: number, key: Uint8Array, keyStart: number, keyEnd: number, keyHash: number): number {
    const words = this.#words;
    const { slotMask, nodeMask } = this.#shape;
    const tag = keyHash & ~nodeMask;
    for (let index = keyHash & slotMask; ; index = (index + 1) & slotMask) {
      const slot = words[DIRECTORY + index]!;
      if (slot === 0) return DIRECTORY + index;
      if ((slot & ~nodeMask) !== tag) continue;
      if (isNodeOf(words, this.#bytes, (slot & nodeMask) << 1, bucket, key, keyStart, keyEnd)) return DIRECTORY + index;
    }
  }

  /** Whether somebody reads at the version's stamp or later, but not at the present. */
  #isKept(version: number): boolean {
    if ((this.#keepHigh | this.#keepLow) === 0) return false;
    const high = this.#words[version + VERSION_STAMP]! >>> 0;
    const low = this.#words[version + VERSION_STAMP + 1]! >>> 0;
    return compareStamps(high, low, this.#keepHigh, this.#keepLow) <= 0;
  }

  /** The word that shall lead to a version of this age, the newest almost always; −1 when the chain has it already. */
  #placeInChain(node: number, stampHigh: number, stampLow: number, origin: number): number {
    const words = this.#words;
    let link = node + NODE_VERSIONS;
    // Stamps rise along a shard's log, so that the old version need not even be looked at.
    if (stampHigh > this.#newestHigh || (stampHigh === this.#newestHigh && stampLow > this.#newestLow)) return link;
    for (let older = words[link]!; older !== 0; older = words[link]!) {
      const age = compareVersionAge(words, older, stampHigh, stampLow, origin);
      if (age === 0) return -1;
      if (age < 0) break;
      link = older + VERSION_OLDER;
    }
    return link;
  }

  /** Writes a node, unlinked and without versions; 0 when it and its first version do not fit. */
  #newNode(bucket: number, key: Uint8Array, keyStart: number, keyEnd: number, valueBytes: number): number {
    const keyBytes = keyEnd - keyStart;
    assert(keyBytes <= KEY_BYTES_LIMIT, "a key is within the record format's limit");
    const words = this.#words;
    const node = (this.#end + 1) & ~1;
    const height = this.#drawHeight();
    const keyWord = node + NODE_TOWER + height;
    const end = keyWord + ((keyBytes + 3) >>> 2);
    if (end + versionWords(valueBytes) > this.#shape.wordCount || this.keyCount >= this.#keyCountMax) return 0;
    words[node + NODE_BUCKET] = bucket;
    words[node + NODE_PREFIX] = prefixWord(key, keyStart, keyEnd);
    words[node + NODE_PREFIX + 1] = prefixWord(key, keyStart + 4, keyEnd);
    words[node + NODE_SHAPE] = keyBytes | (height << 24);
    copyBytes(key, keyStart, keyEnd, this.#bytes, keyWord << 2);
    this.#end = end;
    return node;
  }

  /** Room for a version, or 0. */
  #allocate(words: number): number {
    const again = this.#blocks === null ? 0 : this.#blocks.take(words);
    if (again !== 0) return again;
    const block = this.#end;
    if (block + words > this.#shape.wordCount) return 0;
    this.#end = block + words;
    return block;
  }

  /** Gives back a version and those behind it. `alone`: its words, if nothing is behind it. */
  #retire(version: number, alone: number): void {
    if (alone !== 0) {
      this.#blocks?.retire(version, alone);
      return;
    }
    const words = this.#words;
    for (let block = version; block !== 0; block = words[block + VERSION_OLDER]!) {
      this.#blocks?.retire(block, versionWords(words[block + VERSION_VALUE_BYTES]!));
    }
  }

  /** Writes a version that nothing leads to yet. */
  #write(
    version: number,
    older: number,
    stampHigh: number,
    stampLow: number,
    origin: number,
    kind: VersionKind,
    expiryMs: number,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): void {
    const words = this.#words;
    words[version + VERSION_OLDER] = older;
    words[version + VERSION_STAMP] = stampHigh;
    words[version + VERSION_STAMP + 1] = stampLow;
    words[version + VERSION_ORIGIN] = origin | (kind << 16);
    words[version + VERSION_EXPIRY] = expiryMs === 0 ? 0 : expiryMs % TWO_32;
    words[version + VERSION_EXPIRY + 1] = expiryMs === 0 ? 0 : expiryMs / TWO_32;
    words[version + VERSION_VALUE_BYTES] = valueEnd - valueStart;
    copyBytes(value, valueStart, valueEnd, this.#bytes, (version + VERSION_VALUE) << 2);
    this.entryCount += 1;
    if (stampHigh < this.#newestHigh || (stampHigh === this.#newestHigh && stampLow < this.#newestLow)) return;
    this.#newestHigh = stampHigh;
    this.#newestLow = stampLow;
  }

  /** 1 with probability 3/4, 2 with 3/16, … */
  #drawHeight(): number {
    let random = this.#random;
    random ^= random << 13;
    random ^= random >>> 17;
    random ^= random << 5;
    this.#random = random;
    const height = 1 + (Math.clz32(random) >>> 1);
    return Math.min(height, MAX_HEIGHT);
  }
}

function versionWords(valueBytes: number): number {
  return VERSION_VALUE + ((valueBytes + 3) >>> 2);
}
