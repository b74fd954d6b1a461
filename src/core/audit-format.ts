/**
 * The audit log: lines of JSON, each with the SHA-256 of the line before it, so that a line changed, left out, added or moved
 * breaks the chain at that place.
 *
 *   {"sequence":1,"time":"2026-01-02T03:04:05.678Z","event":"act","user":"ann","address":"10.0.0.7","command":"bucket|drop",
 *    "bucket":"orders","outcome":"asked","previous":"<64 hexadecimal digits>"}
 *
 *   sequence   one more than that of the line before it; 1 at the very beginning
 *   previous   SHA-256 of the line before it without its line feed; 64 zeros at the very beginning
 *
 * The chain runs on over files: `audit.log` goes on where `audit.log.1` ended. It tells what was done to lines that others
 * follow; whoever cuts off the end, or writes everything anew, is found out only by a sequence and hash noted elsewhere.
 * No thread of its own.
 */
import { text, utf8 } from "./bytes.ts";

export interface AuditEvent {
  /** `refused`: a connection, before anybody could log in. */
  readonly event: "login" | "login-failed" | "denied" | "act" | "refused";
  /** Empty: nobody had logged in. */
  readonly user: string;
  readonly address: string;
  /** Without its arguments, but for the name of what it is about. */
  readonly command: string;
  readonly bucket: string;
  readonly outcome: string;
}

/** Where a chain stands. */
export interface AuditHead {
  readonly sequence: number;
  /** SHA-256 of the last line, in hexadecimal. */
  readonly hash: string;
}

export const AUDIT_START: AuditHead = { sequence: 0, hash: "0".repeat(64) };

const LINE_FEED = 0x0a;
/** Longer names than this are cut: a line must stay small. */
const FIELD_LENGTH_MAX = 512;

/** The next line, with its line feed, and the head behind it. */
export function encodeAuditLine(
  head: AuditHead,
  timeMs: number,
  { event, user, address, command, bucket, outcome }: AuditEvent,
): { readonly line: Uint8Array; readonly head: AuditHead } {
  const sequence = head.sequence + 1;
  const time = new Date(timeMs).toISOString();
  const fields = { event, user, address, command, bucket, outcome };
  for (const [name, value] of Object.entries(fields)) fields[name as "user"] = value.slice(0, FIELD_LENGTH_MAX);
  const bare = utf8(JSON.stringify({ sequence, time, ...fields, previous: head.hash }));
  const line = new Uint8Array(bare.length + 1);
  line.set(bare);
  line[bare.length] = LINE_FEED;
  return { line, head: { sequence, hash: hashOf(bare) } };
}

/** The head behind a line without its line feed; null: it is none. */
export function auditHeadOf(line: Uint8Array): AuditHead | null {
  const sequence = fieldsOf(line)?.["sequence"];
  return isSequence(sequence) ? { sequence, hash: hashOf(line) } : null;
}

/** What is found when lines are followed. */
export interface AuditBreak {
  readonly file: string;
  /** Of the line, from 1. */
  readonly line: number;
  readonly what: string;
}

/** Follows the chain through files in the order in which they were written. */
export class AuditChain {
  /** Null: nothing has come yet. */
  head: AuditHead | null = null;
  readonly breaks: AuditBreak[] = [];
  lineCount = 0;

  /** All bytes of one file. */
  follow(file: string, bytes: Uint8Array): void {
    let start = 0;
    for (let number = 1; start < bytes.length; number++) {
      const end = bytes.indexOf(LINE_FEED, start);
      if (end < 0) {
        this.breaks.push({ file, line: number, what: "a line without an end" });
        return;
      }
      this.#take(file, number, bytes.subarray(start, end));
      start = end + 1;
    }
  }

  #take(file: string, number: number, line: Uint8Array): void {
    this.lineCount += 1;
    const fields = fieldsOf(line);
    const sequence = fields?.["sequence"];
    const before = this.head;
    const tell = (what: string): void => {
      this.breaks.push({ file, line: number, what });
    };
    if (!isSequence(sequence)) return tell("no line of an audit log");
    const isFirst = before === null && sequence === 1;
    const expected = isFirst ? AUDIT_START : before;
    if (expected !== null && sequence !== expected.sequence + 1) {
      tell(`sequence ${sequence} where ${expected.sequence + 1} belongs`);
    } else if (expected !== null && fields?.["previous"] !== expected.hash) {
      tell("the line before it is not the one that it followed");
    }
    this.head = { sequence, hash: hashOf(line) };
  }
}

function fieldsOf(line: Uint8Array): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text(line));
    return value !== null && typeof value === "object" ? (value as Record<string, unknown>) : null;
  } catch (cause) {
    if (cause instanceof SyntaxError) return null;
    throw cause;
  }
}

function isSequence(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0;
}

function hashOf(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}
