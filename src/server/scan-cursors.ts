/**
 * SCAN cursors. Clients insist on integers, so a cursor is one that names a shard and a slot in a bounded table of the
 * last keys seen:
 *
 *   bits  52…37   36…25   24…0
 *         shard   slot    check, never 0
 *
 * The check is a hash of bucket and key. A cursor whose slot has been given away since, or that another node made, does
 * not match, and the scan goes on at the start of its shard: keys may come again, none is missed. With slot and check 0
 * it means just that start.
 */
import { murmur3 } from "../core/murmur3.ts";
import { utf8 } from "../core/bytes.ts";

const CHECK_RANGE = 2 ** 25;
const SLOT_COUNT = 2 ** 12;
const SHARD_UNIT = CHECK_RANGE * SLOT_COUNT;

interface ScanPosition {
  readonly shard: number;
  /** null: from the start of the shard. */
  readonly after: Uint8Array | null;
}

interface Remembered {
  readonly check: number;
  readonly shard: number;
  readonly after: Uint8Array;
}

export class ScanCursors {
  readonly #slots: (Remembered | null)[] = new Array<Remembered | null>(SLOT_COUNT).fill(null);
  #nextSlot = 0;

  /** The cursor of a position; `after` is kept as it is. */
  remember(bucket: string, shard: number, after: Uint8Array | null): number {
    if (after === null) return shard * SHARD_UNIT;
    const slot = this.#nextSlot;
    this.#nextSlot = (slot + 1) % SLOT_COUNT;
    const check = checkOf(bucket, shard, after);
    this.#slots[slot] = { check, shard, after };
    return shard * SHARD_UNIT + slot * CHECK_RANGE + check;
  }

  position(bucket: string, cursor: number): ScanPosition {
    const check = cursor % CHECK_RANGE;
    const slot = Math.floor(cursor / CHECK_RANGE) % SLOT_COUNT;
    const shard = Math.floor(cursor / SHARD_UNIT);
    const found = this.#slots[slot] ?? null;
    if (found === null || found.check !== check || found.shard !== shard) return { shard, after: null };
    return { shard, after: checkOf(bucket, shard, found.after) === check ? found.after : null };
  }
}

function checkOf(bucket: string, shard: number, key: Uint8Array): number {
  const name = utf8(bucket);
  const hash = murmur3(key, 0, key.length, murmur3(name, 0, name.length, shard));
  return 1 + (hash % (CHECK_RANGE - 1));
}
