/** A log that begins behind a snapshot: where it begins stays known as long as it has no entry, or its first segment. */
import { expect, test } from "bun:test";
import { EnvelopeError } from "../../src/core/errors.ts";
import { term } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import type { Log } from "../../src/log/log.ts";
import { beginLogBehind } from "../../src/log/log-origin.ts";
import { verifyLog } from "../../src/log/verify-log.ts";
import { append, at, contents, DIRECTORY, drain, entriesOf, openLog, optionsOf, segmentFile } from "./log-kit.ts";
import { MemoryDisk } from "./memory-disk.ts";

const SEGMENT = 7;
const INDEX = 100;
const TERM = 4;

function begun(): MemoryDisk {
  const disk = new MemoryDisk();
  disk.makeDirectory(DIRECTORY);
  beginLogBehind(disk, DIRECTORY, optionsOf(), SEGMENT, at(INDEX), term(TERM));
  return disk;
}

function placeOf(log: Log): number[] {
  return [log.firstIndex, log.lastIndex, log.lastTerm, log.previousTerm];
}

function damageIn(disk: MemoryDisk): string[] {
  const found: string[] = [];
  verifyLog(disk, DIRECTORY, optionsOf(), false, ({ severity, what }) => {
    if (severity === "damage") found.push(what);
  });
  return found;
}

test("is empty and knows the entry before its first, however often it is opened", () => {
  const disk = begun();
  for (let i = 0; i < 3; i++) {
    const log = openLog(disk);
    expect(placeOf(log)).toEqual([INDEX + 1, INDEX, TERM, TERM]);
    expect(contents(log)).toEqual([]);
    log.close();
    expect(damageIn(disk)).toEqual([]);
  }
  expect(disk.list(DIRECTORY)).toEqual(["00000007.evp"]);
});

test("goes on with the entry behind it, and takes no other", () => {
  const disk = begun();
  const log = openLog(disk);
  expect(() => openLog(disk.copy()).stage(entriesOf(INDEX + 2, INDEX + 2, TERM))).toThrow();
  append(log, entriesOf(INDEX + 1, INDEX + 20, TERM));
  append(log, entriesOf(INDEX + 1, INDEX + 3, TERM + 1));
  log.close();
  const again = openLog(disk.copy());
  expect(placeOf(again)).toEqual([INDEX + 1, INDEX + 3, TERM + 1, TERM]);
  expect(contents(again)).toEqual(entriesOf(INDEX + 1, INDEX + 3, TERM + 1));
});

test("lets go of its first segment like any log", () => {
  const disk = begun();
  const log = openLog(disk);
  for (let i = 1; i <= 60; i++) append(log, entriesOf(INDEX + i, INDEX + i, TERM, 5000), INDEX + i);
  log.noteApplied(at(INDEX + 60));
  drain(log);
  log.release(at(INDEX + 50));
  drain(log);
  const place = placeOf(log);
  expect(place[0]).toBeGreaterThan(INDEX + 1);
  log.close();
  expect(disk.exists(segmentFile(SEGMENT))).toBe(false);
  expect(placeOf(openLog(disk))).toEqual(place);
});

test("survives a power cut at every call, in its beginning and behind it", () => {
  const random = new Random(1);
  let isOver = false;
  for (let call = 1; !isOver; call++) {
    const disk = new MemoryDisk();
    disk.makeDirectory(DIRECTORY);
    let left = call;
    let told = INDEX;
    let isBegun = false;
    disk.before = () => {
      left -= 1;
      if (left === 0) throw new EnvelopeError("IO", "power is cut");
    };
    try {
      beginLogBehind(disk, DIRECTORY, optionsOf(), SEGMENT, at(INDEX), term(TERM));
      isBegun = true;
      const log = openLog(disk);
      for (let i = INDEX + 1; i <= INDEX + 5; i++) {
        append(log, entriesOf(i, i, TERM), i);
        told = i;
      }
      isOver = true;
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
    }
    const after = disk.crash(random);
    if (!isBegun) beginLogBehind(after, DIRECTORY, optionsOf(), SEGMENT, at(INDEX), term(TERM));
    const log = openLog(after);
    expect(log.lastIndex).toBeGreaterThanOrEqual(told);
    expect([log.firstIndex, log.previousTerm].map(Number)).toEqual([INDEX + 1, TERM]);
    expect(contents(log)).toEqual(entriesOf(INDEX + 1, log.lastIndex, TERM));
  }
});

test("without its first segment it is a log without its entries", () => {
  const disk = begun();
  const log = openLog(disk);
  for (let i = 1; i <= 40; i++) append(log, entriesOf(INDEX + i, INDEX + i, TERM, 5000), INDEX + i);
  log.close();
  disk.remove(segmentFile(SEGMENT));
  disk.put(`${DIRECTORY}/00000001.manifest`, new Uint8Array(1));
  for (const name of disk.list(DIRECTORY)) if (name.endsWith(".evp")) disk.remove(`${DIRECTORY}/${name}`);
  expect(() => openLog(disk)).toThrow("its log is gone");
});
