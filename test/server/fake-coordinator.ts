/**
 * A coordinator whose state is a Map. Effects happen in the order of calls; answers come at once, or, with a random
 * generator, later and in any order, as they do from several shards.
 */
import { NO_QUOTA } from "../../src/cluster/bucket-quota.ts";
import type {
  BucketInfo,
  BucketQuota,
  BucketRef,
  Coordinator,
  MemberStatus,
  Ordering,
  ReadMode,
  ShardScan,
  ShardStatus,
  Waiter,
} from "../../src/cluster/coordinator.ts";
import type { KeyBound } from "../../src/bridge/shard-protocol.ts";
import { compareBytes, concatBytes, equalBytes } from "../../src/core/bytes.ts";
import { globMatches } from "../../src/core/glob.ts";
import { murmur3 } from "../../src/core/murmur3.ts";
import type { Random } from "../../src/core/random.ts";
import {
  type ByteRange,
  CommandType,
  MODIFIER_GET,
  MODIFIER_GT,
  MODIFIER_KEEPTTL,
  MODIFIER_LT,
  MODIFIER_NX,
  MODIFIER_PERSIST,
  MODIFIER_XX,
} from "../../src/record/command-format.ts";
import { errorResult, integerResult, NIL, OK, type Result, type ScanEntry } from "../../src/record/result.ts";
import { encodeTransaction, type Transaction, transactionKeys } from "../../src/record/transaction-format.ts";
import { type FakeEntry, type FakeKeys, fakeTransaction } from "./fake-transaction.ts";

type Entry = FakeEntry;

interface FakeBucket extends BucketRef {
  id: number;
  durability: number;
  quota: BucketQuota;
  keys: Map<string, Entry>;
}

const NUMBERED = 16;
const I64_MAX = 2n ** 63n - 1n;

type Tail<List extends readonly unknown[]> = List extends readonly [unknown, ...infer Rest] ? Rest : never;

export class FakeCoordinator implements Coordinator {
  /** How far the stamps of all shards are ahead of the wall clock. */
  aheadMs = 0;
  readonly shardCount: number;
  readonly nodeName = "n1";
  congested = false;
  isTurnAhead = false;
  /** The numbers that sessions had here, in the order in which they were used. */
  readonly sessionsUsed: number[] = [];
  /** Answers given later by `deliver`, in any order; null: at once. */
  random: Random | null = null;
  /** Every answer waits for `deliver`, whatever `random` says. */
  holding = false;
  failWith: Result | null = null;
  renewed: string[] = [];
  /** Orderings of connections that are gone. */
  ended: Ordering[] = [];
  readonly readModes = new Map<Ordering, ReadMode>();
  /** Every choice of a mode, in order. */
  readonly choices: string[] = [];
  readonly #buckets = new Map<string, FakeBucket>();
  readonly #later: { waiter: Waiter; tag: number; result: Result }[] = [];
  #relief: (() => void)[] = [];
  #nextId = 64;
  readonly #stamps = new WeakMap<Entry, number>();
  #nextStamp = 1;

