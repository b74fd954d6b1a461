import { expect, test } from "bun:test";
import { logIndex } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import { SEGMENT_HEADER_BYTES } from "../../src/record/segment-format.ts";
import type { Log } from "../../src/log/log.ts";
import { append, contents, drain, entriesOf, entryOf, openLog, SEGMENT_BYTES, segmentFile } from "./log-kit.ts";
import { MemoryDisk } from "./memory-disk.ts";

const VALUE_BYTES = 3000;
/** Groups of one entry that fill a segment. */
const GROUPS_A_SEGMENT = SEGMENT_BYTES / 4096 - 1;

/** Appends one group an entry, and does the background work after each. */
function appendOneByOne(log: Log, from: number, to: number): void {
  for (const entry of entriesOf(from, to, 1, VALUE_BYTES)) {
    append(log, [entry]);
    drain(log);
  }
}

/** A log with a recycled segment being written, `inLast` entries in it; all entries below `first` are released. */
function recycledLog(disk: MemoryDisk, inLast: number): { log: Log; first: number; last: number } {
  const log = openLog(disk);
  const sealed = 6 * GROUPS_A_SEGMENT;
  appendOneByOne(log, 1, sealed);
  log.noteApplied(logIndex(sealed));
  const first = 5 * GROUPS_A_SEGMENT + 1;
  log.release(logIndex(first));
  drain(log);
  // What had been made ahead by then, and behind it the first recycled one.
  const last = sealed + GROUPS_A_SEGMENT + inLast;
  appendOneByOne(log, sealed + 1, last);
  return { log, first, last };
}

function expectEntries(log: Log, first: number, last: number): void {
  expect([log.firstIndex, log.lastIndex] as number[]).toEqual([first, last]);
  expect(contents(log)).toEqual(entriesOf(first, last, 1, VALUE_BYTES));
}

function activeFile(disk: MemoryDisk): string {
  const path = [...disk.names.keys()]
    .filter((name) => name.endsWith(".evp"))
    .sort()
    .at(-2);
  if (path === undefined) throw new Error("there is a segment before the one made ahead");
  return path;
}

test("a released segment becomes the next one, and no zeros are written for it", () => {
  const disk = new MemoryDisk();
  const created: string[] = [];
  const { log, first, last } = recycledLog(disk, 0);
  disk.before = (operation, path) => {
    if (operation === "create") created.push(path);
  };
  appendOneByOne(log, last + 1, last + 2 * GROUPS_A_SEGMENT);
  expect(created.filter((path) => path.includes(".evp"))).toEqual([]);
  expectEntries(log, first, last + 2 * GROUPS_A_SEGMENT);
});

test("what a recycled segment held before never comes back after a crash, wherever its groups lay", () => {
  for (let inLast = 0; inLast < GROUPS_A_SEGMENT; inLast++) {
    const disk = new MemoryDisk();
    const { log, first, last } = recycledLog(disk, inLast);
    log.close();
    const again = openLog(disk.copy());
    expectEntries(again, first, last);
    expect(again.recovery.dropped).toEqual([]);
  }
});

test("a torn group in a recycled segment is dropped, whichever of its sectors made it", () => {
  for (let seed = 0; seed < 60; seed++) {
    const disk = new MemoryDisk();
    const { log, first, last } = recycledLog(disk, 3);
    disk.heldSyncs = [];
    log.stage([entryOf(last + 1, 1, VALUE_BYTES)]);
    log.write(logIndex(0), () => {});
    const crashed = disk.crash(new Random(seed));
    const again = openLog(crashed);
    const whole = (again.lastIndex as number) === last + 1;
    expectEntries(again, first, whole ? last + 1 : last);
  }
});

test("a damaged group in a recycled segment, proven by a later one, is corruption", () => {
  const disk = new MemoryDisk();
  const { log } = recycledLog(disk, 5);
  log.close();
  const copy = disk.copy();
  const path = activeFile(copy);
  copy.inode(path).data[SEGMENT_HEADER_BYTES + 4096 + 200]! ^= 1;
  expect(() => openLog(copy)).toThrow(`damaged in ${path} at offset ${SEGMENT_HEADER_BYTES + 4096}`);
});

test("a start removes the spares of the run before", () => {
  const disk = new MemoryDisk();
  const { log } = recycledLog(disk, 1);
  log.close();
  const copy = disk.copy();
  expect([...copy.names.keys()].some((name) => name.endsWith(".evp.next"))).toBe(true);
  openLog(copy);
  expect([...copy.names.keys()].some((name) => name.endsWith(".evp.next"))).toBe(false);
});

test("a disk that is getting full gets the spares back", () => {
  const disk = new MemoryDisk();
  const { log } = recycledLog(disk, 1);
  disk.free = 0;
  // The disk is asked only once in a while.
  for (let i = 0; i < 100; i++) drain(log);
  expect([...disk.names.keys()].some((name) => name.endsWith(".evp.next"))).toBe(false);
  expect(disk.names.has(segmentFile(1))).toBe(false);
});
