/**
 * The writer's hand on the skip list (Pugh, "Skip Lists: A Probabilistic Alternative to Balanced Trees", 1990). New nodes
 * wait outside the list until there are enough of them to look for their places together (node-walk.ts), or until `link`
 * is called, because somebody is about to walk. A node enters the list level by level, the lowest first, each by one
 * store, so that readers without a lock find it or do not. The writer's thread only.
 */
import {
  compareNode,
  HEAD,
  MAX_HEIGHT,
  NODE_BUCKET,
  NODE_PREFIX,
  NODE_SHAPE,
  NODE_TOWER,
  nodeKeyBytes,
  nodeKeyStart,
} from "./memtable-format.ts";
import { NodeWalk, WALKING_NODES_MAX } from "./node-walk.ts";

export class NodeList {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  /** Levels that have nodes. */
  #height = 1;
  #linkedCount = 0;
  /** Nodes that are not in the list yet, in the order of their coming. */
  readonly #waiting = new Int32Array(WALKING_NODES_MAX);
  #waitingCount = 0;
  readonly #walk = new NodeWalk();
  /** For each level the last node before the one being placed; kept, since keys often come in order. */
  readonly #before = new Int32Array(MAX_HEIGHT).fill(HEAD);
  /** Whether the node linked last stands right behind the one before it. */
  #isInOrder = false;

  /** The arena, as words and as bytes. */
  constructor(words: Int32Array, bytes: Uint8Array) {
    this.#words = words;
    this.#bytes = bytes;
  }

  /** The arena has been emptied. */
  reset(): void {
    this.#height = 1;
    this.#linkedCount = 0;
    this.#waitingCount = 0;
    this.#before.fill(HEAD);
    this.#isInOrder = false;
  }

  /** Takes a node that is written whole, its tower empty. */
  add(node: number): void {
    this.#waiting[this.#waitingCount++] = node;
    if (this.#waitingCount === WALKING_NODES_MAX) this.link();
  }

  /** Puts the nodes that wait into the list. */
  link(): void {
    const count = this.#waitingCount;
    this.#waitingCount = 0;
    // Keys that come in order need no search.
    const isWalked = count > 1 && !this.#isInOrder;
    if (isWalked) this.#walk.walk(this.#words, this.#height, this.#linkedCount, this.#waiting, count);
    for (let i = 0; i < count; i++) this.#link(this.#waiting[i]!, isWalked ? i : -1);
    this.#linkedCount += count;
  }

  /** Finds the node's place in the list and publishes it there, level 0 first. `walked`: its number in the walk, or −1. */
  #link(node: number, walked: number): void {
    const words = this.#words;
    const before = this.#before;
    const height = words[node + NODE_SHAPE]! >>> 24;
    if (height > this.#height) this.#height = height;
    this.#isInOrder = this.#follows(node);
    if (!this.#isInOrder) this.#search(node, walked);
    for (let level = 0; level < height; level++) {
      const link = before[level]! + NODE_TOWER + level;
      words[node + NODE_TOWER + level] = words[link]!;
      Atomics.store(words, link, node);
      before[level] = node;
    }
  }

  /** Whether the place behind the node linked last is the right one: then `#before` holds as it is. */
  #follows(node: number): boolean {
    const last = this.#before[0]!;
    if (last === HEAD || this.#compare(last, node) >= 0) return false;
    const next = this.#words[last + NODE_TOWER]!;
    return next === 0 || this.#compare(next, node) > 0;
  }

  #search(node: number, walked: number): void {
    const words = this.#words;
    const bytes = this.#bytes;
    const bucket = words[node + NODE_BUCKET]! >>> 0;
    const high = words[node + NODE_PREFIX]!;
    const low = words[node + NODE_PREFIX + 1]!;
    const start = nodeKeyStart(words, node);
    const end = start + nodeKeyBytes(words, node);
    let last = HEAD;
    let passed = 0;
    // Until it has gone beyond what the walk has found, each level begins there.
    let isBeyond = walked < 0;
    for (let level = this.#height - 1; level >= 0; level--) {
      if (!isBeyond) last = this.#walk.before(walked, level);
      const first = last;
      let next = words[last + NODE_TOWER + level]!;
      // A node found to be behind the key on one level need not be compared again on the next.
      while (next !== 0 && next !== passed) {
        if (compareNode(words, bytes, next, bucket, high, low, bytes, start, end) > 0) {
          passed = next;
          break;
        }
        last = next;
        next = words[last + NODE_TOWER + level]!;
      }
      if (last !== first) isBeyond = true;
      this.#before[level] = last;
    }
  }

  /** Negative when the key of `node` stands before that of `other`. */
  #compare(node: number, other: number): number {
    const words = this.#words;
    const bytes = this.#bytes;
    const start = nodeKeyStart(words, other);
    const end = start + nodeKeyBytes(words, other);
    const bucket = words[other + NODE_BUCKET]! >>> 0;
    const high = words[other + NODE_PREFIX]!;
    const low = words[other + NODE_PREFIX + 1]!;
    return compareNode(words, bytes, node, bucket, high, low, bytes, start, end);
  }
}
