import { describe, expect, test } from "bun:test";
import { utf8 } from "../../src/core/bytes.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { fileNumber, shardId } from "../../src/core/ids.ts";
import { murmur3 } from "../../src/core/murmur3.ts";
import { Random } from "../../src/core/random.ts";
import { MAX_STAMP } from "../../src/core/stamp.ts";
import { compareUserKeys } from "../../src/record/version.ts";
import { writeTableKey } from "../../src/storage/block-format.ts";
import { BlockCache } from "../../src/storage/block-cache.ts";
import { DirectFiles } from "../../src/storage/direct-files.ts";
import type { TableRecord } from "../../src/storage/manifest-format.ts";
import { RunCursor } from "../../src/storage/run-cursor.ts";
import { RunSearch } from "../../src/storage/run-search.ts";
import { FoundEntry, Table } from "../../src/storage/table.ts";
import { TableWriter } from "../../src/storage/table-writer.ts";
import type { BlockChecks, TreeIdentity } from "../../src/storage/tree-options.ts";
import { GOLDEN_PACKED_TABLE, GOLDEN_TABLE } from "./support/golden.ts";
import { MemoryDisk } from "./support/memory-disk.ts";
import { newestOfEach, randomKey, randomVersions } from "./support/random-versions.ts";
import {
  flipped,
  IDENTITY,
  PACKED,
  type PlainVersion,
  put,
  SMALL,
  sameVersion,
  tombstone,
  walk,
  walkBack,
} from "./support/versions.ts";

const CHECKS: readonly BlockChecks[] = ["always", "first", "never"];

function write(
  disk: MemoryDisk,
  number: number,
  versions: readonly PlainVersion[],
  pieceBytes = 1000,
  options = SMALL,
): TableRecord {
  const writer = new TableWriter(options, IDENTITY, fileNumber(number), `d/${number}.sst`);
  for (const { bucket, key, kind, stampHigh, stampLow, origin, expiryMs, value } of versions) {
    writer.add(bucket, key, kind, stampHigh, stampLow, origin, expiryMs, value);
  }
  writer.seal(disk);
  while (writer.writeStep(pieceBytes)) {}
  return writer.record(0, number);
}

function lookUp(run: readonly Table[], bucket: number, key: Uint8Array): FoundEntry | null {
  const target = new Uint8Array(key.length + 4);
  writeTableKey(target, bucket, key);
  const found = new FoundEntry();
  const table = new RunSearch(run).tableFor(target, target.length);
  return table?.find(target, target.length, murmur3(key, 0, key.length, bucket), MAX_STAMP, found) === true
    ? found
    : null;
}

/** What a look-up came to: the version, null, or the code of an error. Anything else that is thrown fails the test. */
function outcome(run: () => FoundEntry | null): FoundEntry | null | string {
  try {
    return run();
  } catch (cause) {
    if (cause instanceof EnvelopeError) return cause.code;
    throw cause;
  }
}

function opening(disk: MemoryDisk, record: TableRecord, identity: TreeIdentity): FoundEntry | null | string {
  return outcome(() => {
    Table.open(disk, "d/1.sst", record, identity);
    return null;
  });
}

/** With values of which every other one can be packed. */
function packable(versions: readonly PlainVersion[]): PlainVersion[] {
  return versions.map((version, i) => (i % 40 < 20 ? version : { ...version, value: version.value.fill(i) }));
}

function checkAgainstList(seed: number): void {
  const random = new Random(seed);
  const versions = packable(randomVersions(random, random.between(1, 400)));
  const disk = new MemoryDisk();
  const options = random.chance(0.5) ? SMALL : PACKED;
  const record = write(disk, 1, versions, random.between(1, 5000), options);
  const cache = random.chance(0.5) ? new BlockCache(random.below(20_000)) : null;
  const table = Table.open(disk, "d/1.sst", record, IDENTITY, {
    checks: CHECKS[random.below(CHECKS.length)] ?? "first",
    cache,
    direct: random.chance(0.5) ? new DirectFiles(disk) : null,
    access: random.chance(0.5) ? "scattered" : "through",
  });
  table.retain();
  const said = `seed ${seed}`;
  expect(table.footer.entryCount, said).toBe(versions.length);
  for (const newest of newestOfEach(versions)) {
    const found = lookUp([table], newest.bucket, newest.key);
    expect(found !== null && sameVersion(newest, found), said).toBe(true);
  }
  const cursor = new RunCursor([table]);
  expect(walk(cursor), said).toEqual(versions);
  for (let i = 0; i < 50; i++) {
    const bucket = random.below(4);
    const key = randomKey(random);
    const behind = versions.filter((version) => compareUserKeys(version.bucket, version.key, bucket, key) >= 0);
    cursor.seek(bucket, key);
    expect(cursor.valid ? cursor.stampLow : null, said).toBe(behind[0]?.stampLow ?? null);
    const before = versions.slice(0, versions.length - behind.length).reverse();
    if (i < 5) expect(walkBack(cursor, bucket, key), said).toEqual(before);
    cursor.seekBefore(bucket, key);
    expect(cursor.valid ? cursor.stampLow : null, said).toBe(before[0]?.stampLow ?? null);
    const isThere = behind[0] !== undefined && compareUserKeys(behind[0].bucket, behind[0].key, bucket, key) === 0;
    expect(lookUp([table], bucket, key) !== null, said).toBe(isThere);
  }
  table.release();
  expect(disk.mappingCount).toBe(0);
  expect(disk.openDirectly).toBe(0);
}

