/**
 * What a program sees of the database: the same interface over the network (`connect`) and inside the process. Types
 * alone; how it is done is in bucket.ts and what lies under it.
 *
 * Every call answers with a promise that is rejected with one of the classes of errors.ts, whose `retry` says what the
 * caller may do. A key is text, which is sent as UTF-8, or bytes. What is absent is `undefined`, never `null`, which
 * is a JSON value. Runs on Bun, Node and Deno.
 */
import type { Codec } from "./codec.ts";
import type { StandardSchema } from "./standard-schema.ts";

export type Key = string | Uint8Array;

/** The version of a key. A later one of the same key is greater; two writes of the same value have two. */
export type Version = bigint;

/**
 * How a read is kept from seeing the past.
 *
 *   "linearizable"  sees every write that was answered before the read began; the leader confirms itself
 *   "lease"         the same without asking the other nodes, as long as clocks run at about the same rate
 *   "follower"      linearizable, answered by the node that is asked, which asks the leader how far it must be
 *   { stale: ms }   what was current at some moment of the last so many milliseconds, by whichever node is asked
 */
export type ReadMode = "linearizable" | "lease" | "follower" | { readonly stale: number };

export interface CallOptions {
  /** The longest the call may take, with all its retries: then DEADLINE_EXCEEDED. */
  readonly timeoutMs?: number;
  /** Ends the call early: CANCELLED, with the signal's reason as `cause`. */
  readonly signal?: AbortSignal;
}

export interface ReadOptions extends CallOptions {
  readonly read?: ReadMode;
}

/** A write that meets a key in another state than this is refused with CONFLICT and changes nothing. At most one of them. */
export interface Condition<T> {
  readonly ifAbsent?: true;
  readonly ifPresent?: true;
  readonly ifVersion?: Version;
  readonly ifValue?: T;
}

/** When a key ends by itself. At most one of them; without any it stays. */
export interface Expiry {
  readonly ttlMs?: number;
  readonly expiresAt?: Date;
  /** What was said for the value before stays. */
  readonly keepTtl?: true;
}

export interface PutOptions<T> extends CallOptions, Condition<T>, Expiry {}

export interface DeleteOptions<T> extends CallOptions, Condition<T> {}

export interface Entry<T> {
  readonly key: string;
  /** The key as it is stored, where it is not UTF-8. */
  readonly keyBytes: Uint8Array;
  readonly value: T;
  /** Null: it stays. */
  readonly expiresAt: Date | null;
}

export type KeyEntry = Omit<Entry<never>, "value">;

export interface Versioned<T> {
  readonly value: T;
  readonly version: Version;
  readonly expiresAt: Date | null;
}

export interface Metadata {
  readonly valueBytes: number;
  readonly version: Version;
  readonly expiresAt: Date | null;
}

export interface ScanOptions extends CallOptions {
  /** Only keys that begin with this. */
  readonly prefix?: Key;
  /** From this key on, inclusive. */
  readonly start?: Key;
  /** Up to this key, exclusive. */
  readonly end?: Key;
  /** From the last key to the first. */
  readonly reverse?: boolean;
  readonly limit?: number;
  readonly keysOnly?: boolean;
}

/** The result of one step of a batch: what the call of the same name gives, or what it is rejected with. */
export type StepResult =
  | { readonly kind: "done" }
  | { readonly kind: "deleted"; readonly existed: boolean }
  | { readonly kind: "number"; readonly value: bigint }
  | { readonly kind: "failed"; readonly error: Error };

export interface CommitOptions extends CallOptions {
  /** All or none, as one step that nobody sees half done. All keys must be in one shard (a common {tag}): else CROSS_SHARD. */
  readonly atomic?: boolean;
}

/** Writes that are sent together. Without `atomic` each succeeds or fails by itself. */
export interface Batch<T> {
  readonly size: number;
  put(key: Key, value: T, options?: Condition<T> & Expiry): this;
  delete(key: Key, options?: Condition<T>): this;
  increment(key: Key, by?: number | bigint): this;
  append(key: Key, piece: string | Uint8Array): this;
  /** Sends it once; a result for each step, in order. An atomic batch is rejected as a whole. */
  commit(options?: CommitOptions): Promise<readonly StepResult[]>;
}

export interface BucketOptions<T> {
  /** How values become bytes: `json()` (default), `text`, `bytes`, or one of your own. */
  readonly codec?: Codec<T>;
  /** Checks values before they are written and after they are read: zod, valibot, arktype, or any Standard Schema. */
  readonly schema?: StandardSchema<T>;
  /** How its reads are answered, where the call does not say. */
  readonly read?: ReadMode;
}

export interface Bucket<T> {
  readonly name: string;

