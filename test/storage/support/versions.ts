/** Versions as plain objects, and a cursor over a list of them: what the tests of storage feed in and compare with. */
import { compareBytes, utf8 } from "../../../src/core/bytes.ts";
import { EnvelopeError } from "../../../src/core/errors.ts";
import { murmur3 } from "../../../src/core/murmur3.ts";
import { compareStamps, MAX_STAMP } from "../../../src/core/stamp.ts";
import {
  compareUserKeys,
  type FoundVersion,
  type TwoWayCursor,
  type VersionCursor,
  VersionKind,
} from "../../../src/record/version.ts";
import { NO_CONFIGURATION } from "../../../src/record/logged-configuration.ts";
import type { DropRule, Job } from "../../../src/storage/job.ts";
import { NO_RETENTION } from "../../../src/storage/retention.ts";
import type { TreeIdentity, TreeOptions } from "../../../src/storage/tree-options.ts";
import { logIndex, shardId, term } from "../../../src/core/ids.ts";
import type { FlushedPosition } from "../../../src/storage/manifest-format.ts";
import type { Tree } from "../../../src/storage/tree.ts";

export interface PlainVersion {
  readonly bucket: number;
  readonly key: Uint8Array;
  readonly stampHigh: number;
  readonly stampLow: number;
  readonly origin: number;
  readonly kind: VersionKind;
  readonly expiryMs: number;
  readonly value: Uint8Array;
}

export const IDENTITY: TreeIdentity = { clusterId: new Uint8Array(16).fill(7), shard: shardId(3) };

/** Small sizes, so that a few hundred versions make many blocks, tables and levels. */
export const SMALL: TreeOptions = {
  blockBytes: 256,
  bloomBitsPerKey: 10,
  compaction: "leveled",
  compression: "none",
  compressionLevel: 1,
  prefixFilterBytes: 0,
  blockChecks: "first",
  tableIo: "mmap",
  levelBytesBase: 4096,
  level0Tables: 3,
  tableBytesMax: 1024,
};

/** The same with everything that needs table format 2. */
export const PACKED: TreeOptions = { ...SMALL, compression: "zstd", prefixFilterBytes: 2 };

export const KEEP_ALL: DropRule = { fenced: () => false, expireBeforeMs: 0, retention: NO_RETENTION };

export function put(key: string, stamp: number, value: string, bucket = 1, expiryMs = 0): PlainVersion {
  return {
    bucket,
    key: utf8(key),
    stampHigh: 0,
    stampLow: stamp,
    origin: 1,
    kind: VersionKind.value,
    expiryMs,
    value: utf8(value),
  };
}

export function tombstone(key: string, stamp: number, bucket = 1): PlainVersion {
  return { ...put(key, stamp, "", bucket), kind: VersionKind.tombstone };
}

export function position(index: number): FlushedPosition {
  return {
    sequence: index * 10,
    index: logIndex(index),
    term: term(1),
    stampHigh: 0,
    stampLow: index,
    configuration: NO_CONFIGURATION,
  };
}

export function inOrder(versions: readonly PlainVersion[]): PlainVersion[] {
  return [...versions].sort(
    (a, b) =>
      compareUserKeys(a.bucket, a.key, b.bucket, b.key) ||
      compareStamps(b.stampHigh, b.stampLow, a.stampHigh, a.stampLow) ||
      b.origin - a.origin,
  );
}

export class ArrayCursor implements TwoWayCursor {
  readonly #versions: readonly PlainVersion[];
  #at = -1;

  constructor(versions: readonly PlainVersion[]) {
    this.#versions = inOrder(versions);
  }

  get valid(): boolean {
    return this.#at >= 0 && this.#at < this.#versions.length;
  }
  get bucket(): number {
    return this.#current.bucket;
  }
  get key(): Uint8Array {
    return this.#current.key;
  }
  get stampHigh(): number {
    return this.#current.stampHigh;
  }
  get stampLow(): number {
    return this.#current.stampLow;
  }
  get origin(): number {
    return this.#current.origin;
  }
  get kind(): VersionKind {
    return this.#current.kind;
  }
  get expiryMs(): number {
    return this.#current.expiryMs;
  }
  get value(): Uint8Array {
    return this.#current.value;
  }

  seek(bucket: number, key: Uint8Array): void {
    this.#at = this.#versions.findIndex((version) => compareUserKeys(version.bucket, version.key, bucket, key) >= 0);
  }

  next(): void {
    this.#at += 1;
  }

  seekBefore(bucket: number, key: Uint8Array): void {
    this.#at = this.#versions.findLastIndex((version) => compareUserKeys(version.bucket, version.key, bucket, key) < 0);
  }

  previous(): void {
    this.#at -= 1;
  }

  get #current(): PlainVersion {
    const version = this.#versions[this.#at];
    if (version === undefined) throw new Error("the cursor is not valid");
    return version;
  }
}

/** A copy of the version under a cursor. */
export function copyOf(cursor: VersionCursor): PlainVersion {
  const { bucket, stampHigh, stampLow, origin, kind, expiryMs } = cursor;
  return {
    bucket,
    key: cursor.key.slice(),
    stampHigh,
    stampLow,
    origin,
    kind,
    expiryMs,
    value: cursor.value.slice(),
  };
}

/** Everything from a key on. */
export function walk(cursor: VersionCursor, bucket = 0, key: Uint8Array = new Uint8Array(0)): PlainVersion[] {
  const seen: PlainVersion[] = [];
  for (cursor.seek(bucket, key); cursor.valid; cursor.next()) seen.push(copyOf(cursor));
  return seen;
}

/** Everything before a key, last first. */
export function walkBack(cursor: TwoWayCursor, bucket: number, key: Uint8Array): PlainVersion[] {
  const seen: PlainVersion[] = [];
  for (cursor.seekBefore(bucket, key); cursor.valid; cursor.previous()) seen.push(copyOf(cursor));
  return seen;
}

export function findIn(tree: Tree, bucket: number, key: Uint8Array, asOf = MAX_STAMP): FoundVersion | null {
  return tree.find(bucket, key, 0, key.length, murmur3(key, 0, key.length, bucket), asOf);
}

/** What a reader sees of a key: its value as text, or null. */
export function readText(tree: Tree, key: string, bucket = 1): string | null {
  const found = findIn(tree, bucket, utf8(key));
  return found === null || found.kind === VersionKind.tombstone ? null : new TextDecoder().decode(found.value);
}

/** Runs a job to its end; one that fails as the world makes jobs fail is aborted, as a shard does it. */
export function run(job: Job, budgetBytes = 512): void {
  try {
    while (job.step(budgetBytes)) {}
  } catch (cause) {
    if (cause instanceof EnvelopeError) job.abort();
    throw cause;
  }
}

export function flush(tree: Tree, versions: readonly PlainVersion[], index: number, rule = KEEP_ALL): void {
  run(tree.beginFlush(new ArrayCursor(versions), position(index), rule));
}

export function sameVersion(a: PlainVersion, b: FoundVersion): boolean {
  return (
    a.stampHigh === b.stampHigh &&
    a.stampLow === b.stampLow &&
    a.origin === b.origin &&
    a.kind === b.kind &&
    a.expiryMs === b.expiryMs &&
    compareBytes(a.value, b.value) === 0
  );
}

/** The bytes with one bit of the byte at `offset` flipped. */
export function flipped(bytes: Uint8Array, offset: number): Uint8Array {
  const damaged = bytes.slice();
  damaged[offset] = (damaged[offset] ?? 0) ^ (1 << (offset % 8));
  return damaged;
}
