/** Redis's own words for what a client did wrong; clients and people look for them. */
import type { RequestArguments } from "../wire/request-arguments.ts";
import { rawText } from "../wire/resp-writer.ts";

export const RATE_LIMITED = "RATELIMIT too many commands a second; it was not executed, and it is safe to retry";
export const SYNTAX = "ERR syntax error";
export const NOT_AN_INTEGER = "ERR value is not an integer or out of range";
export const NOT_A_FLOAT = "ERR value is not a valid float";
/** `valueBytesMax` is told to clients under Redis's name for it. */
export const VALUE_TOO_LARGE = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
export const INVALID_BUCKET_NAME = "ERR invalid bucket name";
export const NOT_LOGGED_IN = "NOAUTH Authentication required.";
export const WRONG_PASSWORD = "WRONGPASS invalid username-password pair or user is disabled.";
export const ACT_NOT_RECORDED = "IOERR the audit log cannot be written, so this is not done";
export const ACT_INSIDE = "ERR this command cannot be a part of another";

const ECHO_MAX = 128;
const LONG_ECHO_MAX = 1024;
const NUL = 0;

export function unknownCommand(request: RequestArguments): string {
  let shown = "";
  for (let i = 1; i < request.count && shown.length < ECHO_MAX; i++) {
    shown += `'${cut(request, i, ECHO_MAX - shown.length)}' `;
  }
  return `ERR unknown command '${cut(request, 0, ECHO_MAX)}', with args beginning with: ${shown}`;
}

/** `what`: whether it is the command, or a key or bucket of it, that is not allowed. */
export function noPermission(what: "command" | "key", name: string): string {
  return what === "command"
    ? `NOPERM this user has no permissions to run the '${name}' command`
    : "NOPERM this user has no permissions to access one of the keys used as arguments";
}

export function wrongArity(name: string): string {
  return `ERR wrong number of arguments for '${name}' command`;
}

export function unknownSubcommand(request: RequestArguments, command: string): string {
  return `ERR unknown subcommand '${cut(request, 1, ECHO_MAX)}'. Try ${command} HELP.`;
}

/** The older wording, of subcommands that look at their arguments themselves. */
export function unknownForm(request: RequestArguments, command: string): string {
  return `ERR unknown subcommand or wrong number of arguments for '${cut(request, 1, ECHO_MAX)}'. Try ${command} HELP.`;
}

export function invalidExpiry(command: string): string {
  return `ERR invalid expire time in '${command}' command`;
}

/** An argument as Redis shows it in an error: its bytes as they are, up to the first NUL; not all of a very long one. */
export function echo(request: RequestArguments, index: number): string {
  return cut(request, index, LONG_ECHO_MAX);
}

/** The beginning of an argument, without decoding all of it. */
function cut(request: RequestArguments, index: number, byteCount: number): string {
  const bytes = request.view(index).subarray(0, byteCount);
  const end = bytes.indexOf(NUL);
  return rawText(end < 0 ? bytes : bytes.subarray(0, end));
}
