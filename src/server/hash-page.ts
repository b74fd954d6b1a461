/**
 * Keys of one shard in the order of their hashes, a page at a time: those with the least hashes from a given one on. The
 * hash of a key never changes and is the same on every node, so the place between two pages is a number that needs no
 * memory, and a key that is there throughout is in exactly one page.
 *
 * Keys do not lie in this order, so a page costs a walk over the whole shard, in bounded steps (key-walk.ts); it holds
 * the more keys the larger the shard is, so that a scan costs no more than some dozens of walks. For scans that have
 * lost their place. Main thread only.
 */
import type { BucketRef, Coordinator } from "../cluster/coordinator.ts";
import { murmur3 } from "../core/murmur3.ts";
import type { PageResult } from "../record/result.ts";
import { KeyWalk } from "./key-walk.ts";
import type { Pace } from "./turn-shares.ts";

const HASH_SEED = 0x5ca17e5d;
const HASH_RANGE = 2 ** 32;
const PAGE_BYTES_MIN = 1024 * 1024;
/** A page may have this part of the bytes walked over. */
const PAGE_SHARE = 1 / 32;
/** What a key costs in a reply beside its bytes. */
const KEY_OVERHEAD_BYTES = 16;

interface Hashed {
  readonly hash: number;
  readonly key: Uint8Array;
}

/** The least hashes of what is added, by bytes; what is beyond `limit` is for a later page. */
export class LeastHashes {
  readonly #from: number;
  readonly #bytesMin: number;
  readonly #bytesMax: number;
  #kept: Hashed[] = [];
  #keptBytes = 0;
  #seenBytes = 0;
  /** Hashes below it are all here. */
  #limit = HASH_RANGE;

  constructor(from: number, bytesMax: number, bytesMin = PAGE_BYTES_MIN) {
    this.#from = from;
    this.#bytesMax = bytesMax;
    this.#bytesMin = bytesMin;
  }

  /** The key is kept: it must be nobody else's. */
  add(key: Uint8Array): void {
    const byteCount = key.length + KEY_OVERHEAD_BYTES;
    this.#seenBytes += byteCount;
    const hash = murmur3(key, 0, key.length, HASH_SEED);
    if (hash < this.#from || hash >= this.#limit) return;
    this.#kept.push({ hash, key });
    this.#keptBytes += byteCount;
    if (this.#keptBytes > this.#budget) this.#cut();
  }

  keys(): Uint8Array[] {
    return this.#kept.map(({ key }) => key);
  }

  /** Where the next page begins; null: there is none. */
  get next(): number | null {
    return this.#limit < HASH_RANGE ? this.#limit : null;
  }

  get #budget(): number {
    return Math.min(this.#bytesMax, Math.max(this.#bytesMin, this.#seenBytes * PAGE_SHARE));
  }

  /** Half of the budget stays, but keys of one hash stay together, and those of the least hash stay in any case. */
  #cut(): void {
    this.#kept.sort((a, b) => a.hash - b.hash);
    const least = this.#kept[0]?.hash ?? 0;
    let byteCount = 0;
    const beyond = this.#kept.find(({ hash, key }) => {
      byteCount += key.length + KEY_OVERHEAD_BYTES;
      return hash > least && byteCount > this.#budget / 2;
    });
    if (beyond === undefined) return;
    this.#limit = beyond.hash;
    this.#kept = this.#kept.filter(({ hash }) => hash < this.#limit);
    this.#keptBytes = this.#kept.reduce((sum, { key }) => sum + key.length + KEY_OVERHEAD_BYTES, 0);
  }
}

/** Calls `done` once: with the page, or with an error reply. */
export function hashPage(
  coordinator: Coordinator,
  bucket: BucketRef,
  shard: number,
  pattern: Uint8Array | null,
  hashes: LeastHashes,
  pace: Pace,
  done: (error: string | null) => void,
): void {
  const visitor = {
    onPage(page: PageResult): boolean {
      for (const key of page.keys) hashes.add(key.slice());
      return true;
    },
    onEnd: done,
  };
  new KeyWalk(coordinator, bucket, pattern, "keys", visitor, pace).start(shard, shard + 1);
}
