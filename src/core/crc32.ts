/**
 * CRC-32 (IEEE 802.3, as in zlib) as a u32. `seed` chains the checksum of a preceding range.
 *
 * Bun's own needs a view of just those bytes, which is an object. Measured on Bun 1.4.4, it and the view take 80 ns
 * whatever the length; a look-up in tables of eight bytes at a time (Kounavis, Berry, "A Systematic Approach to Building
 * High Performance Software-Based CRC Generators", 2005) takes 30 ns for 28 bytes and 80 for 128, and makes nothing.
 */

/** Ranges shorter than this are looked up. */
const SHORT_BYTES = 112;
const POLYNOMIAL = 0xedb8_8320;
const TABLES = makeTables();

export function crc32(bytes: Uint8Array, seed = 0): number {
  return Bun.hash.crc32(bytes as Uint8Array<ArrayBuffer>, seed);
}

/** Of `bytes[start, end)`. */
export function crc32Range(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  return end - start < SHORT_BYTES ? lookedUp(bytes, start, end, seed) : crc32(bytes.subarray(start, end), seed);
}

function lookedUp(bytes: Uint8Array, start: number, end: number, seed: number): number {
  const tables = TABLES;
  let crc = ~seed;
  let i = start;
  for (; i + 8 <= end; i += 8) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    crc =
      tables[0x700 + (crc & 0xff)]! ^
      tables[0x600 + ((crc >>> 8) & 0xff)]! ^
      tables[0x500 + ((crc >>> 16) & 0xff)]! ^
      tables[0x400 + (crc >>> 24)]! ^
      tables[0x300 + bytes[i + 4]!]! ^
      tables[0x200 + bytes[i + 5]!]! ^
      tables[0x100 + bytes[i + 6]!]! ^
      tables[bytes[i + 7]!]!;
  }
  for (; i < end; i++) crc = tables[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Table t at 256 · t: what a byte comes to that has t more bytes behind it. */
function makeTables(): Int32Array {
  const tables = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ POLYNOMIAL;
    tables[byte] = crc;
  }
  for (let i = 256; i < tables.length; i++) {
    const shorter = tables[i - 256]!;
    tables[i] = tables[shorter & 0xff]! ^ (shorter >>> 8);
  }
  return tables;
}