  constructor(shardCount = 3) {
    this.shardCount = shardCount;
    for (let i = 0; i < NUMBERED; i++)
      this.#buckets.set(String(i), {
        name: String(i),
        id: i + 1,
        seed: i + 1,
        durability: 0,
        quota: NO_QUOTA,
        keys: new Map(),
      });
  }

  get heldCount(): number {
    return this.#later.length;
  }

  /** Gives one waiting answer; false when there is none. */
  deliver(): boolean {
    const place = this.random === null ? 0 : this.random.below(Math.max(1, this.#later.length));
    const [held] = this.#later.splice(place, 1);
    if (held === undefined) return false;
    held.waiter.resolve(held.tag, held.result);
    return true;
  }

  deliverAll(): void {
    for (let more = true; more; more = this.deliver());
  }

  relieve(): void {
    this.congested = false;
    const waiting = this.#relief;
    this.#relief = [];
    for (const run of waiting) run();
  }

  onRelief(run: () => void): void {
    this.#relief.push(run);
  }

  newOrdering(): Ordering {
    return {} as Ordering;
  }

  setReadMode(ordering: Ordering, mode: ReadMode, staleMs: number): void {
    this.readModes.set(ordering, mode);
    this.choices.push(mode === "stale" ? `stale ${staleMs}` : mode);
  }

  endOrdering(ordering: Ordering): void {
    this.ended.push(ordering);
  }

  bucket(name: string): BucketRef {
    let found = this.#buckets.get(name);
    if (found === undefined) {
      found = { name, id: 0, seed: 0, durability: 0, quota: NO_QUOTA, keys: new Map() };
      this.#buckets.set(name, found);
    }
    return found;
  }

  buckets(): readonly BucketInfo[] {
    return [...this.#buckets.values()].filter(({ id }) => id !== 0).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  refreshBuckets(waiter: Waiter, tag: number): void {
    this.#answer(waiter, tag, OK);
  }

  createBucket(name: string, durability: number | null, waiter: Waiter, tag: number): void {
    const bucket = this.#of(this.bucket(name));
    if (bucket.id !== 0) {
      this.#answer(waiter, tag, errorResult("BUCKET_EXISTS", `bucket '${name}' exists`));
      return;
    }
    bucket.id = this.#nextId++;
    bucket.durability = durability ?? 0;
    this.#answer(waiter, tag, OK);
  }

  dropBucket(name: string, waiter: Waiter, tag: number): void {
    const bucket = this.#of(this.bucket(name));
    if (bucket.id === 0) {
      this.#answer(waiter, tag, errorResult("NO_BUCKET", `no bucket '${name}'`));
      return;
    }
    bucket.id = 0;
    bucket.keys = new Map();
    this.#answer(waiter, tag, OK);
  }

  renewBucket(name: string, waiter: Waiter, tag: number): void {
    const bucket = this.#of(this.bucket(name));
    this.renewed.push(name);
    bucket.id = this.#nextId++;
    bucket.keys = new Map();
    this.#answer(waiter, tag, OK);
  }

  alterBucket(name: string, quota: Partial<BucketQuota>, waiter: Waiter, tag: number): void {
    const bucket = this.#of(this.bucket(name));
    bucket.quota = { ...bucket.quota, ...quota };
    this.#answer(waiter, tag, bucket.id === 0 ? errorResult("NO_BUCKET", `no bucket '${name}'`) : OK);
  }

  writeOnce(
    ordering: Ordering,
    session: number,
    _sequence: number,
    ...[type, modifiers, bucket, key, value, expiryMs, waiter, tag]: Tail<Parameters<Coordinator["write"]>>
  ): void {
    this.sessionsUsed.push(session);
    this.write(ordering, type, modifiers, bucket, key, value, expiryMs, waiter, tag);
  }

  openSession(_owner: string, _ttlMs: number, waiter: Waiter, tag: number): void {
    this.#answer(waiter, tag, integerResult(1));
  }

  closeSession(_session: number, waiter: Waiter, tag: number): void {
    this.#answer(waiter, tag, OK);
  }

  write(
    _ordering: Ordering,
    type: CommandType,
    modifiers: number,
    bucket: BucketRef,
    key: ByteRange,
    value: ByteRange,
    expiryMs: number,
    waiter: Waiter,
    tag: number,
  ): void {
    const target = this.#of(bucket);
    if (target.id === 0) {
      this.#answer(waiter, tag, errorResult("NO_BUCKET", `no bucket '${bucket.name}'`));
      return;
    }
    const bytes = value.bytes.slice(value.start, value.end);
    const name = nameOf(key.bytes, key.start, key.end);
    this.#answer(waiter, tag, this.failWith ?? this.#apply(target.keys, type, modifiers, name, bytes, expiryMs));
  }

  read(
    _ordering: Ordering,
    bucket: BucketRef,
    key: ByteRange,
    metadataOnly: boolean,
    waiter: Waiter,
    tag: number,
  ): void {
    const entry = this.#visible(this.#of(bucket).keys, nameOf(key.bytes, key.start, key.end));
    if (this.failWith !== null) this.#answer(waiter, tag, this.failWith);
    else if (entry === null) this.#answer(waiter, tag, NIL);
    else {
      const { value, expiryMs } = entry;
      const shown = metadataOnly ? new Uint8Array(0) : value;
      this.#answer(waiter, tag, { kind: "version", valueBytes: value.length, expiryMs, value: shown });
    }
  }

  transact(_ordering: Ordering, bucket: BucketRef, transaction: Transaction, waiter: Waiter, tag: number): void {
    const { keys, id } = this.#of(bucket);
    const shards = new Set(transactionKeys(transaction).map((key) => this.#shardOf(nameOf(key, 0, key.length))));
    let result = this.failWith;
    if (shards.size > 1) result ??= errorResult("CROSS_SHARD", "the keys are in several shards");
    if (id === 0) result ??= errorResult("NO_BUCKET", `no bucket '${bucket.name}'`);
    this.#answer(waiter, tag, result ?? fakeTransaction(this.#keysFor(keys), encodeTransaction(transaction)));
  }

  transactOnce(
    ordering: Ordering,
    _session: number,
    _sequence: number,
    ...[bucket, transaction, waiter, tag]: Tail<Parameters<Coordinator["transact"]>>
  ): void {
    this.transact(ordering, bucket, transaction, waiter, tag);
  }

  readStamped(
    _ordering: Ordering,
    bucket: BucketRef,
    key: ByteRange,
    _metadataOnly: boolean,
    waiter: Waiter,
    tag: number,
  ): void {
    const entry = this.#visible(this.#of(bucket).keys, nameOf(key.bytes, key.start, key.end));
    if (this.failWith !== null) this.#answer(waiter, tag, this.failWith);
    else if (entry === null) this.#answer(waiter, tag, NIL);
    else {
      const { value, expiryMs } = entry;
      const stamp = { stampHigh: 0, stampLow: this.#stampOf(entry) };
      this.#answer(waiter, tag, { kind: "stamped", ...stamp, valueBytes: value.length, expiryMs, value });
    }
  }

  settleReads(): void {
    // Every read is answered at once.
  }

  page(
    bucket: BucketRef,
    shard: number,
    after: Uint8Array | null,
    examineMax: number,
    pattern: Uint8Array | null,
    mode: "keys" | "count",
    waiter: Waiter,
    tag: number,
  ): void {
    const floor = after === null ? null : nameOf(after, 0, after.length);
    const behind = this.#keysOf(bucket, shard).filter((name) => floor === null || name > floor);
    const examined = behind.slice(0, examineMax);
    const matched = examined.map(bytesOf).filter((key) => pattern === null || globMatches(pattern, key));
    const last = examined.at(-1);
    this.#answer(waiter, tag, {
      kind: "page",
      keys: mode === "keys" ? matched : [],
      matchCount: matched.length,
      byteCount: matched.reduce((sum, key) => sum + key.length + this.#valueBytes(bucket, key), 0),
      next: behind.length > examined.length && last !== undefined ? bytesOf(last) : null,
    });
  }

  #valueBytes(bucket: BucketRef, key: Uint8Array): number {
    return this.#of(bucket).keys.get(nameOf(key, 0, key.length))?.value.length ?? 0;
  }

  scan(bucket: BucketRef, shard: number, scan: ShardScan, waiter: Waiter, tag: number): void {
    const { prefix, lower, upper, isReverse, keysOnly, entriesMax, bytesMax } = scan;
    const keys = this.#keysOf(bucket, shard)
      .map(bytesOf)
      .filter((key) => isWithin(key, prefix, lower, upper));
    if (isReverse) keys.reverse();
    const entries: ScanEntry[] = [];
    let byteCount = 0;
    for (const key of keys) {
      const entry = this.#of(bucket).keys.get(nameOf(key, 0, key.length));
      const value = keysOnly ? new Uint8Array(0) : (entry?.value ?? new Uint8Array(0));
      byteCount += key.length + value.length;
      if (entries.length > 0 && (entries.length >= entriesMax || byteCount > bytesMax)) break;
      entries.push({ key, value, expiryMs: entry?.expiryMs ?? 0 });
    }
    this.#answer(waiter, tag, { kind: "entries", entries, isCut: entries.length < keys.length });
  }

  sample(bucket: BucketRef, shard: number, waiter: Waiter, tag: number): void {
    const [first] = this.#keysOf(bucket, shard);
    this.#answer(waiter, tag, first === undefined ? NIL : { kind: "bytes", bytes: bytesOf(first) });
  }

  maintain(_what: "flush" | "compact", waiter: Waiter, tag: number): void {
    this.#answer(waiter, tag, OK);
  }

  addMember(name: string, peerAddress: string, waiter: Waiter, tag: number): void {
    this.memberSteps.push(`add ${name} ${peerAddress}`);
    this.#answer(waiter, tag, OK);
  }

  removeMember(name: string, forced: boolean, waiter: Waiter, tag: number): void {
    this.memberSteps.push(`remove ${name} ${forced}`);
    this.#answer(waiter, tag, forced ? OK : errorResult("NO_QUORUM", "it is needed"));
  }

  transferShard(shard: number, name: string, waiter: Waiter, tag: number): void {
    this.memberSteps.push(`transfer ${shard} ${name}`);
    this.#answer(waiter, tag, OK);
  }

  shards(): readonly ShardStatus[] {
    return [
      {
        shard: 0,
        role: "leader",
        term: 1,
        leader: "n1",
        voters: ["n1"],
        learners: [],
        commitIndex: 1,
        appliedIndex: 1,
        quarantined: 0,
      },
    ];
  }

  readonly memberSteps: string[] = [];

  members(): readonly MemberStatus[] {
    return [
      {
        id: 1,
        name: "n1",
        peerAddress: "127.0.0.1:9101",
        connected: true,
        rack: "",
        state: "member",
        suspicion: 0,
        report: null,
      },
    ];
  }

  figures(): Readonly<Record<string, number>> {
    return { tables: 0 };
  }

  wallMs(): number {
    return Date.now();
  }

  timeOf(): number {
    return Date.now() + this.aheadMs;
  }

  #answer(waiter: Waiter, tag: number, result: Result): void {
    if (this.holding || this.random?.chance(0.7)) this.#later.push({ waiter, tag, result });
    else waiter.resolve(tag, result);
  }

  #of(ref: BucketRef): FakeBucket {
    const found = this.#buckets.get(ref.name);
    if (found === undefined) throw new Error(`a ref that was never given: ${ref.name}`);
    return found;
  }

  #keysFor(keys: Map<string, Entry>): FakeKeys {
    const name = (key: Uint8Array): string => nameOf(key, 0, key.length);
    return {
      visible: (key) => this.#visible(keys, name(key)),
      set: (key, entry) => {
        if (entry === null) keys.delete(name(key));
        else keys.set(name(key), entry);
      },
      stampOf: (entry) => this.#stampOf(entry),
      apply: (type, modifiers, key, value, expiryMs) => this.#apply(keys, type, modifiers, name(key), value, expiryMs),
    };
  }

  /** Whatever is written is another entry. */
  #stampOf(entry: Entry): number {
    const stamp = this.#stamps.get(entry) ?? this.#nextStamp++;
    this.#stamps.set(entry, stamp);
    return stamp;
  }

  #keysOf(bucket: BucketRef, shard: number): string[] {
    const { keys } = this.#of(bucket);
    return [...keys.keys()]
      .filter((name) => this.#visible(keys, name) !== null && this.#shardOf(name) === shard)
      .sort((a, b) => (a < b ? -1 : 1));
  }

  #shardOf(name: string): number {
    const bytes = bytesOf(name);
    return murmur3(bytes, 0, bytes.length, 1) % this.shardCount;
  }

  #visible(keys: Map<string, Entry>, name: string): Entry | null {
    const entry = keys.get(name) ?? null;
    return entry !== null && (entry.expiryMs === 0 || entry.expiryMs > Date.now()) ? entry : null;
  }

  #apply(
    keys: Map<string, Entry>,
    type: CommandType,
    modifiers: number,
    name: string,
    value: Uint8Array,
    expiryMs: number,
  ): Result {
    const old = this.#visible(keys, name);
    switch (type) {
      case CommandType.put:
        keys.set(name, { value, expiryMs });
        return OK;
      case CommandType.conditionalPut:
        return putIf(keys, old, modifiers, name, value, expiryMs);
      case CommandType.delete:
        keys.delete(name);
        return integerResult(old === null ? 0 : 1);
      case CommandType.getDelete:
        keys.delete(name);
        return bytesResult(old);
      case CommandType.getExpire:
        if (old !== null) keys.set(name, { value: old.value, expiryMs: modifiers === MODIFIER_PERSIST ? 0 : expiryMs });
        return bytesResult(old);
      case CommandType.append: {
        const joined = old === null ? value : concatBytes([old.value, value]);
        keys.set(name, { value: joined, expiryMs: old?.expiryMs ?? 0 });
        return integerResult(joined.length);
      }
      case CommandType.setRange: {
        const offset = new DataView(value.buffer).getUint32(0, true);
        if (value.length === 4) return integerResult(old?.value.length ?? 0);
        const whole = grown(old, offset + value.length - 4);
        whole.set(value.subarray(4), offset);
        keys.set(name, { value: whole, expiryMs: old?.expiryMs ?? 0 });
        return integerResult(whole.length);
      }
      case CommandType.setBit: {
        const offset = new DataView(value.buffer).getUint32(0, true);
        const whole = grown(old, Math.floor(offset / 8) + 1);
        keys.set(name, { value: whole, expiryMs: old?.expiryMs ?? 0 });
        return integerResult(exchangeBit(whole, offset, value[4] ?? 0));
      }
      case CommandType.incrementFloat: {
        const sum = Number(textOf(old?.value ?? new Uint8Array([0x30]))) + Number(textOf(value));
        if (Number.isNaN(sum)) return errorResult("NOT_A_FLOAT", "value is not a valid float");
        const bytes = new TextEncoder().encode(String(sum));
        keys.set(name, { value: bytes, expiryMs: old?.expiryMs ?? 0 });
        return { kind: "bytes", bytes };
      }
      case CommandType.increment:
        return add(keys, old, name, new DataView(value.buffer).getBigInt64(0, true));
      case CommandType.persist:
        if (old === null || old.expiryMs === 0) return integerResult(0);
        keys.set(name, { value: old.value, expiryMs: 0 });
        return integerResult(1);
      case CommandType.expire:
        return expire(keys, old, modifiers, name, expiryMs);
      default:
        throw new Error(`a client port never sends command type ${type}`);
    }
  }
}

