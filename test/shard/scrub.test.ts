/**
 * Damage to what lies on the disk: found by reads, by compactions and by the scrubber, quarantined durably, answered
 * with an error by those who need it and by nobody else.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { SharedState } from "../../src/bridge/shared-state.ts";
import { utf8 } from "../../src/core/bytes.ts";
import { SYSTEM_BUCKET } from "../../src/core/ids.ts";
import { CommandType } from "../../src/record/command-format.ts";
import type { Result } from "../../src/record/result.ts";
import type { ShardOptions } from "../../src/shard/shard-options.ts";
import { SimDisk } from "../../src/sim/sim-disk.ts";
import { readTableFile } from "../../src/storage/table-file.ts";
import { BUCKET, command, i64, KIB, put, ShardHarness, u32 } from "./shard-harness.ts";

setDefaultTimeout(60_000);

const DIRECTORY = "/shard-test";
const SCRUBBED: Partial<ShardOptions> = { scrubBytesPerSecond: 1_000_000, scrubIntervalMs: 3_600_000 };
/** So much time is enough for a pass over what a test writes. */
const PASS_MS = 10_000;

function newDisk(): SimDisk {
  return new SimDisk(1, { capacityBytes: 1 << 30, sync: null });
}

function openShard(disk: SimDisk, options: Partial<ShardOptions> = {}): ShardHarness {
  return new ShardHarness({ directory: DIRECTORY, disk, options, memtableBytes: 128 * KIB });
}

/** Keys a000 … a199 and b000 … b199 in tables of one deep level, so that no two of them overlap. */
function fillTables(harness: ShardHarness): void {
  for (const letter of ["a", "b"]) {
    const keys = Array.from({ length: 200 }, (_, i) => `${letter}${String(i).padStart(3, "0")}`);
    for (let i = 0; i < keys.length; i += 20)
      harness.run(...keys.slice(i, i + 20).map((key) => put(key, key.repeat(50))));
  }
  harness.maintain("flush");
  harness.maintain("compact");
}

function pathsOf(disk: SimDisk, ending: string): string[] {
  return disk.files().filter((path) => path.endsWith(ending));
}

/** The first table of the run, which holds a000 and ends before the b's. */
function firstTable(disk: SimDisk): string {
  const [path] = pathsOf(disk, ".sst");
  if (path === undefined) throw new Error("no table");
  return path;
}

/** In the middle of a table's blocks. */
function damageBlocks(disk: SimDisk, path: string): void {
  disk.flipBit(path, 2000, 3);
}

function get(harness: ShardHarness, key: string): Result {
  return harness.read({ type: "get", bucket: BUCKET, key: utf8(key), metadataOnly: false });
}

function codeOf(result: Result | undefined): string {
  return result?.kind === "error" ? result.code : (result?.kind ?? "nothing");
}

function page(harness: ShardHarness, after: string | null, examineMax: number): Result {
  const key = after === null ? null : utf8(after);
  const shape = { bucket: BUCKET, after: key, examineMax, bytesMax: 1_000_000, pattern: null, mode: "count" } as const;
  return harness.read({ type: "page", ...shape });
}

function scrub(harness: ShardHarness): void {
  for (let i = 0; i < 2000; i++) {
    harness.clock.nowMs += PASS_MS / 1000;
    harness.shard.backgroundStep();
  }
}

function shownCount(harness: ShardHarness): number {
  return new SharedState(harness.memory.state).quarantinedCount;
}

test("the scrubber finds a flipped bit that nobody reads, and the table is quarantined", () => {
  const disk = newDisk();
  using harness = openShard(disk, SCRUBBED);
  fillTables(harness);
  const path = firstTable(disk);
  damageBlocks(disk, path);
  scrub(harness);
  expect(pathsOf(disk, ".quarantine")).toEqual([`${path}.quarantine`]);
  expect(harness.stats()).toMatchObject({ quarantinedTables: 1, quarantinedSegments: 0 });
  expect(shownCount(harness)).toBe(1);
  expect(harness.shard.stopped).toBe(false);
  expect(codeOf(get(harness, "a000"))).toBe("CORRUPTION");
  expect(codeOf(get(harness, "b199"))).toBe("version");
});

