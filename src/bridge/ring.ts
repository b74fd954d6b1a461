/**
 * A one-way queue of messages between two threads, in one SharedArrayBuffer: single producer, single consumer.
 *
 *     byte
 *        0      4  published: bytes the producer has ever put in, modulo 2^32        written by the producer
 *       64      4  consumed: bytes the consumer has ever taken out, modulo 2^32      written by the consumer
 *      128      4  asleep: 1 while the consumer sleeps on this word                  set by consumer, cleared by producer
 *      192      4  starved: 1 while the producer waits for room                      set by producer, cleared by consumer
 *      256      N  data, N a power of two; byte k of the stream lies at k modulo N
 *
 * The stream is a row of messages, each a u32 length and its bytes. What a `flush` publishes, by one Atomics.store,
 * need not end at a message's end: a message larger than the room there is, or than the ring, goes over in consecutive
 * pieces, and nothing comes between them, so the consumer has one message in assembly at a time. Differences of the two
 * counters are taken modulo 2^32, so they may wrap for ever.
 *
 * The producer encodes into a queue of its own and copies to the ring at `flush`; what finds no room stays in the queue
 * until the next one. The consumer copies what is there in one go and gives the room back at once: the messages it
 * hands out are views of that copy, and whoever gets them may keep them.
 *
 * No wake-up is lost, because all accesses of the four words are Atomics, which fall in one order. The consumer sets
 * `asleep`, then looks at `published` again, then sleeps; the producer stores `published`, then looks at `asleep`.
 * One of the two sees the other. `starved` is the same the other way round; who waits for room sleeps on the `asleep`
 * word of the ring that leads to it (ring-port.ts), so each thread has one place to sleep for each pair. Between making
 * room and clearing `starved` the consumer may take its time, and the ring be full again by then: what it clears belongs
 * to a later want, and its wake-up may come before the producer lies down. So a producer sleeps only while `starved` is
 * still set: cleared means that there was room since, and the producer tries again.
 */
import { assert } from "../core/assert.ts";
import { ByteWriter } from "../core/byte-writer.ts";
import { copyBytes } from "../core/copy-bytes.ts";

const PUBLISHED = 0;
const CONSUMED = 16;
const ASLEEP = 32;
const STARVED = 48;
const HEADER_BYTES = 256;
const RING_BYTES_MIN = 1024;
const RING_BYTES_MAX = 2 ** 30;
const LENGTH_BYTES = 4;
/** A queue that grew past this for one large message gives the memory back. */
const QUEUE_BYTES_KEPT = 1 << 20;

/** Memory of a ring with at least `ringBytes` of data. */
export function createRing(ringBytes: number): SharedArrayBuffer {
  assert(ringBytes <= RING_BYTES_MAX, "a ring has at most 1 GiB");
  const dataBytes = 2 ** Math.ceil(Math.log2(Math.max(ringBytes, RING_BYTES_MIN)));
  return new SharedArrayBuffer(HEADER_BYTES + dataBytes);
}

export class RingProducer {
  /** Messages are encoded here, between `open` and `close`. */
  readonly writer: ByteWriter;
  readonly #words: Int32Array;
  readonly #data: Uint8Array;
  readonly #queueBytesMax: number;
  #published: number;
  /** Bytes at the start of the writer that are in the ring already. */
  #sent = 0;
  #opened = -1;

