/** CRC-32 (IEEE 802.3, as in zlib) of bytes, as a u32. `seed` chains the checksum of a preceding range. */
export function crc32(bytes: Uint8Array, seed = 0): number {
  return Bun.hash.crc32(bytes as Uint8Array<ArrayBuffer>, seed);
}
