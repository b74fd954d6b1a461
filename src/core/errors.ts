/**
 * The closed set of errors that the world can cause. A code is part of the interface of every protocol and never
 * changes its meaning. `retry` tells the caller what it may do:
 *
 *   safe     nothing was executed; the same request may be sent again
 *   unknown  it may have been executed; only an idempotent request may be sent again
 *   never    sending the same request again gives the same error
 */

export type Retry = "safe" | "unknown" | "never";

const RETRY_OF = {
  CORRUPTION: "never",
  IO: "never",
  DISKFULL: "safe",
  UNAVAILABLE: "safe",
  OVERLOADED: "safe",
  UNKNOWN_OUTCOME: "unknown",
  SHUTTING_DOWN: "safe",
  FENCED: "safe",
  INVALID_ARGUMENT: "never",
  TOO_LARGE: "never",
  NO_BUCKET: "never",
  BUCKET_EXISTS: "never",
  NOT_AN_INTEGER: "never",
  OVERFLOW: "never",
  NOT_JSON: "never",
  PROTOCOL: "never",
  CONFIG: "never",
  DIRECTORY_IN_USE: "never",
  FOREIGN_DIRECTORY: "never",
  NEWER_FORMAT: "never",
  MISSING_FILE: "never",
  HISTORY_GONE: "never",
  SESSION_GONE: "unknown",
  MEMBER_EXISTS: "never",
  NO_MEMBER: "never",
  NO_QUORUM: "safe",
  UNAUTHENTICATED: "never",
  BAD_CREDENTIALS: "never",
  FORBIDDEN: "never",
  RATE_LIMITED: "safe",
  QUOTA_EXCEEDED: "safe",
  CROSS_SHARD: "never",
  CONFLICT: "safe",
  NOT_A_FLOAT: "never",
  NO_KEY: "never",
  DEADLINE_EXCEEDED: "unknown",
  CANCELLED: "unknown",
} as const satisfies Record<string, Retry>;

export type ErrorCode = keyof typeof RETRY_OF;

/** Where damage was seen, and what it is. */
export interface DamagePlace {
  readonly file: string;
  readonly offset: number;
  readonly what: string;
}

export class EnvelopeError extends Error {
  override readonly name: string = "EnvelopeError";
  readonly code: ErrorCode;
  /** Of a CORRUPTION, if it is known. */
  readonly place: DamagePlace | null;

  constructor(code: ErrorCode, message: string, place: DamagePlace | null = null) {
    super(message);
    this.code = code;
    this.place = place;
  }

  get retry(): Retry {
    return RETRY_OF[this.code];
  }
}

/** What the caller may do after an error of this code, if nothing more is known. */
export function retryOf(code: ErrorCode): Retry {
  return RETRY_OF[code];
}

/** Whether a string that came from another process is one of our codes. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(RETRY_OF, code);
}

/** Damage on disk, always with the file and the byte offset at which it was seen. */
export function corruption(file: string, offset: number, what: string): EnvelopeError {
  return new EnvelopeError("CORRUPTION", `${what} in ${file} at offset ${offset}`, { file, offset, what });
}
