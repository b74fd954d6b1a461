/**
 * What is put into a ring comes out whole and in order, whatever its size and wherever the ring is cut.
 */
import { expect, test } from "bun:test";
import { MainRingPort, WorkerRingPort, createRingPair } from "../../src/bridge/ring-port.ts";
import { RingConsumer, RingProducer, createRing } from "../../src/bridge/ring.ts";
import { Random } from "../../src/core/random.ts";

const RING_BYTES = 1024;
const QUEUE_BYTES_MAX = 1 << 20;

function patterned(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 0xff);
}

function write(producer: RingProducer, message: Uint8Array): void {
  producer.open();
  producer.writer.raw(message);
  producer.close();
}

function drained(consumer: RingConsumer, into: Uint8Array[] = []): Uint8Array[] {
  consumer.drain((bytes, start, end) => into.push(bytes.subarray(start, end)));
  return into;
}

for (let seed = 1; seed <= 60; seed++) {
  test(`messages of random sizes come out as they went in (seed ${seed})`, () => {
    const random = new Random(seed);
    const ring = createRing(RING_BYTES);
    const producer = new RingProducer(ring, QUEUE_BYTES_MAX);
    const consumer = new RingConsumer(ring);
    const sent: Uint8Array[] = [];
    const received: Uint8Array[] = [];
    for (let i = 0; i < 300; i++) {
      const sizes = [0, random.below(8), random.below(64), random.below(400), random.below(RING_BYTES * 4)];
      const message = patterned(sizes[random.below(sizes.length)]!, i);
      write(producer, message);
      sent.push(message);
      if (random.chance(0.6)) producer.flush();
      if (random.chance(0.5)) drained(consumer, received);
      // Kept views must not change when the ring goes on: what has come is compared at the end.
    }
    while (!producer.flush()) drained(consumer, received);
    drained(consumer, received);
    expect(received.length).toBe(sent.length);
    for (const [i, message] of sent.entries()) expect(received[i]).toEqual(message);
  });
}

test("nothing is seen before the flush, and all of it after", () => {
  const ring = createRing(RING_BYTES);
  const producer = new RingProducer(ring, QUEUE_BYTES_MAX);
  const consumer = new RingConsumer(ring);
  write(producer, patterned(10, 1));
  write(producer, patterned(20, 2));
  expect([consumer.hasBytes, drained(consumer).length]).toEqual([false, 0]);
  expect(producer.flush()).toBe(true);
  expect(drained(consumer)).toEqual([patterned(10, 1), patterned(20, 2)]);
});

test("a full ring keeps the rest in the queue, and says when it takes no more", () => {
  const ring = createRing(RING_BYTES);
  const producer = new RingProducer(ring, 2000);
  const consumer = new RingConsumer(ring);
  write(producer, patterned(RING_BYTES * 3, 1));
  expect(producer.flush()).toBe(false);
  expect([producer.mayContinue, producer.full]).toEqual([false, true]);
  expect(() => producer.open()).toThrow("full");
  expect(consumer.takeStarved()).toBe(true);
  expect(consumer.takeStarved()).toBe(false);
  const received: Uint8Array[] = [];
  drained(consumer, received);
  expect([received.length, producer.mayContinue]).toEqual([0, true]);
  while (!producer.flush()) drained(consumer, received);
  drained(consumer, received);
  expect(received).toEqual([patterned(RING_BYTES * 3, 1)]);
});

test("room made in the very moment in which the producer gives up is not overlooked", () => {
  const ring = createRing(RING_BYTES);
  const producer = new RingProducer(ring, QUEUE_BYTES_MAX);
  const consumer = new RingConsumer(ring);
  const received: Uint8Array[] = [];
  write(producer, patterned(RING_BYTES * 5, 1));
  // The consumer drains, and sees nobody wait, just before each store: the worst moment another thread could choose.
  const store = Atomics.store;
  const interleaved = ((words: Int32Array, index: number, value: number) => {
    if (words.buffer === ring && value === 1) {
      drained(consumer, received);
      consumer.takeStarved();
    }
    return store(words, index, value);
  }) as typeof Atomics.store;
  Atomics.store = interleaved;
  try {
    const flushed = producer.flush();
    expect(flushed || !producer.mayContinue).toBe(true);
  } finally {
    Atomics.store = store;
  }
  drained(consumer, received);
  expect(received).toEqual([patterned(RING_BYTES * 5, 1)]);
});