function putIf(
  keys: Map<string, Entry>,
  old: Entry | null,
  modifiers: number,
  name: string,
  value: Uint8Array,
  expiryMs: number,
): Result {
  const isRefused = (modifiers & MODIFIER_NX) !== 0 ? old !== null : (modifiers & MODIFIER_XX) !== 0 && old === null;
  const kept = (modifiers & MODIFIER_KEEPTTL) !== 0 ? (old?.expiryMs ?? 0) : expiryMs;
  if (!isRefused) keys.set(name, { value, expiryMs: kept });
  if ((modifiers & MODIFIER_GET) !== 0) return bytesResult(old);
  return isRefused ? NIL : OK;
}

function add(keys: Map<string, Entry>, old: Entry | null, name: string, amount: bigint): Result {
  const text = old === null ? "0" : textOf(old.value);
  if (!/^(0|-?[1-9]\d{0,18})$/.test(text)) {
    return errorResult("NOT_AN_INTEGER", "value is not an integer or out of range");
  }
  const sum = BigInt(text) + amount;
  if (sum > I64_MAX || sum < -I64_MAX - 1n) return errorResult("OVERFLOW", "increment or decrement would overflow");
  keys.set(name, { value: new TextEncoder().encode(String(sum)), expiryMs: old?.expiryMs ?? 0 });
  return integerResult(sum);
}

