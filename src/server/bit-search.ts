/**
 * Bits of a value, counted and looked for. Bit 0 is the highest of byte 0; a range of bits includes both its ends, and they
 * lie within the value.
 */

/** How many ones there are in each byte. */
const ONES = new Uint8Array(256);
for (let byte = 1; byte < 256; byte++) ONES[byte] = ONES[byte >>> 1]! + (byte & 1);

export function bitAt(bytes: Uint8Array, place: number): number {
  const byte = bytes[Math.floor(place / 8)] ?? 0;
  return (byte >>> (7 - (place % 8))) & 1;
}

/** How many bits of the range are one. */
export function countBits(bytes: Uint8Array, first: number, last: number): number {
  const firstByte = first >>> 3;
  const lastByte = last >>> 3;
  let count = 0;
  for (let i = firstByte; i <= lastByte; i++) count += ONES[bytes[i]!]!;
  const before = bytes[firstByte]! & ~(0xff >>> (first & 7));
  const behind = bytes[lastByte]! & (0x7f >>> (last & 7));
  return count - ONES[before]! - ONES[behind]!;
}

/** The first bit of the range that is `bit`, or −1. */
export function findBit(bytes: Uint8Array, bit: number, first: number, last: number): number {
  const other = bit === 1 ? 0x00 : 0xff;
  const lastByte = last >>> 3;
  let at = first >>> 3;
  let wanted = (bytes[at]! ^ other) & (0xff >>> (first & 7));
  while (wanted === 0 && at < lastByte) {
    at += 1;
    wanted = bytes[at]! ^ other;
  }
  if (wanted === 0) return -1;
  const place = at * 8 + Math.clz32(wanted) - 24;
  return place <= last ? place : -1;
}
