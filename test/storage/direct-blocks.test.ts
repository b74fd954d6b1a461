/** Tables read past the page cache: the same answers as through a mapping, within the cache's bytes, and errors as errors. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { utf8 } from "../../src/core/bytes.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { fileNumber } from "../../src/core/ids.ts";
import { murmur3 } from "../../src/core/murmur3.ts";
import { Random } from "../../src/core/random.ts";
import { MAX_STAMP } from "../../src/core/stamp.ts";
import type { Disk } from "../../src/env/disk.ts";
import { RealDisk } from "../../src/env/real-disk.ts";
import { BlockCache } from "../../src/storage/block-cache.ts";
import { writeTableKey } from "../../src/storage/block-format.ts";
import { DIRECT_FILES_MAX, DirectFiles } from "../../src/storage/direct-files.ts";
import type { TableRecord } from "../../src/storage/manifest-format.ts";
import { PIECE_BYTES_MAX } from "../../src/storage/read-ahead.ts";
import { RunCursor } from "../../src/storage/run-cursor.ts";
import { FoundEntry, Table } from "../../src/storage/table.ts";
import { readTableFile } from "../../src/storage/table-file.ts";
import { TableWriter } from "../../src/storage/table-writer.ts";
import type { TreeOptions } from "../../src/storage/tree-options.ts";
import { MemoryDisk } from "./support/memory-disk.ts";
import { newestOfEach, randomKey, randomVersions } from "./support/random-versions.ts";
import { flipped, IDENTITY, PACKED, type PlainVersion, put, SMALL, walk, walkBack } from "./support/versions.ts";

const KIB = 1024;
const ROOMY = 64 * 1024 * KIB;

function write(
  disk: Disk,
  versions: readonly PlainVersion[],
  options: TreeOptions = SMALL,
  path = "d/1.sst",
  number = 1,
): TableRecord {
  const writer = new TableWriter(options, IDENTITY, fileNumber(number), path);
  for (const { bucket, key, kind, stampHigh, stampLow, origin, expiryMs, value } of versions) {
    writer.add(bucket, key, kind, stampHigh, stampLow, origin, expiryMs, value);
  }
  writer.seal(disk);
  while (writer.writeStep(100 * KIB)) {}
  return writer.record(0, number);
}

function openDirect(disk: Disk, record: TableRecord, cache: BlockCache | null, path = "d/1.sst"): Table {
  return Table.open(disk, path, record, IDENTITY, {
    checks: "first",
    cache,
    direct: new DirectFiles(disk),
    access: "scattered",
  });
}

/** A copy of what a look-up finds, or null. */
function versionIn(table: Table, bucket: number, key: Uint8Array): PlainVersion | null {
  const target = new Uint8Array(key.length + 4);
  writeTableKey(target, bucket, key);
  const found = new FoundEntry();
  if (!table.find(target, target.length, murmur3(key, 0, key.length, bucket), MAX_STAMP, found)) return null;
  const { stampHigh, stampLow, origin, kind, expiryMs } = found;
  return { bucket, key, stampHigh, stampLow, origin, kind, expiryMs, value: found.value.slice() };
}

function failureOf(run: () => unknown): EnvelopeError {
  try {
    run();
  } catch (cause) {
    if (cause instanceof EnvelopeError) return cause;
    throw cause;
  }
  throw new Error("nothing failed");
}

/** Small values, values that pack well, and some that span hundreds of pages. */
function mixedVersions(random: Random): PlainVersion[] {
  return randomVersions(random, random.between(1, 300)).map((version, i) => {
    if (version.value.length === 0) return version;
    if (i % 29 === 0) return { ...version, value: Uint8Array.from({ length: random.below(300_000) }, (_, j) => j * i) };
    return i % 40 < 20 ? version : { ...version, value: version.value.fill(i) };
  });
}

