/** A bucket as a program sees it (database.ts): keys and values to bytes, replies to values. */
import type { ScanReplyEntry } from "../wire/binary-messages.ts";
import { WriteBatch } from "./batch.ts";
import { decodeJson } from "./codec.ts";
import type {
  Batch,
  Bucket,
  CallOptions,
  DeleteOptions,
  Entry,
  Expiry,
  Key,
  KeyEntry,
  Metadata,
  PutOptions,
  ReadOptions,
  ScanOptions,
  Versioned,
} from "./database.ts";
import { errorFrom } from "./retry-policy.ts";
import { OverflowError, ProtocolError } from "./errors.ts";
import { inParallel } from "./in-parallel.ts";
import type { KeyCalls } from "./key-calls.ts";
import { dateOf, integer, keyBytes, keyText, wireCondition, wireEnd, wireExpiry } from "./keys.ts";
import { scanEntries } from "./scan.ts";
import type { Values } from "./values.ts";

/** Calls of one `putMany` or `deleteMany` that are under way at a time. */
const PARALLEL_MAX = 256;
/** Keys of one request of `getMany`. */
const KEYS_OF_REQUEST_MAX = 64;

export class TypedBucket<T> implements Bucket<T> {
  readonly #calls: KeyCalls;
  readonly #values: Values<T>;

  constructor(calls: KeyCalls, values: Values<T>) {
    this.#calls = calls;
    this.#values = values;
  }

  get name(): string {
    return this.#calls.bucket;
  }

  // ---- reads -----------------------------------------------------------------------------------------------------

  async get(key: Key, options: ReadOptions = {}): Promise<T | undefined> {
    const operation = { type: "get", key: keyBytes(key), versioned: false } as const;
    const reply = await this.#calls.read(operation, options, "value", "absent");
    return reply.type === "absent" ? undefined : this.#values.decode(reply.value);
  }

  async getVersioned(key: Key, options: CallOptions = {}): Promise<Versioned<T> | undefined> {
    const operation = { type: "get", key: keyBytes(key), versioned: true } as const;
    const reply = await this.#calls.read(operation, { ...options, read: "linearizable" }, "value", "absent");
    if (reply.type === "absent") return undefined;
    const { version, expiryMs } = reply;
    return { value: await this.#values.decode(reply.value), version, expiresAt: dateOf(expiryMs) };
  }

  async getMany(keys: readonly Key[], options: ReadOptions = {}): Promise<(T | undefined)[]> {
    const values: (T | undefined)[] = keys.map(() => undefined);
    await inParallel(this.#byLeader(keys.map(keyBytes)), PARALLEL_MAX, async (group) => {
      const operations = group.map(({ key }) => ({ type: "get", key, versioned: false }) as const);
      const replies = await this.#calls.batch(operations, false, options);
      for (const [i, { place }] of group.entries()) {
        const reply = replies[i];
        if (reply?.type === "error") throw errorFrom(reply);
        if (reply?.type === "value") values[place] = await this.#values.decode(reply.value);
        else if (reply?.type !== "absent") throw new ProtocolError("the node answers a read with something else");
      }
    });
    return values;
  }

