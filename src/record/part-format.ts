/**
 * The values of commands that change a part of a value.
 *
 *   setRange   u32 offset, then the bytes to be written from there on
 *   setBit     u32 offset of the bit, u8 what it becomes: 0 or 1
 *
 * Bits are counted from the highest of the first byte. What is written behind the end of a value is preceded by zeros.
 */
import type { ByteRange } from "./command-format.ts";

export const RANGE_HEADER_BYTES = 4;
const BIT_OFFSET_BYTES = 4;
const BIT_BYTES = BIT_OFFSET_BYTES + 1;

/** The value of a setRange of these bytes. */
export function encodeRange(offset: number, { bytes, start, end }: ByteRange): Uint8Array {
  const value = new Uint8Array(RANGE_HEADER_BYTES + end - start);
  new DataView(value.buffer).setUint32(0, offset, true);
  value.set(bytes.subarray(start, end), RANGE_HEADER_BYTES);
  return value;
}

/** The offset of a setRange whose value is this range; −1: it is none. The bytes lie RANGE_HEADER_BYTES behind its start. */
export function rangeOffset(view: DataView, start: number, end: number): number {
  return end - start < RANGE_HEADER_BYTES ? -1 : view.getUint32(start, true);
}

/** The value of a setBit. */
export function encodeBit(offset: number, bit: number): Uint8Array {
  const value = new Uint8Array(BIT_BYTES);
  const view = new DataView(value.buffer);
  view.setUint32(0, offset, true);
  view.setUint8(BIT_OFFSET_BYTES, bit);
  return value;
}

/** The offset in the value of a setBit that is this range; −1: it is none. */
export function bitOffset(view: DataView, start: number, end: number): number {
  if (end - start !== BIT_BYTES || bitValue(view, start) > 1) return -1;
  return view.getUint32(start, true);
}

/** What the bit becomes. */
export function bitValue(view: DataView, start: number): number {
  return view.getUint8(start + BIT_OFFSET_BYTES);
}
