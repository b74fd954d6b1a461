/**
 * A request as every Redis-compatible server takes it: an array of blobs.
 *
 *   *<argument count>\r\n  then for each argument  $<bytes>\r\n<payload>\r\n
 */
import { concatBytes, utf8 } from "../core/bytes.ts";

export type Argument = string | Uint8Array;

const CRLF = utf8("\r\n");

export function encodeRequest(args: readonly Argument[]): Uint8Array {
  const pieces: Uint8Array[] = [utf8(`*${args.length}\r\n`)];
  for (const argument of args) {
    const bytes = typeof argument === "string" ? utf8(argument) : argument;
    pieces.push(utf8(`$${bytes.length}\r\n`), bytes, CRLF);
  }
  return concatBytes(pieces);
}
