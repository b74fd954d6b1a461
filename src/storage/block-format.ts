/**
 * A block of a table: neighbouring versions, each key stored without the bytes it shares with the one before. Every
 * 16 entries a *restart* stores its key and stamp in full, so that a look-up can jump into the block.
 *
 *   entry …             in the order of record/version.ts
 *   restart offset …    u32 each, from the start of the block
 *   restart count       u32
 *
 * This is the *body*. How it is stored, packed or not and with a checksum, stands in stored-block-format.ts.
 *
 *   entry:   1     flags: kind in bits 0–1, then FLAG_*
 *            1–5   shared key bytes    varint (LEB128)
 *            1–5   own key bytes       varint
 *            1–5   value bytes         varint
 *           (4)    stamp high, u32     FLAG_STAMP_HIGH, else that of the entry before
 *            4     stamp low, u32
 *           (2)    origin node, u16    FLAG_ORIGIN, else that of the entry before
 *           (8)    expiry, u64         FLAG_EXPIRY: milliseconds since 1970
 *                  own key bytes, value bytes
 *
 * A *table key* is the bucket id as four big-endian bytes and the user key behind it, so that comparing bytes gives
 * the order of buckets and keys at once. The count of shared bytes is the largest possible one, except at a restart,
 * where it is 0: look-ups rely on it. All versions of a key lie in one block.
 *
 * The value of a version of kind pointer is a pointer (value-pointer-format.ts).
 *
 * The seed of the checksum is made of the table's identity and the number of the block, so that a block written to
 * the wrong place, or left over from another table, does not pass. Any thread; objects are not shared.
 */
import { assert } from "../core/assert.ts";
import { setU64 } from "../core/bytes.ts";
import { copyBytes } from "../core/copy-bytes.ts";
import { crc32, crc32Range } from "../core/crc32.ts";
import { VersionKind } from "../record/version.ts";

const RESTART_INTERVAL = 16;
export const BUCKET_BYTES = 4;
const COUNT_BYTES = 4;
const CHECKSUM_BYTES = 4;
const BLOCK_TRAILER_BYTES = COUNT_BYTES + CHECKSUM_BYTES;

const KIND_MASK = 3;
const FLAG_EXPIRY = 4;
const FLAG_ORIGIN = 8;
const FLAG_STAMP_HIGH = 16;
/** Flags, three varints, stamp, origin, expiry. */
const ENTRY_HEADER_BYTES_MAX = 1 + 15 + 8 + 2 + 8;

/** Writes bucket and user key, `start`–`end` of `key`, as a table key at the start of `target`; returns its bytes. */
export function writeTableKey(
  target: Uint8Array,
  bucket: number,
  key: Uint8Array,
  start = 0,
  end: number = key.length,
): number {
  target[0] = bucket >>> 24;
  target[1] = bucket >>> 16;
  target[2] = bucket >>> 8;
  target[3] = bucket;
  copyBytes(key, start, end, target, BUCKET_BYTES);
  return BUCKET_BYTES + end - start;
}

/** The bucket id at the start of a table key. */
export function tableKeyBucket(bytes: Uint8Array, start: number): number {
  return ((bytes[start]! << 24) | (bytes[start + 1]! << 16) | (bytes[start + 2]! << 8) | bytes[start + 3]!) >>> 0;
}

/** Bytes that two ranges have in common at their start. */
export function sharedBytes(a: Uint8Array, aBytes: number, b: Uint8Array, bBytes: number): number {
  const limit = Math.min(aBytes, bBytes);
  let shared = 0;
  while (shared < limit && a[shared] === b[shared]) shared++;
  return shared;
}

/** The CRC that the block must carry, over everything but its last four bytes. */
export function blockChecksum(bytes: Uint8Array, start: number, end: number, seed: number): number {
  return crc32Range(bytes, start, end - 4, seed);
}

export function readU32(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16) | (bytes[offset + 3]! << 24)) >>> 0;
}

export function writeU32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value;
  bytes[offset + 1] = value >>> 8;
  bytes[offset + 2] = value >>> 16;
  bytes[offset + 3] = value >>> 24;
}

/** Without a restart. */
const EMPTY_BODY = new Uint8Array(COUNT_BYTES);
/** A place keeps no more memory of its own than this. */
const OWN_BYTES_MAX = 64 * 1024;

