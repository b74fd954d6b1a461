/**
 * What may name a bucket: 1 to 255 bytes of UTF-8 in normal form C, without control characters and slashes, and not "."
 * or "..". So two names that look alike are one, and a name can stand in a path or a log line.
 */
import { utf8 } from "../core/bytes.ts";

const NAME_BYTES_MAX = 255;
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const FORBIDDEN = /[/\p{Cc}]/u;

/** The name, or null when it is none. */
export function bucketName(bytes: Uint8Array): string | null {
  if (bytes.length === 0 || bytes.length > NAME_BYTES_MAX) return null;
  const name = decode(bytes);
  return name === null || !isBucketName(name) ? null : name;
}

/** The same of a name that is text already. */
export function isBucketName(name: string): boolean {
  if (name === "" || name === "." || name === "..") return false;
  const isSafe = name.isWellFormed() && !FORBIDDEN.test(name) && name.normalize("NFC") === name;
  return isSafe && utf8(name).length <= NAME_BYTES_MAX;
}

function decode(bytes: Uint8Array): string | null {
  try {
    return DECODER.decode(bytes);
  } catch (cause) {
    if (cause instanceof TypeError) return null;
    throw cause;
  }
}
