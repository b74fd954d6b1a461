/**
 * Memory for direct reads and writes. Linux wants position, length and memory to be multiples of the device's block; 4096
 * serves all of them. Any thread.
 */
import { ptr } from "bun:ffi";

export const DIRECT_ALIGNMENT_BYTES = 4096;

/** So many bytes at an address that is a multiple of 4096. An explicit ArrayBuffer of that size stays where it is. */
export function alignedMemory(byteCount: number): Uint8Array {
  const memory = new ArrayBuffer(byteCount + DIRECT_ALIGNMENT_BYTES);
  const excess = ptr(new Uint8Array(memory)) % DIRECT_ALIGNMENT_BYTES;
  return new Uint8Array(memory, excess === 0 ? 0 : DIRECT_ALIGNMENT_BYTES - excess, byteCount);
}
