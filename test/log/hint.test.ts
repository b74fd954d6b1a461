import { describe, expect, test } from "bun:test";
import { EnvelopeError } from "../../src/core/errors.ts";
import { decodeHintHeader, decodeHintKeys, HINT_HEADER_BYTES } from "../../src/log/hint-format.ts";
import { text } from "../../src/core/bytes.ts";
import { COMMAND_HEADER_BYTES } from "../../src/record/command-format.ts";
import {
  append,
  at,
  contents,
  DIRECTORY,
  drain,
  entriesOf,
  entryOf,
  hintFile,
  openLog,
  SEGMENT_BYTES,
  segmentFile,
} from "./log-kit.ts";
import { MemoryDisk } from "./memory-disk.ts";

const BLOCK = 4096;

/** 60 entries of 3000 bytes in groups of their own, all but the last segment sealed and hinted. */
function hinted(): MemoryDisk {
  const disk = new MemoryDisk();
  const log = openLog(disk);
  for (let index = 1; index <= 60; index++) append(log, [entryOf(index, index < 30 ? 1 : 2, 3000)], index - 1);
  log.noteApplied(at(60));
  drain(log);
  log.close();
  return disk;
}

const ALL = [...entriesOf(1, 29, 1, 3000), ...entriesOf(30, 60, 2, 3000)];

