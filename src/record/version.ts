/**
 * A version of a key, as memtables and tables hold it, and the one order all of them share:
 *
 *   bucket id ascending · user key ascending (bytes) · stamp descending · origin node descending
 *
 * so the newest version of a key comes first and older ones are its neighbours.
 */
import { compareBytes } from "../core/bytes.ts";
import { compareStamps } from "../core/stamp.ts";

/** A `pointer` occurs in tables alone: its value is no value but the place of one (storage/value-pointer-format.ts). */
export const VersionKind = { value: 1, tombstone: 2, pointer: 3 } as const;
export type VersionKind = (typeof VersionKind)[keyof typeof VersionKind];

/**
 * A cursor over versions in internal-key order. Fields describe the current version and stay valid until the next
 * move; `key` and `value` are views that the caller copies if it keeps them.
 */
export interface VersionCursor {
  readonly valid: boolean;
  readonly bucket: number;
  readonly key: Uint8Array;
  readonly stampHigh: number;
  readonly stampLow: number;
  readonly origin: number;
  readonly kind: VersionKind;
  /** Milliseconds since 1970, 0: never. */
  readonly expiryMs: number;
  readonly value: Uint8Array;
  /** To the first version whose (bucket, key) is at or behind the given one. */
  seek(bucket: number, key: Uint8Array): void;
  next(): void;
}

/** A cursor that also goes against the order. */
export interface TwoWayCursor extends VersionCursor {
  /** To the last version whose (bucket, key) is before the given one: the oldest of the last key before it. */
  seekBefore(bucket: number, key: Uint8Array): void;
  previous(): void;
}

/**
 * What a look-up found: the newest version of a key at one source. `value` is a view into that source, and lies at
 * [valueStart, valueEnd) of `valueBytes`.
 */
export interface FoundVersion {
  readonly stampHigh: number;
  readonly stampLow: number;
  readonly origin: number;
  readonly kind: VersionKind;
  readonly expiryMs: number;
  readonly value: Uint8Array;
  readonly valueBytes: Uint8Array;
  readonly valueStart: number;
  readonly valueEnd: number;
}

export function compareUserKeys(aBucket: number, aKey: Uint8Array, bBucket: number, bKey: Uint8Array): number {
  return aBucket === bBucket ? compareBytes(aKey, bKey) : aBucket - bBucket;
}

/** Negative when the version under cursor `a` sorts before the one under `b`. */
export function compareVersions(a: VersionCursor, b: VersionCursor): number {
  const byKey = compareUserKeys(a.bucket, a.key, b.bucket, b.key);
  if (byKey !== 0) return byKey;
  const byStamp = compareStamps(b.stampHigh, b.stampLow, a.stampHigh, a.stampLow);
  return byStamp !== 0 ? byStamp : b.origin - a.origin;
}

/** Whether a version answers a read at this wall-clock time. */
export function isVisible(kind: VersionKind, expiryMs: number, nowMs: number): boolean {
  return kind !== VersionKind.tombstone && (expiryMs === 0 || expiryMs > nowMs);
}
