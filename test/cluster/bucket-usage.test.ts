import { expect, test } from "bun:test";
import { BucketUsage, type UsageGroup } from "../../src/cluster/bucket-usage.ts";
import type { BucketQuota } from "../../src/cluster/coordinator.ts";
import type { NodeId } from "../../src/core/ids.ts";
import { utf8 } from "../../src/core/bytes.ts";
import { type ByteRange, CommandType } from "../../src/record/command-format.ts";
import { encodeBit, encodeRange } from "../../src/record/part-format.ts";
import { encodeTransaction, type TransactionOperation } from "../../src/record/transaction-format.ts";

const BUCKET = 70;
const VALUE_BYTES_MAX = 1_000_000;
const { put } = CommandType;

function whole(bytes: Uint8Array): ByteRange {
  return { bytes, start: 0, end: bytes.length };
}

function write(type: CommandType, key: string, value: string | Uint8Array = ""): TransactionOperation {
  const bytes = typeof value === "string" ? utf8(value) : value;
  return { kind: "write", type, modifiers: 0, key: utf8(key), value: bytes, expiryMs: 0 };
}

/** A shard with one bucket, of which a count finds as much as is said, a page at a time. */
class Shard implements UsageGroup {
  accepting = true;
  term = 1;
  now = 0;
  openIndex = 0;
  readonly self = 1 as NodeId;
  quota: BucketQuota | null = { bytes: 1_000, keys: 0, rate: 0 };
  /** What is there. */
  bytes = 0;
  keys = 0;
  pages = 1;
  countCount = 0;
  readonly usage: BucketUsage;
  #later: (() => void)[] = [];

  constructor(shardCount = 1) {
    const later = (run: () => void): void => void this.#later.push(run);
    const clock = {
      wallMs: () => this.now,
      monotonicMs: () => this.now,
      soon: later,
      after: (_ms: number, run: () => void) => {
        later(run);
        return { cancel: () => undefined };
      },
    };
    const quotas = { hasQuotas: true, quotaOf: (bucket: number) => (bucket === BUCKET ? this.quota : null) };
    this.usage = new BucketUsage(this, quotas, clock, shardCount, VALUE_BYTES_MAX);
  }

  read(...[request, _index, _asker, _mode, waiter]: Parameters<UsageGroup["read"]>): void {
    const page = request.type === "page" && request.after !== null ? request.after[0]! : 0;
    const isLast = page + 1 === this.pages;
    const next = isLast ? null : Uint8Array.of(page + 1);
    const part = (all: number): number => (isLast ? all : 0);
    if (isLast) this.countCount += 1;
    waiter.resolve(0, {
      kind: "page",
      keys: [],
      matchCount: part(this.keys),
      byteCount: part(this.bytes),
      next,
    });
  }

