/**
 * The order of replies of one connection. Every command takes the next slot; whatever order they are answered in, replies
 * leave in the order of slots. A slot is a few numbers in typed arrays and, only when its answer came before an earlier
 * one's, the bytes of that answer. The tag of a slot is its running number; its place is the tag modulo the capacity.
 *
 *         head                     tail
 *   … ────┬───────┬───────┬───────┬────          pending: no answer yet
 *         │pending│ ready │pending│              ready: answered, waits for the head
 *   … ────┴───────┴───────┴───────┴────
 */
import { assert } from "../core/assert.ts";

/** Tags are below this and one more. */
const TAG_MASK = 0x3fff_ffff;
const CAPACITY_AT_FIRST = 16;

const PENDING = 0;
const READY = 1;

export class SlotRing {
  head = 0;
  tail = 0;
  /** Bytes of answers that wait for an earlier one. */
  waitingBytes = 0;
  #mask = CAPACITY_AT_FIRST - 1;
  #states = new Uint8Array(CAPACITY_AT_FIRST);
  #shapes = new Uint8Array(CAPACITY_AT_FIRST);
  #answers: (Uint8Array | null)[] = new Array<Uint8Array | null>(CAPACITY_AT_FIRST).fill(null);

  get count(): number {
    return (this.tail - this.head) & TAG_MASK;
  }

  /** Takes the next slot. `shape` is kept for whoever words the answer. */
  open(shape: number): number {
    if (this.count > this.#mask) this.#grow();
    const tag = this.tail;
    const place = tag & this.#mask;
    this.#states[place] = PENDING;
    this.#shapes[place] = shape;
    this.tail = (tag + 1) & TAG_MASK;
    return tag;
  }

  /** Whether the slot with this tag is open. */
  has(tag: number): boolean {
    return ((tag - this.head) & TAG_MASK) < this.count;
  }

  /** Closes all slots as they are. Tags go on from where they are. */
  clear(): void {
    this.#answers.fill(null);
    this.head = this.tail;
    this.waitingBytes = 0;
  }

  /** Gives back what many slots took, while none is open. */
  giveBack(): void {
    if (this.count > 0 || this.#mask < CAPACITY_AT_FIRST) return;
    this.#mask = CAPACITY_AT_FIRST - 1;
    this.#states = new Uint8Array(CAPACITY_AT_FIRST);
    this.#shapes = new Uint8Array(CAPACITY_AT_FIRST);
    this.#answers = new Array<Uint8Array | null>(CAPACITY_AT_FIRST).fill(null);
  }

  shapeOf(tag: number): number {
    assert(this.has(tag), "an answer belongs to an open slot");
    return this.#shapes[tag & this.#mask]!;
  }

  /** The head has been answered and leaves the ring. */
  pop(): void {
    const place = this.head & this.#mask;
    const answer = this.#answers[place]!;
    if (answer !== null) {
      this.waitingBytes -= answer.length;
      this.#answers[place] = null;
    }
    this.head = (this.head + 1) & TAG_MASK;
  }

  /** Keeps the answer of a slot that is not the head. `answer` may be shared, and may be empty. */
  keep(tag: number, answer: Uint8Array): void {
    const place = tag & this.#mask;
    assert(this.#states[place] === PENDING, "a slot is answered once");
    this.#states[place] = READY;
    this.#answers[place] = answer;
    this.waitingBytes += answer.length;
  }

  /** The kept answer of the head, or null while it is pending or there is none. */
  ready(): Uint8Array | null {
    if (this.head === this.tail) return null;
    return this.#answers[this.head & this.#mask]!;
  }

  #grow(): void {
    const capacity = (this.#mask + 1) * 2;
    const states = new Uint8Array(capacity);
    const shapes = new Uint8Array(capacity);
    const answers = new Array<Uint8Array | null>(capacity).fill(null);
    for (let tag = this.head; tag !== this.tail; tag = (tag + 1) & TAG_MASK) {
      const from = tag & this.#mask;
      const to = tag & (capacity - 1);
      states[to] = this.#states[from]!;
      shapes[to] = this.#shapes[from]!;
      answers[to] = this.#answers[from]!;
    }
    this.#mask = capacity - 1;
    this.#states = states;
    this.#shapes = shapes;
    this.#answers = answers;
  }
}
