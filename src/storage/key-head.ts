/**
 * The start of a key as a number, on which searches among sorted keys are done before they look at bytes. Free
 * functions, any thread.
 */

/** As many as a number holds exactly, in whole bytes. */
const HEAD_BYTES = 6;

/**
 * HEAD_BYTES bytes at `start`, big-endian, zeros from `end` on. Order of heads is order of bytes, unless they are equal.
 */
export function headOf(bytes: Uint8Array, start: number, end: number): number {
  if (start + HEAD_BYTES <= end) {
    const high = (bytes[start]! << 16) | (bytes[start + 1]! << 8) | bytes[start + 2]!;
    return high * 0x100_0000 + ((bytes[start + 3]! << 16) | (bytes[start + 4]! << 8) | bytes[start + 5]!);
  }
  let head = 0;
  for (let i = start; i < start + HEAD_BYTES; i++) head = head * 256 + (i < end ? bytes[i]! : 0);
  return head;
}