describe("hints", () => {
  test("are written for sealed segments whose entries are all applied, and for no others", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    for (let index = 1; index <= 60; index++) append(log, [entryOf(index, 1, 3000)]);
    drain(log);
    expect(disk.list(DIRECTORY).filter((name) => name.endsWith(".hint"))).toEqual([]);
    log.noteApplied(at(29));
    drain(log);
    expect(disk.list(DIRECTORY).filter((name) => name.endsWith(".hint"))).toEqual(["00000001.hint"]);
    log.noteApplied(at(60));
    drain(log);
    expect(disk.list(DIRECTORY).filter((name) => name.endsWith(".hint")).length).toBe(3);
    expect(log.stats().segmentCount).toBe(4);
  });

  test("that leave out what was superseded do not keep a log from opening when one behind them is gone bad", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    // Superseded twice, far behind where it was written, so that whole segments are left out of the hints.
    for (let index = 1; index <= 40; index++) append(log, [entryOf(index, 1, 3000)]);
    for (let index = 5; index <= 40; index++) append(log, [entryOf(index, 2, 3000)]);
    for (let index = 20; index <= 60; index++) append(log, [entryOf(index, 3, 3000)]);
    log.noteApplied(at(60));
    drain(log);
    log.close();
    const wanted = [...entriesOf(1, 4, 1, 3000), ...entriesOf(5, 19, 2, 3000), ...entriesOf(20, 60, 3, 3000)];
    const hints = disk.list(DIRECTORY).filter((name) => name.endsWith(".hint"));
    expect(hints.length).toBeGreaterThan(4);
    for (const bad of hints) {
      const copy = disk.copy();
      const bytes = copy.bytes(`${DIRECTORY}/${bad}`).slice();
      bytes[20]! ^= 4;
      copy.put(`${DIRECTORY}/${bad}`, bytes);
      const reopened = openLog(copy);
      expect({ bad, right: equal(contents(reopened), wanted) }).toEqual({ bad, right: true });
      reopened.close();
    }
  });

  test("save a start from reading values", () => {
    const disk = hinted();
    disk.bytesRead.clear();
    const log = openLog(disk);
    for (const id of [1, 2, 3]) {
      expect(disk.bytesRead.get(segmentFile(id))).toBe(BLOCK);
      expect(disk.bytesRead.get(hintFile(id))).toBeLessThan(300);
    }
    expect(log.recovery).toMatchObject({ hintsUsed: 3, segmentsScanned: 2, hintsRefused: [] });
    // Read whole: the active segment, and the one made ahead of its use.
    expect(log.recovery.segmentBytesRead).toBe(5 * BLOCK + 2 * SEGMENT_BYTES);
    expect([log.firstIndex, log.lastIndex, log.commitIndex]).toEqual([1, 60, 59] as never);
    expect(log.termRuns).toEqual([
      { firstIndex: 1, term: 1 },
      { firstIndex: 30, term: 2 },
    ] as never);
    expect(log.read(at(3), 1)).toEqual(ALL.slice(2, 3));
    expect(contents(log)).toEqual(ALL);
  });

  test("name the keys of the segment and where their commands lie", () => {
    const disk = hinted();
    const hint = disk.readWhole(hintFile(1));
    const header = decodeHintHeader(hint, "hint");
    if (header instanceof EnvelopeError) throw header;
    const keys = decodeHintKeys(hint.subarray(hint.length - header.keySectionBytes));
    expect(keys.map(({ key }) => text(key))).toEqual(Array.from({ length: header.entryCount }, (_, i) => `k${i + 1}`));
    expect(keys.length).toBe(header.keyCount);
    const segment = disk.readWhole(segmentFile(1));
    for (const { offset, key, bucket } of keys) {
      expect(text(segment.subarray(offset + COMMAND_HEADER_BYTES, offset + COMMAND_HEADER_BYTES + key.length))).toBe(
        text(key),
      );
      expect(bucket).toBe(1);
    }
  });

  test("with a flipped bit anywhere, or missing, lead to the log and are written again", () => {
    const whole = hinted();
    const byteCount = whole.bytes(hintFile(2)).length;
    for (let i = 0; i < byteCount; i += i < HINT_HEADER_BYTES + 40 ? 1 : 37) {
      const disk = whole.copy();
      disk.bytes(hintFile(2))[i]! ^= 1 << (i % 8);
      check(disk, whole);
    }
    const without = whole.copy();
    without.remove(hintFile(2));
    check(without, whole);
    const exchanged = whole.copy();
    exchanged.put(hintFile(2), whole.readWhole(hintFile(1)));
    check(exchanged, whole);
    const short = whole.copy();
    short.put(hintFile(2), whole.readWhole(hintFile(2)).slice(0, 200));
    check(short, whole);
  });

  test("do not hide damage of the values: a read names file and offset", () => {
    const disk = hinted();
    const offset = disk.bytes(segmentFile(1)).findIndex((byte, i) => byte !== 0 && i > BLOCK * 2 + 500);
    disk.bytes(segmentFile(1))[offset]! ^= 4;
    const log = openLog(disk);
    expect(log.read(at(1), 1)).toEqual(ALL.slice(0, 1));
    expect(() => log.read(at(2), 1)).toThrow(segmentFile(1));
  });

  test("keep the log whole when superseded segments get theirs one after the other", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    for (let index = 1; index <= 60; index++) append(log, [entryOf(index, 1, 3000)]);
    for (let index = 20; index <= 70; index++) append(log, [entryOf(index, 2, 3000)]);
    const expected = [...entriesOf(1, 19, 1, 3000), ...entriesOf(20, 70, 2, 3000)];
    log.noteApplied(at(70));
    let more = true;
    while (more) {
      more = log.backgroundStep(false);
      const reopened = openLog(disk.copy());
      expect(contents(reopened)).toEqual(expected);
    }
    expect(disk.list(DIRECTORY).filter((name) => name.endsWith(".hint")).length).toBeGreaterThan(4);
  });
});

/** Whatever the hint of segment 2 is like: the log is whole, and afterwards the hint is as it was. */
function check(disk: MemoryDisk, whole: MemoryDisk): void {
  const log = openLog(disk);
  expect(contents(log)).toEqual(ALL);
  log.noteApplied(at(60));
  drain(log);
  expect(disk.readWhole(hintFile(2))).toEqual(whole.readWhole(hintFile(2)));
  log.close();
}

function equal(found: readonly Uint8Array[], wanted: readonly Uint8Array[]): boolean {
  return found.length === wanted.length && found.every((entry, i) => Buffer.compare(entry, wanted[i]!) === 0);
}