/** `versions` have ascending keys, each once, and blocks of a few hundred bytes. */
function numbered(count: number, valueBytes = 100): PlainVersion[] {
  return Array.from({ length: count }, (_, i) =>
    put(`key${String(i).padStart(6, "0")}`, i + 1, "v".repeat(valueBytes)),
  );
}

function checkAgainstMapping(disk: Disk, path: string, seed: number): void {
  const random = new Random(seed);
  const versions = mixedVersions(random);
  const options = { ...(random.chance(0.5) ? SMALL : PACKED), blockBytes: 256 << random.below(6) };
  const record = write(disk, versions, options, path);
  const cache = random.chance(0.2) ? null : new BlockCache(random.chance(0.3) ? ROOMY : random.below(20_000));
  const direct = openDirect(disk, record, cache, path);
  const mapped = Table.open(disk, path, record, IDENTITY);
  direct.retain();
  mapped.retain();
  const said = `seed ${seed}`;
  for (const newest of newestOfEach(versions)) {
    expect(versionIn(direct, newest.bucket, newest.key), said).toEqual(newest);
  }
  const cursor = new RunCursor([direct]);
  expect(walk(cursor), said).toEqual(versions);
  for (let i = 0; i < 20; i++) {
    const [bucket, key] = [random.below(4), randomKey(random)];
    expect(versionIn(direct, bucket, key), said).toEqual(versionIn(mapped, bucket, key));
    expect(walkBack(cursor, bucket, key), said).toEqual(walkBack(new RunCursor([mapped]), bucket, key));
    cursor.seek(bucket, key);
    if (cursor.valid) cursor.next();
  }
  direct.release();
  mapped.release();
}