/** Where the body of a block lies that was verified. Reused from block to block. */
export class BlockPlace {
  bytes: Uint8Array = EMPTY_BODY;
  /** The first entry. */
  start = 0;
  /** Behind the restart count. */
  end = COUNT_BYTES;
  /** The bytes are good only until the next block is loaded, anywhere; of those that were kept: until the next one here. */
  isLent = false;
  #own: Uint8Array = EMPTY_BODY;

  /** Over a body. */
  set(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.isLent = false;
  }

  /** Over a body that is somebody else's. */
  lend(bytes: Uint8Array, start: number, end: number): void {
    this.set(bytes, start, end);
    this.isLent = true;
  }

  /** Copies a body that was lent into memory of its own. */
  keep(): void {
    const byteCount = this.end - this.start;
    if (this.#own.length < byteCount) this.#own = new Uint8Array(byteCount);
    copyBytes(this.bytes, this.start, this.end, this.#own, 0);
    this.lend(this.#own, 0, byteCount);
  }

  /** Lets go of the bytes. */
  leave(): void {
    this.set(EMPTY_BODY, 0, COUNT_BYTES);
    if (this.#own.length > OWN_BYTES_MAX) this.#own = EMPTY_BODY;
  }
}

/** Restarts of the block whose place ends at `end`. */
export function restartCount(bytes: Uint8Array, end: number): number {
  return readU32(bytes, end - COUNT_BYTES);
}

/** Offset of the restart array of the block whose place ends at `end`. */
export function restartArray(bytes: Uint8Array, end: number): number {
  return end - COUNT_BYTES - 4 * restartCount(bytes, end);
}

/**
 * One decoded entry, reused for a whole scan: offsets into the block instead of slices. Blocks are checked by their
 * CRC before anything is decoded, so nothing is checked again here.
 */
export class EntryReader {
  kind: VersionKind = VersionKind.value;
  stampHigh = 0;
  stampLow = 0;
  origin = 0;
  expiryMs = 0;
  /** Bytes of the key taken from the entry before. */
  sharedKeyBytes = 0;
  /** The key's own bytes. */
  suffixStart = 0;
  suffixEnd = 0;
  valueEnd = 0;

  /**
   * Decodes the entry at `offset` and returns the offset behind it. Entries are read one after the other from a
   * restart on, because fields may be inherited.
   */
  read(bytes: Uint8Array, offset: number): number {
    const flags = bytes[offset]!;
    let position = offset + 4;
    let shared = bytes[offset + 1]!;
    let suffixBytes = bytes[offset + 2]!;
    let valueBytes = bytes[offset + 3]!;
    // Lengths below 128, each a byte, are the common case by far.
    if ((shared | suffixBytes | valueBytes) >= 0x80) {
      shared = varint(bytes, offset + 1);
      position = offset + 1 + varintBytes(shared);
      suffixBytes = varint(bytes, position);
      position += varintBytes(suffixBytes);
      valueBytes = varint(bytes, position);
      position += varintBytes(valueBytes);
    }
    if ((flags & FLAG_STAMP_HIGH) !== 0) {
      this.stampHigh = readU32(bytes, position);
      position += 4;
    }
    this.stampLow = readU32(bytes, position);
    position += 4;
    if ((flags & FLAG_ORIGIN) !== 0) {
      this.origin = bytes[position]! | (bytes[position + 1]! << 8);
      position += 2;
    }
    if ((flags & FLAG_EXPIRY) !== 0) {
      this.expiryMs = readU32(bytes, position + 4) * 0x1_0000_0000 + readU32(bytes, position);
      position += 8;
    } else {
      this.expiryMs = 0;
    }
    this.kind = (flags & KIND_MASK) as VersionKind;
    this.sharedKeyBytes = shared;
    this.suffixStart = position;
    this.suffixEnd = position + suffixBytes;
    this.valueEnd = this.suffixEnd + valueBytes;
    return this.valueEnd;
  }
}

function varint(bytes: Uint8Array, offset: number): number {
  let position = offset;
  let byte = bytes[position++]!;
  let value = byte & 0x7f;
  for (let shift = 7; byte >= 0x80; shift += 7) {
    byte = bytes[position++]!;
    value |= (byte & 0x7f) << shift;
  }
  return value >>> 0;
}

/** Bytes that a varint takes. */
function varintBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;
}

/** Encodes one block after the other into one buffer that is reused. */
export class BlockBuilder {
  /** Entries in the block being built. */
  entryCount = 0;
  #buffer = new Uint8Array(8192);
  #view = new DataView(this.#buffer.buffer);
  #length = 0;
  #restarts: number[] = [];
  #lastKey = new Uint8Array(256);
  #lastKeyBytes = 0;
  #stampHigh = 0;
  #origin = 0;

  /** Bytes the block would have if it were finished now. */
  get byteCount(): number {
    return this.#length + this.#restarts.length * 4 + BLOCK_TRAILER_BYTES;
  }

  /** Adds a version whose table key is the first `keyBytes` of `key`. Versions come in order. */
  add(
    key: Uint8Array,
    keyBytes: number,
    kind: VersionKind,
    stampHigh: number,
    stampLow: number,
    origin: number,
    expiryMs: number,
    value: Uint8Array,
  ): void {
    this.#reserve(ENTRY_HEADER_BYTES_MAX + keyBytes + value.length);
    const isRestart = this.entryCount % RESTART_INTERVAL === 0;
    if (isRestart) this.#restarts.push(this.#length);
    const shared = isRestart ? 0 : sharedBytes(this.#lastKey, this.#lastKeyBytes, key, keyBytes);
    let flags: number = kind;
    if (expiryMs !== 0) flags |= FLAG_EXPIRY;
    if (isRestart || origin !== this.#origin) flags |= FLAG_ORIGIN;
    if (isRestart || stampHigh !== this.#stampHigh) flags |= FLAG_STAMP_HIGH;
    this.#buffer[this.#length++] = flags;
    this.#varint(shared);
    this.#varint(keyBytes - shared);
    this.#varint(value.length);
    if ((flags & FLAG_STAMP_HIGH) !== 0) this.#u32(stampHigh);
    this.#u32(stampLow);
    if ((flags & FLAG_ORIGIN) !== 0) this.#u16(origin);
    if (expiryMs !== 0) this.#u64(expiryMs);
    this.#raw(key, shared, keyBytes);
    this.#raw(value, 0, value.length);
    this.#remember(key, keyBytes, shared);
    this.#stampHigh = stampHigh;
    this.#origin = origin;
    this.entryCount += 1;
  }

  /** Ends the block as tables of version 1 store it: a view, valid until the next `add`, which begins the next block. */
  finish(seed: number): Uint8Array {
    const body = this.finishBody();
    this.#view.setUint32(body.length, crc32(body, seed), true);
    return this.#buffer.subarray(0, body.length + CHECKSUM_BYTES);
  }

  /** Ends the block and gives its body: a view, as above. */
  finishBody(): Uint8Array {
    assert(this.entryCount > 0, "a block is not empty");
    this.#reserve(this.#restarts.length * 4 + BLOCK_TRAILER_BYTES);
    for (const restart of this.#restarts) this.#u32(restart);
    this.#u32(this.#restarts.length);
    const body = this.#buffer.subarray(0, this.#length);
    this.#length = 0;
    this.#restarts = [];
    this.#lastKeyBytes = 0;
    this.entryCount = 0;
    return body;
  }

  #remember(key: Uint8Array, keyBytes: number, shared: number): void {
    if (this.#lastKey.length < keyBytes) {
      const larger = new Uint8Array(keyBytes * 2);
      larger.set(this.#lastKey.subarray(0, this.#lastKeyBytes));
      this.#lastKey = larger;
    }
    copyBytes(key, shared, keyBytes, this.#lastKey, shared);
    this.#lastKeyBytes = keyBytes;
  }

  #reserve(byteCount: number): void {
    const needed = this.#length + byteCount;
    if (needed <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(needed, this.#buffer.length * 2));
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
    this.#view = new DataView(larger.buffer);
  }

  #varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#buffer[this.#length++] = rest;
  }

  #u16(value: number): void {
    this.#view.setUint16(this.#length, value, true);
    this.#length += 2;
  }

  #u32(value: number): void {
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  #u64(value: number): void {
    setU64(this.#view, this.#length, value);
    this.#length += 8;
  }

  #raw(bytes: Uint8Array, start: number, end: number): void {
    copyBytes(bytes, start, end, this.#buffer, this.#length);
    this.#length += end - start;
  }
}