test("sound files are scrubbed over and over, and none is quarantined", () => {
  const disk = newDisk();
  using harness = openShard(disk, { ...SCRUBBED, scrubIntervalMs: 1000 });
  fillTables(harness);
  scrub(harness);
  for (let i = 0; i < 50; i++) harness.run(put(`c${i}`, "x".repeat(9000)));
  scrub(harness);
  harness.reopen();
  scrub(harness);
  expect(pathsOf(disk, ".quarantine")).toEqual([]);
});

test("a read that fails once is no damage; one that fails twice is", () => {
  const disk = newDisk();
  using harness = openShard(disk, SCRUBBED);
  fillTables(harness);
  harness.clock.nowMs += 1000;
  disk.plan(2, { kind: "fail", code: "IO" });
  scrub(harness);
  expect(disk.hasFailed).toBe(true);
  expect(pathsOf(disk, ".quarantine")).toEqual([]);
  harness.clock.nowMs += 3_600_000;
  // Both attempts open the file of the first item and fail at the first read of it.
  disk.plan(2, { kind: "fail", code: "IO" });
  disk.plan(4, { kind: "fail", code: "IO" });
  scrub(harness);
  expect(pathsOf(disk, ".quarantine").length).toBe(1);
  expect(harness.shard.stopped).toBe(false);
});

test("pace: no more bytes than allowed are read in a second, and none while the shard is busy", () => {
  const disk = newDisk();
  using harness = openShard(disk, { scrubBytesPerSecond: 8 * KIB, scrubIntervalMs: 3_600_000 });
  fillTables(harness);
  harness.settle();
  let before = disk.callCount;
  harness.shard.backgroundStep();
  expect(disk.callCount).toBe(before);
  harness.clock.nowMs += 1000;
  harness.shard.backgroundStep();
  expect(disk.callCount).toBeGreaterThan(before);
  before = disk.callCount;
  // A step of 4 KiB or a little more has been read: half a second has to pass.
  harness.shard.backgroundStep();
  harness.clock.nowMs += 400;
  harness.shard.backgroundStep();
  expect(disk.callCount).toBe(before);
  expect(harness.shard.idleMs).toBeGreaterThan(0);
  expect(harness.shard.idleMs).toBeLessThan(5000);
});

test("damage met by a read is that read's answer, and is quarantined; the shard goes on", () => {
  const disk = newDisk();
  using harness = openShard(disk);
  fillTables(harness);
  damageBlocks(disk, firstTable(disk));
  harness.reopen();
  const codes = Array.from({ length: 60 }, (_, i) => codeOf(get(harness, `a${String(i).padStart(3, "0")}`)));
  expect(codes).toContain("CORRUPTION");
  expect(pathsOf(disk, ".quarantine").length).toBe(1);
  expect(harness.shard.stopped).toBe(false);
  expect(harness.run(put("a000", "new"))).toEqual([]);
  expect(harness.get("a000")).toBe("new");
});

test("a walk fails where it comes to a quarantined table, and not before; other tables are walked", () => {
  const disk = newDisk();
  using harness = openShard(disk, SCRUBBED);
  fillTables(harness);
  const tables = pathsOf(disk, ".sst");
  const middle = tables[Math.floor(tables.length / 2)] ?? "";
  damageBlocks(disk, middle);
  scrub(harness);
  expect(codeOf(page(harness, null, 1000))).toBe("CORRUPTION");
  expect(codeOf(page(harness, null, 20))).toBe("page");
  expect(codeOf(page(harness, "b150", 1000))).toBe("page");
  expect(codeOf(harness.read({ type: "sample", bucket: BUCKET + 1, random: 7 }))).toBe("nil");
});

