/**
 * What an operation on one key (or one page of a shard) came to. The same closed union travels from the shard to main,
 * over the peer link to the node that asked, and to the protocol that words it for its client.
 */
import type { ErrorCode } from "../core/errors.ts";
import { type DurabilityLevel, durabilityLevel, SYNC } from "./durability.ts";

export type Result =
  | OkResult
  | { readonly kind: "nil" }
  | { readonly kind: "integer"; readonly value: bigint }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | VersionResult
  | PageResult
  | EntriesResult
  | ResultsResult
  | StampedResult
  | { readonly kind: "error"; readonly code: ErrorCode; readonly message: string };

/** Done, and durable as far as it says: on disk, unless a bucket's answers may come before that. */
export interface OkResult {
  readonly kind: "ok";
  readonly durability: DurabilityLevel;
}

/** A key that is there. `value` is empty when only the metadata was asked for. */
export interface VersionResult {
  readonly kind: "version";
  readonly valueBytes: number;
  /** Milliseconds since 1970, 0: never. */
  readonly expiryMs: number;
  readonly value: Uint8Array;
}

/** A value where it lies, in memory that belongs to somebody else: nothing is made before somebody wants a view. */
export class ValueInPlace implements VersionResult {
  readonly kind = "version";
  readonly expiryMs: number;
  readonly source: Uint8Array;
  readonly start: number;
  readonly end: number;

  constructor(source: Uint8Array, start: number, end: number, expiryMs: number) {
    this.source = source;
    this.start = start;
    this.end = end;
    this.expiryMs = expiryMs;
  }

  get valueBytes(): number {
    return this.end - this.start;
  }

  get value(): Uint8Array {
    return this.source.subarray(this.start, this.end);
  }
}

/** One bounded step of a walk over a bucket in key order. */
export interface PageResult {
  readonly kind: "page";
  /** The keys that matched; empty in `count` mode. */
  readonly keys: readonly Uint8Array[];
  /** How many keys matched. */
  readonly matchCount: number;
  /** Bytes of their keys and values. */
  readonly byteCount: number;
  /** The last key looked at, from which the next page goes on (exclusive); null: the walk is over. */
  readonly next: Uint8Array | null;
}

export const OK: Result = { kind: "ok", durability: "sync" };
export const OK_INTERVAL: Result = { kind: "ok", durability: "interval" };
export const OK_OS: Result = { kind: "ok", durability: "os" };
/** One bounded step of a walk over keys and values. */
export interface EntriesResult {
  readonly kind: "entries";
  readonly entries: readonly ScanEntry[];
  /** Whether the walk was cut short and goes on behind the last of them. */
  readonly isCut: boolean;
}

export interface ScanEntry {
  readonly key: Uint8Array;
  /** Milliseconds since 1970, 0: never. */
  readonly expiryMs: number;
  /** Empty when only keys were asked for. */
  readonly value: Uint8Array;
}

/** What the operations of a transaction came to, in their order. */
export interface ResultsResult {
  readonly kind: "results";
  readonly results: readonly Result[];
}

/** A key that is there, with the stamp of the command that wrote it: no other version of the key has the same. */
export interface StampedResult {
  readonly kind: "stamped";
  readonly stampHigh: number;
  readonly stampLow: number;
  readonly valueBytes: number;
  /** Milliseconds since 1970, 0: never. */
  readonly expiryMs: number;
  /** Empty when only the metadata was asked for. */
  readonly value: Uint8Array;
}

export const NIL: Result = { kind: "nil" };

/** The answer to a write of this durability. */
export function okAt(durability: number): Result {
  if (durability === SYNC) return OK;
  return durabilityLevel(durability) === "os" ? OK_OS : OK_INTERVAL;
}

export function integerResult(value: number | bigint): Result {
  return { kind: "integer", value: BigInt(value) };
}

export function errorResult(code: ErrorCode, message: string): Result {
  return { kind: "error", code, message };
}
