/**
 * Both sides of a pair of rings, in every order in which their Atomics can fall: no wake-up is lost, and everybody comes to
 * his end. Messages are as long as a ring, so that it is full all the time, and all alike (see interleavings.ts).
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { createRingPair, MainRingPort, type RingPair, WorkerRingPort } from "../../src/bridge/ring-port.ts";
import { explore, type Program } from "./interleavings.ts";

setDefaultTimeout(120_000);

const RING_BYTES = 1024;
/** With its length, a ring. */
const BODY = new Uint8Array(1020).fill(7);
/** As many words of a ring as it begins with. */
const RING_WORDS = 64;

function send(port: MainRingPort | WorkerRingPort): void {
  port.open();
  port.writer.raw(BODY);
  port.close();
}

/** Main takes replies until there were so many, after it has sent so many requests. */
function main(pair: RingPair, requestCount: number, replyCount: number): Program {
  return (idle, note) => {
    const port = new MainRingPort(pair, RING_BYTES * 8);
    let received = 0;
    for (let i = 0; i < requestCount; i++) send(port);
    port.listen(() => {
      received += port.drain(() => undefined);
      note(`drained ${received} ${port.congested}`);
      port.flush();
    });
    while (received < replyCount || port.congested) {
      note(`${received} ${port.congested}`);
      idle();
    }
  };
}

/** The worker sends so many replies, and waits in between until there is room; at the end, too. */
function sender(pair: RingPair, replyCount: number): Program {
  return (_, note) => {
    const port = new WorkerRingPort(pair, 0);
    for (let i = 0; i < replyCount; i++) {
      send(port);
      note(`${i}`);
    }
    port.flush();
    sendRest(port);
  };
}

/** The worker answers so many requests, each with one reply. */
function answerer(pair: RingPair, requestCount: number): Program {
  return (_, note) => {
    const port = new WorkerRingPort(pair, 0);
    let answered = 0;
    while (answered < requestCount) {
      port.drain(() => {
        send(port);
        answered += 1;
        note(`drains ${answered}`);
      });
      port.flush();
      note(`${answered}`);
      if (answered < requestCount) port.wait(Number.POSITIVE_INFINITY);
    }
    sendRest(port);
  };
}

function sendRest(port: WorkerRingPort): void {
  while (port.congested) {
    port.waitForRoom();
    port.flush();
  }
}

/** The way to the first state from which nobody can go on, if there is one. */
function stuck(pair: RingPair, programs: readonly Program[]): readonly number[] | null {
  return explore([pair.requests, pair.replies], RING_WORDS, programs).stuck;
}

for (const replyCount of [1, 2, 3, 4]) {
  test(`${replyCount} replies through a ring that holds one`, () => {
    const pair = createRingPair(RING_BYTES);
    expect(stuck(pair, [main(pair, 0, replyCount), sender(pair, replyCount)])).toBeNull();
  });
}

test("the last replies leave although there is a request that nobody takes", () => {
  const pair = createRingPair(RING_BYTES);
  expect(stuck(pair, [main(pair, 1, 3), sender(pair, 3)])).toBeNull();
});

for (const requestCount of [1, 2, 3]) {
  test(`${requestCount} requests and their replies, both rings full`, () => {
    const pair = createRingPair(RING_BYTES);
    expect(stuck(pair, [main(pair, requestCount, requestCount), answerer(pair, requestCount)])).toBeNull();
  });
}

test("two threads that look before they say that they sleep are found out", () => {
  const memory = new SharedArrayBuffer(8);
  const words = new Int32Array(memory);
  const waker: Program = () => {
    Atomics.store(words, 0, 1);
    if (Atomics.exchange(words, 1, 0) === 1) Atomics.notify(words, 1);
  };
  const sleeper =
    (looksAgain: boolean): Program =>
    () => {
      if (Atomics.load(words, 0) === 1) return;
      Atomics.store(words, 1, 1);
      if (!looksAgain || Atomics.load(words, 0) === 0) Atomics.wait(words, 1, 1);
    };
  expect(explore([memory], 2, [waker, sleeper(true)]).stuck).toBeNull();
  words.fill(0);
  expect(explore([memory], 2, [waker, sleeper(false)]).stuck).toEqual([1, 0, 0, 1, 1]);
});