test("the quarantine outlives a restart, even if the damage does not", () => {
  const disk = newDisk();
  using harness = openShard(disk, SCRUBBED);
  fillTables(harness);
  const path = firstTable(disk);
  damageBlocks(disk, path);
  scrub(harness);
  harness.stop();
  damageBlocks(disk, path);
  harness.reopen();
  expect(harness.stats().quarantinedTables).toBe(1);
  expect(shownCount(harness)).toBe(1);
  expect(codeOf(get(harness, "a000"))).toBe("CORRUPTION");
  harness.stop();
  disk.remove(`${path}.quarantine`);
  harness.reopen();
  expect(codeOf(get(harness, "a000"))).toBe("version");
});

test("a record that is damaged still keeps its file in quarantine; one of another file is dropped", () => {
  const disk = newDisk();
  using harness = openShard(disk, SCRUBBED);
  fillTables(harness);
  const path = firstTable(disk);
  damageBlocks(disk, path);
  scrub(harness);
  harness.stop();
  disk.flipBit(`${path}.quarantine`, 50, 1);
  disk.rename(`${path}.quarantine`, `${path}.quarantine.away`);
  disk.rename(`${path}.quarantine.away`, `${path}.quarantine`);
  const stray = `${DIRECTORY}/shard-0000/00009999.sst.quarantine`;
  const file = disk.open(stray, "create");
  file.write(disk.readWhole(`${path}.quarantine`), 0);
  file.sync();
  harness.reopen();
  expect(codeOf(get(harness, "a000"))).toBe("CORRUPTION");
  expect(pathsOf(disk, ".quarantine")).toEqual([`${path}.quarantine`]);
});

test("a command that would have to read a quarantined table is refused and changes nothing; a plain put heals the key", () => {
  const disk = newDisk();
  using harness = openShard(disk, SCRUBBED);
  fillTables(harness);
  damageBlocks(disk, firstTable(disk));
  scrub(harness);
  const results = harness.run(
    command(CommandType.increment, "a000", { value: i64(1n) }),
    command(CommandType.delete, "a001"),
    command(CommandType.append, "b199", { value: utf8("!") }),
  );
  expect(results.map(codeOf)).toEqual(["CORRUPTION", "CORRUPTION", "integer"]);
  expect(codeOf(get(harness, "a000"))).toBe("CORRUPTION");
  harness.run(put("a000", "41"));
  expect(harness.run(command(CommandType.increment, "a000", { value: i64(1n) })).map(codeOf)).toEqual(["integer"]);
  harness.maintain("flush");
  harness.reopen();
  expect(harness.get("a000")).toBe("42");
  expect(codeOf(get(harness, "a001"))).toBe("CORRUPTION");
});

test("a command met by new damage during the replay of a start does not keep the shard from opening", () => {
  const disk = newDisk();
  using harness = openShard(disk);
  fillTables(harness);
  harness.run(command(CommandType.append, "a005", { value: utf8("!") }), put("a006", "new"));
  harness.clock.nowMs += 1000;
  harness.shard.turn();
  // The block of a005, whichever it is.
  const file = disk.open(firstTable(disk), "read");
  for (const offset of readTableFile(file, null).header.blockOffsets.slice(0, -1))
    disk.flipBit(file.path, offset + 8, 1);
  harness.reopen();
  expect(codeOf(get(harness, "a005"))).toBe("CORRUPTION");
  expect(harness.get("a006")).toBe("new");
  expect(pathsOf(disk, ".quarantine").length).toBe(1);
});

test("compactions leave quarantined tables alone: none is read, moved or removed, and all that is left stays readable", () => {
  const disk = newDisk();
  using harness = openShard(disk, SCRUBBED);
  fillTables(harness);
  const path = firstTable(disk);
  damageBlocks(disk, path);
  scrub(harness);
  const damagedBytes = disk.readWhole(path);
  const expected = new Map<string, string>();
  for (let round = 0; round < 8; round++) {
    for (const letter of ["a", "b", "c"]) {
      for (let i = 0; i < 40; i++) {
        const key = `${letter}${String(i * 5).padStart(3, "0")}`;
        expected.set(key, `${round}`.repeat(100));
        harness.run(put(key, `${round}`.repeat(100)));
      }
    }
    harness.maintain("flush");
    harness.settle();
  }
  harness.reopen();
  for (const [key, value] of expected) expect([key, harness.get(key)]).toEqual([key, value]);
  expect(disk.readWhole(path)).toEqual(damagedBytes);
  expect(codeOf(get(harness, "a001"))).toBe("CORRUPTION");
  expect(harness.shard.stopped).toBe(false);
});

