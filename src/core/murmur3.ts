/**
 * MurmurHash3_x86_32 (Austin Appleby, public domain, SMHasher): the token of a key. Every client computes the same one.
 * Hot path: free function over a byte range.
 */
const C1 = 0xcc9e2d51;
const C2 = 0x1b873593;

export function murmur3(bytes: Uint8Array, start: number, end: number, seed: number): number {
  let hash = seed | 0;
  const blockEnd = start + ((end - start) & ~3);
  for (let i = start; i < blockEnd; i += 4) {
    let block = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    block = Math.imul(block, C1);
    block = (block << 15) | (block >>> 17);
    hash ^= Math.imul(block, C2);
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  const tail = (end - start) & 3;
  if (tail > 0) {
    let block = bytes[blockEnd]!;
    if (tail > 1) block |= bytes[blockEnd + 1]! << 8;
    if (tail > 2) block |= bytes[blockEnd + 2]! << 16;
    block = Math.imul(block, C1);
    block = (block << 15) | (block >>> 17);
    hash ^= Math.imul(block, C2);
  }
  hash ^= end - start;
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