  async has(key: Key, options: ReadOptions = {}): Promise<boolean> {
    const operation = { type: "metadata", key: keyBytes(key), versioned: false } as const;
    return (await this.#calls.read(operation, options, "metadata", "absent")).type === "metadata";
  }

  async metadata(key: Key, options: CallOptions = {}): Promise<Metadata | undefined> {
    const operation = { type: "metadata", key: keyBytes(key), versioned: true } as const;
    const reply = await this.#calls.read(operation, { ...options, read: "linearizable" }, "metadata", "absent");
    if (reply.type === "absent") return undefined;
    const { valueBytes, version, expiryMs } = reply;
    return { valueBytes, version, expiresAt: dateOf(expiryMs) };
  }

  async ttl(key: Key, options: ReadOptions = {}): Promise<number | null | undefined> {
    const operation = { type: "metadata", key: keyBytes(key), versioned: false } as const;
    const reply = await this.#calls.read(operation, options, "metadata", "absent");
    if (reply.type === "absent") return undefined;
    return reply.expiryMs === 0 ? null : Math.max(0, reply.expiryMs - Date.now());
  }

  async path<F = unknown>(key: Key, path: string, options: ReadOptions = {}): Promise<F | undefined> {
    const operation = { type: "getField", key: keyBytes(key), path } as const;
    const reply = await this.#calls.read(operation, options, "value", "absent");
    return reply.type === "absent" ? undefined : (decodeJson(reply.value) as F);
  }

  scan(options: ScanOptions & { readonly keysOnly: true }): AsyncGenerator<KeyEntry, void, undefined>;
  scan(options?: ScanOptions & { readonly keysOnly?: false }): AsyncGenerator<Entry<T>, void, undefined>;
  async *scan(options: ScanOptions = {}): AsyncGenerator<KeyEntry, void, undefined> {
    for await (const entry of scanEntries(this.#calls.caller, this.name, options)) {
      const known = keyEntry(entry);
      if (options.keysOnly === true) yield known;
      else yield { ...known, value: await this.#values.decode(entry.value) } as Entry<T>;
    }
  }

  // ---- writes ----------------------------------------------------------------------------------------------------

  async put(key: Key, value: T, options: PutOptions<T> = {}): Promise<void> {
    await this.#calls.write(await this.#put(key, value, options, false), options, "done");
  }

  async swap(key: Key, value: T, options: PutOptions<T> = {}): Promise<T | undefined> {
    const operation = await this.#put(key, value, options, true);
    const reply = await this.#calls.write(operation, options, "value", "absent");
    return reply.type === "absent" ? undefined : this.#values.decode(reply.value);
  }

  putMany(entries: Iterable<readonly [Key, T]>, options: CallOptions & Expiry = {}): Promise<void> {
    return inParallel(entries, PARALLEL_MAX, ([key, value]) => this.put(key, value, options));
  }

  async delete(key: Key, options: DeleteOptions<T> = {}): Promise<boolean> {
    return (await this.#calls.write(this.#delete(key, options, false), options, "flag")).value;
  }

  async take(key: Key, options: DeleteOptions<T> = {}): Promise<T | undefined> {
    const reply = await this.#calls.write(this.#delete(key, options, true), options, "value", "absent");
    return reply.type === "absent" ? undefined : this.#values.decode(reply.value);
  }

  async deleteMany(keys: readonly Key[], options: CallOptions = {}): Promise<number> {
    let count = 0;
    await inParallel(keys, PARALLEL_MAX, async (key) => {
      if (await this.delete(key, options)) count += 1;
    });
    return count;
  }

  async append(key: Key, piece: string | Uint8Array, options: CallOptions = {}): Promise<number> {
    const value = keyBytes(piece);
    return Number((await this.#calls.write({ type: "append", key: keyBytes(key), value }, options, "integer")).value);
  }

  increment(key: Key, by?: number, options?: CallOptions): Promise<number>;
  increment(key: Key, by: bigint, options?: CallOptions): Promise<bigint>;
  async increment(key: Key, by: number | bigint = 1, options: CallOptions = {}): Promise<number | bigint> {
    const operation = { type: "increment", key: keyBytes(key), by: integer(by) } as const;
    const { value } = await this.#calls.write(operation, options, "integer");
    if (typeof by === "bigint") return value;
    if (Number.isSafeInteger(Number(value))) return Number(value);
    throw new OverflowError(`it was added, and is ${value} now, which a number cannot hold: add a bigint`);
  }

  async expire(key: Key, when: number | Date, options: CallOptions = {}): Promise<boolean> {
    const operation = { type: "expire", key: keyBytes(key), expiry: wireEnd(when), only: "all" } as const;
    return (await this.#calls.write(operation, options, "flag")).value;
  }

  async persist(key: Key, options: CallOptions = {}): Promise<boolean> {
    return (await this.#calls.write({ type: "persist", key: keyBytes(key) }, options, "flag")).value;
  }

  batch(): Batch<T> {
    return new WriteBatch(this.#calls, this.#values);
  }

  async #put(key: Key, value: T, options: PutOptions<T>, returnOld: boolean) {
    return {
      type: "put",
      key: keyBytes(key),
      value: await this.#values.encode(value),
      expiry: wireExpiry(options),
      condition: wireCondition(options, (other) => this.#values.encodeUnchecked(other)),
      returnOld,
    } as const;
  }

  #delete(key: Key, options: DeleteOptions<T>, returnOld: boolean) {
    const condition = wireCondition(options, (other) => this.#values.encodeUnchecked(other));
    return { type: "delete", key: keyBytes(key), condition, returnOld } as const;
  }

  /** Keys with their places, in groups that one node leads, none too large for one request. */
  *#byLeader(keys: readonly Uint8Array[]): Generator<{ readonly key: Uint8Array; readonly place: number }[]> {
    const groups = new Map<string | null, { key: Uint8Array; place: number }[]>();
    for (const [place, key] of keys.entries()) {
      const leader = this.#calls.leaderOf(key);
      const group = groups.get(leader) ?? [];
      group.push({ key, place });
      if (group.length < KEYS_OF_REQUEST_MAX) groups.set(leader, group);
      else {
        groups.delete(leader);
        yield group;
      }
    }
    yield* groups.values();
  }
}

function keyEntry({ key, expiryMs }: ScanReplyEntry): KeyEntry {
  return { key: keyText(key), keyBytes: key.slice(), expiresAt: dateOf(expiryMs) };
}
