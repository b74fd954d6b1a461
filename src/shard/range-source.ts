/**
 * What this shard has in some ranges of keys as of one moment, given to a member that has lost it, a piece at a time: the
 * newest version of each key, tombstones left out. The moment is that of the last entry applied when it is opened, kept by a
 * snapshot (snapshots.ts), so nothing else stands still meanwhile. Where anything of it may be wrong here nothing is given
 * (`Quarantine.concerns`), and neither is what is found damaged on the way.
 *
 * Nobody tells when the one that asked has gone: a source of which nothing was read for a while is closed. Shard thread.
 */
import { compareBytes } from "../core/bytes.ts";
import { EnvelopeError } from "../core/errors.ts";
import type { LogIndex } from "../core/ids.ts";
import { compareStamps } from "../core/stamp.ts";
import type { Clock } from "../env/clock.ts";
import { RangePieceWriter } from "../record/range-piece-format.ts";
import { compareUserKeys, type VersionCursor, VersionKind } from "../record/version.ts";
import { BUCKET_BYTES, tableKeyBucket } from "../storage/block-format.ts";
import type { KeyRange } from "../storage/older-ranges.ts";
import type { Quarantine } from "./quarantine.ts";
import type { Snapshot } from "./snapshots.ts";
import type { VersionStore } from "./version-store.ts";

const SOURCES_MAX = 2;
const IDLE_MS_MAX = 60_000;
/** A piece is ended behind this size: small enough that heartbeats do not wait behind it. */
const PIECE_BYTES = 128 * 1024;
/** Versions looked at for one piece, so that a piece takes no longer where most of them are not given. */
const VERSIONS_PER_PIECE_MAX = 16_384;

/** Where a piece begins: at the first version at or behind this key, in the range of this number. */
interface Place {
  readonly range: number;
  readonly bucket: number;
  readonly key: Uint8Array;
}

interface Source {
  readonly ranges: readonly KeyRange[];
  readonly snapshot: Snapshot;
  readonly index: LogIndex;
  /** The piece that was read last, where it began, and where the next one does; null: there is no next one. */
  ordinal: number;
  from: Place | null;
  next: Place | null;
  usedMs: number;
}

export class RangeSources {
  readonly #clock: Clock;
  readonly #writer = new RangePieceWriter();
  readonly #sources = new Map<number, Source>();
  #lastId = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Opens one as of `index`, the last entry applied; keeps the ranges, returns its number. Throws OVERLOADED, CORRUPTION. */
  open(store: VersionStore, quarantine: Quarantine, ranges: readonly KeyRange[], index: LogIndex): number {
    this.#closeIdle();
    if (this.#sources.size >= SOURCES_MAX) throw new EnvelopeError("OVERLOADED", "others are being given ranges");
    if (quarantine.concerns(ranges)) throw new EnvelopeError("CORRUPTION", "damage lies in these ranges here, too");
    this.#lastId += 1;
    const usedMs = this.#clock.monotonicMs();
    const next = startOf(ranges, 0);
    this.#sources.set(this.#lastId, {
      ranges,
      snapshot: store.snapshot(),
      index,
      ordinal: -1,
      from: null,
      next,
      usedMs,
    });
    return this.#lastId;
  }

  /** The piece of this number: the one behind the last, or the last one again. Throws MISSING_FILE, HISTORY_GONE, CORRUPTION. */
  read(store: VersionStore, quarantine: Quarantine, id: number, ordinal: number): Uint8Array {
    const source = this.#sources.get(id);
    if (source === undefined) throw new EnvelopeError("MISSING_FILE", `there is no source ${id}`);
    if (ordinal === source.ordinal + 1 && source.next !== null) {
      source.from = source.next;
      source.ordinal = ordinal;
    }
    if (ordinal !== source.ordinal || source.from === null) {
      throw new EnvelopeError("INVALID_ARGUMENT", `piece ${ordinal} is not the next one`);
    }
    source.usedMs = this.#clock.monotonicMs();
    store.snapshots.check(source.snapshot.stamp, store.lastStamp);
    if (quarantine.concerns(source.ranges)) throw new EnvelopeError("CORRUPTION", "damage was found in these ranges");
    return this.#piece(store, source, source.from);
  }

  close(id: number): void {
    this.#sources.get(id)?.snapshot.release();
    this.#sources.delete(id);
  }

  /** What they read is gone. */
  closeAll(): void {
    for (const id of [...this.#sources.keys()]) this.close(id);
  }

  #closeIdle(): void {
    const before = this.#clock.monotonicMs() - IDLE_MS_MAX;
    for (const [id, { usedMs }] of this.#sources) if (usedMs < before) this.close(id);
  }

  #piece(store: VersionStore, source: Source, from: Place): Uint8Array {
    const writer = this.#writer;
    writer.begin(source.ordinal, source.index);
    using cursor = store.cursor();
    cursor.seek(from.bucket, from.key);
    let range = from.range;
    for (let looks = 0; ; looks++) {
      const end = source.ranges[range];
      if (end === undefined) break;
      if (!cursor.valid || isBehind(cursor, end)) {
        range += 1;
        const start = startOf(source.ranges, range);
        if (start !== null) cursor.seek(start.bucket, start.key);
        continue;
      }
      if (writer.byteCount >= PIECE_BYTES || looks >= VERSIONS_PER_PIECE_MAX) {
        source.next = { range, bucket: cursor.bucket, key: cursor.key.slice() };
        return writer.end(false);
      }
      this.#takeKey(cursor, source.snapshot);
    }
    source.next = null;
    return writer.end(true);
  }

  /** The newest version of the key under the cursor as of the snapshot, if it is a value; moves on to the next key. */
  #takeKey(cursor: VersionCursor, { stamp }: Snapshot): void {
    const { bucket } = cursor;
    const key = cursor.key.slice();
    let isFound = false;
    for (; cursor.valid && compareUserKeys(cursor.bucket, cursor.key, bucket, key) === 0; cursor.next()) {
      if (isFound || compareStamps(cursor.stampHigh, cursor.stampLow, stamp.high, stamp.low) > 0) continue;
      isFound = true;
      if (cursor.kind !== VersionKind.tombstone) this.#writer.add(cursor);
    }
  }
}

function startOf(ranges: readonly KeyRange[], range: number): Place | null {
  const smallest = ranges[range]?.smallest;
  if (smallest === undefined) return null;
  return { range, bucket: tableKeyBucket(smallest, 0), key: smallest.slice(BUCKET_BYTES) };
}

function isBehind(cursor: VersionCursor, { largest }: KeyRange): boolean {
  const bucket = tableKeyBucket(largest, 0);
  return cursor.bucket === bucket
    ? compareBytes(cursor.key, largest.subarray(BUCKET_BYTES)) > 0
    : cursor.bucket > bucket;
}
