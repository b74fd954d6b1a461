/**
 * SCAN cursors. Clients insist on integers, and some on such as a double holds, so a cursor has 53 bits:
 *
 *   bit   52   51…42   41…30   29…0
 *          0   shard   slot    check, never 0      behind the key that the slot remembers
 *          0   shard   0       0                   at the start of the shard
 *   bit   52   51…42   41…32   31…0
 *          1   shard   0       hash                on from this hash of keys
 *
 * Where a scan stands is a key, and no integer holds a key. So it stands in one of a bounded number of slots of this
 * node, and the cursor names the slot and, by the check (a hash of bucket, shard and key), what was in it. That is
 * quick and exact as long as the slot lasts. When it was given away since, or another node or an earlier process made
 * the cursor, the scan goes through its shard in an order that needs no memory: by the hashes of keys (hash-page.ts).
 * It begins that order at its beginning, so keys may come again; none is missed, and it is never thrown back a second
 * time, so it ends however many scans share the slots and wherever each step is sent.
 */
import { murmur3 } from "../core/murmur3.ts";
import { utf8 } from "../core/bytes.ts";

const CHECK_RANGE = 2 ** 30;
const SLOT_COUNT = 2 ** 12;
const SHARD_UNIT = CHECK_RANGE * SLOT_COUNT;
const SHARD_RANGE = 2 ** 10;
const HASH_MODE = SHARD_UNIT * SHARD_RANGE;

export type ScanPosition =
  /** Behind a key; null: at the start of the shard. */
  | { readonly order: "keys"; readonly shard: number; readonly after: Uint8Array | null }
  /** From this hash on. */
  | { readonly order: "hashes"; readonly shard: number; readonly from: number };

interface Remembered {
  readonly check: number;
  readonly shard: number;
  readonly after: Uint8Array;
}

export class ScanCursors {
  readonly #slots: (Remembered | null)[] = new Array<Remembered | null>(SLOT_COUNT).fill(null);
  #nextSlot = 0;

  /** The cursor of a position; the key in it is kept as it is. */
  remember(bucket: string, position: ScanPosition): number {
    const base = position.shard * SHARD_UNIT;
    if (position.order === "hashes") return HASH_MODE + base + position.from;
    const { shard, after } = position;
    if (after === null) return base;
    const slot = this.#nextSlot;
    this.#nextSlot = (slot + 1) % SLOT_COUNT;
    const check = checkOf(bucket, shard, after);
    this.#slots[slot] = { check, shard, after };
    return base + slot * CHECK_RANGE + check;
  }

  /** `cursor` is any integer: one that nobody made leads to the beginning of some shard. */
  position(bucket: string, cursor: number): ScanPosition {
    const shard = Math.floor(cursor / SHARD_UNIT) % SHARD_RANGE;
    if (cursor >= 2 * HASH_MODE) return { order: "hashes", shard: 0, from: 0 };
    if (cursor >= HASH_MODE) return { order: "hashes", shard, from: cursor % 2 ** 32 };
    const check = cursor % CHECK_RANGE;
    const slot = Math.floor(cursor / CHECK_RANGE) % SLOT_COUNT;
    if (check === 0 && slot === 0) return { order: "keys", shard, after: null };
    const found = this.#slots[slot] ?? null;
    const isOurs = found !== null && found.check === check && found.shard === shard;
    if (!isOurs || checkOf(bucket, shard, found.after) !== check) return { order: "hashes", shard, from: 0 };
    return { order: "keys", shard, after: found.after };
  }
}

function checkOf(bucket: string, shard: number, key: Uint8Array): number {
  const name = utf8(bucket);
  const hash = murmur3(key, 0, key.length, murmur3(name, 0, name.length, shard));
  return 1 + (hash % (CHECK_RANGE - 1));
}
