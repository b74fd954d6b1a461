/**
 * This node's view of the buckets: names to ids, learned from the system bucket of shard 0 as it is applied here. The
 * view may be behind; whoever needs certainty reads shard 0 linearizably and tells the catalog what it found. Ids are
 * never reused, and a larger id for a name is always the newer one, so news may come in any order. Main thread only.
 *
 * The sixteen numbered databases ("0" to "15") exist from the start under ids 1 to 16 and can be emptied, not dropped.
 *
 * A name has one ref, which everybody holds who means that name, and which is told of its bucket when there is one. Clients
 * can ask for any name, so refs of names without a bucket are kept only as long as somebody holds them.
 */
import { decode } from "@msgpack/msgpack";
import type { SystemChange } from "../bridge/shard-protocol.ts";
import { text, utf8 } from "../core/bytes.ts";
import { NO_QUOTA, quotaOf } from "./bucket-quota.ts";
import type { BucketInfo, BucketQuota, BucketRef } from "./coordinator.ts";

export const BUCKET_PREFIX = "bucket/";
export const PENDING_PREFIX = "pending/";
const NUMBERED_BUCKETS = 16;

interface MutableRef extends BucketRef {
  id: number;
  seed: number;
  durability: number;
  quota: BucketQuota;
  revision: number;
}

/** What the catalog says of a bucket; a profile holds what was chosen for it. */
interface BucketEntry {
  readonly id: number;
  /** Absent: the id. */
  readonly seed?: number;
  readonly profile?: Profile;
  /** Counts alterations of the profile. */
  readonly revision?: number;
}

interface Profile {
  readonly durability?: number;
  readonly quotaBytes?: number;
  readonly quotaKeys?: number;
  readonly rate?: number;
}

export class Catalog {
  /** Of live buckets. */
  readonly #live = new Map<string, MutableRef>();
  /** Of all names. */
  readonly #refs = new Map<string, WeakRef<MutableRef>>();
  readonly #unheld = new FinalizationRegistry<string>((name) => {
    if (this.#refs.get(name)?.deref() === undefined) this.#refs.delete(name);
  });
  /** Quotas of bytes or keys, by the ids of the buckets. */
  readonly #quotas = new Map<number, BucketQuota>();
  /** Buckets dropped or renewed whose fence is not known to be everywhere: id → name. */
  readonly #pending = new Map<number, string>();

  readonly #defaultDurability: number;
  /** Told of every id that a name gets. */
  onNewId: (bucket: BucketRef) => void = () => undefined;

  /** `defaultDurability`: of buckets that were created without one. */
  constructor(defaultDurability: number) {
    this.#defaultDurability = defaultDurability;
    for (let number = 0; number < NUMBERED_BUCKETS; number++) this.#set(String(number), number + 1, number + 1, {}, 0);
  }

  /** The one ref of a name; its id is 0 while no bucket of that name is known. */
  ref(name: string): BucketRef {
    return this.#ref(name);
  }

  list(): readonly BucketInfo[] {
    return [...this.#live.values()].map(({ name, id }) => ({ name, id })).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Ids whose fencing somebody has begun and nobody has finished. */
  pendingFences(): readonly number[] {
    return [...this.#pending.keys()];
  }

  /** The fence is everywhere, and shard 0 has noted it: perhaps long ago, in entries that a snapshot has brought here. */
  fencedEverywhere(id: number): void {
    this.#pending.delete(id);
  }

  learn(change: SystemChange): void {
    const key = text(change.key);
    if (key.startsWith(PENDING_PREFIX)) {
      const id = Number(key.slice(PENDING_PREFIX.length));
      if (change.value === null) this.fencedEverywhere(id);
      else this.#pending.set(id, text(change.value));
    } else if (key.startsWith(BUCKET_PREFIX)) {
      const name = key.slice(BUCKET_PREFIX.length);
      if (change.value === null) this.forget(name, this.#live.get(name)?.id ?? 0);
      else this.learnEntry(name, change.value);
    }
  }

  /** Takes the catalog's own entry for a name, as read from shard 0. */
  learnEntry(name: string, value: Uint8Array): void {
    const { id, seed = id, profile = {}, revision = 0 } = decode(value) as BucketEntry;
    const known = this.#live.get(name);
    const isNewer = known === undefined || id > known.id || (id === known.id && revision > known.revision);
    if (isNewer) this.#set(name, id, seed, profile, revision);
  }

  get hasQuotas(): boolean {
    return this.#quotas.size > 0;
  }

  /** Of the bucket that has this id; null: it has none of bytes or keys. */
  quotaOf(bucket: number): BucketQuota | null {
    return this.#quotas.get(bucket) ?? null;
  }

  /** The bucket that had the name under this id is gone. A newer one is not: such news may come late. */
  forget(name: string, id: number): void {
    const ref = this.#live.get(name);
    if (ref === undefined || isNumbered(name) || ref.id > id) return;
    this.#live.delete(name);
    this.#quotas.delete(ref.id);
    ref.id = 0;
    ref.quota = NO_QUOTA;
  }

  #set(name: string, id: number, seed: number, profile: Profile, revision: number): void {
    const ref = this.#ref(name);
    this.#live.set(name, ref);
    const isNew = ref.id !== id;
    this.#quotas.delete(ref.id);
    ref.id = id;
    ref.seed = seed;
    ref.durability = profile.durability ?? this.#defaultDurability;
    ref.quota = quotaOf(profile);
    ref.revision = revision;
    if (ref.quota.bytes > 0 || ref.quota.keys > 0) this.#quotas.set(id, ref.quota);
    if (isNew) this.onNewId(ref);
  }

  #ref(name: string): MutableRef {
    const known = this.#live.get(name) ?? this.#refs.get(name)?.deref();
    if (known !== undefined) return known;
    const ref = { name, id: 0, seed: 0, durability: this.#defaultDurability, quota: NO_QUOTA, revision: 0 };
    this.#refs.set(name, new WeakRef(ref));
    this.#unheld.register(ref, name);
    return ref;
  }
}

/** The key of a bucket's entry in the system bucket of shard 0. */
export function bucketKey(name: string): Uint8Array {
  return utf8(BUCKET_PREFIX + name);
}

function isNumbered(name: string): boolean {
  return /^(?:[0-9]|1[0-5])$/.test(name);
}