  step(): void {
    for (const run of this.#later.splice(0)) run();
  }

  settle(): void {
    while (this.#later.length > 0) this.step();
  }

  /** Whether the write went on. */
  write(byteCount: number, type: CommandType = put): boolean {
    return this.send(type, new Uint8Array(byteCount));
  }

  send(type: CommandType, value: Uint8Array, keyBytes = 0): boolean {
    return this.usage.refusal(type, BUCKET, keyBytes, whole(value)) === null;
  }

  transact(...operations: readonly TransactionOperation[]): boolean {
    return this.send(CommandType.transaction, encodeTransaction({ conditions: [], operations }));
  }
}

test("up to the quota writes go on, then they are refused, and what makes nothing larger is not", () => {
  const shard = new Shard();
  shard.write(0);
  shard.settle();
  let written = 0;
  while (shard.write(100)) {
    written += 100;
    shard.bytes += 100;
    shard.settle();
    shard.now += 10_000;
  }
  expect(written).toBe(1_000);
  const value = whole(new Uint8Array(100));
  expect(shard.usage.refusal(put, BUCKET, 0, value)).toMatchObject({ kind: "error", code: "QUOTA_EXCEEDED" });
  for (const type of [CommandType.delete, CommandType.expire, CommandType.persist, CommandType.getDelete]) {
    expect(shard.write(100, type)).toBe(true);
  }
  expect(shard.usage.refusal(put, BUCKET + 1, 0, value)).toBeNull();
});

test("a key that is overwritten for ever uses up nothing", () => {
  const shard = new Shard();
  shard.bytes = 300;
  shard.keys = 1;
  let refused = 0;
  for (let i = 0; i < 1_000; i++) {
    if (!shard.write(300)) refused += 1;
    shard.settle();
    shard.now += 10_000;
  }
  expect(refused).toBe(0);
});

test("what was deleted is found by the next count, and writes go on", () => {
  const shard = new Shard();
  shard.bytes = 2_000;
  shard.write(1);
  shard.settle();
  expect(shard.write(1)).toBe(false);
  shard.bytes = 100;
  shard.now += 10_000;
  expect(shard.write(1)).toBe(false);
  shard.settle();
  expect(shard.write(1)).toBe(true);
});

test("what is written while it is counted is not lost from the count", () => {
  const shard = new Shard();
  shard.pages = 3;
  shard.write(0);
  shard.step();
  for (let i = 0; i < 10; i++) expect(shard.write(100)).toBe(true);
  // The count has passed the place where these went.
  shard.settle();
  expect(shard.countCount).toBe(1);
  expect(shard.write(100)).toBe(false);
});

test("it is counted no more often than once in a while, however many are refused", () => {
  const shard = new Shard();
  shard.bytes = 5_000;
  for (let i = 0; i < 10_000; i++) {
    shard.write(1);
    shard.settle();
  }
  expect(shard.countCount).toBe(1);
});

test("keys have a quota of their own", () => {
  const shard = new Shard();
  shard.quota = { bytes: 0, keys: 3, rate: 0 };
  shard.keys = 2;
  shard.write(1_000_000);
  shard.settle();
  shard.now += 10_000;
  expect(shard.write(1_000_000)).toBe(true);
  expect(shard.write(1_000_000)).toBe(false);
  shard.settle();
  expect(shard.write(1_000_000)).toBe(true);
});

test("each of several shards may hold its part and a quarter", () => {
  const shard = new Shard(10);
  shard.bytes = 124;
  shard.write(0);
  shard.settle();
  expect(shard.write(1)).toBe(true);
  shard.now += 10_000;
  expect(shard.write(1)).toBe(false);
});

test("who has come to lead again counts again, and a count that was under way is given up", () => {
  const shard = new Shard();
  shard.bytes = 5_000;
  shard.pages = 2;
  shard.write(1);
  shard.step();
  shard.term = 3;
  shard.settle();
  expect(shard.countCount).toBe(0);
  expect(shard.write(1)).toBe(true);
  shard.settle();
  expect(shard.write(1)).toBe(false);
});

test("each write of a transaction counts, also of one within it", () => {
  const shard = new Shard();
  shard.quota = { bytes: 0, keys: 10, rate: 0 };
  shard.write(0);
  shard.settle();
  const inner = encodeTransaction({ conditions: [], operations: [write(put, "c"), write(put, "d")] });
  const four = [write(put, "a"), write(put, "b"), write(CommandType.transaction, "a", inner)];
  expect([shard.transact(...four), shard.transact(...four), shard.transact(...four)]).toEqual([true, true, true]);
  expect(shard.transact(...four)).toBe(false);
});

test("at the limit a transaction that makes nothing larger goes on", () => {
  const shard = new Shard();
  shard.bytes = 5_000;
  shard.write(1);
  shard.settle();
  expect(shard.transact(write(put, "a", "1"))).toBe(false);
  const read: TransactionOperation = { kind: "read", key: utf8("a"), metadataOnly: false };
  expect(shard.transact(read, write(CommandType.delete, "a"), write(CommandType.persist, "b"))).toBe(true);
  expect(shard.transact(read, write(CommandType.delete, "a"), write(put, "b", "1"))).toBe(false);
});

test("a part of a value counts with all that comes before it", () => {
  const shard = new Shard();
  shard.write(0);
  shard.settle();
  expect(shard.send(CommandType.setRange, encodeRange(5_000, whole(new Uint8Array(0))))).toBe(true);
  expect(shard.send(CommandType.setRange, encodeRange(598, whole(new Uint8Array(2))))).toBe(true);
  expect(shard.transact(write(CommandType.setBit, "k", encodeBit(8 * 399, 1)))).toBe(true);
  expect(shard.write(1)).toBe(false);
});

test("a number that spells a long one counts as the longest", () => {
  const shard = new Shard();
  shard.write(0);
  shard.settle();
  expect([shard.send(CommandType.incrementFloat, utf8("1.5")), shard.write(1)]).toEqual([true, true]);
  expect([shard.send(CommandType.incrementFloat, utf8("1E300")), shard.write(1)]).toEqual([true, false]);
});

test("a value that is copied has an unknown size, so it is counted when it might be too large", () => {
  const shard = new Shard();
  shard.quota = { bytes: 10 * VALUE_BYTES_MAX, keys: 0, rate: 0 };
  shard.write(0);
  shard.settle();
  const copies: boolean[] = [];
  for (let i = 0; i < 40; i++) {
    const isTaken = shard.transact(write(CommandType.copy, "a", `copy${i}`));
    copies.push(isTaken);
    if (isTaken) shard.bytes += VALUE_BYTES_MAX;
    shard.now += 10_000;
    shard.settle();
  }
  // By one value it may always be exceeded.
  expect(copies.filter((isTaken) => isTaken)).toHaveLength(11);
  shard.bytes = 0;
  shard.transact(write(CommandType.copy, "a", "b"));
  shard.settle();
  const before = shard.countCount;
  // Small ones are found to be so, and do not lock the bucket out.
  for (let i = 0; i < 100; i++) {
    expect(shard.transact(write(CommandType.copy, "a", `copy${i}`))).toBe(true);
    shard.now += 10_000;
    shard.settle();
  }
  expect(shard.countCount - before).toBeWithin(15, 35);
  expect(shard.transact(write(CommandType.rename, "a", "b"))).toBe(true);
});
