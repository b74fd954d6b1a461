/**
 * Writes one table: versions are added in order and become blocks in memory; then header region, blocks and footer go
 * to the file front to back in bounded pieces, and are synced (table-format.ts says why in this order). The file means
 * nothing until the manifest names it. Owned by one job.
 */
import { assert } from "../core/assert.ts";
import { EMPTY_BYTES } from "../core/bytes.ts";
import { copyBytes } from "../core/copy-bytes.ts";
import type { FileNumber, ValueFileId } from "../core/ids.ts";
import { murmur3 } from "../core/murmur3.ts";
import { compareStamps, MAX_STAMP, type Stamp, ZERO_STAMP } from "../core/stamp.ts";
import type { Disk, DiskFile } from "../env/disk.ts";
import { VersionKind } from "../record/version.ts";
import { compareToTarget } from "./block-cursor.ts";
import { BlockBuilder, BUCKET_BYTES, sharedBytes, writeTableKey } from "./block-format.ts";
import { bloomAdd, bloomLines, bloomProbes } from "./bloom.ts";
import { giveChunk, takeChunk } from "./chunk-pool.ts";
import type { TableRecord, ValueReference } from "./manifest-format.ts";
import { BlockPacker } from "./stored-block-format.ts";
import {
  blockSeed,
  encodeTableFooter,
  encodeTableHeader,
  footerChecksum,
  type TableFilters,
  tableSeed,
} from "./table-format.ts";
import type { TreeIdentity, TreeOptions } from "./tree-options.ts";
import { ValuePointer } from "./value-pointer-format.ts";

/** A sync carries no more than about this, so that none of them holds up the thread for long. */
const UNSYNCED_BYTES_MAX = 1024 * 1024;

export class TableWriter {
  readonly number: FileNumber;
  readonly path: string;
  entryCount = 0;
  /** Bytes of the blocks finished so far. */
  blocksBytes = 0;
  readonly #options: TreeOptions;
  readonly #identity: TreeIdentity;
  readonly #seed: number;
  readonly #block = new BlockBuilder();
  /** Null: the table is of version 1. */
  readonly #packer: BlockPacker | null;
  #chunks: Uint8Array[] = [];
  /** What the chunks are views of. */
  #borrowed: Uint8Array[] = [];
  #chunk: Uint8Array = EMPTY_BYTES;
  #chunkUsed = 0;
  #blockOffsets: number[] = [];
  #anchors: Uint8Array[] = [];
  #hashes = new Uint32Array(1024);
  #prefixHashes = new Uint32Array(64);
  #prefixCount = 0;
  #keyCount = 0;
  #tombstoneCount = 0;
  /** Bytes pointed to in each value file. */
  readonly #references = new Map<ValueFileId, number>();
  readonly #pointer = new ValuePointer();
  #minStamp: Stamp = MAX_STAMP;
  #maxStamp: Stamp = ZERO_STAMP;
  #smallest: Uint8Array = EMPTY_BYTES;
  #key = new Uint8Array(256);
  #lastKey = new Uint8Array(256);
  #lastKeyBytes = 0;
  #file: DiskFile | null = null;
  #pieces: Uint8Array[] = [];
  #pieceOffset = 0;
  #written = 0;
  #unsynced = 0;
  #record: Omit<TableRecord, "level" | "run"> | null = null;

  constructor(options: TreeOptions, identity: TreeIdentity, number: FileNumber, path: string) {
    this.#options = options;
    this.#identity = identity;
    this.#seed = tableSeed(identity, number);
    this.number = number;
    this.path = path;
    const level = options.compression === "zstd" ? options.compressionLevel : 0;
    this.#packer = level === 0 && options.prefixFilterBytes === 0 ? null : new BlockPacker(level);
  }

  /** Bytes held in memory: finished blocks and the one being built. */
  get byteCount(): number {
    return this.blocksBytes + this.#block.byteCount;
  }