describe("a table", () => {
  test("gives back every version, the newest of each key, and nothing else", () => {
    const first = Math.floor(Math.random() * 1e9);
    for (let seed = first; seed < first + 40; seed++) checkAgainstList(seed);
  });

  test("is opened by two reads, and only then mapped", () => {
    const disk = new MemoryDisk();
    const record = write(disk, 1, randomVersions(new Random(3), 300));
    Table.open(disk, "d/1.sst", record, IDENTITY);
    expect(disk.readCount).toBe(2);
    expect(disk.mappingCount).toBe(0);
  });

  test.each([SMALL, PACKED])("with any one bit flipped gives an error or the right answer", (options) => {
    const versions = packable(randomVersions(new Random(11), 60));
    const disk = new MemoryDisk();
    const record = write(disk, 1, versions, 1000, options);
    const whole = disk.bytesOf("d/1.sst").slice();
    const newest = newestOfEach(versions);
    const codes = new Set<string>();
    for (let offset = 0; offset < whole.length; offset++) {
      disk.replace("d/1.sst", flipped(whole, offset));
      let table: Table;
      try {
        table = Table.open(disk, "d/1.sst", record, IDENTITY);
      } catch (cause) {
        if (!(cause instanceof EnvelopeError)) throw cause;
        codes.add(cause.code);
        continue;
      }
      let errors = 0;
      for (const version of newest) {
        const found = outcome(() => lookUp([table], version.bucket, version.key));
        if (typeof found === "string") errors += 1;
        else if (found === null || !sameVersion(version, found)) throw new Error(`a wrong answer, bit at ${offset}`);
      }
      expect(errors, `bit at ${offset} of a block`).toBeGreaterThan(0);
    }
    expect([...codes]).toEqual(["CORRUPTION"]);
  });

  test("names file and offset of a damaged block", () => {
    const disk = new MemoryDisk();
    const record = write(disk, 1, [put("a", 1, "x".repeat(300)), put("b", 2, "y".repeat(300))]);
    disk.replace("d/1.sst", flipped(disk.bytesOf("d/1.sst"), record.headerBytes + 40));
    const table = Table.open(disk, "d/1.sst", record, IDENTITY);
    expect(lookUp([table], 1, new TextEncoder().encode("b"))?.stampLow).toBe(2);
    expect(() => lookUp([table], 1, new TextEncoder().encode("a"))).toThrow(
      `a block with a wrong checksum in d/1.sst at offset ${record.headerBytes}`,
    );
  });

  test("cut short, exchanged for another one, or of another shard is refused", () => {
    const disk = new MemoryDisk();
    const one = write(disk, 1, [put("a", 1, "one")]);
    const two = write(disk, 2, [put("a", 2, "two")]);
    expect(one.fileBytes).toBe(two.fileBytes);
    const bytes = disk.bytesOf("d/1.sst").slice();
    disk.replace("d/1.sst", disk.bytesOf("d/2.sst"));
    expect(() => Table.open(disk, "d/1.sst", one, IDENTITY)).toThrow("not the one in the manifest");
    disk.replace("d/1.sst", bytes.subarray(0, bytes.length - 1));
    expect(() => Table.open(disk, "d/1.sst", one, IDENTITY)).toThrow("are expected");
    disk.replace("d/1.sst", bytes);
    const other = { ...IDENTITY, shard: shardId(4) };
    expect(opening(disk, one, other)).toBe("FOREIGN_DIRECTORY");
    disk.remove("d/1.sst");
    expect(opening(disk, one, IDENTITY)).toBe("MISSING_FILE");
  });

  test("a block that strayed from another place of the same table is refused", () => {
    const disk = new MemoryDisk();
    const value = "v".repeat(300);
    const record = write(disk, 1, [put("a", 5, value), put("b", 5, value)]);
    const bytes = disk.bytesOf("d/1.sst").slice();
    const blockBytes = (record.fileBytes - record.headerBytes - record.footerBytes) / 2;
    bytes.copyWithin(record.headerBytes + blockBytes, record.headerBytes, record.headerBytes + blockBytes);
    disk.replace("d/1.sst", bytes);
    const table = Table.open(disk, "d/1.sst", record, IDENTITY);
    expect(outcome(() => lookUp([table], 1, new TextEncoder().encode("b")))).toBe("CORRUPTION");
  });

  test("has these very bytes in format version 1", () => {
    const disk = new MemoryDisk();
    const versions = [
      put("apple", 3, "red"),
      put("apple", 2, "green"),
      tombstone("apricot", 4),
      put("fig", 1, "", 2, 99),
    ];
    write(disk, 9, versions);
    expect(disk.bytesOf("d/9.sst").toHex()).toBe(GOLDEN_TABLE.join(""));
  });

  test("of format version 2, with a block of each type and a prefix filter, is read as these very bytes", () => {
    const disk = new MemoryDisk();
    const versions = [put("apple", 3, "red ".repeat(100)), put("apricot", 2, "green"), put("b", 1, "", 2, 99)];
    const record = write(disk, 9, versions, 1000, PACKED);
    const golden = Uint8Array.fromHex(GOLDEN_PACKED_TABLE.join(""));
    // What zstd makes of a block may change with its version, so the file is only compared as far as the first one.
    expect(disk.bytesOf("d/9.sst").slice(64, 192).toHex()).toBe(golden.slice(64, 192).toHex());
    const footerBytes = record.footerBytes;
    const footerChecksum = new DataView(golden.buffer).getUint32(golden.length - 4, true);
    disk.replace("d/9.sst", golden);
    const table = Table.open(
      disk,
      "d/9.sst",
      { ...record, fileBytes: golden.length, footerBytes, footerChecksum },
      IDENTITY,
    );
    expect(walk(new RunCursor([table]))).toEqual(versions);
    expect(table.mayHoldPrefix(1, utf8("apx"))).toBe(true);
    expect(table.mayHoldPrefix(1, utf8("zz"))).toBe(false);
    // Shorter than the prefixes that the filter knows.
    expect(table.mayHoldPrefix(1, utf8("z"))).toBe(true);
  });

  test.each([false, true])("checks its blocks as often as it is told, direct: %p", (isDirect) => {
    const disk = new MemoryDisk();
    const direct = isDirect ? new DirectFiles(disk) : null;
    const record = write(disk, 1, [put("a", 1, "value")]);
    const key = utf8("a");
    const whole = disk.bytesOf("d/1.sst").slice();
    const damaged = flipped(whole, record.headerBytes + 16);
    for (const [checks, isSeen] of [
      ["always", true],
      ["first", true],
      ["never", false],
    ] as const) {
      disk.replace("d/1.sst", damaged);
      const table = Table.open(disk, "d/1.sst", record, IDENTITY, { checks, cache: null, direct, access: "scattered" });
      expect(outcome(() => lookUp([table], 1, key)) === "CORRUPTION", checks).toBe(isSeen);
    }
  });
});

