/**
 * What a client asks for: mostly operations on few keys, so that clients meet. In bucket 0 even keys are counters and
 * odd ones registers; in the buckets that are emptied now and then all are registers. All may be deleted. Every value
 * is written once and every increment of a key adds a bit of its own, so that what is read tells what took effect. A
 * key is used so often and then gives way to a new one: what is to be searched for an order stays short.
 */
import type { Random } from "../core/random.ts";
import type { KeyInput } from "./key-model.ts";

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
}

export type Wish =
  | { readonly kind: "operation"; readonly bucket: string; readonly key: string; readonly input: KeyInput }
  | { readonly kind: "create" | "renew"; readonly bucket: string };

const MAIN_BUCKET = "0";
const OTHER_KEY_COUNT = 2;
const CREATE_CHANCE = 0.3;
/** No more than there are bits in a counter. */
const USES_MAX = 50;

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
  #valueCount = 0;

  constructor(name: string, random: Random, keys: KeySpace, options: WorkloadOptions) {
    this.#name = name;
    this.#random = random;
    this.#keys = keys;
    this.#options = options;
  }

  /** So many wishes for one connection, all on one or two keys. */
  burst(count: number): readonly Wish[] {
    const bucket = this.#chooseBucket();
    const isMain = bucket === MAIN_BUCKET;
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
    const value = `${this.#name}.${++this.#valueCount}`;
    if (dice === 5) return { kind: "setIfAbsent", value };
    const { paddingBytes, paddingChance } = this.#options;
    return { kind: "set", value: this.#random.chance(paddingChance) ? value.padEnd(paddingBytes, ".") : value };
  }
}
