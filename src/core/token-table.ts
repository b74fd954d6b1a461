/**
 * Which shard owns a key. The token of a key is murmur3-32 over its bytes (or over its {tag}, as in Redis Cluster)
 * with the seed of its bucket, which is the bucket's first id: emptying the bucket moves no key to another shard. Tokens
 * are laid out on a ring on which every shard owns `POINTS_PER_SHARD` virtual nodes; a token belongs to the shard of the
 * first point at or behind it (Karger et al., "Consistent Hashing and Random Trees", 1997). The layout depends on the
 * number of shards alone, so every node and client draws the same one.
 *
 * Any thread, and the portable client; the look-up is on the hot path.
 */
import { assert } from "./assert.ts";
import { utf8 } from "./bytes.ts";
import { murmur3 } from "./murmur3.ts";

/** More points even out the shares: with 64 of them the largest shard is about a quarter above the mean. */
export const POINTS_PER_SHARD = 64;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

export class TokenTable {
  readonly shardCount: number;
  readonly #points: Uint32Array;
  readonly #owners: Uint16Array;

  constructor(shardCount: number) {
    assert(shardCount >= 1, "a cluster has at least one shard");
    this.shardCount = shardCount;
    const points: { token: number; shard: number }[] = [];
    for (let shard = 0; shard < shardCount; shard++) {
      for (let point = 0; point < POINTS_PER_SHARD; point++) {
        const name = utf8(`shard/${shard}/${point}`);
        points.push({ token: murmur3(name, 0, name.length, 0), shard });
      }
    }
    points.sort((a, b) => a.token - b.token || a.shard - b.shard);
    this.#points = Uint32Array.from(points, (point) => point.token);
    this.#owners = Uint16Array.from(points, (point) => point.shard);
  }

  /** The shard that owns a token. */
  ownerOf(token: number): number {
    const points = this.#points;
    let low = 0;
    let high = points.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (points[middle]! < token) low = middle + 1;
      else high = middle;
    }
    return this.#owners[low === points.length ? 0 : low]!;
  }

  /** The shard that owns a key of a bucket with this seed. */
  shardOf(seed: number, bytes: Uint8Array, start: number, end: number): number {
    if (this.shardCount === 1) return 0;
    let open = start;
    while (open < end && bytes[open] !== OPEN_BRACE) open++;
    if (open < end) {
      let close = open + 1;
      while (close < end && bytes[close] !== CLOSE_BRACE) close++;
      if (close < end && close > open + 1) return this.ownerOf(murmur3(bytes, open + 1, close, seed));
    }
    return this.ownerOf(murmur3(bytes, start, end, seed));
  }
}