  /** Whether the last version that was added is of this key. */
  endsWith(bucket: number, key: Uint8Array): boolean {
    const keyBytes = this.#tableKey(bucket, key);
    return compareToTarget(this.#lastKey, 0, this.#lastKeyBytes, this.#key, keyBytes) === 0;
  }

  /** Adds the next version in order. */
  add(
    bucket: number,
    key: Uint8Array,
    kind: VersionKind,
    stampHigh: number,
    stampLow: number,
    origin: number,
    expiryMs: number,
    value: Uint8Array,
  ): void {
    const keyBytes = this.#tableKey(bucket, key);
    const order = compareToTarget(this.#lastKey, 0, this.#lastKeyBytes, this.#key, keyBytes);
    assert(order <= 0, "versions come in key order");
    if (order < 0) this.#beginKey(bucket, key, keyBytes, value.length);
    this.#block.add(this.#key, keyBytes, kind, stampHigh, stampLow, origin, expiryMs, value);
    this.entryCount += 1;
    if (kind === VersionKind.tombstone) this.#tombstoneCount += 1;
    if (kind === VersionKind.pointer) this.#noteReference(value);
    if (compareStamps(stampHigh, stampLow, this.#minStamp.high, this.#minStamp.low) < 0)
      this.#minStamp = { high: stampHigh, low: stampLow };
    if (compareStamps(stampHigh, stampLow, this.#maxStamp.high, this.#maxStamp.low) > 0)
      this.#maxStamp = { high: stampHigh, low: stampLow };
  }

  /** Ends the table and creates its file; `writeStep` fills it. */
  seal(disk: Disk): void {
    assert(this.entryCount > 0 && this.#file === null, "a table is sealed once and is not empty");
    this.#endBlock();
    this.#blockOffsets.push(this.blocksBytes);
    const version = this.#packer === null ? 1 : 2;
    const header = encodeTableHeader(version, this.number, this.#filters(), this.#blockOffsets, this.#anchors);
    const footer = encodeTableFooter(
      {
        version,
        smallest: this.#smallest,
        largest: this.#lastKey.subarray(0, this.#lastKeyBytes),
        minStamp: this.#minStamp,
        maxStamp: this.#maxStamp,
        entryCount: this.entryCount,
        tombstoneCount: this.#tombstoneCount,
        number: this.number,
        headerBytes: header.region.length,
        headerChecksum: header.checksum,
        blocksBytes: this.blocksBytes,
      },
      this.#identity,
    );
    this.#endChunk();
    this.#pieces = [header.region, ...this.#chunks, footer];
    this.#chunks = [];
    this.#record = {
      number: this.number,
      fileBytes: header.region.length + this.blocksBytes + footer.length,
      headerBytes: header.region.length,
      footerBytes: footer.length,
      footerChecksum: footerChecksum(footer),
    };
    this.#file = disk.open(this.path, "create");
  }

  #filters(): TableFilters {
    const { bloomBitsPerKey, prefixFilterBytes } = this.#options;
    const lines = bloomLines(this.#keyCount, bloomBitsPerKey);
    const probes = bloomProbes(bloomBitsPerKey);
    const prefixLines = prefixFilterBytes === 0 ? 0 : bloomLines(this.#prefixCount, bloomBitsPerKey);
    return {
      lines,
      probes,
      prefixLines,
      prefixBytes: prefixFilterBytes,
      fill: (region, start) => addAll(region, start, lines, probes, this.#hashes, this.#keyCount),
      fillPrefixes: (region, start) =>
        addAll(region, start, prefixLines, probes, this.#prefixHashes, this.#prefixCount),
    };
  }

  /** Writes at most `budgetBytes`. True: there is more to write. False: the file is whole, synced and closed. */
  writeStep(budgetBytes: number): boolean {
    const file = this.#file;
    assert(file !== null, "a table is sealed before it is written");
    let left = Math.max(1, budgetBytes);
    while (left > 0 && this.#pieces.length > 0) left -= this.#writePiece(file, left);
    if (this.#pieces.length > 0) {
      if (this.#unsynced >= UNSYNCED_BYTES_MAX) this.#sync(file);
      return true;
    }
    this.#sync(file);
    this.#file = null;
    file.close();
    this.#giveBack();
    return false;
  }

  /** What the manifest is to say of the finished table. */
  record(level: number, run: number): TableRecord {
    assert(this.#record !== null && this.#file === null, "the table is finished");
    const record = { ...this.#record, level, run };
    if (this.#references.size === 0) return record;
    const references: ValueReference[] = [...this.#references].map(([file, byteCount]) => ({ file, byteCount }));
    return { ...record, references };
  }

  /** Closes the file if it is open; removing it is the caller's part. */
  close(): void {
    this.#file?.close();
    this.#file = null;
    this.#giveBack();
  }

  #giveBack(): void {
    this.#chunks = [];
    this.#pieces = [];
    for (const chunk of this.#borrowed.splice(0)) giveChunk(chunk);
  }

  #noteReference(pointer: Uint8Array): void {
    const { file, commandBytes } = this.#pointer.read(pointer, 0);
    this.#references.set(file, (this.#references.get(file) ?? 0) + commandBytes);
  }

  #writePiece(file: DiskFile, budgetBytes: number): number {
    const piece = this.#pieces[0]!;
    const byteCount = Math.min(piece.length - this.#pieceOffset, budgetBytes);
    file.write(piece.subarray(this.#pieceOffset, this.#pieceOffset + byteCount), this.#written);
    this.#written += byteCount;
    this.#unsynced += byteCount;
    this.#pieceOffset += byteCount;
    if (this.#pieceOffset === piece.length) {
      this.#pieces.shift();
      this.#pieceOffset = 0;
    }
    return byteCount;
  }

  #sync(file: DiskFile): void {
    file.sync();
    this.#unsynced = 0;
  }

  #tableKey(bucket: number, key: Uint8Array): number {
    if (this.#key.length < key.length + BUCKET_BYTES) this.#key = new Uint8Array((key.length + BUCKET_BYTES) * 2);
    return writeTableKey(this.#key, bucket, key);
  }

  #beginKey(bucket: number, key: Uint8Array, keyBytes: number, valueBytes: number): void {
    const { blockBytes } = this.#options;
    // A large value gets a block of its own: the small entries beside it are not to be checksummed along with it.
    const isFull = this.#block.byteCount >= blockBytes || valueBytes >= blockBytes;
    if (this.#block.entryCount > 0 && isFull) this.#endBlock();
    if (this.#block.entryCount === 0) {
      const shared = sharedBytes(this.#lastKey, this.#lastKeyBytes, this.#key, keyBytes);
      this.#anchors.push(this.#key.slice(0, Math.min(shared + 1, keyBytes)));
    }
    if (this.#keyCount === 0) this.#smallest = this.#key.slice(0, keyBytes);
    if (this.#keyCount === this.#hashes.length) this.#hashes = twice(this.#hashes);
    this.#hashes[this.#keyCount++] = murmur3(key, 0, key.length, bucket);
    this.#notePrefix(bucket, key);
    if (this.#lastKey.length < keyBytes) this.#lastKey = new Uint8Array(keyBytes * 2);
    copyBytes(this.#key, 0, keyBytes, this.#lastKey, 0);
    this.#lastKeyBytes = keyBytes;
  }

  /** Neighbours that share their prefix are noted once. */
  #notePrefix(bucket: number, key: Uint8Array): void {
    const { prefixFilterBytes } = this.#options;
    if (prefixFilterBytes === 0 || key.length < prefixFilterBytes) return;
    const hash = murmur3(key, 0, prefixFilterBytes, bucket);
    if (this.#prefixCount > 0 && this.#prefixHashes[this.#prefixCount - 1] === hash) return;
    if (this.#prefixCount === this.#prefixHashes.length) this.#prefixHashes = twice(this.#prefixHashes);
    this.#prefixHashes[this.#prefixCount++] = hash;
  }

  #endBlock(): void {
    const seed = blockSeed(this.#seed, this.#blockOffsets.length);
    const packer = this.#packer;
    const block = packer === null ? this.#block.finish(seed) : packer.pack(this.#block.finishBody(), seed);
    if (this.#chunkUsed + block.length > this.#chunk.length) {
      this.#endChunk();
      this.#chunk = takeChunk(block.length);
      this.#borrowed.push(this.#chunk);
    }
    this.#chunk.set(block, this.#chunkUsed);
    this.#chunkUsed += block.length;
    this.#blockOffsets.push(this.blocksBytes);
    this.blocksBytes += block.length;
  }

  #endChunk(): void {
    if (this.#chunkUsed > 0) this.#chunks.push(this.#chunk.subarray(0, this.#chunkUsed));
    this.#chunk = EMPTY_BYTES;
    this.#chunkUsed = 0;
  }
}

function addAll(
  region: Uint8Array,
  start: number,
  lines: number,
  probes: number,
  hashes: Uint32Array,
  count: number,
): void {
  for (let i = 0; i < count; i++) bloomAdd(region, start, lines, probes, hashes[i]!);
}

function twice(numbers: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(numbers.length * 2);
  larger.set(numbers);
  return larger;
}
