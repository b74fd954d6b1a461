/**
 * Compressed bodies of the binary protocol, by what node:zlib has on Bun, Node and Deno: zstd where the runtime knows it, and
 * deflate (zlib's format) everywhere. Nothing is expanded beyond what it says of itself, and that is within limits
 * (`compressedParts`) before this is called.
 */
import * as zlib from "node:zlib";
import { plainBytes } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import { COMPRESSED_BODY_BYTES_MIN, EXPANSION_MAX } from "./binary-format.ts";
import type { CompressionName } from "./binary-messages.ts";

/** A compressed body is sent when it is at most this part of the body. */
const WORTHWHILE_SHARE = 0.9;
/** Time is dearer than bytes on the way between two machines. */
const LEVEL = 1;

/** What this runtime can, the better one first. */
export const COMPRESSIONS: readonly CompressionName[] = hasZstd() ? ["zstd", "deflate"] : ["deflate"];

/** The first of those a client likes that is known here. */
export function chosenCompression(wanted: readonly CompressionName[]): CompressionName | null {
  return wanted.find((name) => COMPRESSIONS.includes(name)) ?? null;
}

/**
 * The body compressed, or null where it is better left as it is: too short, hardly shorter, or so much shorter that the
 * other side would have to take it for a trap.
 */
export function compressedBody(name: CompressionName, body: Uint8Array): Uint8Array | null {
  if (body.length < COMPRESSED_BODY_BYTES_MIN) return null;
  const compressed = compress(name, body);
  const isWorthwhile = compressed.length <= body.length * WORTHWHILE_SHARE;
  return isWorthwhile && body.length <= compressed.length * EXPANSION_MAX ? compressed : null;
}

export function compress(name: CompressionName, body: Uint8Array): Uint8Array {
  if (name === "deflate") return zlib.deflateSync(body, { level: LEVEL });
  return zlib.zstdCompressSync(body, { params: { [zlib.constants.ZSTD_c_compressionLevel]: LEVEL } });
}

/** Throws PROTOCOL where it is not what it says it is. */
export function expand(name: CompressionName, compressed: Uint8Array, expandedBytes: number): Uint8Array {
  const options = { maxOutputLength: Math.max(1, expandedBytes) };
  let expanded: Uint8Array;
  try {
    expanded =
      name === "deflate" ? zlib.inflateSync(compressed, options) : zlib.zstdDecompressSync(compressed, options);
  } catch (cause) {
    throw new EnvelopeError("PROTOCOL", `a body that cannot be expanded: ${messageOf(cause)}`);
  }
  if (expanded.length === expandedBytes) return plainBytes(expanded);
  throw new EnvelopeError("PROTOCOL", `a body that expands to ${expanded.length} bytes and not to ${expandedBytes}`);
}

function hasZstd(): boolean {
  return typeof zlib.zstdCompressSync === "function" && typeof zlib.zstdDecompressSync === "function";
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
