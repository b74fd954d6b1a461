/**
 * What a client asks for: mostly operations on few keys, so that clients meet. In bucket 0 even keys are counters and
 * odd ones registers; in the buckets that are emptied now and then all are registers. All may be deleted. Besides there are
 * in bucket 0
 *
 *   - registers whose values may expire: long ago, long hence, or soon, which the clocks decide
 *   - sets: a few keys with a common prefix that come and go, and pages of those that a shard has of them
 *   - several registers written at once, as by MSET, which promises no more than that each is written
 *   - pairs of keys, one of which gains what the other one loses, in transactions
 *
 * Some registers are written on condition that the version that was read before is still there. Every value is written once
 * and every increment of a key adds a bit of its own, so that what is read tells what took effect. A key is used so often
 * and then gives way to a new one: what is to be searched for an order stays short.
 */
import type { Random } from "../core/random.ts";
import { TokenTable } from "../core/token-table.ts";
import { utf8 } from "../core/bytes.ts";
import type { Call } from "./history.ts";
import type { KeyInput } from "./key-model.ts";
import { isPairInput } from "./pair-model.ts";

export interface WorkloadOptions {
  readonly keyCount: number;
  /** Bytes that pad some values, to fill memtables and segments. */
  readonly paddingBytes: number;
  readonly paddingChance: number;
  /** Buckets that are used, created and emptied besides bucket 0. */
  readonly otherBuckets: readonly string[];
  /** How often one of them is chosen. */
  readonly otherBucketChance: number;
  /** How often it is created or emptied then. */
  readonly adminChance: number;
  /** How often bucket 0 is used for values that expire, for sets, for several registers at once, for pairs. */
  readonly expiringChance: number;
  readonly setChance: number;
  readonly manyChance: number;
  readonly pairChance: number;
  readonly shardCount: number;
}

export type Wish =
  | { readonly kind: "operation"; readonly bucket: string; readonly key: string; readonly input: KeyInput }
  | { readonly kind: "create" | "renew"; readonly bucket: string };

const MAIN_BUCKET = "0";
const OTHER_KEY_COUNT = 2;
const CREATE_CHANCE = 0.3;
/** No more than there are bits in a counter. */
const USES_MAX = 50;
const EXPIRING_KEY_COUNT = 4;
const MEMBERS = ["a", "b", "c", "d", "e", "f"];
const MANY_MAX = 6;
const PAIR_COUNT = 2;
const GUARDS = [null, null, "absent", "present"] as const;
const EXPIRIES = ["long ago", "soon", "soon", "long hence"] as const;
/** The id of bucket 0, which decides on shards. */
const MAIN_BUCKET_ID = 1;

/** The keys that all clients of a run use at the time. */
export class KeySpace {
  readonly #uses = new Map<string, number>();

  /** The present key of this number, and how often it has been taken before. */
  take(bucket: string, number: number): { readonly key: string; readonly use: number } {
    const place = `${bucket}/${number}`;
    const uses = this.#uses.get(place) ?? 0;
    this.#uses.set(place, uses + 1);
    return { key: `k${number}.${Math.floor(uses / USES_MAX)}`, use: uses % USES_MAX };
  }
}

export class Workload {
  readonly #name: string;
  readonly #random: Random;
  readonly #keys: KeySpace;
  readonly #options: WorkloadOptions;
  readonly #tokens: TokenTable;
  #valueCount = 0;

  constructor(name: string, random: Random, keys: KeySpace, options: WorkloadOptions) {
    this.#name = name;
    this.#random = random;
    this.#keys = keys;
    this.#options = options;
    this.#tokens = new TokenTable(options.shardCount);
  }