test("damage met by a compaction stops that compaction and nothing else; a whole one is refused", () => {
  const disk = newDisk();
  using harness = openShard(disk);
  fillTables(harness);
  damageBlocks(disk, firstTable(disk));
  harness.reopen();
  harness.maintain("compact");
  expect(harness.ofType("done").map(({ result }) => codeOf(result))).toEqual(["CORRUPTION"]);
  expect(harness.stats().quarantinedTables).toBe(1);
  expect(harness.shard.stopped).toBe(false);
  harness.run(put("c", "1"));
  harness.maintain("flush");
  expect(harness.get("c")).toBe("1");
});

test("the system bucket is read from a quarantined table as long as its own blocks are sound", () => {
  const disk = newDisk();
  using harness = openShard(disk, SCRUBBED);
  harness.run({ type: CommandType.fence, bucket: SYSTEM_BUCKET, key: utf8("fence/99"), value: u32(99) });
  fillTables(harness);
  harness.run(put("gone", "1", { bucket: 99 }));
  const path = firstTable(disk);
  const system = harness.boot.system;
  disk.flipBit(path, disk.readWhole(path).length - 700, 1);
  scrub(harness);
  expect(harness.stats().quarantinedTables).toBe(1);
  harness.reopen();
  expect(system).toEqual([]);
  expect(harness.boot.system.map(({ key }) => Buffer.from(key).toString())).toEqual(["fence/99"]);
  expect(harness.get("gone", 99)).toBeNull();
});

test("damage to the catalog's own keys ends the shard that has to decide about them", () => {
  const disk = newDisk();
  const harness = openShard(disk, SCRUBBED);
  harness.run({
    type: CommandType.createBucket,
    bucket: SYSTEM_BUCKET,
    key: utf8("orders"),
    value: new Uint8Array([128]),
  });
  harness.maintain("flush");
  const path = firstTable(disk);
  const { header } = readTableFile(disk.open(path, "read"), null);
  disk.flipBit(path, header.region.length + 8, 1);
  scrub(harness);
  expect(harness.shard.stopped).toBe(false);
  harness.append([{ type: CommandType.dropBucket, bucket: SYSTEM_BUCKET, key: utf8("orders") }]);
  harness.shard.turn();
  expect(harness.ofType("failed").map(({ code }) => code)).toEqual(["CORRUPTION"]);
  expect(() => harness.reopen()).toThrow(expect.objectContaining({ code: "CORRUPTION" }));
});

test("on a full disk damage is answered all the same, and recorded as soon as there is room", () => {
  const disk = newDisk();
  using harness = openShard(disk);
  fillTables(harness);
  damageBlocks(disk, firstTable(disk));
  harness.reopen();
  disk.leaveRoom(10);
  const codes = Array.from({ length: 60 }, (_, i) => codeOf(get(harness, `a${String(i).padStart(3, "0")}`)));
  expect(codes).toContain("CORRUPTION");
  expect(pathsOf(disk, ".quarantine")).toEqual([]);
  expect(harness.shard.stopped).toBe(false);
  disk.giveRoom();
  harness.clock.nowMs += 1000;
  harness.settle();
  expect(pathsOf(disk, ".quarantine").length).toBe(1);
});

