/**
 * Compressed bodies of the binary protocol, by what node:zlib has on Bun, Node and Deno: zstd where the runtime knows it, and
 * deflate (zlib's format) everywhere. Nothing is expanded beyond what it says of itself, and that is within limits
 * (`compressedParts`) before this is called.
 */
import * as zlib from "node:zlib";
import { EnvelopeError } from "../core/errors.ts";
import type { CompressionName } from "./binary-messages.ts";

/** Time is dearer than bytes on the way between two machines. */
const LEVEL = 1;

/** What this runtime can, the better one first. */
export const COMPRESSIONS: readonly CompressionName[] = hasZstd() ? ["zstd", "deflate"] : ["deflate"];

/** The first of those a client likes that is known here. */
export function chosenCompression(wanted: readonly CompressionName[]): CompressionName | null {
  return wanted.find((name) => COMPRESSIONS.includes(name)) ?? null;
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
  if (expanded.length === expandedBytes) return expanded;
  throw new EnvelopeError("PROTOCOL", `a body that expands to ${expanded.length} bytes and not to ${expandedBytes}`);
}

function hasZstd(): boolean {
  return typeof zlib.zstdCompressSync === "function" && typeof zlib.zstdDecompressSync === "function";
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