  get(key: Key, options?: ReadOptions): Promise<T | undefined>;
  /** With the version, for a later `ifVersion`. Always linearizable. */
  getVersioned(key: Key, options?: CallOptions): Promise<Versioned<T> | undefined>;
  /** In the order of the keys. Each is read by itself: together they need not be of one moment. */
  getMany(keys: readonly Key[], options?: ReadOptions): Promise<(T | undefined)[]>;
  has(key: Key, options?: ReadOptions): Promise<boolean>;
  metadata(key: Key, options?: CallOptions): Promise<Metadata | undefined>;
  /** One field of a JSON value, found by the server: `address.city`, `tags[0]`, `["any.name"]`. NOT_JSON if it is none. */
  path<F = unknown>(key: Key, path: string, options?: ReadOptions): Promise<F | undefined>;

  put(key: Key, value: T, options?: PutOptions<T>): Promise<void>;
  /** Puts, and gives the value that was there before. */
  swap(key: Key, value: T, options?: PutOptions<T>): Promise<T | undefined>;
  /** Not atomic: rejected with the first error, when others may have been written. */
  putMany(entries: Iterable<readonly [Key, T]>, options?: CallOptions & Expiry): Promise<void>;
  /** Whether it was there. */
  delete(key: Key, options?: DeleteOptions<T>): Promise<boolean>;
  /** Deletes, and gives the value that was there. */
  take(key: Key, options?: DeleteOptions<T>): Promise<T | undefined>;
  /** How many were there. Not atomic. */
  deleteMany(keys: readonly Key[], options?: CallOptions): Promise<number>;
  /** Adds bytes behind the value; the length that it has then, in bytes. */
  append(key: Key, piece: string | Uint8Array, options?: CallOptions): Promise<number>;
  /**
   * Adds to a decimal integer of 64 bits; absent counts as 0. The new value. A `number` in gives a `number` back, and
   * OVERFLOW where it is not a safe integer any more, although it was added; a `bigint` gives a `bigint`.
   */
  increment(key: Key, by?: number, options?: CallOptions): Promise<number>;
  increment(key: Key, by: bigint, options?: CallOptions): Promise<bigint>;
  batch(): Batch<T>;

  /** Lets it end after so many milliseconds, or then; false when it is not there. */
  expire(key: Key, when: number | Date, options?: CallOptions): Promise<boolean>;
  /** Lets it stay; false when it is not there or would stay anyway. */
  persist(key: Key, options?: CallOptions): Promise<boolean>;
  /** The milliseconds that it still has; null: it stays. */
  ttl(key: Key, options?: ReadOptions): Promise<number | null | undefined>;

  /**
   * Entries in the order of their keys as bytes, over all shards. Pages are fetched as they are consumed; leaving the loop
   * ends it at the server. Not of one moment: what is written meanwhile may be seen or not, what is there throughout is seen.
   * `timeoutMs` is for each page.
   */
  scan(options: ScanOptions & { readonly keysOnly: true }): AsyncIterableIterator<KeyEntry>;
  scan(options?: ScanOptions & { readonly keysOnly?: false }): AsyncIterableIterator<Entry<T>>;
}

export interface BucketInfo {
  readonly name: string;
  readonly durability: string;
}

export interface CreateOptions extends CallOptions {
  /** How sure a write is when it is answered; default: as the cluster has it. */
  readonly durability?: "sync" | "os" | `interval:${number}`;
}

export interface Buckets {
  /** BUCKET_EXISTS when there is one of that name. */
  create(name: string, options?: CreateOptions): Promise<void>;
  /** NO_BUCKET when there is none. */
  drop(name: string, options?: CallOptions): Promise<void>;
  /** Removes all keys. */
  empty(name: string, options?: CallOptions): Promise<void>;
  /** Sorted by name. */
  list(options?: CallOptions): Promise<readonly BucketInfo[]>;
  /** Walks over all keys of a bucket to count them. NO_BUCKET when there is none. */
  count(name: string, options?: CallOptions): Promise<number>;
}

export interface Database extends AsyncDisposable {
  /** No request is sent by this; a bucket that does not exist is noticed by the first call. */
  bucket<T = unknown>(name: string, options?: BucketOptions<T>): Bucket<T>;
  readonly buckets: Buckets;
  status(options?: CallOptions): Promise<DatabaseStatus>;
  /** Lets what is under way end, up to `timeoutMs`; then nothing can be asked of it any more. */
  close(): Promise<void>;
}

/** What the node that was asked knows. */
export interface DatabaseStatus {
  readonly node: string;
  readonly members: readonly MemberInfo[];
  /** For each shard the name of its leader; null: none is known. */
  readonly leaders: readonly (string | null)[];
  /** Plain figures of that node. */
  readonly figures: ReadonlyMap<string, number>;
}

export interface MemberInfo {
  readonly name: string;
  /** `host:port` for clients; null where it is not known. */
  readonly clientAddress: string | null;
  readonly isConnected: boolean;
}