test("a side is congested before it flushes, as soon as more waits than the ring holds", () => {
  const pair = createRingPair(RING_BYTES);
  const main = new MainRingPort(pair, QUEUE_BYTES_MAX);
  const worker = new WorkerRingPort(pair, QUEUE_BYTES_MAX);
  const send = (): void => {
    main.open();
    main.writer.raw(patterned(500, 1));
    main.close();
  };
  send();
  send();
  expect(main.congested).toBe(false);
  send();
  expect(main.congested).toBe(true);
  main.flush();
  expect(main.congested).toBe(true);
  worker.drain(() => {});
  main.flush();
  expect(main.congested).toBe(false);
});

test("a want of room that is cleared for an earlier drain keeps its producer awake", () => {
  const pair = createRingPair(RING_BYTES);
  const main = new MainRingPort(pair, QUEUE_BYTES_MAX);
  const worker = new WorkerRingPort(pair, QUEUE_BYTES_MAX);
  const send = (byteCount: number): void => {
    worker.open();
    worker.writer.raw(patterned(byteCount, byteCount));
    worker.close();
    worker.flush();
  };
  send(100);
  let filled = false;
  // While main looks at what it has taken, the worker fills the ring again and finds no room for the rest.
  main.drain(() => {
    if (!filled) send(RING_BYTES * 3);
    filled = true;
  });
  expect([worker.congested, worker.hasWork]).toEqual([true, true]);
  worker.flush();
  expect([worker.congested, worker.hasWork]).toEqual([true, false]);
});

test("counters that wrap at 2^32 lose nothing", () => {
  const ring = createRing(RING_BYTES);
  // Both counters stand just below the end of 32 bits, at the same place of the ring.
  new Int32Array(ring)[0] = -RING_BYTES * 2 + 100;
  new Int32Array(ring)[16] = -RING_BYTES * 2 + 100;
  const producer = new RingProducer(ring, QUEUE_BYTES_MAX);
  const consumer = new RingConsumer(ring);
  for (let i = 0; i < 50; i++) {
    write(producer, patterned(333, i));
    producer.flush();
    expect(drained(consumer)).toEqual([patterned(333, i)]);
  }
  expect(new Int32Array(ring)[0]).toBeGreaterThan(0);
});

test("a side that waits for messages or for room has its work announced", () => {
  const pair = createRingPair(RING_BYTES);
  const main = new MainRingPort(pair, QUEUE_BYTES_MAX);
  const worker = new WorkerRingPort(pair, QUEUE_BYTES_MAX);
  main.open();
  main.writer.raw(patterned(RING_BYTES * 2, 5));
  main.close();
  expect(main.hasWork).toBe(true);
  main.flush();
  expect([main.congested, main.hasWork, worker.hasWork]).toEqual([true, false, true]);
  let messageCount = worker.drain(() => {});
  expect([main.congested, main.hasWork, messageCount]).toEqual([true, true, 0]);
  main.flush();
  messageCount = worker.drain(() => {});
  main.flush();
  messageCount += worker.drain(() => {});
  expect([messageCount, main.congested, main.hasWork, worker.hasWork]).toEqual([1, false, false, false]);
});

test("a wait ends at once for a message that came before it, and by its timeout otherwise", () => {
  const pair = createRingPair(RING_BYTES);
  const main = new MainRingPort(pair, QUEUE_BYTES_MAX);
  const worker = new WorkerRingPort(pair, QUEUE_BYTES_MAX);
  worker.wait(1);
  main.open();
  main.close();
  main.flush();
  worker.wait(Number.POSITIVE_INFINITY);
  expect(worker.drain(() => {})).toBe(1);
});

test("a listener is woken for what had come before it listened, and for what comes later", async () => {
  const pair = createRingPair(RING_BYTES);
  const main = new MainRingPort(pair, QUEUE_BYTES_MAX);
  const worker = new WorkerRingPort(pair, QUEUE_BYTES_MAX);
  const reply = (value: number): void => {
    worker.open();
    worker.writer.u32(value);
    worker.close();
    worker.flush();
  };
  const got: number[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  const received = (count: number): Promise<void> =>
    new Promise((resolve) => {
      waiting.push({ count, resolve });
    });
  reply(1);
  const first = received(1);
  main.listen(() => {
    main.drain((bytes, start) => got.push(bytes[start]!));
    for (const one of waiting) if (got.length >= one.count) one.resolve();
  });
  await first;
  for (let value = 2; value <= 20; value++) {
    const next = received(value);
    reply(value);
    await next;
  }
  expect(got).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  main.stopListening();
});
