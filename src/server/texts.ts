/** Redis's own words for what a client did wrong; clients and people look for them. */
import type { RequestArguments } from "../wire/request-arguments.ts";

export const SYNTAX = "ERR syntax error";
export const NOT_AN_INTEGER = "ERR value is not an integer or out of range";
export const NOT_A_FLOAT = "ERR value is not a valid float";
/** `valueBytesMax` is told to clients under Redis's name for it. */
export const VALUE_TOO_LARGE = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
export const INVALID_BUCKET_NAME = "ERR invalid bucket name";

const ECHO_MAX = 128;
const DECODER = new TextDecoder();

export function unknownCommand(request: RequestArguments): string {
  let shown = "";
  for (let i = 1; i < request.count && shown.length < ECHO_MAX; i++) {
    shown += `'${cut(request, i, ECHO_MAX - shown.length)}' `;
  }
  return `ERR unknown command '${cut(request, 0, ECHO_MAX)}', with args beginning with: ${shown}`;
}

export function wrongArity(name: string): string {
  return `ERR wrong number of arguments for '${name}' command`;
}

export function unknownSubcommand(request: RequestArguments, command: string): string {
  return `ERR unknown subcommand '${cut(request, 1, ECHO_MAX)}'. Try ${command} HELP.`;
}

export function invalidExpiry(command: string): string {
  return `ERR invalid expire time in '${command}' command`;
}

/** The beginning of an argument, without decoding all of it. */
function cut(request: RequestArguments, index: number, byteCount: number): string {
  return DECODER.decode(request.view(index).subarray(0, byteCount));
}
