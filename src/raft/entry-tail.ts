/**
 * The newest entries of the log in memory: a ring of references, addressed by log index, cheap at both ends.
 * Always consecutive; `firstIndex` is the index of the oldest one held, or of the next to come when it is empty.
 */
import { assert } from "../core/assert.ts";
import type { RaftEntry } from "./messages.ts";

const SLOTS_AT_BIRTH = 64;

export class EntryTail {
  #slots: (RaftEntry | undefined)[] = new Array<RaftEntry | undefined>(SLOTS_AT_BIRTH);
  #head = 0;
  #count = 0;
  #firstIndex: number;
  #bytes = 0;

  constructor(firstIndex: number) {
    this.#firstIndex = firstIndex;
  }

  get firstIndex(): number {
    return this.#firstIndex;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(index: number): RaftEntry {
    const offset = index - this.#firstIndex;
    assert(offset >= 0 && offset < this.#count, "the entry is in the tail");
    return this.#slots[(this.#head + offset) & (this.#slots.length - 1)]!;
  }

  push(entry: RaftEntry): void {
    assert(entry.index === this.#firstIndex + this.#count, "the tail has no gaps");
    if (this.#count === this.#slots.length) this.#grow();
    this.#slots[(this.#head + this.#count) & (this.#slots.length - 1)] = entry;
    this.#count += 1;
    this.#bytes += entry.bytes.length;
  }

  dropFirst(): void {
    this.#bytes -= this.get(this.#firstIndex).bytes.length;
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.#count -= 1;
    this.#firstIndex += 1;
  }

  /** Forgets the entries from `index` on. If that is below the tail it becomes empty, and the next entry is `index`. */
  truncateFrom(index: number): void {
    while (this.#count > 0 && this.#firstIndex + this.#count > index) {
      const slot = (this.#head + this.#count - 1) & (this.#slots.length - 1);
      this.#bytes -= this.#slots[slot]!.bytes.length;
      this.#slots[slot] = undefined;
      this.#count -= 1;
    }
    if (this.#count === 0 && index < this.#firstIndex) this.#firstIndex = index;
  }

  /** Entries from `from` up to `through`, at most `bytesMax` bytes of them but at least one. */
  take(from: number, through: number, bytesMax: number): RaftEntry[] {
    const taken: RaftEntry[] = [];
    let bytes = 0;
    for (let index = from; index <= through; index++) {
      const entry = this.get(index);
      bytes += entry.bytes.length;
      if (bytes > bytesMax && taken.length > 0) break;
      taken.push(entry);
    }
    return taken;
  }

  #grow(): void {
    const slots = new Array<RaftEntry | undefined>(this.#slots.length * 2);
    for (let i = 0; i < this.#count; i++) slots[i] = this.#slots[(this.#head + i) & (this.#slots.length - 1)];
    this.#slots = slots;
    this.#head = 0;
  }
}
