/**
 * The bloom filter of a table: "this key is not here" without touching a block. Cache-line blocked (Putze, Sanders,
 * Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007): one 32-bit hash of a key chooses a line of 64
 * bytes, and all its bits lie in that line, so that a probe costs at most one cache miss.
 *
 *   line    floor(hash × lines / 2^32)                       takes the high bits of the hash
 *   bit i   top 9 bits of hash × 0x9e3779b1^(i + 1)          moves the low bits up
 *
 * The bits of a line are numbered from the lowest bit of its first byte. This is part of the table format: a change
 * needs a new format version. Hot path, any thread: free functions over a byte range.
 */

export const BLOOM_LINE_BYTES = 64;
const BITS_PER_LINE = 512;
const PROBES_MAX = 16;
const TWO_32 = 0x1_0000_0000;
const GOLDEN = 0x9e3779b1;

/** Lines for a number of distinct keys. */
export function bloomLines(keyCount: number, bitsPerKey: number): number {
  return Math.max(1, Math.ceil((keyCount * bitsPerKey) / BITS_PER_LINE));
}

/** Bits set for each key: the optimum of the classic filter, bits per key × ln 2. */
export function bloomProbes(bitsPerKey: number): number {
  return Math.min(PROBES_MAX, Math.max(1, Math.round(bitsPerKey * Math.LN2)));
}

/** Where the line of a hash lies in the filter of `lines` lines at `start`. */
export function bloomLine(start: number, lines: number, hash: number): number {
  return start + Math.floor((hash * lines) / TWO_32) * BLOOM_LINE_BYTES;
}

/** Adds a key by its hash to the filter of `lines` lines at `start`. */
export function bloomAdd(bytes: Uint8Array, start: number, lines: number, probes: number, hash: number): void {
  const line = bloomLine(start, lines, hash);
  let mixed = hash;
  for (let i = 0; i < probes; i++) {
    mixed = Math.imul(mixed, GOLDEN);
    const bit = mixed >>> 23;
    bytes[line + (bit >>> 3)]! |= 1 << (bit & 7);
  }
}

/** False: no key with this hash was added. True: probably one was. */
export function bloomHas(bytes: Uint8Array, start: number, lines: number, probes: number, hash: number): boolean {
  const line = bloomLine(start, lines, hash);
  let mixed = hash;
  for (let i = 0; i < probes; i++) {
    mixed = Math.imul(mixed, GOLDEN);
    const bit = mixed >>> 23;
    if ((bytes[line + (bit >>> 3)]! & (1 << (bit & 7))) === 0) return false;
  }
  return true;
}
