/**
 * Where in the skip list nodes will stand that are not in it yet. A search waits for memory at every step; the searches
 * of many nodes do not depend on each other, so they walk side by side, a step of each in turn, and their waits pass in
 * the time of one (Kocberber, Falsafi, Grot, "Asynchronous Memory Access Chaining", 2015, keep the same overlap by
 * hand). Steps are counted without branches, because a branch that has to be guessed before its memory is there would put
 * the walks back into a row.
 *
 * The walkers are taken in the order of their keys. On the upper levels, which have few nodes and lie in the caches, a
 * walker goes on from where the one before it stopped, if both came from the same node.
 *
 * What is found stays true while nodes are only added: a node that stood before a key still does, though no longer next
 * to it perhaps. Keys are compared by bucket and first eight bytes alone; where these are equal a walk stops short of
 * the key, which is as true. The writer's thread only.
 */
import { HEAD, MAX_HEIGHT, NODE_BUCKET, NODE_PREFIX, NODE_TOWER } from "./memtable-format.ts";

/** So many nodes walk side by side. */
export const WALKING_NODES_MAX = 256;
/** One node in four of a level stands on the next one up, too. */
const LEVEL_BITS = 2;
/** A level with so many nodes for each walker is gone through side by side. */
const WIDE_LEVEL_NODES = 4;

export class NodeWalk {
  readonly #buckets = new Uint32Array(WALKING_NODES_MAX);
  readonly #prefixesHigh = new Int32Array(WALKING_NODES_MAX);
  readonly #prefixesLow = new Int32Array(WALKING_NODES_MAX);
  /** For each level, the nodes before. */
  readonly #paths = new Int32Array(MAX_HEIGHT * WALKING_NODES_MAX);
  readonly #reached = new Int32Array(WALKING_NODES_MAX);
  /** The walkers in the order of their keys. */
  readonly #order = new Uint8Array(WALKING_NODES_MAX);
  /** Those that still move on this level. */
  readonly #moving = new Uint8Array(WALKING_NODES_MAX);
  /** Levels that the walk saw. */
  #height = 0;

  /** Walks to the places of the first `count` of `nodes` in a list of this height and about so many nodes. */
  walk(words: Int32Array, height: number, listCount: number, nodes: Int32Array, count: number): void {
    for (let i = 0; i < count; i++) {
      const node = nodes[i]!;
      this.#buckets[i] = words[node + NODE_BUCKET]!;
      this.#prefixesHigh[i] = words[node + NODE_PREFIX]!;
      this.#prefixesLow[i] = words[node + NODE_PREFIX + 1]!;
    }
    this.#sort(count);
    this.#height = height;
    this.#reached.fill(HEAD);
    for (let level = height - 1; level >= 0; level--) {
      if (listCount >>> (level * LEVEL_BITS) < count * WIDE_LEVEL_NODES) this.#sweepLevel(words, level, count);
      else this.#walkLevel(words, level, count);
      this.#paths.set(this.#reached, level * WALKING_NODES_MAX);
    }
  }

  #sort(count: number): void {
    const order = this.#order;
    for (let i = 0; i < count; i++) {
      let low = 0;
      for (let high = i; low < high; ) {
        const middle = (low + high) >>> 1;
        if (this.#isBefore(order[middle]!, i)) low = middle + 1;
        else high = middle;
      }
      order.copyWithin(low + 1, low, i);
      order[low] = i;
    }
  }

  #isBefore(i: number, j: number): boolean {
    const difference = this.#buckets[i]! - this.#buckets[j]!;
    if (difference !== 0) return difference < 0;
    const high = this.#prefixesHigh[i]! - this.#prefixesHigh[j]!;
    return high !== 0 ? high < 0 : this.#prefixesLow[i]! < this.#prefixesLow[j]!;
  }

  #sweepLevel(words: Int32Array, level: number, count: number): void {
    const [buckets, highs, lows] = [this.#buckets, this.#prefixesHigh, this.#prefixesLow];
    const reached = this.#reached;
    const link = NODE_TOWER + level;
    let start = HEAD;
    let end = HEAD;
    for (let k = 0; k < count; k++) {
      const i = this.#order[k]!;
      if (reached[i] !== start) {
        start = reached[i]!;
        end = start;
      }
      for (let next = words[end + link]!; next !== 0; next = words[end + link]!) {
        const bucket = words[next + NODE_BUCKET]! >>> 0;
        if (bucket > buckets[i]!) break;
        if (bucket === buckets[i]!) {
          const high = words[next + NODE_PREFIX]!;
          if (high > highs[i]! || (high === highs[i]! && words[next + NODE_PREFIX + 1]! >= lows[i]!)) break;
        }
        end = next;
      }
      reached[i] = end;
    }
  }

  #walkLevel(words: Int32Array, level: number, count: number): void {
    const [buckets, highs, lows] = [this.#buckets, this.#prefixesHigh, this.#prefixesLow];
    const reached = this.#reached;
    const moving = this.#moving;
    const link = NODE_TOWER + level;
    moving.set(this.#order);
    let left = count;
    while (left > 0) {
      let still = 0;
      for (let k = 0; k < left; k++) {
        const i = moving[k]!;
        const node = reached[i]!;
        const next = words[node + link]!;
        // The words at 0 are unused, so that reading a node that is not there is harmless.
        const nodeBucket = words[next + NODE_BUCKET]! >>> 0;
        const high = words[next + NODE_PREFIX]!;
        const low = words[next + NODE_PREFIX + 1]!;
        const bucket = buckets[i]!;
        const isHighBefore = +(high < highs[i]!) | (+(high === highs[i]!) & +(low < lows[i]!));
        const isBefore = +(next !== 0) & (+(nodeBucket < bucket) | (+(nodeBucket === bucket) & isHighBefore));
        reached[i] = node ^ ((node ^ next) & -isBefore);
        moving[still] = i;
        still += isBefore;
      }
      left = still;
    }
  }

  /** A node before the i-th, on some level. */
  before(i: number, level: number): number {
    return level < this.#height ? this.#paths[level * WALKING_NODES_MAX + i]! : HEAD;
  }
}
