/**
 * The keys of inserts that are about to come, and where in the skip list each of them will stand. A search waits for
 * memory at every step; the searches of many keys do not depend on each other, so they walk side by side, a step of each
 * in turn, and their waits pass in the time of one (Kocberber, Falsafi, Grot, "Asynchronous Memory Access Chaining",
 * 2015, keep the same overlap by hand). Steps are counted without branches, because a branch that has to be guessed
 * before its memory is there would put the walks back into a row.
 *
 * What is found stays true while nodes are only added: a node that stood before a key still does, though no longer next
 * to it perhaps. Keys are compared by bucket and first eight bytes alone; where these are equal a walk stops short of
 * the key, which is as true. The writer's thread only.
 */
import { HEAD, MAX_HEIGHT, NODE_BUCKET, NODE_PREFIX, NODE_TOWER, prefixWord } from "./memtable-format.ts";

/** So many keys walk side by side. */
export const KEYS_AHEAD_MAX = 64;

export class KeysAhead {
  count = 0;
  /** Length of the value that comes with the first key: those of a batch are much alike. */
  valueBytes = 0;
  readonly hashes = new Uint32Array(KEYS_AHEAD_MAX);
  readonly #buckets = new Uint32Array(KEYS_AHEAD_MAX);
  readonly #prefixesHigh = new Int32Array(KEYS_AHEAD_MAX);
  readonly #prefixesLow = new Int32Array(KEYS_AHEAD_MAX);
  /** For each level, the nodes before the keys. */
  readonly #paths = new Int32Array(MAX_HEIGHT * KEYS_AHEAD_MAX);
  readonly #nodes = new Int32Array(KEYS_AHEAD_MAX);
  /** The keys that walk at all, and those that still move on this level. */
  readonly #walking = new Uint8Array(KEYS_AHEAD_MAX);
  readonly #moving = new Uint8Array(KEYS_AHEAD_MAX);
  /** Keys up to here have been asked for. */
  #asked = 0;
  /** Levels that the walk saw; 0 when there was none. */
  #height = 0;

  clear(): void {
    this.count = 0;
    this.#height = 0;
    this.#asked = 0;
  }

  add(hash: number, bucket: number, bytes: Uint8Array, keyStart: number, keyEnd: number): void {
    const i = this.count;
    this.hashes[i] = hash;
    this.#buckets[i] = bucket;
    this.#prefixesHigh[i] = prefixWord(bytes, keyStart, keyEnd);
    this.#prefixesLow[i] = prefixWord(bytes, keyStart + 4, keyEnd);
    this.count = i + 1;
  }

  /** Walks to the places of the keys whose numbers are the first `count` of `which`. */
  walk(words: Int32Array, height: number, which: Uint8Array, count: number): void {
    this.#walking.set(which);
    this.#height = height;
    this.#nodes.fill(HEAD);
    for (let level = height - 1; level >= 0; level--) {
      this.#walkLevel(words, level, count);
      this.#paths.set(this.#nodes, level * KEYS_AHEAD_MAX);
    }
  }

  #walkLevel(words: Int32Array, level: number, count: number): void {
    const [buckets, highs, lows] = [this.#buckets, this.#prefixesHigh, this.#prefixesLow];
    const nodes = this.#nodes;
    const moving = this.#moving;
    const link = NODE_TOWER + level;
    moving.set(this.#walking);
    let left = count;
    while (left > 0) {
      let still = 0;
      for (let k = 0; k < left; k++) {
        const i = moving[k]!;
        const node = nodes[i]!;
        const next = words[node + link]!;
        // The words at 0 are unused, so that reading a node that is not there is harmless.
        const nodeBucket = words[next + NODE_BUCKET]! >>> 0;
        const high = words[next + NODE_PREFIX]!;
        const low = words[next + NODE_PREFIX + 1]!;
        const bucket = buckets[i]!;
        const isHighBefore = +(high < highs[i]!) | (+(high === highs[i]!) & +(low < lows[i]!));
        const isBefore = +(next !== 0) & (+(nodeBucket < bucket) | (+(nodeBucket === bucket) & isHighBefore));
        nodes[i] = node ^ ((node ^ next) & -isBefore);
        moving[still] = i;
        still += isBefore;
      }
      left = still;
    }
  }

  /**
   * Where the walk of a key ended, to be handed to `before`; −1 when this key did not walk. Keys are asked for in the
   * order in which they were added.
   */
  find(hash: number, bucket: number, prefixHigh: number, prefixLow: number): number {
    if (this.#height === 0) return -1;
    for (let i = this.#asked; i < this.count; i++) {
      if (this.hashes[i] !== hash) continue;
      this.#asked = i + 1;
      const isSame = this.#prefixesHigh[i] === prefixHigh && this.#prefixesLow[i] === prefixLow;
      return isSame && this.#buckets[i] === bucket ? i : -1;
    }
    return -1;
  }

  /** A node before the key, on some level. */
  before(key: number, level: number): number {
    return level < this.#height ? this.#paths[level * KEYS_AHEAD_MAX + key]! : HEAD;
  }
}
