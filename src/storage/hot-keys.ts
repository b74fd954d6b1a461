/**
 * The places of the values that were read last: the hot part of the key directory in memory, while all of it lies in the
 * tables. A look-up here and one read of the value take the place of a search through the levels. Only hashes are kept,
 * 25 bytes a key whatever its length; the command that is read says which key it is of.
 *
 *   set        8 slots; a key's hash chooses the set, and the key stands in any slot of it
 *   slot       hash u32 · value file f64 (0: empty) · command offset u32 · command bytes u32 · command checksum u32
 *   eviction   second chance (Corbató, "A Paging Experiment with the Multics System", 1968) within the set: its hand
 *              goes round, passes over slots that were used since it came by last, and takes the first that was not
 *
 * Places are of the newest version that the tables hold: a flush forgets every key it writes. Open addressing with sets
 * needs no tombstones, so forgetting is free. Shard thread.
 */
import type { ValueFileId } from "../core/ids.ts";

const WAYS = 8;
const SLOT_BYTES = 25;

export class HotKeys {
  /** Keys in it. */
  keyCount = 0;
  /** Memory it takes, full or not. */
  readonly byteCount: number;
  readonly #setMask: number;
  readonly #hashes: Uint32Array;
  readonly #files: Float64Array;
  readonly #offsets: Uint32Array;
  readonly #byteCounts: Uint32Array;
  readonly #checksums: Uint32Array;
  readonly #used: Uint8Array;
  readonly #hands: Uint8Array;

  /** Takes at most `bytesMax`, but room for eight keys at least. */
  constructor(bytesMax: number) {
    const setBytes = WAYS * SLOT_BYTES + 1;
    const setCount = 2 ** Math.max(0, Math.floor(Math.log2(bytesMax / setBytes)));
    const slotCount = setCount * WAYS;
    this.#setMask = setCount - 1;
    this.byteCount = setCount * setBytes;
    this.#hashes = new Uint32Array(slotCount);
    this.#files = new Float64Array(slotCount);
    this.#offsets = new Uint32Array(slotCount);
    this.#byteCounts = new Uint32Array(slotCount);
    this.#checksums = new Uint32Array(slotCount);
    this.#used = new Uint8Array(slotCount);
    this.#hands = new Uint8Array(setCount);
  }

  /** The slot of a key with this hash, which counts as used now, or −1. */
  find(hash: number): number {
    const slot = this.#slotOf(hash);
    if (slot >= 0) this.#used[slot] = 1;
    return slot;
  }

  fileAt(slot: number): ValueFileId {
    return this.#files[slot]! as ValueFileId;
  }

  offsetAt(slot: number): number {
    return this.#offsets[slot]!;
  }

  byteCountAt(slot: number): number {
    return this.#byteCounts[slot]!;
  }

  checksumAt(slot: number): number {
    return this.#checksums[slot]!;
  }

  /** Notes the place of a key that has just been read, and forgets another one if there is no room. */
  put(hash: number, file: ValueFileId, offset: number, byteCount: number, checksum: number): void {
    const known = this.#slotOf(hash);
    const slot = known >= 0 ? known : this.#freeSlot(hash);
    this.#hashes[slot] = hash;
    this.#files[slot] = file;
    this.#offsets[slot] = offset;
    this.#byteCounts[slot] = byteCount;
    this.#checksums[slot] = checksum;
    // One read makes no hot key: what is never read again goes first.
    this.#used[slot] = 0;
  }

  /** Forgets what is known under the hash. */
  forget(hash: number): void {
    const slot = this.#slotOf(hash);
    if (slot < 0) return;
    this.#files[slot] = 0;
    this.keyCount -= 1;
  }

  #slotOf(hash: number): number {
    const start = (hash & this.#setMask) * WAYS;
    const wanted = hash >>> 0;
    for (let slot = start; slot < start + WAYS; slot++) {
      if (this.#hashes[slot] === wanted && this.#files[slot] !== 0) return slot;
    }
    return -1;
  }

  #freeSlot(hash: number): number {
    const set = hash & this.#setMask;
    const start = set * WAYS;
    for (let slot = start; slot < start + WAYS; slot++) {
      if (this.#files[slot] !== 0) continue;
      this.keyCount += 1;
      return slot;
    }
    // After one round at most every slot has lost its chance.
    for (let way = this.#hands[set]!; ; way = (way + 1) % WAYS) {
      const slot = start + way;
      if (this.#used[slot] === 0) {
        this.#hands[set] = (way + 1) % WAYS;
        return slot;
      }
      this.#used[slot] = 0;
    }
  }
}
