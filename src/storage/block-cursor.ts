/**
 * Finding and walking inside one block whose checksum has been verified. `findInBlock` is the hot path of a read: it
 * compares in place, allocates nothing and leaves what it found in the EntryReader. `BlockCursor` walks and keeps the
 * current key put together. Any thread; objects are not shared.
 */
import { EMPTY_BYTES } from "../core/bytes.ts";
import { compareStamps, type Stamp } from "../core/stamp.ts";
import {
  type BlockPlace,
  BUCKET_BYTES,
  EntryReader,
  readU32,
  restartArray,
  restartCount,
  tableKeyBucket,
} from "./block-format.ts";

/**
 * The newest version not above `asOf` of the table key in the first `targetBytes` of `target`, in the block whose place
 * is `start`–`end`: true with the entry in `entry`, or false.
 */
export function findInBlock(
  entry: EntryReader,
  bytes: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  targetBytes: number,
  asOf: Stamp,
): boolean {
  const restart = lastRestartBefore(entry, bytes, start, end, target, targetBytes);
  return findFromRestart(entry, bytes, start, end, restart, target, targetBytes, asOf);
}

/** The rest of `findInBlock` when the last restart before the target is known. */
export function findFromRestart(
  entry: EntryReader,
  bytes: Uint8Array,
  start: number,
  end: number,
  restart: number,
  target: Uint8Array,
  targetBytes: number,
  asOf: Stamp,
): boolean {
  const restarts = restartArray(bytes, end);
  const restartsEnd = restarts + 4 * restartCount(bytes, end);
  let restartOffset = restarts + 4 * restart;
  let offset = start + readU32(bytes, restartOffset);
  let nextRestart = 0;
  // `matched` bytes of the target equal the entry before, which sorts before the target. So an entry that shares more
  // with its predecessor sorts before it as well, and one that shares less sorts behind it: neither needs its bytes
  // looked at. Only an entry that shares exactly as much is compared. Versions above `asOf` count as sorting before.
  let matched = 0;
  for (let isRestart = true; offset < restarts; isRestart = offset === nextRestart) {
    if (isRestart) {
      // What a restart shares is not stored, so the comparison starts afresh.
      matched = 0;
      restartOffset += 4;
      nextRestart = restartOffset < restartsEnd ? start + readU32(bytes, restartOffset) : restarts;
    }
    offset = entry.read(bytes, offset);
    const shared = entry.sharedKeyBytes;
    if (shared > matched) continue;
    if (shared < matched) return false;
    let suffix = entry.suffixStart;
    const suffixEnd = entry.suffixEnd;
    while (suffix < suffixEnd && matched < targetBytes && bytes[suffix] === target[matched]) {
      suffix++;
      matched++;
    }
    if (suffix < suffixEnd) {
      if (matched === targetBytes || bytes[suffix]! > target[matched]!) return false;
    } else if (matched === targetBytes) {
      if (compareStamps(entry.stampHigh, entry.stampLow, asOf.high, asOf.low) <= 0) return true;
    }
  }
  return false;
}

