/**
 * What a tree has to do with values that lie outside its tables: which files they are in and how much of each is alive,
 * what a flush leaves in the log, what is due to be collected, and the memory for hot keys. Without the option, and
 * without pointers from a time when it was set, all of it comes to nothing. One thread.
 */
import type { FoundVersion, VersionCursor } from "../record/version.ts";
import { type CollectionPick, pickCollection } from "./collection-pick.ts";
import type { Claims } from "./compaction-claims.ts";
import { HotReads, KeyHashes } from "./hot-reads.ts";
import type { Layout } from "./layout.ts";
import type { Manifest, StateChange } from "./manifest.ts";
import type { TableRecord } from "./manifest-format.ts";
import { NO_PLACES, SeparatingCursor, type ValueLocator } from "./separating-cursor.ts";
import { SeparateValue } from "./separate-value.ts";
import type { ValueFiles } from "./value-files.ts";
import { ValueLiveness } from "./value-liveness.ts";
import type { ValueOptions } from "./value-options.ts";

export interface ValueStats {
  /** Files outside the tables that hold values, their bytes, and how many of these are pointed to. */
  readonly valueFileCount: number;
  readonly valueFileBytes: number;
  readonly valueBytesLive: number;
  /** Keys whose places are in memory, the memory set aside for them, and how many look-ups they have answered. */
  readonly hotKeyCount: number;
  readonly hotKeyBytes: number;
  readonly hotKeyHits: number;
}

/** What a flush writes, and what is to be told of it when it is visible. */
export interface SeparatedFlush {
  readonly source: VersionCursor;
  readonly written: KeyHashes | null;
}

export class TreeValues {
  readonly files: ValueFiles;
  readonly #manifest: Manifest;
  readonly #options: ValueOptions | undefined;
  readonly #hot: HotReads | null;
  readonly #separate: SeparateValue;
  readonly #liveness: ValueLiveness;
  /** Counts changes of what is alive, and what the count was when nothing was due. */
  #changeCount = 0;
  #nothingDueAt = -1;

  constructor(files: ValueFiles, manifest: Manifest, options: ValueOptions | undefined) {
    this.files = files;
    this.#manifest = manifest;
    this.#options = options;
    const hotKeyBytes = options?.hotKeyBytes ?? 0;
    this.#hot = hotKeyBytes === 0 ? null : new HotReads(hotKeyBytes, files);
    this.#separate = new SeparateValue(files, this.#hot);
    this.#liveness = new ValueLiveness(manifest.records.values());
  }

  /** The version of a key whose place is in memory, or null. Throws CORRUPTION. */
  findHot(bucket: number, key: Uint8Array, keyStart: number, keyEnd: number, keyHash: number): FoundVersion | null {
    return this.#hot === null ? null : this.#hot.find(bucket, key, keyStart, keyEnd, keyHash);
  }

  /** A pointer found in the tables as the value that it leads to; `keyHash` as in SeparateValue. Throws CORRUPTION. */
  separate(found: FoundVersion, keyHash: number | null): SeparateValue {
    return this.#separate.over(found, keyHash);
  }

  /** A memtable as a flush is to see it. */
  flushed(source: VersionCursor, locator: ValueLocator | null): SeparatedFlush {
    if (this.#options === undefined) return { source, written: null };
    const written = this.#hot === null ? null : new KeyHashes();
    const separated = new SeparatingCursor(source, locator ?? NO_PLACES, this.#options.thresholdBytes, written);
    return { source: separated, written };
  }

  /** A flush is visible: older places of the keys it has written are out of date. */
  flushPublished({ written }: SeparatedFlush): void {
    if (written !== null) this.#hot?.forget(written);
  }

  /** Makes a change of state durable. Throws IO or DISKFULL. */
  publish(change: StateChange): void {
    const removed = change.removed.map((number) => this.#manifest.records.get(number)).filter(isListed);
    const difference = this.#liveness.difference(removed, change.added);
    const files = this.#liveness.fileChange(difference, (id) => this.files.of(id).record);
    this.#manifest.publish(change, files);
    for (const { id } of files.added) this.files.of(id).obsolete = false;
    for (const id of files.removed) this.files.of(id).obsolete = true;
    this.#liveness.apply(difference);
    this.#changeCount += 1;
  }

  /** What is due to be collected. While nothing is, asking costs nothing. */
  pickCollection(layout: Layout, claims: Claims): CollectionPick | null {
    const collectBelow = this.#options?.collectBelow ?? 0;
    const state = this.#changeCount + this.files.releaseCount;
    if (collectBelow === 0 || state === this.#nothingDueAt) return null;
    const free = layout.tables.filter(
      (table) => !claims.has(table) && !claims.writesInto(layout.placeOf(table).level, table.footer),
    );
    const pick = pickCollection(free, this.#manifest.valueFiles, this.#liveness, collectBelow, (id) => {
      const file = this.files.of(id);
      return !file.isInLog && file.damage === null;
    });
    // What a running job stands in the way of now may be due as soon as it has ended.
    if (pick === null && claims.count === 0) this.#nothingDueAt = state;
    return pick;
  }

  /** How much a collection moves at a time. */
  get segmentBytes(): number {
    return this.#options?.segmentBytes ?? 0;
  }

  stats(): ValueStats {
    let valueFileBytes = 0;
    let valueBytesLive = 0;
    for (const { id, fileBytes } of this.#manifest.valueFiles.values()) {
      valueFileBytes += fileBytes;
      valueBytesLive += this.#liveness.bytesIn(id);
    }
    return {
      valueFileCount: this.#manifest.valueFiles.size,
      valueFileBytes,
      valueBytesLive,
      hotKeyCount: this.#hot?.keys.keyCount ?? 0,
      hotKeyBytes: this.#hot?.keys.byteCount ?? 0,
      hotKeyHits: this.#hot?.hitCount ?? 0,
    };
  }
}

/** Removing an unknown table is refused by the manifest. */
function isListed(record: TableRecord | undefined): record is TableRecord {
  return record !== undefined;
}