function expire(
  keys: Map<string, Entry>,
  old: Entry | null,
  modifiers: number,
  name: string,
  expiryMs: number,
): Result {
  if (old === null) return integerResult(0);
  const current = old.expiryMs === 0 ? Number.POSITIVE_INFINITY : old.expiryMs;
  if ((modifiers & MODIFIER_NX) !== 0 && old.expiryMs !== 0) return integerResult(0);
  if ((modifiers & MODIFIER_XX) !== 0 && old.expiryMs === 0) return integerResult(0);
  if ((modifiers & MODIFIER_GT) !== 0 && expiryMs <= current) return integerResult(0);
  if ((modifiers & MODIFIER_LT) !== 0 && expiryMs >= current) return integerResult(0);
  if (expiryMs <= Date.now()) keys.delete(name);
  else keys.set(name, { value: old.value, expiryMs });
  return integerResult(1);
}

/** The value, or nothing, followed by zeros up to so many bytes. */
function grown(old: Entry | null, byteCount: number): Uint8Array {
  const whole = new Uint8Array(Math.max(byteCount, old?.value.length ?? 0));
  whole.set(old?.value ?? []);
  return whole;
}

/** Sets a bit and returns what it was, by the text of its byte. */
function exchangeBit(bytes: Uint8Array, offset: number, bit: number): number {
  const place = Math.floor(offset / 8);
  const bits = [...(bytes[place] ?? 0).toString(2).padStart(8, "0")];
  const old = Number(bits[offset % 8]);
  bits[offset % 8] = String(bit);
  bytes[place] = Number.parseInt(bits.join(""), 2);
  return old;
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function bytesResult(entry: Entry | null): Result {
  return entry === null ? NIL : { kind: "bytes", bytes: entry.value };
}

function nameOf(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
}

function bytesOf(name: string): Uint8Array {
  return new Uint8Array(Buffer.from(name, "latin1"));
}

function isWithin(key: Uint8Array, prefix: Uint8Array, lower: KeyBound | null, upper: KeyBound | null): boolean {
  const fromLower = lower === null ? 1 : compareBytes(key, lower.key);
  const fromUpper = upper === null ? -1 : compareBytes(key, upper.key);
  if (fromLower < 0 || (fromLower === 0 && lower?.isInclusive !== true)) return false;
  if (fromUpper > 0 || (fromUpper === 0 && upper?.isInclusive !== true)) return false;
  return equalBytes(key.subarray(0, prefix.length), prefix);
}