  /** So many wishes for one connection, mostly on one or two keys. */
  burst(count: number): readonly Wish[] {
    const bucket = this.#chooseBucket();
    const isMain = bucket === MAIN_BUCKET;
    if (isMain) {
      const { expiringChance, setChance, manyChance, pairChance } = this.#options;
      const dice = this.#random.fraction();
      if (dice < expiringChance) return Array.from({ length: count }, () => this.#wishForExpiring());
      if (dice < expiringChance + setChance) return Array.from({ length: count }, () => this.#wishForSet());
      if (dice < expiringChance + setChance + manyChance) return this.#many();
      if (dice < expiringChance + setChance + manyChance + pairChance)
        return Array.from({ length: count }, () => this.#wishForPair());
    }
    if (!isMain && this.#random.chance(this.#options.adminChance)) {
      const isNamed = !/^\d+$/.test(bucket);
      return [{ kind: isNamed && this.#random.chance(CREATE_CHANCE) ? "create" : "renew", bucket }];
    }
    const keyCount = isMain ? this.#options.keyCount : OTHER_KEY_COUNT;
    const keys = [this.#random.below(keyCount), this.#random.below(keyCount)];
    return Array.from({ length: count }, () => {
      const number = keys[this.#random.below(keys.length)] ?? 0;
      const isCounter = isMain && number % 2 === 0;
      const { key, use } = this.#keys.take(bucket, number);
      return { kind: "operation", bucket, key, input: this.#chooseInput(isCounter ? 1n << BigInt(use) : null) };
    });
  }

  #wishForExpiring(): Wish {
    const { key } = this.#keys.take("expiring", this.#random.below(EXPIRING_KEY_COUNT));
    const dice = this.#random.below(10);
    const wish = { kind: "operation", bucket: MAIN_BUCKET, key: `x${key}` } as const;
    if (dice < 4) return { ...wish, input: { kind: "get" } };
    if (dice === 4) return { ...wish, input: { kind: "delete" } };
    const value = this.#newValue();
    if (dice === 5) return { ...wish, input: { kind: "set", value } };
    const expiry = EXPIRIES[this.#random.below(EXPIRIES.length)] ?? "soon";
    return { ...wish, input: { kind: "setExpiring", value, expiry } };
  }

  #wishForSet(): Wish {
    const prefix = `s${this.#keys.take("sets", 0).key}.`;
    const dice = this.#random.below(10);
    if (dice < 4) {
      const shard = this.#random.below(this.#options.shardCount);
      return {
        kind: "operation",
        bucket: MAIN_BUCKET,
        key: setName(prefix, shard),
        input: { kind: "list", prefix, shard },
      };
    }
    const member = prefix + (MEMBERS[this.#random.below(MEMBERS.length)] ?? "a");
    const shard = this.#tokens.shardOf(MAIN_BUCKET_ID, utf8(member), 0, member.length);
    const input: KeyInput = dice < 8 ? { kind: "add", member, value: this.#newValue() } : { kind: "remove", member };
    return { kind: "operation", bucket: MAIN_BUCKET, key: setName(prefix, shard), input };
  }

  #wishForPair(): Wish {
    const { key, use } = this.#keys.take("pairs", this.#random.below(PAIR_COUNT));
    const dice = this.#random.below(10);
    const guard = GUARDS[this.#random.below(GUARDS.length)] ?? null;
    const pair = { kind: "operation", bucket: MAIN_BUCKET, key: `p${key}` } as const;
    if (dice < 3) return { ...pair, input: { kind: "look" } };
    return { ...pair, input: dice === 3 ? { kind: "clear" } : { kind: "move", by: 1n << BigInt(use), guard } };
  }

  /** All at once, one for each of some registers. */
  #many(): readonly Wish[] {
    const registerCount = Math.max(1, Math.floor(this.#options.keyCount / 2));
    return Array.from({ length: Math.min(registerCount, this.#random.between(2, MANY_MAX)) }, (_, i) => {
      const { key } = this.#keys.take(MAIN_BUCKET, 2 * i + 1);
      return { kind: "operation", bucket: MAIN_BUCKET, key, input: { kind: "set", value: this.#newValue() } };
    });
  }

  #newValue(): string {
    return `${this.#name}.${++this.#valueCount}`;
  }

  #chooseBucket(): string {
    const { otherBuckets, otherBucketChance } = this.#options;
    if (otherBuckets.length === 0 || !this.#random.chance(otherBucketChance)) return MAIN_BUCKET;
    return otherBuckets[this.#random.below(otherBuckets.length)] ?? MAIN_BUCKET;
  }

  /** `bit`: of a counter, null for a register. */
  #chooseInput(bit: bigint | null): KeyInput {
    const dice = this.#random.below(10);
    if (dice < 4) return { kind: "get" };
    if (dice === 4) return { kind: "delete" };
    if (bit !== null) return { kind: "increment", by: bit };
    const value = this.#newValue();
    if (dice === 5) return { kind: "setIfAbsent", value };
    if (dice === 6) return { kind: "swap", value };
    const { paddingBytes, paddingChance } = this.#options;
    return { kind: "set", value: this.#random.chance(paddingChance) ? value.padEnd(paddingBytes, ".") : value };
  }
}

/** What a shard has of the keys with a prefix, as an object of a history. */
function setName(prefix: string, shard: number): string {
  return `${prefix}/${shard}`;
}

/** What reads an object of a history as it is at the end. */
export function finalRead(calls: readonly Call[]): KeyInput {
  if (calls.some(({ input }) => isPairInput(input))) return { kind: "look" };
  const set = calls.find(({ input }) => input.kind === "list" || input.kind === "add" || input.kind === "remove");
  if (set === undefined) return { kind: "get" };
  const slash = set.key.lastIndexOf("/");
  return { kind: "list", prefix: set.key.slice(0, slash), shard: Number(set.key.slice(slash + 1)) };
}
