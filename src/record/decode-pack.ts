/**
 * MessagePack that somebody else has made, decoded to values. The library sets aside room for as many items as an array
 * announces, so a few bytes could ask for gigabytes: here the message is walked first, and decoded only if all that it
 * announces is there and nothing lies too deep. What decoding takes is then a small multiple of the bytes. Any thread.
 */
import { decode } from "@msgpack/msgpack";
import { viewOf } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";

/** Far deeper than anything that nodes tell each other. */
const DEPTH_MAX = 16;

/** Bytes of the payload of fixed size behind each head from 0xc0 to 0xdf; of those that begin with a length, that length. */
const FIXED_BYTES = [
  ...[0, 0, 0, 0, 1, 2, 4, 1, 2, 4, 4, 8, 1, 2, 4, 8],
  ...[1, 2, 4, 8, 2, 3, 5, 9, 17, 1, 2, 4, 2, 4, 2, 4],
] as const;
const FIRST_TABLED = 0xc0;
const NEVER_USED = 0xc1;

/** The value; `what` names the message in the error. Throws PROTOCOL. */
export function decodePack(bytes: Uint8Array, what: string): unknown {
  if (!isWhole(bytes)) throw new EnvelopeError("PROTOCOL", `${what} that is not MessagePack: it is not whole`);
  try {
    return decode(bytes);
  } catch (cause) {
    throw new EnvelopeError("PROTOCOL", `${what} that is not MessagePack: ${String(cause)}`);
  }
}

/** Whether the bytes are one value with everything that it announces, and nothing behind it. */
function isWhole(bytes: Uint8Array): boolean {
  const view = viewOf(bytes);
  /** Values still to come of the array or map at each depth. */
  const missing = new Float64Array(DEPTH_MAX + 1);
  let depth = 0;
  let offset = 0;
  missing[0] = 1;
  for (;;) {
    while (missing[depth] === 0) {
      if (depth === 0) return offset === bytes.length;
      depth -= 1;
    }
    if (offset >= bytes.length) return false;
    missing[depth]! -= 1;
    const head = bytes[offset]!;
    const items = itemCount(view, offset, head);
    offset += 1 + payloadBytes(view, offset, head);
    if (offset > bytes.length || items > bytes.length - offset) return false;
    if (items === 0) continue;
    if (depth === DEPTH_MAX) return false;
    depth += 1;
    missing[depth] = items;
  }
}

/** Values inside the value whose head is there. A length that is cut off is found out by `payloadBytes`. */
function itemCount(view: DataView, offset: number, head: number): number {
  if (head >= 0x80 && head < 0x90) return 2 * (head - 0x80);
  if (head >= 0x90 && head < 0xa0) return head - 0x90;
  if (head < 0xdc || head > 0xdf) return 0;
  return lengthAt(view, offset + 1, head % 2 === 0 ? 2 : 4) * (head >= 0xde ? 2 : 1);
}

/** Bytes behind the head, without what is inside; more than there are where it means nothing. */
function payloadBytes(view: DataView, offset: number, head: number): number {
  if (head < 0xa0 || head > 0xdf) return 0;
  if (head < FIRST_TABLED) return head - 0xa0;
  if (head === NEVER_USED) return Number.POSITIVE_INFINITY;
  const fixed = FIXED_BYTES[head - FIRST_TABLED]!;
  if (head >= 0xc4 && head <= 0xc6) return fixed + lengthAt(view, offset + 1, fixed);
  if (head >= 0xc7 && head <= 0xc9) return fixed + 1 + lengthAt(view, offset + 1, fixed);
  if (head >= 0xd9 && head <= 0xdb) return fixed + lengthAt(view, offset + 1, fixed);
  return fixed;
}

/** A length of 1, 2 or 4 bytes; 0 where the message ends before it. */
function lengthAt(view: DataView, offset: number, byteCount: number): number {
  if (offset + byteCount > view.byteLength) return 0;
  if (byteCount === 1) return view.getUint8(offset);
  return byteCount === 2 ? view.getUint16(offset) : view.getUint32(offset);
}
