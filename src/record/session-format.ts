/**
 * What a shard remembers of client sessions, so that a command which arrives twice is carried out once (Ongaro's thesis
 * §6.3): ordinary versions in a bucket that no name leads to.
 *
 *   key                                   value
 *   u8 1, u64 session                     the session is open until the version expires; u32: for so many milliseconds
 *                                         after it was used last
 *   u8 2, u64 session, u8 place           u32 sequence, then the result (result-format.ts) of the command with it;
 *                                         place = sequence modulo SESSION_WINDOW
 *
 * Numbers in keys are big-endian, so that a session's results are neighbours; in values little-endian. A result expires
 * after twice the time of its session: as long as the session is open, whatever it may still ask for is there.
 */
import { viewOf } from "../core/bytes.ts";
import { ByteReader } from "../core/byte-reader.ts";
import { ByteWriter } from "../core/byte-writer.ts";
import { SESSION_WINDOW } from "../core/session-window.ts";
import { decodeResult, encodeResult } from "./result-format.ts";
import type { Result } from "./result.ts";

const OPEN_SESSIONS = 1;
const RESULTS = 2;
const SESSION_KEY_BYTES = 9;
const RESULT_KEY_BYTES = 10;
const TTL_BYTES = 4;
const SEQUENCE_BYTES = 4;

/** What all keys of open sessions begin with. */
export const OPEN_SESSIONS_PREFIX = Uint8Array.of(OPEN_SESSIONS);

export function sessionKey(session: number): Uint8Array {
  const key = new Uint8Array(SESSION_KEY_BYTES);
  key[0] = OPEN_SESSIONS;
  viewOf(key).setBigUint64(1, BigInt(session), false);
  return key;
}

export function resultKey(session: number, sequence: number): Uint8Array {
  const key = new Uint8Array(RESULT_KEY_BYTES);
  key[0] = RESULTS;
  viewOf(key).setBigUint64(1, BigInt(session), false);
  key[SESSION_KEY_BYTES] = sequence % SESSION_WINDOW;
  return key;
}

/** How long a session outlives its last use, as the command that opens it and the open session have it. */
export function encodeSessionTtl(ttlMs: number): Uint8Array {
  const value = new Uint8Array(TTL_BYTES);
  viewOf(value).setUint32(0, ttlMs, true);
  return value;
}

/** 0: not a time. */
export function decodeSessionTtl(value: Uint8Array): number {
  return value.length === TTL_BYTES ? viewOf(value).getUint32(0, true) : 0;
}

export interface KeptResult {
  readonly sequence: number;
  readonly result: Result;
}

export function encodeKeptResult({ sequence, result }: KeptResult): Uint8Array {
  const writer = new ByteWriter();
  writer.u32(sequence);
  encodeResult(result, writer);
  return writer.bytes.slice(0, writer.length);
}

/** Of a value that this file has encoded: blocks and segments are checked before. */
export function decodeKeptResult(value: Uint8Array): KeptResult {
  const reader = new ByteReader("CORRUPTION", "a kept result");
  reader.over(value);
  return { sequence: reader.u32(), result: decodeResult(reader) };
}

/** Bytes of keys and values that one command of a session adds, beside its result: the result's place, and the session anew. */
export const SESSION_ROOM_BYTES = RESULT_KEY_BYTES + SEQUENCE_BYTES + SESSION_KEY_BYTES + TTL_BYTES;
