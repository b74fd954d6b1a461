/**
 * Finding and walking inside one block whose checksum has been verified. `findInBlock` is the hot path of a read: it
 * compares in place, allocates nothing and leaves what it found in the EntryReader. `BlockCursor` walks and keeps the
 * current key put together. Any thread; objects are not shared.
 */
import { BUCKET_BYTES, EntryReader, readU32, restartArray, tableKeyBucket } from "./block-format.ts";

/**
 * The newest version of the table key in the first `targetBytes` of `target`, in the block at `start`–`end`: true with
 * the entry in `entry`, or false.
 */
export function findInBlock(
  entry: EntryReader,
  bytes: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  targetBytes: number,
): boolean {
  const restarts = restartArray(bytes, end);
  const restartCount = readU32(bytes, end - 8);
  const restart = lastRestartBefore(entry, bytes, start, restarts, restartCount, target, targetBytes);
  let offset = start + readU32(bytes, restarts + 4 * restart);
  const nextRestart = restart + 1 < restartCount ? start + readU32(bytes, restarts + 4 * restart + 4) : restarts;
  // `matched` bytes of the target equal the entry before, which sorts before the target. So an entry that shares more
  // with its predecessor sorts before it as well, and one that shares less sorts behind it: neither needs its bytes
  // looked at. Only an entry that shares exactly as much is compared.
  let matched = 0;
  while (offset < restarts) {
    // The restart behind sorts at or behind the target and decides; what it shares is not stored, so it starts afresh.
    if (offset === nextRestart) matched = 0;
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
    if (suffix === suffixEnd) {
      if (matched === targetBytes) return true;
      continue;
    }
    if (matched === targetBytes || bytes[suffix]! > target[matched]!) return false;
  }
  return false;
}

/** The last restart whose key sorts strictly before the target, or the first one. */
function lastRestartBefore(
  entry: EntryReader,
  bytes: Uint8Array,
  start: number,
  restarts: number,
  restartCount: number,
  target: Uint8Array,
  targetBytes: number,
): number {
  let low = 0;
  let high = restartCount - 1;
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

const NO_BYTES = new Uint8Array(0);

/** A walk over one block. `valid` false: before the first call, or past the end. */
export class BlockCursor {
  readonly entry = new EntryReader();
  valid = false;
  /** Where the current entry begins. */
  entryOffset = 0;
  #bytes: Uint8Array = NO_BYTES;
  #restarts = 0;
  #offset = 0;
  #keyBuffer = new Uint8Array(256);
  #keyBytes = 0;
  #key: Uint8Array = NO_BYTES;

  /** To the first entry of the block at `start`–`end`. */
  first(bytes: Uint8Array, start: number, end: number): void {
    this.#over(bytes, start, end);
    this.next();
  }

  /** To the first entry of the block at or behind the target. */
  seek(bytes: Uint8Array, start: number, end: number, target: Uint8Array, targetBytes: number): void {
    this.#over(bytes, start, end);
    const restartCount = readU32(bytes, end - 8);
    const restart = lastRestartBefore(this.entry, bytes, start, this.#restarts, restartCount, target, targetBytes);
    this.#offset = start + readU32(bytes, this.#restarts + 4 * restart);
    do {
      this.next();
    } while (this.valid && compareToTarget(this.#keyBuffer, 0, this.#keyBytes, target, targetBytes) < 0);
  }

  next(): void {
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
    this.#bytes = NO_BYTES;
    this.valid = false;
  }

  get bucket(): number {
    return tableKeyBucket(this.#keyBuffer, 0);
  }

  /** The user key: a view that changes with the next move. */
  get key(): Uint8Array {
    // Keys of one length, the common case, share one view.
    if (this.#key.length !== this.#keyBytes - BUCKET_BYTES || this.#key.buffer !== this.#keyBuffer.buffer) {
      this.#key = this.#keyBuffer.subarray(BUCKET_BYTES, this.#keyBytes);
    }
    return this.#key;
  }

  get value(): Uint8Array {
    return this.#bytes.subarray(this.entry.suffixEnd, this.entry.valueEnd);
  }

  #over(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes = bytes;
    this.#restarts = restartArray(bytes, end);
    this.#offset = start;
    this.#keyBytes = 0;
  }

  #growKey(keyBytes: number): void {
    const larger = new Uint8Array(keyBytes * 2);
    larger.set(this.#keyBuffer);
    this.#keyBuffer = larger;
  }
}
