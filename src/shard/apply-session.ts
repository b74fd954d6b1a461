/**
 * Commands of client sessions, each carried out once however often it comes. A session is opened in every shard before it
 * is used, and ends when it has not been used for its time, by the stamps of the log. Every command of it has a sequence,
 * and its result is kept until the client uses the sequence SESSION_WINDOW above, which says that it has got it; so a
 * client has at most so many commands under way, and sends none again later than the session's time after it was sent
 * first. What a retry is told is what the first one came to. Results that say "nothing was carried out" (FENCED, damage)
 * are not kept.
 *
 * All of it is ordinary state of the shard: in the log, in tables, and what is decided depends on nothing else. Shard thread.
 */
import { SESSION_BUCKET } from "../core/ids.ts";
import { compareBytes } from "../core/bytes.ts";
import { FLOAT_TEXT_BYTES_MAX } from "../core/extended-float.ts";
import {
  decodeKeptResult,
  decodeSessionTtl,
  encodeKeptResult,
  encodeSessionTtl,
  OPEN_SESSIONS_PREFIX,
  resultKey,
  SESSION_ROOM_BYTES,
  sessionKey,
} from "../record/session-format.ts";
import { CommandType } from "../record/command-format.ts";
import { errorResult, OK, type Result } from "../record/result.ts";
import { isVisible } from "../record/version.ts";
import type { CommandContext } from "./command-context.ts";

/** Open sessions of one shard. */
const SESSIONS_MAX = 4096;
/** A result that takes more is not kept: whoever asks again hears that, and that the command was carried out. */
const RESULT_BYTES_MAX = 4096;
/** The command's own version, the result, and the session itself when its time is extended. */
const WRITES_MAX = 3;
/** What is kept of a command takes so many bytes at most, in so many versions. */
export const OUTCOME_BYTES_MAX = SESSION_ROOM_BYTES + RESULT_BYTES_MAX;
export const OUTCOME_VERSIONS_MAX = WRITES_MAX - 1;
/** Room for a value that is not longer than a number, and for what lies around keys and values. */
const SHORT_VALUE_BYTES = 64;

const NO_SUCH_SESSION = errorResult(
  "SESSION_GONE",
  "the session has ended; what it has not heard of may have been carried out",
);
const TOO_OLD = errorResult("SESSION_GONE", "the command is older than what the session remembers");
const TOO_MANY = errorResult("OVERLOADED", "too many sessions are open");
const NO_TIME = errorResult("INVALID_ARGUMENT", "a session lives for some milliseconds");
const NOT_KEPT = errorResult("UNKNOWN_OUTCOME", "the command was carried out; its result was too large to be kept");

export function applyOpenSession(context: CommandContext): Result | null {
  const { sessionId } = context.command;
  const ttlMs = decodeSessionTtl(context.command.value());
  if (ttlMs === 0) return NO_TIME;
  if (timeOf(context) === null && openCount(context) >= SESSIONS_MAX) return TOO_MANY;
  if (!context.hasRoom(SESSION_ROOM_BYTES, 1)) return null;
  context.set(SESSION_BUCKET, sessionKey(sessionId), encodeSessionTtl(ttlMs), context.nowMs + ttlMs);
  return OK;
}

/** Its results go when their time is over. */
export function applyCloseSession(context: CommandContext): Result | null {
  if (!context.hasRoom(SESSION_ROOM_BYTES, 1)) return null;
  context.set(SESSION_BUCKET, sessionKey(context.command.sessionId), null, 0);
  return OK;
}

/** What a command of a session is to be told without being carried out; null: it has to be. */
export function knownOutcome(context: CommandContext): Result | null {
  const { sessionId, sequence } = context.command;
  if (timeOf(context) === null) return NO_SUCH_SESSION;
  const value = context.valueAt(SESSION_BUCKET, resultKey(sessionId, sequence));
  if (value === null) return null;
  const kept = decodeKeptResult(value);
  if (kept.sequence < sequence) return null;
  return kept.sequence === sequence ? kept.result : TOO_OLD;
}

/**
 * Whether the command and what is kept of it both find room, whatever it comes to. A transaction asks again when it knows
 * what that is.
 */
export function hasRoomForOnce(context: CommandContext): boolean {
  const { command } = context;
  const byteCount = command.keyEnd - command.keyStart + longestValue(context) + OUTCOME_BYTES_MAX;
  return context.hasRoom(byteCount, WRITES_MAX);
}

/** Keeps what the command came to, and the session open. There is room. */
export function keepOutcome(context: CommandContext, result: Result): void {
  const { sessionId, sequence } = context.command;
  const time = timeOf(context);
  if (time === null) return;
  const { nowMs } = context;
  const whole = encodeKeptResult({ sequence, result });
  const kept = whole.length > RESULT_BYTES_MAX ? encodeKeptResult({ sequence, result: NOT_KEPT }) : whole;
  context.set(SESSION_BUCKET, resultKey(sessionId, sequence), kept, nowMs + 2 * time.ttlMs);
  if (time.expiryMs - nowMs > time.ttlMs / 2) return;
  context.set(SESSION_BUCKET, sessionKey(sessionId), encodeSessionTtl(time.ttlMs), nowMs + time.ttlMs);
}

function longestValue({ command, valueBytesMax }: CommandContext): number {
  switch (command.type) {
    case CommandType.put:
    case CommandType.conditionalPut:
      return command.valueEnd - command.valueStart;
    case CommandType.append:
    case CommandType.setRange:
    case CommandType.setBit:
    case CommandType.expire:
    case CommandType.persist:
    case CommandType.getExpire:
      return valueBytesMax;
    case CommandType.incrementFloat:
      return Math.min(valueBytesMax, FLOAT_TEXT_BYTES_MAX);
    default:
      return SHORT_VALUE_BYTES;
  }
}

/** The open session of the command, or null. */
function timeOf(context: CommandContext): { readonly ttlMs: number; readonly expiryMs: number } | null {
  const value = context.valueAt(SESSION_BUCKET, sessionKey(context.command.sessionId));
  return value === null ? null : { ttlMs: decodeSessionTtl(value), expiryMs: context.store.expiryMs };
}

/** Opening is rare: they are counted by walking over them. */
function openCount(context: CommandContext): number {
  using cursor = context.store.cursor();
  let count = 0;
  let last: Uint8Array | null = null;
  for (cursor.seek(SESSION_BUCKET, OPEN_SESSIONS_PREFIX); cursor.valid; cursor.next()) {
    if (cursor.bucket !== SESSION_BUCKET || cursor.key[0] !== OPEN_SESSIONS_PREFIX[0]) break;
    const isOlder = last !== null && compareBytes(last, cursor.key) === 0;
    if (isOlder) continue;
    last = cursor.key.slice();
    if (isVisible(cursor.kind, cursor.expiryMs, context.nowMs)) count += 1;
  }
  return count;
}