/** The last restart whose key sorts strictly before the target, or the first one. */
export function lastRestartBefore(
  entry: EntryReader,
  bytes: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  targetBytes: number,
): number {
  const restarts = restartArray(bytes, end);
  let low = 0;
  let high = restartCount(bytes, end) - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    entry.read(bytes, start + readU32(bytes, restarts + 4 * middle));
    if (compareToTarget(bytes, entry.suffixStart, entry.suffixEnd, target, targetBytes) < 0) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Order of a byte range against the first `targetBytes` of `target`. */
export function compareToTarget(
  bytes: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  targetBytes: number,
): number {
  const limit = Math.min(end - start, targetBytes);
  for (let i = 0; i < limit; i++) {
    const difference = bytes[start + i]! - target[i]!;
    if (difference !== 0) return difference;
  }
  return end - start - targetBytes;
}

/** A walk over one block. `valid` false: before the first call, or past either end. */
export class BlockCursor {
  readonly entry = new EntryReader();
  valid = false;
  /** Where the current entry begins. */
  entryOffset = 0;
  #bytes: Uint8Array = EMPTY_BYTES;
  #start = 0;
  #restarts = 0;
  #restartCount = 0;
  /** Where the current entry begins; the end of all when past it. */
  #entryStart = 0;
  /** Behind the current entry. */
  #offset = 0;
  #keyBuffer = new Uint8Array(256);
  #keyBytes = 0;
  #key: Uint8Array = EMPTY_BYTES;

  /** To the first entry of the block. */
  first(place: BlockPlace): void {
    this.#over(place);
    this.next();
  }

  /** To the first entry of the block at or behind the target. */
  seek(place: BlockPlace, target: Uint8Array, targetBytes: number): void {
    this.#over(place);
    const { bytes, start, end } = place;
    const restart = lastRestartBefore(this.entry, bytes, start, end, target, targetBytes);
    this.#offset = start + readU32(bytes, this.#restarts + 4 * restart);
    do {
      this.next();
    } while (this.valid && compareToTarget(this.#keyBuffer, 0, this.#keyBytes, target, targetBytes) < 0);
  }

  /** To the last entry of the block. */
  last(place: BlockPlace): void {
    this.#over(place);
    this.#entryStart = this.#restarts;
    this.previous();
  }

  /** To the last entry of the block before the target. */
  seekBefore(place: BlockPlace, target: Uint8Array, targetBytes: number): void {
    this.seek(place, target, targetBytes);
    this.previous();
  }

  /** Entries can be read forward only: from the last restart before this one on, up to the one before it. */
  previous(): void {
    const end = this.#entryStart;
    if (end === this.#start) {
      this.valid = false;
      return;
    }
    const bytes = this.#bytes;
    let low = 0;
    let high = this.#restartCount - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#start + readU32(bytes, this.#restarts + 4 * middle) < end) low = middle;
      else high = middle - 1;
    }
    this.#offset = this.#start + readU32(bytes, this.#restarts + 4 * low);
    do this.next();
    while (this.#offset < end);
  }

  next(): void {
    this.#entryStart = this.#offset;
    if (this.#offset >= this.#restarts) {
      this.valid = false;
      return;
    }
    const entry = this.entry;
    this.entryOffset = this.#offset;
    this.#offset = entry.read(this.#bytes, this.#offset);
    const keyBytes = entry.sharedKeyBytes + entry.suffixEnd - entry.suffixStart;
    if (keyBytes > this.#keyBuffer.length) this.#growKey(keyBytes);
    const buffer = this.#keyBuffer;
    const bytes = this.#bytes;
    for (let from = entry.suffixStart, to = entry.sharedKeyBytes; to < keyBytes; ) buffer[to++] = bytes[from++]!;
    this.#keyBytes = keyBytes;
    this.valid = true;
  }

  /** Lets go of the block's bytes. */
  leave(): void {
    this.#bytes = EMPTY_BYTES;
    this.valid = false;
  }

  get bucket(): number {
    return tableKeyBucket(this.#keyBuffer, 0);
  }

  /** The user key: a view that changes with the next move. */
  get key(): Uint8Array {
    // Keys of one length, the common case, share one view.
    if (this.#key.length !== this.#keyBytes - BUCKET_BYTES) {
      this.#key = this.#keyBuffer.subarray(BUCKET_BYTES, this.#keyBytes);
    }
    return this.#key;
  }

  get value(): Uint8Array {
    return this.#bytes.subarray(this.entry.suffixEnd, this.entry.valueEnd);
  }

  #over(place: BlockPlace): void {
    this.#bytes = place.bytes;
    this.#start = place.start;
    this.#restarts = restartArray(place.bytes, place.end);
    this.#restartCount = restartCount(place.bytes, place.end);
    this.#offset = place.start;
    this.#keyBytes = 0;
  }

  #growKey(keyBytes: number): void {
    const larger = new Uint8Array(keyBytes * 2);
    larger.set(this.#keyBuffer);
    this.#keyBuffer = larger;
    this.#key = EMPTY_BYTES;
  }
}
