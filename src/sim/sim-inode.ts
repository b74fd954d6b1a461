/**
 * The contents of one simulated file: what a reader sees now, what the platter holds, and the changes between the two
 * in the order in which they were made. A crash lets each 512-byte sector of an unsynced write survive or not, by
 * chance, so a torn write can keep its end and lose its beginning.
 */
import type { Random } from "../core/random.ts";

const SECTOR_BYTES = 512;

type Change =
  | { readonly kind: "write"; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly byteCount: number };

/** Bytes that grow; everything behind `length` is zero. */
class Contents {
  bytes = new Uint8Array(0);
  length = 0;

  write(position: number, bytes: Uint8Array): void {
    this.resize(Math.max(this.length, position + bytes.length));
    this.bytes.set(bytes, position);
  }

  resize(byteCount: number): void {
    if (byteCount > this.bytes.length) {
      const grown = new Uint8Array(Math.max(byteCount, 2 * this.bytes.length, 4096));
      grown.set(this.bytes);
      this.bytes = grown;
    }
    if (byteCount < this.length) this.bytes.fill(0, byteCount, this.length);
    this.length = byteCount;
  }

  copy(): Contents {
    const twin = new Contents();
    twin.bytes = this.bytes.slice(0, this.length);
    twin.length = this.length;
    return twin;
  }
}

/** How much of what was not synced a power cut leaves behind. */
export interface Survival {
  /** Probability for each unsynced sector. */
  readonly sector: number;
}

export class Inode {
  #seen = new Contents();
  #durable = new Contents();
  #changes: Change[] = [];
  /** Changes before the first of `#changes`, ever made: a change's number never moves. */
  #settled = 0;

  get size(): number {
    return this.#seen.length;
  }

  read(into: Uint8Array, position: number): number {
    const count = Math.max(0, Math.min(into.length, this.#seen.length - position));
    into.set(this.#seen.bytes.subarray(position, position + count));
    return count;
  }

  whole(): Uint8Array<ArrayBuffer> {
    return this.#seen.bytes.slice(0, this.#seen.length);
  }

  write(position: number, bytes: Uint8Array): void {
    this.#seen.write(position, bytes);
    this.#changes.push({ kind: "write", position, bytes: bytes.slice() });
  }

  truncate(byteCount: number): void {
    this.#seen.resize(byteCount);
    this.#changes.push({ kind: "truncate", byteCount });
  }

  /** The number behind the last change: what a sync that starts now will cover. */
  get changeEnd(): number {
    return this.#settled + this.#changes.length;
  }

  /** Everything before that change reaches the platter. */
  settle(changeEnd: number): void {
    for (const change of this.#take(changeEnd)) apply(this.#durable, change);
  }

  /** A failed sync: the system drops the changes from its list, though readers still see them until the next crash. */
  forget(changeEnd: number): void {
    this.#take(changeEnd);
  }

  #take(changeEnd: number): Change[] {
    const count = Math.max(0, changeEnd - this.#settled);
    this.#settled += count;
    return this.#changes.splice(0, count);
  }

  /** Power is cut: the platter, and by chance some of the rest, is all there is. */
  crash(random: Random, survival: Survival): void {
    for (const change of this.#take(this.changeEnd)) {
      if (change.kind === "truncate") {
        if (random.chance(survival.sector)) apply(this.#durable, change);
        continue;
      }
      for (const [start, end] of sectors(change.position, change.bytes.length)) {
        if (!random.chance(survival.sector)) continue;
        this.#durable.write(start, change.bytes.subarray(start - change.position, end - change.position));
      }
    }
    this.#seen = this.#durable.copy();
  }

  /** Bit rot: on the platter and in what readers see. */
  flipBit(position: number, bit: number): void {
    for (const contents of [this.#seen, this.#durable]) {
      if (position < contents.length) contents.bytes[position]! ^= 1 << bit;
    }
  }
}

function apply(contents: Contents, change: Change): void {
  if (change.kind === "write") contents.write(change.position, change.bytes);
  else contents.resize(change.byteCount);
}

/** The sectors that a write touches, clipped to it: start and end positions in the file. */
function* sectors(position: number, byteCount: number): Generator<readonly [number, number]> {
  const end = position + byteCount;
  for (let start = position; start < end; ) {
    const next = Math.min(end, (Math.floor(start / SECTOR_BYTES) + 1) * SECTOR_BYTES);
    yield [start, next];
    start = next;
  }
}
