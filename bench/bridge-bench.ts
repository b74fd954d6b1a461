/**
 * Speed of the memtable and the ring alone: `bun bench/bridge-bench.ts`. Each figure is the best of three short runs.
 */
import { MemtableReader } from "../src/bridge/memtable-reader.ts";
import { MemtableWriter } from "../src/bridge/memtable.ts";
import { createRing, RingConsumer, RingProducer } from "../src/bridge/ring.ts";
import { murmur3 } from "../src/core/murmur3.ts";
import { Random } from "../src/core/random.ts";
import { VersionKind } from "../src/record/version.ts";

const KEY_COUNT = 100_000;
const KEY_BYTES = 16;
const VALUE = new Uint8Array(100).fill(120);
const RUNS = 3;
const BUCKET = 1;

const keys = Buffer.from(
  Array.from({ length: KEY_COUNT }, (_, i) => `key:${i.toString().padStart(KEY_BYTES - 4, "0")}`).join(""),
);
const shuffled = shuffle(KEY_COUNT, new Random(1));
const arena = new SharedArrayBuffer(128 << 20);
const writer = new MemtableWriter(arena, "reuse");
const reader = new MemtableReader(arena);
let stamp = 0;

function insert(i: number): boolean {
  const start = i * KEY_BYTES;
  const end = start + KEY_BYTES;
  const hash = murmur3(keys, start, end, BUCKET);
  stamp += 1;
  return writer.insert(BUCKET, keys, start, end, hash, 1, stamp, 1, VersionKind.value, 0, VALUE, 0, VALUE.length);
}

function find(i: number): boolean {
  const start = i * KEY_BYTES;
  const end = start + KEY_BYTES;
  return reader.find(BUCKET, keys, start, end, murmur3(keys, start, end, BUCKET));
}

function report(what: string, operationCount: number, prepare: () => void, run: () => void): void {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < RUNS; round++) {
    prepare();
    const begin = performance.now();
    run();
    best = Math.min(best, performance.now() - begin);
  }
  console.log(`${what.padEnd(44)} ${(operationCount / best / 1000).toFixed(2)} M/s`);
}

function shuffle(count: number, random: Random): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const other = random.below(i + 1);
    [order[i], order[other]] = [order[other]!, order[i]!];
  }
  return order;
}

const fresh = (): void => writer.reset();
const filled = (): void => {
  writer.reset();
  for (const i of shuffled) insert(i);
};
const all = (visit: (i: number) => boolean, order: Iterable<number>): void => {
  for (const i of order) if (!visit(i)) throw new Error("the arena is too small for this benchmark");
};

report("new keys, random order, 16 B + 100 B", KEY_COUNT, fresh, () => all(insert, shuffled));
report("new keys, ascending", KEY_COUNT, fresh, () => {
  for (let i = 0; i < KEY_COUNT; i++) insert(i);
});
report("overwrites, random order", KEY_COUNT * 5, filled, () => {
  for (let round = 0; round < 5; round++) all(insert, shuffled);
});
report("finds, random order", KEY_COUNT * 5, filled, () => {
  for (let round = 0; round < 5; round++) all(find, shuffled);
});
report("walk", KEY_COUNT, filled, () => {
  writer.link();
  const cursor = reader.cursor();
  let keyBytes = 0;
  for (cursor.seek(0, new Uint8Array(0)); cursor.valid; cursor.next()) keyBytes += cursor.key.length;
  if (keyBytes !== KEY_COUNT * KEY_BYTES) throw new Error("the walk missed a key");
});

const ring = createRing(4 << 20);
const producer = new RingProducer(ring, 64 << 20);
const consumer = new RingConsumer(ring);
const message = new Uint8Array(150);
const MESSAGE_COUNT = 1_000_000;
const BATCH = 500;
report(
  "ring, 150 B, both ends on one thread",
  MESSAGE_COUNT,
  () => {},
  () => {
    let received = 0;
    for (let sent = 0; sent < MESSAGE_COUNT; sent += BATCH) {
      for (let i = 0; i < BATCH; i++) {
        producer.open();
        producer.writer.raw(message);
        producer.close();
      }
      producer.flush();
      received += consumer.drain(() => {});
    }
    if (received !== MESSAGE_COUNT) throw new Error("the ring lost a message");
  },
);
