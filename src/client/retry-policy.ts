/**
 * What is to be done about the outcome of one attempt. A call is repeatable when carrying it out twice is the same as once:
 * a read, or a write that has a session and a sequence. Pure.
 */
import type { EnvelopeError, ErrorCode } from "../core/errors.ts";
import type { BinaryReply, ErrorReply } from "../wire/binary-messages.ts";
import { CancelledError, DeadlineExceededError, errorOf, UnavailableError, UnknownOutcomeError } from "./errors.ts";
import type { Patience } from "./patience.ts";

export type Outcome =
  | { readonly kind: "reply"; readonly reply: BinaryReply }
  | { readonly kind: "lost"; readonly reason: string; readonly wasSent: boolean };

export type Verdict =
  | { readonly kind: "done"; readonly reply: BinaryReply }
  /** `inDoubt`: it may have been executed. */
  | { readonly kind: "again"; readonly inDoubt: boolean; readonly error: EnvelopeError }
  | { readonly kind: "failed"; readonly error: EnvelopeError };

/** Safe to send again, but what is in the way does not go by waiting: the caller has to know. */
const FINAL: ReadonlySet<ErrorCode> = new Set(["CONFLICT", "DISKFULL", "QUOTA_EXCEEDED"]);
/** What a command itself comes to: under its session that is the same for every attempt. All other errors are of one attempt. */
const OF_COMMAND: ReadonlySet<ErrorCode> = new Set([
  ...(["CONFLICT", "NOT_AN_INTEGER", "NOT_A_FLOAT", "NOT_JSON", "NO_KEY", "OVERFLOW"] as const),
  ...(["TOO_LARGE", "INVALID_ARGUMENT", "CROSS_SHARD"] as const),
]);
/** The caller's own time is over as well. */
const TOO_LATE: ReadonlySet<ErrorCode> = new Set(["DEADLINE_EXCEEDED", "CANCELLED"]);

export function judge(outcome: Outcome, isRepeatable: boolean): Verdict {
  if (outcome.kind === "lost") return judgeLoss(outcome.reason, outcome.wasSent, isRepeatable);
  const { reply } = outcome;
  if (reply.type !== "error") return { kind: "done", reply };
  const error = errorFrom(reply);
  const { code, retry } = error;
  if (FINAL.has(code) || TOO_LATE.has(code) || retry === "never") return { kind: "failed", error };
  if (retry === "safe") return { kind: "again", inDoubt: false, error };
  return isRepeatable && code !== "SESSION_GONE" ? { kind: "again", inDoubt: true, error } : { kind: "failed", error };
}

function judgeLoss(reason: string, wasSent: boolean, isRepeatable: boolean): Verdict {
  if (!wasSent) return { kind: "again", inDoubt: false, error: new UnavailableError(reason) };
  const error = new UnknownOutcomeError(`${reason}; it may have been executed`);
  return isRepeatable ? { kind: "again", inDoubt: true, error } : { kind: "failed", error };
}

export function errorFrom({ code, message, retry }: ErrorReply): EnvelopeError {
  return errorOf(code, message, retry);
}

/** The error of the last attempt; `doubt`: why one before it may have been executed, whatever the last one came to. */
export function lastError(error: EnvelopeError, doubt: EnvelopeError | null): EnvelopeError {
  if (doubt === null || error.retry === "unknown" || OF_COMMAND.has(error.code)) return error;
  return errorOf(error.code, `${error.message}; before that ${doubt.code} ${doubt.message}`, "unknown", error);
}

/** The caller's patience is over. `last`: what came of the attempts before. */
export function impatienceError(patience: Patience, inDoubt: boolean, last: EnvelopeError | null): EnvelopeError {
  const fate = inDoubt ? "it may have been executed" : "it was not executed";
  const retry = inDoubt ? "unknown" : "safe";
  if (patience.over === "abort") {
    return new CancelledError(`the call was aborted; ${fate}`, retry, patience.signal?.reason);
  }
  const why = last === null ? "" : `; before that ${last.code} ${last.message}`;
  return new DeadlineExceededError(
    `no answer within ${patience.timeoutMs} ms; ${fate}${why}`,
    retry,
    last ?? undefined,
  );
}
