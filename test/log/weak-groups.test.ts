/** Groups that are not synced: where they stand, what a power cut leaves of them, and segments from before they existed. */
import { describe, expect, test } from "bun:test";
import { crc32 } from "../../src/core/crc32.ts";
import { viewOf } from "../../src/core/bytes.ts";
import { logIndex } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import type { Log } from "../../src/log/log.ts";
import { walkSegment } from "../../src/log/segment-walk.ts";
import { verifyLog } from "../../src/log/verify-log.ts";
import { decodeGroupHeader, encodeGroupHeader, GroupHeader } from "../../src/record/group-format.ts";
import { decodeSegmentHeader, segmentChecksum } from "../../src/record/segment-format.ts";
import { append, contents, DIRECTORY, entriesOf, entryOf, openLog, optionsOf, segmentFile } from "./log-kit.ts";
import { MemoryDisk } from "./memory-disk.ts";

const BLOCK = 4096;
const SEGMENT = 16 * BLOCK;

/** One entry as a group of its own, answered when the system has it. */
function appendWeakly(log: Log, index: number, valueBytes = 20): void {
  log.stage([entryOf(index, 1, valueBytes)]);
  const failures: unknown[] = [];
  log.write(logIndex(0), (failure) => failures.push(failure), false);
  expect(failures).toEqual([null]);
}

/** Offset and length of every group of the first segment. */
function groupsOf(disk: MemoryDisk): { offset: number; byteCount: number }[] {
  const file = disk.open(segmentFile(1), "read");
  const block = disk.bytes(segmentFile(1)).slice(0, BLOCK);
  const header = decodeSegmentHeader(block, "segment");
  if (header instanceof Error) throw header;
  const found: { offset: number; byteCount: number }[] = [];
  for (const part of walkSegment(file, header, segmentChecksum(block))) {
    expect(part.kind).not.toBe("break");
    if (part.kind === "group") found.push({ offset: part.group.offset, byteCount: part.group.byteCount });
  }
  return found;
}

function damageIn(disk: MemoryDisk): string[] {
  const found: string[] = [];
  verifyLog(disk, DIRECTORY, optionsOf(SEGMENT), false, (finding) => {
    if (finding.severity === "damage") found.push(`${finding.file}:${finding.offset} ${finding.what}`);
  });
  return found;
}

