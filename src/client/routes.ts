/**
 * Which node leads the shard of a key, as far as is known: what nodes have told of leaders, and the seeds of buckets. It
 * need not be right: a node forwards what it does not lead.
 */
import { POINTS_PER_SHARD, TokenTable } from "../core/token-table.ts";
import type { Topology } from "../wire/binary-messages.ts";

/** A bucket that was dropped and created again has another seed. */
const SEED_AGE_MS_MAX = 60_000;
/** The most shards of which the ring is drawn: a quarter of a million points. */
const SHARDS_DRAWN_MAX = 4096;

interface KnownSeed {
  /** Null while it is being asked for. */
  seed: number | null;
  askedAt: number;
}

export class Routes {
  readonly #ask: (bucket: string) => Promise<number | null>;
  readonly #seeds = new Map<string, KnownSeed>();
  #topology: Topology | null = null;
  #tokens: TokenTable | null = null;

  /** `ask` finds the seed of a bucket; null: there is no such bucket, or it could not be learned. */
  constructor(ask: (bucket: string) => Promise<number | null>) {
    this.#ask = ask;
  }

  get topology(): Topology | null {
    return this.#topology;
  }

  learn(topology: Topology): void {
    this.#topology = topology;
    const { shardCount, pointsPerShard } = topology;
    // Another ring than ours, or one too large to be drawn in passing: any node will do.
    if (pointsPerShard !== POINTS_PER_SHARD || shardCount > SHARDS_DRAWN_MAX) this.#tokens = null;
    else if (this.#tokens?.shardCount !== shardCount) this.#tokens = new TokenTable(shardCount);
  }

  /** The name of the node that leads the key's shard; null: not known. Learns the bucket's seed for later. */
  leaderOf(bucket: string, key: Uint8Array): string | null {
    const shard = this.shardOf(bucket, key);
    return shard === null ? null : this.leaderOfShard(shard);
  }

  shardOf(bucket: string, key: Uint8Array): number | null {
    if (this.#tokens === null) return null;
    if (this.#tokens.shardCount === 1) return 0;
    const seed = this.#seedOf(bucket);
    return seed === null ? null : this.#tokens.shardOf(seed, key, 0, key.length);
  }

  leaderOfShard(shard: number): string | null {
    const place = this.#topology?.leaders[shard] ?? -1;
    return this.#topology?.members[place]?.name ?? null;
  }

  #seedOf(bucket: string): number | null {
    const now = performance.now();
    const known = this.#seeds.get(bucket);
    if (known !== undefined && now - known.askedAt < SEED_AGE_MS_MAX) return known.seed;
    const entry = known ?? { seed: null, askedAt: now };
    entry.askedAt = now;
    this.#seeds.set(bucket, entry);
    void this.#ask(bucket).then((seed) => {
      entry.seed = seed;
      if (seed === null) this.#seeds.delete(bucket);
    });
    return entry.seed;
  }
}
