/**
 * One class for each stable code (core/errors.ts), so that `catch` can tell them apart by `instanceof` as well as by
 * `code`. The table at the end is over the closed set: a code that is added breaks the compile here. Errors of the server and
 * of the client itself are the same classes.
 */
import { EnvelopeError, type ErrorCode, type Retry } from "../core/errors.ts";
import type { SchemaIssue } from "./standard-schema.ts";

interface CodedError<Code extends ErrorCode> extends EnvelopeError {
  readonly code: Code;
}

/** A class of errors of one code. `retry` may be more exact than the code alone says: that nothing was executed, say. */
function withCode<Code extends ErrorCode>(
  code: Code,
): new (
  message: string,
  retry?: Retry,
  cause?: unknown,
) => CodedError<Code> {
  return class extends EnvelopeError {
    override readonly name: string;
    override readonly code: Code = code;
    readonly #retry: Retry;

    constructor(message: string, retry?: Retry, cause?: unknown) {
      super(code, message);
      this.name = new.target.name;
      this.#retry = retry ?? super.retry;
      if (cause !== undefined) this.cause = cause;
    }

    override get retry(): Retry {
      return this.#retry;
    }
  };
}

export class CorruptionError extends withCode("CORRUPTION") {}
export class IoError extends withCode("IO") {}
export class DiskFullError extends withCode("DISKFULL") {}
export class UnavailableError extends withCode("UNAVAILABLE") {}
export class OverloadedError extends withCode("OVERLOADED") {}
export class UnknownOutcomeError extends withCode("UNKNOWN_OUTCOME") {}
export class ShuttingDownError extends withCode("SHUTTING_DOWN") {}
export class FencedError extends withCode("FENCED") {}
export class InvalidArgumentError extends withCode("INVALID_ARGUMENT") {}
export class TooLargeError extends withCode("TOO_LARGE") {}
export class NoBucketError extends withCode("NO_BUCKET") {}
export class BucketExistsError extends withCode("BUCKET_EXISTS") {}
export class NotAnIntegerError extends withCode("NOT_AN_INTEGER") {}
export class OverflowError extends withCode("OVERFLOW") {}
export class NotJsonError extends withCode("NOT_JSON") {}
export class ProtocolError extends withCode("PROTOCOL") {}
export class ConfigError extends withCode("CONFIG") {}
export class DirectoryInUseError extends withCode("DIRECTORY_IN_USE") {}
export class ForeignDirectoryError extends withCode("FOREIGN_DIRECTORY") {}
export class NewerFormatError extends withCode("NEWER_FORMAT") {}
export class MissingFileError extends withCode("MISSING_FILE") {}
export class HistoryGoneError extends withCode("HISTORY_GONE") {}
export class SessionGoneError extends withCode("SESSION_GONE") {}
export class MemberExistsError extends withCode("MEMBER_EXISTS") {}
export class NoMemberError extends withCode("NO_MEMBER") {}
export class NoQuorumError extends withCode("NO_QUORUM") {}
export class UnauthenticatedError extends withCode("UNAUTHENTICATED") {}
export class BadCredentialsError extends withCode("BAD_CREDENTIALS") {}
export class ForbiddenError extends withCode("FORBIDDEN") {}
export class RateLimitedError extends withCode("RATE_LIMITED") {}
export class QuotaExceededError extends withCode("QUOTA_EXCEEDED") {}
export class CrossShardError extends withCode("CROSS_SHARD") {}
export class ConflictError extends withCode("CONFLICT") {}
export class NotAFloatError extends withCode("NOT_A_FLOAT") {}
export class NoKeyError extends withCode("NO_KEY") {}
export class DeadlineExceededError extends withCode("DEADLINE_EXCEEDED") {}
export class CancelledError extends withCode("CANCELLED") {}

/** A value that the bucket's schema refuses: one to be written, or one that was read. */
export class SchemaError extends InvalidArgumentError {
  readonly issues: readonly SchemaIssue[];

  constructor(message: string, issues: readonly SchemaIssue[]) {
    super(message);
    this.issues = issues;
  }
}

type ErrorClass = new (message: string, retry?: Retry, cause?: unknown) => EnvelopeError;

const CLASSES: Readonly<Record<ErrorCode, ErrorClass>> = {
  CORRUPTION: CorruptionError,
  IO: IoError,
  DISKFULL: DiskFullError,
  UNAVAILABLE: UnavailableError,
  OVERLOADED: OverloadedError,
  UNKNOWN_OUTCOME: UnknownOutcomeError,
  SHUTTING_DOWN: ShuttingDownError,
  FENCED: FencedError,
  INVALID_ARGUMENT: InvalidArgumentError,
  TOO_LARGE: TooLargeError,
  NO_BUCKET: NoBucketError,
  BUCKET_EXISTS: BucketExistsError,
  NOT_AN_INTEGER: NotAnIntegerError,
  OVERFLOW: OverflowError,
  NOT_JSON: NotJsonError,
  PROTOCOL: ProtocolError,
  CONFIG: ConfigError,
  DIRECTORY_IN_USE: DirectoryInUseError,
  FOREIGN_DIRECTORY: ForeignDirectoryError,
  NEWER_FORMAT: NewerFormatError,
  MISSING_FILE: MissingFileError,
  HISTORY_GONE: HistoryGoneError,
  SESSION_GONE: SessionGoneError,
  MEMBER_EXISTS: MemberExistsError,
  NO_MEMBER: NoMemberError,
  NO_QUORUM: NoQuorumError,
  UNAUTHENTICATED: UnauthenticatedError,
  BAD_CREDENTIALS: BadCredentialsError,
  FORBIDDEN: ForbiddenError,
  RATE_LIMITED: RateLimitedError,
  QUOTA_EXCEEDED: QuotaExceededError,
  CROSS_SHARD: CrossShardError,
  CONFLICT: ConflictError,
  NOT_A_FLOAT: NotAFloatError,
  NO_KEY: NoKeyError,
  DEADLINE_EXCEEDED: DeadlineExceededError,
  CANCELLED: CancelledError,
};

/** The error of a code. */
export function errorOf(code: ErrorCode, message: string, retry?: Retry, cause?: unknown): EnvelopeError {
  return new CLASSES[code](message, retry, cause);
}
