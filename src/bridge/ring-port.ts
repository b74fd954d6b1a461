/**
 * Both rings between main and one worker, as each side holds them. A side sends with `open`, `close` and
 * `flush`, takes with `drain`, and sleeps in one place: on the ring that leads to it. It is woken there for messages, and also when the
 * other side has made room for what it could not send.
 *
 * Main never blocks: what finds no room waits in its queue, and `congested` says so. It drains replies whenever it is
 * woken, which needs no room anywhere. So a worker that blocks in `open` until its replies have room is always relieved,
 * and two full rings cannot stop each other.
 */
import { assert } from "../core/assert.ts";
import type { ByteWriter } from "../core/byte-writer.ts";
import { createRing, type Receive, RingConsumer, RingProducer } from "./ring.ts";

export interface RingPair {
  readonly requests: SharedArrayBuffer;
  readonly replies: SharedArrayBuffer;
}

export function createRingPair(ringBytes: number): RingPair {
  return { requests: createRing(ringBytes), replies: createRing(ringBytes) };
}

class RingPort {
  protected readonly incoming: RingConsumer;
  protected readonly outgoing: RingProducer;
  #congested = false;

  constructor(incoming: SharedArrayBuffer, outgoing: SharedArrayBuffer, queueBytesMax: number) {
    this.incoming = new RingConsumer(incoming);
    this.outgoing = new RingProducer(outgoing, queueBytesMax);
  }

  /** Where the message begun by `open` is encoded. */
  get writer(): ByteWriter {
    return this.outgoing.writer;
  }

  /** Ends a message: it leaves with the next `flush`. */
  close(): void {
    this.outgoing.close();
  }

  /** Publishes the messages written since the last time; what has no room stays queued and leaves with a later one. */
  flush(): void {
    this.#congested = !this.outgoing.flush();
  }

  /** Whether the last `flush` left something behind, or the next one will: between two of them much may come. */
  get congested(): boolean {
    return this.#congested || this.outgoing.overflows;
  }

  /** Whether there is something to drain or something queued that could leave. */
  get hasWork(): boolean {
    return this.incoming.hasBytes || (this.outgoing.queuedBytes > 0 && this.outgoing.mayContinue);
  }

  /** Gives every message that has arrived to `receive`, which may keep the bytes; returns how many there were. */
  drain(receive: Receive): number {
    const messageCount = this.incoming.drain(receive);
    if (this.incoming.takeStarved()) this.outgoing.wake();
    return messageCount;
  }
}

/** Main's side. */
export class MainRingPort extends RingPort {
  #closed = false;

  /** `queueBytesMax`: how much may wait for room; who sends looks at `congested` and stops long before. */
  constructor(pair: RingPair, queueBytesMax: number) {
    super(pair.replies, pair.requests, queueBytesMax);
  }

  /** Begins a message. */
  open(): void {
    this.outgoing.open();
  }

  /**
   * Calls `wake` whenever messages have arrived or room has been made: it drains and flushes. Each call is an event of
   * the loop by itself, so a busy worker cannot keep main from its sockets. At most one wait is ever pending. Called
   * once.
   */
  listen(wake: () => void): void {
    let woken: Promise<unknown> | null = null;
    while (woken === null) {
      this.incoming.layDown();
      woken = this.incoming.sleepAsync();
    }
    void woken.then(() => {
      this.incoming.getUp();
      if (this.#closed) return;
      wake();
      this.listen(wake);
    });
    if (this.hasWork) this.incoming.wakeSelf();
  }

  /** Ends `listen`. The memory stays: the other thread may still hold it. */
  stopListening(): void {
    this.#closed = true;
  }
}

/** The worker's side. */
export class WorkerRingPort extends RingPort {
  /** `queueBytesMax`: `open` blocks while more than this waits for room. */
  constructor(pair: RingPair, queueBytesMax: number) {
    super(pair.requests, pair.replies, queueBytesMax);
  }

  /** Begins a message, once main has taken enough of the earlier ones. */
  open(): void {
    while (this.outgoing.full) {
      this.flush();
      if (this.outgoing.full) this.waitForRoom();
    }
    this.outgoing.open();
  }

  /** Sleeps until a message arrives, replies that wait for room can leave, or the time is over. */
  wait(timeoutMs: number): void {
    assert(timeoutMs >= 0, "a wait has a length");
    this.incoming.layDown();
    if (!this.hasWork) this.incoming.sleep(timeoutMs);
    this.incoming.getUp();
  }

  /** Sleeps until replies that wait for room can leave. Requests that have arrived do not count: nobody takes them now. */
  waitForRoom(): void {
    this.incoming.layDown();
    if (!this.outgoing.mayContinue) this.incoming.sleep(Number.POSITIVE_INFINITY);
    this.incoming.getUp();
  }
}