describe("a table read directly", () => {
  test("answers as one that is mapped, whatever the sizes", () => {
    const first = Math.floor(Math.random() * 1e9);
    for (let seed = first; seed < first + 12; seed++) checkAgainstMapping(new MemoryDisk(), "d/1.sst", seed);
  });

  test("the same on a real disk, where it can", () => {
    const directory = mkdtempSync(join(tmpdir(), "envelopedb-direct-"));
    try {
      const disk = new RealDisk();
      if (disk.directReadObstacle(directory) !== null) return;
      const first = Math.floor(Math.random() * 1e9);
      for (let seed = first; seed < first + 4; seed++) checkAgainstMapping(disk, join(directory, `${seed}.sst`), seed);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  test("keeps no more in the cache than its bytes, and reads a block that is there only once", () => {
    const disk = new MemoryDisk();
    const versions = numbered(2000);
    const record = write(disk, versions);
    const cache = new BlockCache(20_000);
    const table = openDirect(disk, record, cache);
    const random = new Random(5);
    for (let i = 0; i < 5000; i++) {
      const { bucket, key } = versions[random.below(versions.length)]!;
      expect(versionIn(table, bucket, key)).not.toBeNull();
      expect(cache.stats.byteCount).toBeLessThanOrEqual(20_000);
    }
    const roomy = openDirect(disk, record, new BlockCache(ROOMY));
    for (const { bucket, key } of versions) versionIn(roomy, bucket, key);
    const readCount = disk.readCount;
    for (const { bucket, key } of versions) versionIn(roomy, bucket, key);
    expect(disk.readCount).toBe(readCount);
  });

  test("is walked in larger and larger pieces, both ways, and leaves the cache as it was", () => {
    const disk = new MemoryDisk();
    const versions = numbered(20_000);
    const record = write(disk, versions);
    const cache = new BlockCache(20_000);
    const table = openDirect(disk, record, cache);
    const hot = versions[10_000]!;
    versionIn(table, hot.bucket, hot.key);
    const { byteCount } = cache.stats;
    let largest = 0;
    disk.beforeRead = (_, __, bytes) => {
      largest = Math.max(largest, bytes);
    };
    const pieces = record.fileBytes / PIECE_BYTES_MAX;
    for (const go of [() => walk(new RunCursor([table])), () => walkBack(new RunCursor([table]), 9, utf8(""))]) {
      disk.readCount = 0;
      expect(go().length).toBe(versions.length);
      expect(disk.readCount).toBeLessThan(pieces + 20);
    }
    expect(largest).toBeLessThanOrEqual(PIECE_BYTES_MAX);
    expect(cache.stats.byteCount).toBe(byteCount);
    disk.readCount = 0;
    versionIn(table, hot.bucket, hot.key);
    expect(disk.readCount).toBe(0);
  });

  test("a walk that ends in its first block has read no other", () => {
    const disk = new MemoryDisk();
    const versions = numbered(2000);
    const record = write(disk, versions);
    const table = openDirect(disk, record, null);
    let readBytes = 0;
    disk.beforeRead = (_, __, bytes) => {
      readBytes += bytes;
    };
    for (let i = 0; i < 50; i++) {
      new RunCursor([table]).seek(1, versions[i * 31]!.key);
      expect(readBytes).toBeLessThan(2 * SMALL.blockBytes);
      readBytes = 0;
    }
  });

  test("what a look-up found stays as it is, whatever is read afterwards", () => {
    const disk = new MemoryDisk();
    const versions = numbered(3000).map((version, i) => ({ ...version, value: new Uint8Array(90).fill(i) }));
    const record = write(disk, versions);
    const cache = new BlockCache(4000);
    const table = openDirect(disk, record, cache);
    const found: FoundEntry[] = [];
    for (const { bucket, key } of versions) {
      const entry = new FoundEntry();
      const target = new Uint8Array(key.length + 4);
      writeTableKey(target, bucket, key);
      table.find(target, target.length, murmur3(key, 0, key.length, bucket), MAX_STAMP, entry);
      found.push(entry);
    }
    for (const [i, { value }] of versions.entries()) expect(found[i]?.value).toEqual(value);
  });

  test("the value that a walk has left is there until its next move, whatever the cache holds and drops meanwhile", () => {
    const disk = new MemoryDisk();
    const versions = numbered(12_000).map((version, i) => ({ ...version, value: new Uint8Array(90).fill(i) }));
    const record = write(disk, versions);
    const cache = new BlockCache(40_000);
    const table = openDirect(disk, record, cache);
    const random = new Random(3);
    for (const isForward of [true, false]) {
      const cursor = new RunCursor([table]);
      const order = isForward ? versions : versions.toReversed();
      let left: Uint8Array = cursor.value;
      let expected = left;
      if (isForward) cursor.seek(0, utf8(""));
      else cursor.seekBefore(9, utf8(""));
      for (const [i, { value }] of order.entries()) {
        expect(left).toEqual(expected);
        expect(cursor.value).toEqual(value);
        left = cursor.value;
        expected = value;
        const near = order[Math.min(order.length - 1, i + random.below(60))]!;
        if (random.chance(0.3)) expect(versionIn(table, near.bucket, near.key)).not.toBeNull();
        if (isForward) cursor.next();
        else cursor.previous();
      }
      expect(cursor.valid).toBe(false);
    }
  });

  test("has few files open however many tables there are, and none when they are released", () => {
    const disk = new MemoryDisk();
    const direct = new DirectFiles(disk);
    const tables = Array.from({ length: 3 * DIRECT_FILES_MAX }, (_, i) => {
      const path = `d/${i}.sst`;
      const record = write(disk, numbered(20), SMALL, path, i + 1);
      const table = Table.open(disk, path, record, IDENTITY, {
        checks: "first",
        cache: null,
        direct,
        access: "scattered",
      });
      table.retain();
      return table;
    });
    for (let round = 0; round < 2; round++) {
      for (const table of tables) {
        expect(versionIn(table, 1, utf8("key000007"))).not.toBeNull();
        expect(disk.openDirectly).toBeLessThanOrEqual(DIRECT_FILES_MAX);
      }
    }
    expect(disk.openDirectly).toBe(DIRECT_FILES_MAX);
    for (const table of tables) table.release();
    expect(disk.openDirectly).toBe(0);
  });
});

describe("a disk that cannot read", () => {
  const versions = numbered(400);

  /** A table of which reads that touch `block` fail `times` times. */
  function failing(times: number, block: number, cache: BlockCache | null) {
    const disk = new MemoryDisk();
    const record = write(disk, versions);
    const file = readTableFile(disk.open("d/1.sst", "read"), IDENTITY);
    const start = file.header.blockOffsets[block]!;
    const end = file.header.blockOffsets[block + 1]!;
    const table = openDirect(disk, record, cache);
    let left = times;
    disk.beforeRead = (path, position, bytes) => {
      if (position >= end || position + bytes <= start || left === 0) return;
      left -= 1;
      throw new EnvelopeError("IO", `cannot read ${path}: EIO`);
    };
    return { table, start };
  }

  test("once is asked again, and nobody hears of it", () => {
    const { table } = failing(1, 5, new BlockCache(ROOMY));
    for (const { bucket, key } of versions) expect(versionIn(table, bucket, key)).not.toBeNull();
    expect(walk(new RunCursor([failing(1, 5, null).table]))).toEqual(versions);
  });

  test("one block is damage there, and nowhere else", () => {
    const { table, start } = failing(Number.POSITIVE_INFINITY, 5, new BlockCache(ROOMY));
    const failures = versions.flatMap(({ bucket, key }) => {
      try {
        versionIn(table, bucket, key);
        return [];
      } catch (cause) {
        return [cause as EnvelopeError];
      }
    });
    expect(failures.length).toBeGreaterThan(0);
    expect(failures.length).toBeLessThan(10);
    for (const { code, place } of failures) {
      expect(code).toBe("CORRUPTION");
      expect(place).toMatchObject({ file: "d/1.sst", offset: start });
      expect(place?.what).toContain("cannot read d/1.sst: EIO");
    }
    // A walk comes as far as the block before it, whichever way it goes.
    const cursor = new RunCursor([failing(Number.POSITIVE_INFINITY, 5, null).table]);
    let walked = 0;
    const end = failureOf(() => {
      for (cursor.seek(0, utf8("")); cursor.valid; cursor.next()) walked += 1;
    });
    expect(end.place?.offset).toBe(start);
    const back = failureOf(() => {
      for (cursor.seekBefore(9, utf8("")); cursor.valid; cursor.previous()) walked += 1;
    });
    expect(back.place?.offset).toBe(start);
    expect(walked + failures.length).toBe(versions.length);
  });

  test("a file that has become shorter, or of which a byte has changed, is damaged", () => {
    const disk = new MemoryDisk();
    const record = write(disk, versions);
    const whole = disk.bytesOf("d/1.sst").slice();
    const last = versions.at(-1)!;
    const table = openDirect(disk, record, new BlockCache(ROOMY));
    disk.replace("d/1.sst", whole.subarray(0, record.headerBytes + 600));
    expect(failureOf(() => versionIn(table, last.bucket, last.key)).message).toContain("a table cut short");
    expect(versionIn(table, 1, versions[0]!.key)).not.toBeNull();
    // The file that was opened goes on to be read; a new table opens the new one.
    disk.replace("d/1.sst", flipped(whole, record.headerBytes + 40));
    const other = openDirect(disk, record, new BlockCache(ROOMY));
    expect(failureOf(() => versionIn(other, 1, versions[0]!.key)).message).toContain("a wrong checksum");
    expect(versionIn(other, last.bucket, last.key)).not.toBeNull();
  });

  test("a file that cannot be opened is no damage to it", () => {
    const disk = new MemoryDisk();
    const record = write(disk, versions);
    const table = openDirect(disk, record, null);
    disk.remove("d/1.sst");
    const failure = failureOf(() => versionIn(table, 1, versions[0]!.key));
    expect(failure.code).toBe("MISSING_FILE");
    expect(failure.place).toBeNull();
  });
});