  /** `queueBytesMax` bounds what waits outside the ring: no message may be opened while there is more. */
  constructor(ring: SharedArrayBuffer, queueBytesMax: number) {
    this.#words = new Int32Array(ring, 0, HEADER_BYTES >>> 2);
    this.#data = new Uint8Array(ring, HEADER_BYTES);
    this.#published = Atomics.load(this.#words, PUBLISHED);
    this.#queueBytesMax = queueBytesMax;
    this.writer = new ByteWriter(Math.min(this.#data.length, QUEUE_BYTES_KEPT));
  }

  /** Bytes that are not in the ring yet. */
  get queuedBytes(): number {
    return this.writer.length - this.#sent;
  }

  /** Whether no further message is taken until the consumer has made room. */
  get full(): boolean {
    return this.queuedBytes > this.#queueBytesMax;
  }

  /** Whether more waits than an empty ring has room for. */
  get overflows(): boolean {
    return this.queuedBytes > this.#data.length;
  }

  /** Begins a message: the caller writes it to `writer` and calls `close`. */
  open(): void {
    assert(this.#opened < 0, "one message is open at a time");
    assert(!this.full, "a ring that is full is given nothing");
    this.#opened = this.writer.reserve(LENGTH_BYTES);
  }

  close(): void {
    assert(this.#opened >= 0, "a message was opened");
    this.writer.patchU32(this.#opened, this.writer.length - this.#opened - LENGTH_BYTES);
    this.#opened = -1;
  }

  /**
   * Publishes as much of the queue as the ring has room for and wakes the consumer if it sleeps. False: some of it
   * remains, and the consumer will ring when it has made room.
   */
  flush(): boolean {
    assert(this.#opened < 0, "no message is half-written");
    if (this.queuedBytes === 0) return true;
    this.#fill();
    while (this.queuedBytes > 0) {
      Atomics.store(this.#words, STARVED, 1);
      // The consumer may have made room before it could see `starved`, and may have cleared it already.
      if (this.#fill()) continue;
      this.#dropSent();
      return false;
    }
    this.writer.reset(QUEUE_BYTES_KEPT);
    this.#sent = 0;
    return true;
  }

  /** Wakes the consumer's thread if it sleeps. */
  wake(): void {
    if (Atomics.load(this.#words, ASLEEP) === 0) return;
    if (Atomics.exchange(this.#words, ASLEEP, 0) === 1) Atomics.notify(this.#words, ASLEEP);
  }

  /** Whether another `flush` is worth while: there is room, or there was since the last one found none. */
  get mayContinue(): boolean {
    return this.#roomBytes() > 0 || Atomics.load(this.#words, STARVED) === 0;
  }

  #roomBytes(): number {
    return this.#data.length - ((this.#published - Atomics.load(this.#words, CONSUMED)) | 0);
  }

  /** Copies what there is room for and publishes it; false: there was no room. */
  #fill(): boolean {
    const byteCount = Math.min(this.#roomBytes(), this.queuedBytes);
    if (byteCount === 0) return false;
    const start = this.#published & (this.#data.length - 1);
    const beforeEnd = Math.min(byteCount, this.#data.length - start);
    const middle = this.#sent + beforeEnd;
    copyBytes(this.writer.bytes, this.#sent, middle, this.#data, start);
    if (beforeEnd < byteCount) copyBytes(this.writer.bytes, middle, this.#sent + byteCount, this.#data, 0);
    this.#sent += byteCount;
    this.#published = (this.#published + byteCount) | 0;
    Atomics.store(this.#words, PUBLISHED, this.#published);
    this.wake();
    return true;
  }

  /** Moves what remains to the front of the queue once that is the smaller part, so that the queue stays bounded. */
  #dropSent(): void {
    if (this.#sent * 2 < this.writer.length) return;
    const remaining = this.queuedBytes;
    this.writer.bytes.copyWithin(0, this.#sent, this.writer.length);
    this.writer.length = remaining;
    this.#sent = 0;
  }
}

/** Takes a message: its bytes are `bytes[start, end)`, the receiver's to keep. */
export type Receive = (bytes: Uint8Array, start: number, end: number) => void;

export class RingConsumer {
  readonly #words: Int32Array;
  readonly #data: Uint8Array;
  #consumed: number;
  /** The beginning of a message whose rest has not come yet, and how much of it is there. */
  #assembly: Uint8Array | null = null;
  #assembledBytes = 0;
  /** Bytes of a length that was itself cut. */
  readonly #length = new Uint8Array(LENGTH_BYTES);
  #lengthBytes = 0;
  #draining = false;

  constructor(ring: SharedArrayBuffer) {
    this.#words = new Int32Array(ring, 0, HEADER_BYTES >>> 2);
    this.#data = new Uint8Array(ring, HEADER_BYTES);
    this.#consumed = Atomics.load(this.#words, CONSUMED);
  }

  get hasBytes(): boolean {
    return Atomics.load(this.#words, PUBLISHED) !== this.#consumed;
  }

  /**
   * Takes all that has been published, gives each whole message to `receive`, and returns how many there were.
   * `receive` may send and flush, but not drain: what came later would overtake the rest of the batch.
   */
  drain(receive: Receive): number {
    assert(!this.#draining, "a drain is not entered twice");
    const byteCount = (Atomics.load(this.#words, PUBLISHED) - this.#consumed) | 0;
    if (byteCount === 0) return 0;
    assert(byteCount > 0 && byteCount <= this.#data.length, "a ring holds no more than its size");
    this.#draining = true;
    try {
      return this.#take(byteCount, receive);
    } finally {
      this.#draining = false;
    }
  }

  /** Whether the producer has been waiting for room since the last call; then it is to be woken. */
  takeStarved(): boolean {
    return Atomics.load(this.#words, STARVED) === 1 && Atomics.exchange(this.#words, STARVED, 0) === 1;
  }

  /** Says that this thread is going to sleep. The caller looks for work once more before it does. */
  layDown(): void {
    Atomics.store(this.#words, ASLEEP, 1);
  }

  getUp(): void {
    Atomics.store(this.#words, ASLEEP, 0);
  }

  /** Blocks the thread until a producer wakes it or the time is over. After `layDown`. */
  sleep(timeoutMs: number): void {
    Atomics.wait(this.#words, ASLEEP, 1, timeoutMs);
  }

  /** Resolves when this thread is woken; null: it already has been. After `layDown`. */
  sleepAsync(): Promise<unknown> | null {
    // No timeout: a finite one leaks memory in Bun (oven-sh/bun#34456).
    const waiting = Atomics.waitAsync(this.#words, ASLEEP, 1);
    return waiting.async ? waiting.value : null;
  }

  /** Wakes this thread's own `sleepAsync`: there is work already, but it shall come as an event of its own. */
  wakeSelf(): void {
    if (Atomics.exchange(this.#words, ASLEEP, 0) === 1) Atomics.notify(this.#words, ASLEEP);
  }

  #take(byteCount: number, receive: Receive): number {
    if (this.#assembly !== null && this.#assembly.length - this.#assembledBytes >= byteCount) {
      // A piece of a large message goes straight to its place.
      this.#copyOut(this.#assembly, this.#assembledBytes, byteCount);
      this.#assembledBytes += byteCount;
      return this.#finishAssembly(receive);
    }
    const batch = new Uint8Array(byteCount);
    this.#copyOut(batch, 0, byteCount);
    return this.#parse(batch, receive);
  }

  #copyOut(target: Uint8Array, offset: number, byteCount: number): void {
    const start = this.#consumed & (this.#data.length - 1);
    const beforeEnd = Math.min(byteCount, this.#data.length - start);
    copyBytes(this.#data, start, start + beforeEnd, target, offset);
    if (beforeEnd < byteCount) copyBytes(this.#data, 0, byteCount - beforeEnd, target, offset + beforeEnd);
    this.#consumed = (this.#consumed + byteCount) | 0;
    Atomics.store(this.#words, CONSUMED, this.#consumed);
  }

  #parse(batch: Uint8Array, receive: Receive): number {
    let messageCount = 0;
    let offset = 0;
    while (offset < batch.length) {
      if (this.#assembly !== null || this.#lengthBytes > 0 || batch.length - offset < LENGTH_BYTES) {
        offset = this.#assemble(batch, offset);
        messageCount += this.#finishAssembly(receive);
        continue;
      }
      const start = offset + LENGTH_BYTES;
      const end = start + readLength(batch, offset);
      if (end > batch.length) {
        offset = this.#assemble(batch, offset);
        continue;
      }
      receive(batch, start, end);
      messageCount += 1;
      offset = end;
    }
    return messageCount;
  }

  /** Adds what `batch` has of a cut message, first its length and then its bytes; returns the offset behind it. */
  #assemble(batch: Uint8Array, start: number): number {
    let offset = start;
    if (this.#assembly === null) {
      while (this.#lengthBytes < LENGTH_BYTES && offset < batch.length) {
        this.#length[this.#lengthBytes++] = batch[offset++]!;
      }
      if (this.#lengthBytes < LENGTH_BYTES) return offset;
      this.#assembly = new Uint8Array(readLength(this.#length, 0));
      this.#assembledBytes = 0;
      this.#lengthBytes = 0;
    }
    const end = Math.min(batch.length, offset + this.#assembly.length - this.#assembledBytes);
    copyBytes(batch, offset, end, this.#assembly, this.#assembledBytes);
    this.#assembledBytes += end - offset;
    return end;
  }

  /** Hands out the message in assembly if it is whole; returns how many messages that made. */
  #finishAssembly(receive: Receive): number {
    const message = this.#assembly;
    if (message === null || this.#assembledBytes < message.length) return 0;
    this.#assembly = null;
    receive(message, 0, message.length);
    return 1;
  }
}

function readLength(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16) | (bytes[offset + 3]! << 24)) >>> 0;
}