test("a damaged segment leaves the log as soon as what it holds is in tables, and the shard goes on", () => {
  const disk = newDisk();
  using harness = new ShardHarness({ directory: DIRECTORY, disk, options: SCRUBBED, memtableBytes: 1024 * KIB });
  for (let i = 0; i < 60; i++) harness.run(put(`k${i}`, "x".repeat(9000)));
  harness.settle();
  const [path] = pathsOf(disk, ".evp");
  if (path === undefined) throw new Error("no segment");
  disk.flipBit(path, 9000, 1);
  const { firstIndex } = harness.boot;
  scrub(harness);
  expect(disk.exists(path)).toBe(false);
  expect(pathsOf(disk, ".quarantine")).toEqual([]);
  expect(harness.stats()).toMatchObject({ quarantinedTables: 0, quarantinedSegments: 0 });
  expect(harness.ofType("logReleased").at(-1)?.firstIndex).toBeGreaterThan(firstIndex);
  expect(harness.stats().flushedIndex).toBeGreaterThanOrEqual(60);
  expect(harness.content().size).toBe(60);
  harness.send({ type: "readEntries", from: 1 as never, bytesMax: 100_000 });
  harness.shard.turn();
  expect(harness.ofType("entriesRead").at(-1)?.entries).toEqual([]);
  expect(harness.shard.stopped).toBe(false);
});

test("entries that the disk cannot read, twice, are damage to their segment; one failure is made up for", () => {
  const disk = newDisk();
  using harness = openShard(disk);
  for (let i = 0; i < 60; i++) harness.run(put(`k${i}`, "x".repeat(9000)));
  harness.settle();
  const readEntries = (): number | undefined => {
    harness.send({ type: "readEntries", from: 1 as never, bytesMax: 100_000 });
    harness.shard.turn();
    return harness.ofType("entriesRead").at(-1)?.entries.length;
  };
  disk.planCall("read", 1, { kind: "fail", code: "IO" });
  expect(readEntries()).toBeGreaterThan(5);
  expect([disk.hasFailed, pathsOf(disk, ".quarantine")]).toEqual([true, []]);
  disk.planCall("read", 1, { kind: "fail", code: "IO" });
  disk.planCall("read", 2, { kind: "fail", code: "IO" });
  expect([readEntries(), harness.shard.stopped]).toEqual([0, false]);
  expect(pathsOf(disk, ".quarantine")).toEqual([`${pathsOf(disk, ".evp")[0]}.quarantine`]);
  expect(harness.content().size).toBe(60);
});

test("damage in what is not applied yet ends the shard", () => {
  const disk = newDisk();
  const harness = openShard(disk, { ...SCRUBBED, pendingBytesMax: 1 });
  for (let i = 0; i < 60; i++) harness.append([put(`k${i}`, "x".repeat(9000))], { applyThrough: 0 });
  harness.shard.turn();
  for (const path of pathsOf(disk, ".evp")) disk.flipBit(path, 4300, 1);
  harness.send({ type: "commit", commitIndex: 60 as never });
  harness.shard.turn();
  expect(harness.ofType("failed").map(({ code }) => code)).toEqual(["CORRUPTION"]);
});

test("a damaged table that may hold a fenced bucket is not looked at again and again", () => {
  const disk = newDisk();
  using harness = openShard(disk);
  for (const bucket of [BUCKET, BUCKET + 1, BUCKET + 2]) {
    const keys = Array.from({ length: 40 }, (_, i) => `k${String(i).padStart(3, "0")}`);
    harness.run(...keys.map((key) => put(key, key.repeat(10), { bucket })));
  }
  harness.maintain("flush");
  const path = firstTable(disk);
  for (let position = 1000; position < disk.byteCount(path) - 1000; position += 200) disk.flipBit(path, position, 3);
  harness.reopen();
  harness.run(command(CommandType.fence, "", { bucket: SYSTEM_BUCKET, value: u32(BUCKET + 1) }));
  harness.maintain("flush");
  let stepCount = 0;
  while (harness.shard.backgroundStep() && stepCount < 1000) stepCount += 1;
  expect(stepCount).toBeLessThan(1000);
  expect(harness.stats()).toMatchObject({ quarantinedTables: 1 });
  expect(harness.shard.stopped).toBe(false);
});
