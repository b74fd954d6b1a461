/**
 * Which versions a flush or a compaction keeps. It is shown all of them in order and says what becomes of each:
 *
 *   of a fenced bucket                         dropped
 *   not the newest of its key                  dropped, unless somebody reads at a moment between its stamp and that of
 *                                              the version that overwrote it (retention.ts): then it is judged as any other
 *   tombstone, or a value that has expired     kept as a tombstone while an older version may lie in another table,
 *                                              which it would bring back, or somebody reads at a moment before it, for
 *                                              whom older ones of this job are kept; dropped otherwise
 *   any other                                  kept
 *
 * An expired value becomes a tombstone rather than vanishing for the same reason. One job, one thread.
 */
import { type Stamp, ZERO_STAMP } from "../core/stamp.ts";
import { type VersionCursor, VersionKind } from "../record/version.ts";
import { compareToTarget } from "./block-cursor.ts";
import { BUCKET_BYTES, writeTableKey } from "./block-format.ts";
import type { DropRule } from "./job.ts";
import { isReadBefore, isRetained } from "./retention.ts";

export type Fate = "drop" | "keep" | "bury";

/** Whether a version of the table key that is older than the stamp may lie outside the job's inputs. */
export type OlderElsewhere = (tableKey: Uint8Array, stampHigh: number, stampLow: number) => boolean;

export class Survivors {
  readonly #rule: DropRule;
  readonly #olderElsewhere: OlderElsewhere;
  #lastKey = new Uint8Array(256);
  /** 0: no key yet. */
  #lastKeyBytes = 0;
  #key = new Uint8Array(256);
  /** Of the version shown last. */
  #stamp: Stamp = ZERO_STAMP;
  #bucket = -1;
  #isFenced = false;

  constructor(rule: DropRule, olderElsewhere: OlderElsewhere) {
    this.#rule = rule;
    this.#olderElsewhere = olderElsewhere;
  }

  /** What becomes of the version under the cursor; "bury": it goes on as a tombstone of the same stamp. */
  fateOf(version: VersionCursor): Fate {
    const bucket = version.bucket;
    if (bucket !== this.#bucket) {
      this.#bucket = bucket;
      this.#isFenced = this.#rule.fenced(bucket);
    }
    if (this.#isFenced) return "drop";
    const { stampHigh, stampLow } = version;
    const isNewest = this.#isNewKey(bucket, version.key);
    const newer = this.#stamp;
    this.#stamp = { high: stampHigh, low: stampLow };
    if (!isNewest && !isRetained(this.#rule.retention, this.#stamp, newer)) return "drop";
    const expiryMs = version.expiryMs;
    const hasExpired = expiryMs !== 0 && expiryMs <= this.#rule.expireBeforeMs;
    if (version.kind !== VersionKind.tombstone && !hasExpired) return "keep";
    if (isReadBefore(this.#rule.retention, this.#stamp)) return "bury";
    const tableKey = this.#lastKey.subarray(0, this.#lastKeyBytes);
    return this.#olderElsewhere(tableKey, stampHigh, stampLow) ? "bury" : "drop";
  }

  /** Compares with the key of the last version shown, and takes its place. */
  #isNewKey(bucket: number, key: Uint8Array): boolean {
    if (this.#key.length < key.length + BUCKET_BYTES) this.#key = new Uint8Array((key.length + BUCKET_BYTES) * 2);
    const keyBytes = writeTableKey(this.#key, bucket, key);
    if (compareToTarget(this.#lastKey, 0, this.#lastKeyBytes, this.#key, keyBytes) === 0) return false;
    const previous = this.#lastKey;
    this.#lastKey = this.#key;
    this.#lastKeyBytes = keyBytes;
    this.#key = previous;
    return true;
  }
}
