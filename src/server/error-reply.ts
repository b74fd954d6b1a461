/**
 * How our errors are worded for Redis clients: a code word that stays the same, then what to do. Codes that a Redis
 * client knows how to treat keep Redis's word for it.
 */
import { unreachable } from "../core/assert.ts";
import type { ErrorCode } from "../core/errors.ts";

export function errorReply(code: ErrorCode, message: string): string {
  return `${wordFor(code)} ${message}`;
}

function wordFor(code: ErrorCode): string {
  switch (code) {
    case "UNAVAILABLE":
    case "SHUTTING_DOWN":
    case "FENCED":
      return "TRYAGAIN";
    case "UNKNOWN_OUTCOME":
    case "SESSION_GONE":
      return "UNKNOWN";
    case "DISKFULL":
      return "DISKFULL";
    case "OVERLOADED":
      return "BUSY";
    case "NO_QUORUM":
      return "NOQUORUM";
    case "CORRUPTION":
    case "IO":
      return "IOERR";
    case "NOT_JSON":
      return "NOTJSON";
    case "UNAUTHENTICATED":
      return "NOAUTH";
    case "BAD_CREDENTIALS":
      return "WRONGPASS";
    case "FORBIDDEN":
      return "NOPERM";
    case "RATE_LIMITED":
      return "RATELIMIT";
    case "QUOTA_EXCEEDED":
      return "QUOTA";
    case "CROSS_SHARD":
      return "CROSSSLOT";
    case "CONFLICT":
      return "CONFLICT";
    case "DEADLINE_EXCEEDED":
    case "CANCELLED":
      return "UNKNOWN";
    case "INVALID_ARGUMENT":
    case "TOO_LARGE":
    case "NO_BUCKET":
    case "BUCKET_EXISTS":
    case "NOT_AN_INTEGER":
    case "OVERFLOW":
    case "PROTOCOL":
    case "CONFIG":
    case "DIRECTORY_IN_USE":
    case "FOREIGN_DIRECTORY":
    case "NEWER_FORMAT":
    case "MISSING_FILE":
    case "HISTORY_GONE":
    case "MEMBER_EXISTS":
    case "NO_MEMBER":
    case "NOT_A_FLOAT":
    case "NO_KEY":
      return "ERR";
    default:
      return unreachable(code);
  }
}