describe("what a walk says it will need of a mapped table", () => {
  function announcedBy(access: "scattered" | "through", walkOver: (cursor: RunCursor) => void): [number, number][] {
    const disk = new MemoryDisk();
    const versions = Array.from({ length: 2000 }, (_, i) => put(String(i).padStart(5, "0"), 5000 - i, "v", 0));
    const record = write(disk, 1, versions);
    const reading = { checks: "first", cache: null, direct: null, access } as const;
    const table = Table.open(disk, "d/1.sst", record, IDENTITY, reading);
    table.retain();
    expect(table.blockCount).toBeGreaterThan(20);
    walkOver(new RunCursor([table]));
    table.release();
    return disk.announced;
  }

  const toTheEnd = (cursor: RunCursor): void => {
    for (cursor.seek(0, utf8("")); cursor.valid; cursor.next());
  };

  test("one block alone is not announced", () => {
    expect(announcedBy("scattered", (cursor) => cursor.seek(0, utf8("00100")))).toEqual([]);
  });

  test("going on, each range begins where the one before has ended", () => {
    const ranges = announcedBy("scattered", toTheEnd);
    expect(ranges.length).toBeGreaterThan(0);
    for (let i = 1; i < ranges.length; i++) expect(ranges[i]![0]).toBe(ranges[i - 1]![1]);
  });

  test("a job that reads tables through leaves it to the kernel", () => {
    expect(announcedBy("through", toTheEnd)).toEqual([]);
  });
});