describe("groups that are not synced", () => {
  test("follow one another within a block; one that is synced ends it, and the next begins another", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk, SEGMENT);
    for (const index of [1, 2, 3]) appendWeakly(log, index);
    append(log, entriesOf(4, 4, 1));
    append(log, entriesOf(5, 5, 1));
    const [first, second, third, fourth, fifth] = groupsOf(disk);
    expect(first?.offset).toBe(BLOCK);
    expect(first?.byteCount).toBeLessThan(BLOCK / 8);
    expect(second?.offset).toBe(BLOCK + (first?.byteCount ?? 0));
    expect(third?.offset).toBe((second?.offset ?? 0) + (second?.byteCount ?? 0));
    expect((fourth?.offset ?? 0) + (fourth?.byteCount ?? 0)).toBe(2 * BLOCK);
    expect(fifth).toEqual({ offset: 2 * BLOCK, byteCount: BLOCK });
    expect(damageIn(disk)).toEqual([]);
    expect(contents(openLog(disk.copy(), SEGMENT))).toEqual(entriesOf(1, 5, 1));
  });

  test("leave the block to a sync that came in between, and are found behind the gap", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk, SEGMENT);
    appendWeakly(log, 1);
    log.secure();
    appendWeakly(log, 2);
    appendWeakly(log, 3, 6000);
    log.secure();
    appendWeakly(log, 4);
    const offsets = groupsOf(disk).map(({ offset }) => offset / BLOCK);
    expect(offsets[1]).toBe(2);
    expect(offsets[2]).toBeGreaterThan(2);
    expect(offsets[2]).toBeLessThan(3);
    expect(offsets[3]).toBe(4);
    expect(damageIn(disk)).toEqual([]);
    expect(contents(openLog(disk.copy(), SEGMENT)).map((entry) => entry.length)).toEqual(
      [20, 20, 6000, 20].map((valueBytes, i) => entryOf(i + 1, 1, valueBytes).length),
    );
  });

  test("go on in the next segment, and survive the process from one start to the next", () => {
    const disk = new MemoryDisk();
    let log = openLog(disk, SEGMENT);
    for (let index = 1; index <= 400; index++) {
      appendWeakly(log, index, index % 900);
      if (index % 90 !== 0) continue;
      log = openLog(disk, SEGMENT);
      expect(log.lastIndex).toBe(logIndex(index));
    }
    const found = contents(log);
    for (const [i, entry] of found.entries()) expect(entry).toEqual(entryOf(i + 1, 1, (i + 1) % 900));
    expect(found).toHaveLength(400);
    expect(damageIn(disk)).toEqual([]);
  });

  test("are lost from some point on when power is cut, never those before the last sync", () => {
    const lost = new Set<boolean>();
    for (let seed = 1; seed <= 200; seed++) {
      const random = new Random(seed);
      const disk = new MemoryDisk();
      const log = openLog(disk, SEGMENT);
      let secured = 0;
      const last = random.between(1, 60);
      for (let index = 1; index <= last; index++) {
        if (random.chance(0.2)) append(log, [entryOf(index, 1, random.below(500))]);
        else appendWeakly(log, index, random.below(500));
        if (random.chance(0.1)) log.secure();
        if (!log.isInsecure) secured = index;
      }
      const recovered = openLog(disk.crash(random), SEGMENT);
      expect(recovered.lastIndex).toBeGreaterThanOrEqual(secured);
      expect(recovered.lastIndex).toBeLessThanOrEqual(last);
      lost.add(recovered.lastIndex < last);
    }
    expect(lost.size).toBe(2);
  });

  test("are not counted as secured while the sync behind them is under way", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk, SEGMENT);
    appendWeakly(log, 1);
    disk.heldSyncs = [];
    log.stage([entryOf(2, 1)]);
    log.write(logIndex(0), () => undefined);
    log.secure();
    for (let seed = 1; seed <= 20; seed++) {
      expect(openLog(disk.crash(new Random(seed)), SEGMENT).lastIndex).toBeGreaterThanOrEqual(1);
    }
  });
});

/** The same log as format version 1 has it: groups do not tell their length, which is that of their blocks. */
function toVersion1(bytes: Uint8Array): void {
  const view = viewOf(bytes);
  const seed = segmentChecksum(bytes);
  const segment = decodeSegmentHeader(bytes.subarray(0, BLOCK), "segment");
  if (segment instanceof Error) throw segment;
  view.setUint16(8, 1, true);
  view.setUint32(4, crc32(bytes.subarray(8, BLOCK)), true);
  const header = new GroupHeader();
  for (let offset = BLOCK; decodeGroupHeader(bytes, view, offset, seed, segment.segmentId, header); ) {
    const { groupBytes } = header;
    header.groupBytes = 0;
    encodeGroupHeader(header, segmentChecksum(bytes), bytes, view, offset);
    offset += groupBytes;
  }
}

test("segments of version 1 are read, and go on in segments of the present one", () => {
  const disk = new MemoryDisk();
  const log = openLog(disk, SEGMENT);
  append(log, entriesOf(1, 3, 1));
  append(log, entriesOf(4, 9, 1, 1500));
  append(log, entriesOf(10, 10, 1));
  log.close();
  const old = disk.bytes(segmentFile(1));
  toVersion1(old);
  expect(viewOf(disk.readWhole(segmentFile(1))).getUint16(8, true)).toBe(1);
  expect(damageIn(disk)).toEqual([]);
  const reopened = openLog(disk, SEGMENT);
  appendWeakly(reopened, 11);
  reopened.close();
  const whole = contents(openLog(disk, SEGMENT));
  expect(whole.slice(0, 3)).toEqual(entriesOf(1, 3, 1));
  expect(whole.slice(3, 9)).toEqual(entriesOf(4, 9, 1, 1500));
  expect(whole.slice(9)).toEqual([entryOf(10, 1), entryOf(11, 1)]);
  expect(damageIn(disk)).toEqual([]);
});
