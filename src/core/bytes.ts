/**
 * Bytes on disk and wire are little-endian. Here is what every codec needs and nothing more. Any thread.
 */

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();
const TWO_32 = 0x1_0000_0000;

export const EMPTY_BYTES = new Uint8Array(0);

export function utf8(text: string): Uint8Array {
  return ENCODER.encode(text);
}

/** Text of UTF-8 bytes; invalid sequences become U+FFFD, so this is for messages and names, never for data. */
export function text(bytes: Uint8Array): string {
  return DECODER.decode(bytes);
}

/** The same bytes as a plain array, of which `slice` is a copy: of a Buffer it would be another view. */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  const { buffer, byteOffset, byteLength } = bytes;
  return bytes.constructor === Uint8Array ? bytes : new Uint8Array(buffer, byteOffset, byteLength);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Writes a safe integer as u64. */
export function setU64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value % TWO_32, true);
  view.setUint32(offset + 4, Math.floor(value / TWO_32), true);
}

/** Reads a u64; above 2^53 it comes back unsafe, which the codec's own range check must refuse. */
export function getU64(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * TWO_32 + view.getUint32(offset, true);
}

/** Lexicographic order of two byte ranges: negative, zero or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compareBytes(a, b) === 0;
}

export function concatBytes(pieces: readonly Uint8Array[]): Uint8Array {
  let byteCount = 0;
  for (const piece of pieces) byteCount += piece.length;
  const whole = new Uint8Array(byteCount);
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.length;
  }
  return whole;
}
