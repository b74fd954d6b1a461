/**
 * What a command on one key sees and does while it is applied: itself, the version of its key that is there at its stamp,
 * and a new version of that key. There are two of these: the shard's own state (command-context.ts), and what a
 * transaction has come to so far (transaction-context.ts). Shard thread.
 */
import type { CommandReader } from "../record/command-format.ts";

/** A version that was found: its value lies at [valueStart, valueEnd) of `valueBytes`, whose reading may throw CORRUPTION. */
export interface FoundValue {
  readonly valueBytes: Uint8Array;
  readonly valueStart: number;
  readonly valueEnd: number;
  /** Milliseconds since 1970, 0: never. */
  readonly expiryMs: number;
}

export interface KeyContext {
  readonly command: CommandReader;
  readonly valueBytesMax: number;
  /** Milliseconds of the command's stamp: the only time there is. */
  readonly nowMs: number;
  /** What `isPresent` found last: always the same object. */
  readonly store: FoundValue;
  /** Looks the command's key up: true when it is there, and then `store` describes it. */
  isPresent(): boolean;
  /** The value that `isPresent` found, as a copy. */
  presentValue(): Uint8Array;
  /** Writes a version of the command's key; false: there is no room, and nothing was written. So do the next two. */
  put(bytes: Uint8Array, start: number, end: number, expiryMs: number): boolean;
  /** Writes the version that `isPresent` found anew, with another expiry. */
  rewrite(expiryMs: number): boolean;
  /** Writes a tombstone for the command's key. */
  remove(): boolean;
}
