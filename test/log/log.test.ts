import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EnvelopeError } from "../../src/core/errors.ts";
import type { LogIndex, Term } from "../../src/core/ids.ts";
import { RealDisk } from "../../src/env/real-disk.ts";
import { Log } from "../../src/log/log.ts";
import { append, at, contents, drain, entriesOf, entryOf, openLog, optionsOf, segmentFile } from "./log-kit.ts";
import { SimDisk } from "../../src/sim/sim-disk.ts";
import { MemoryDisk } from "./memory-disk.ts";

describe("a log", () => {
  test("begins empty", () => {
    const log = openLog(new MemoryDisk());
    expect([log.firstIndex, log.lastIndex, log.lastTerm, log.previousTerm, log.commitIndex]).toEqual([
      1, 0, 0, 0, 0,
    ] as never);
    expect(log.termRuns).toEqual([]);
    expect(log.read(at(1), 1000)).toEqual([]);
    expect(log.idleProofDue).toBe(false);
    expect(log.writable).toBe(true);
  });

  test("gives back what was written, before and after it is opened again", () => {
    const disk = new MemoryDisk();
    const entries = [...entriesOf(1, 5, 1), ...entriesOf(6, 9, 3, 5000)];
    let log = openLog(disk);
    append(log, entries.slice(0, 3), 0);
    append(log, entries.slice(3), 2);
    for (let opened = 0; opened < 3; opened++) {
      expect(contents(log)).toEqual(entries);
      expect(log.read(at(4), 1)).toEqual(entries.slice(3, 4));
      expect(log.read(at(1), 1_000_000)).toEqual(entries);
      expect(log.read(at(2), entries[1]!.length + entries[2]!.length)).toEqual(entries.slice(1, 3));
      expect([log.firstIndex, log.lastIndex, log.lastTerm, log.commitIndex]).toEqual([1, 9, 3, 2] as never);
      expect(log.termRuns).toEqual([
        { firstIndex: 1, term: 1 },
        { firstIndex: 6, term: 3 },
      ] as never);
      log.close();
      log = openLog(disk);
    }
  });

  test("writes a group with one write and one sync", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    const seen: string[] = [];
    disk.before = (operation) => seen.push(operation);
    append(log, entriesOf(1, 40, 1));
    expect(seen).toEqual(["write", "sync"]);
    expect(log.stats()).toMatchObject({ groupCount: 1, syncCount: 1, segmentCount: 1 });
  });

  test("an entry larger than a segment gets a segment of its own", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    const entries = [entryOf(1, 1), entryOf(2, 1, 300_000), entryOf(3, 1)];
    for (const entry of entries) append(log, [entry]);
    expect(contents(log)).toEqual(entries);
    expect(disk.bytes(segmentFile(2)).length).toBeGreaterThan(300_000);
    log.close();
    expect(contents(openLog(disk))).toEqual(entries);
  });

  test("an oversized group replaces a segment that was made ahead and is too short", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    append(log, entriesOf(1, 2, 1));
    drain(log);
    expect(disk.exists(segmentFile(2))).toBe(true);
    append(log, [entryOf(3, 1, 200_000)]);
    append(log, [entryOf(4, 1)]);
    log.close();
    expect(contents(openLog(disk))).toEqual([...entriesOf(1, 2, 1), entryOf(3, 1, 200_000), entryOf(4, 1)]);
  });

  test("a log that runs on fills segment after segment, made ahead or on the spot", () => {
    for (const ahead of [true, false]) {
      const disk = new MemoryDisk();
      const log = openLog(disk);
      for (let index = 1; index <= 100; index++) {
        append(log, [entryOf(index, 1, 1000)], index - 1);
        if (ahead) drain(log);
      }
      expect(log.stats().segmentCount).toBe(7);
      expect(contents(log)).toEqual(entriesOf(1, 100, 1, 1000));
      log.close();
      const reopened = openLog(disk);
      expect(contents(reopened)).toEqual(entriesOf(1, 100, 1, 1000));
      expect(reopened.commitIndex).toBe(at(99));
    }
  });

  test("bytes of a segment are written once after it has its name", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    const before = new Map<string, Uint8Array>();
    for (let index = 1; index <= 60; index++) {
      append(log, [entryOf(index, 1, 1000)]);
      drain(log);
      for (const [path, old] of before) {
        const now = disk.bytes(path);
        for (let i = 0; i < old.length; i++) if (old[i] !== 0 && old[i] !== now[i]) throw new Error(`${path} at ${i}`);
      }
      for (const name of disk.list("/shard-0000"))
        before.set(`/shard-0000/${name}`, disk.readWhole(`/shard-0000/${name}`));
    }
  });

  test("a lower index supersedes, in one segment, over several, and within one group", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    for (let index = 1; index <= 40; index++) append(log, [entryOf(index, 1, 1000)]);
    append(log, entriesOf(40, 41, 2));
    append(log, entriesOf(5, 8, 3));
    log.stage(entriesOf(9, 12, 3));
    log.stage(entriesOf(10, 10, 4));
    append(log, entriesOf(11, 11, 5));
    const expected = [...entriesOf(1, 4, 1, 1000), ...entriesOf(5, 9, 3), entryOf(10, 4), entryOf(11, 5)];
    const runs = [
      { firstIndex: 1, term: 1 },
      { firstIndex: 5, term: 3 },
      { firstIndex: 10, term: 4 },
      { firstIndex: 11, term: 5 },
    ];
    expect(contents(log)).toEqual(expected);
    expect(log.termRuns).toEqual(runs as never);
    log.close();
    const reopened = openLog(disk);
    expect(contents(reopened)).toEqual(expected);
    expect(reopened.termRuns).toEqual(runs as never);
    expect(reopened.lastTerm).toBe(5 as Term);
  });

  test("released segments are deleted from the oldest on, and the newest entry stays", () => {
    const disk = new MemoryDisk();
    let log = openLog(disk);
    for (let index = 1; index <= 60; index++) append(log, [entryOf(index, index <= 20 ? 1 : 2, 1000)]);
    drain(log);
    log.release(at(31));
    drain(log);
    expect(log.firstIndex).toBeGreaterThan(15);
    expect(log.firstIndex).toBeLessThanOrEqual(31);
    expect(log.read(at(1), 100)).toEqual([]);
    expect(contents(log)).toEqual(entriesOf(log.firstIndex, 60, 2, 1000).slice(0) as never);
    const { firstIndex, previousTerm } = log;
    expect(previousTerm).toBe((firstIndex === 21 ? 1 : firstIndex < 21 ? 1 : 2) as Term);
    log.release(at(61));
    drain(log);
    expect(log.lastIndex).toBe(at(60));
    expect(log.stats().segmentCount).toBe(1);
    log.close();
    log = openLog(disk);
    expect(log.lastIndex).toBe(at(60));
    expect(log.previousTerm).toBe(2 as Term);
    expect(contents(log)).toEqual(entriesOf(log.firstIndex, 60, 2, 1000));
  });

  test("an idle log proves its last group once", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    append(log, entriesOf(1, 3, 1));
    expect(log.idleProofDue).toBe(true);
    append(log, []);
    expect(log.idleProofDue).toBe(false);
    expect(contents(log)).toEqual(entriesOf(1, 3, 1));
    append(log, entriesOf(4, 4, 1));
    expect(log.idleProofDue).toBe(true);
  });

  test("many restarts do not pile up segments", () => {
    const disk = new MemoryDisk();
    for (let index = 1; index <= 12; index++) {
      const log = openLog(disk);
      append(log, [entryOf(index, index)]);
      if (index % 3 === 0) drain(log);
      log.close();
    }
    const log = openLog(disk);
    expect(contents(log).length).toBe(12);
    expect(log.stats().segmentCount).toBe(1);
  });
});

describe("on the real disk", () => {
  test.each([false, true])("a log runs, is opened again, and lets go of what is released; direct: %p", (wanted) => {
    const directory = mkdtempSync(join(tmpdir(), "log-"));
    try {
      const disk = new RealDisk();
      const isDirect = wanted && disk.directWriteObstacle(directory) === null;
      const options = { ...optionsOf(), isDirect };
      let log = Log.open(disk, `${directory}/shard-0000`, options);
      for (let index = 1; index <= 100; index++) {
        append(log, [entryOf(index, 1, 2000)], index - 1);
        log.noteApplied(at(index));
        drain(log);
      }
      log.close();
      log = Log.open(disk, `${directory}/shard-0000`, options);
      expect(log.recovery.hintsUsed).toBeGreaterThan(4);
      expect(contents(log)).toEqual(entriesOf(1, 100, 1, 2000));
      log.release(at(100));
      drain(log);
      expect(log.stats().segmentCount).toBe(1);
      log.close();
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe("syncs that end later", () => {
  function held(): { disk: MemoryDisk; log: ReturnType<typeof openLog>; told: string[] } {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    disk.heldSyncs = [];
    return { disk, log, told: [] };
  }

  function write(log: ReturnType<typeof openLog>, index: number, told: string[], valueBytes = 20): void {
    log.stage([entryOf(index, 1, valueBytes)]);
    log.write(at(0), (failure: EnvelopeError | null, lastIndex: LogIndex) => {
      told.push(`${lastIndex}:${failure?.code ?? "ok"}`);
    });
  }

  test("are told in the order of the writes, also over a segment's end", () => {
    const { disk, log, told } = held();
    for (let index = 1; index <= 4; index++) write(log, index, told, 30_000);
    expect(log.unsyncedGroups).toBe(4);
    expect(log.idleProofDue).toBe(false);
    const syncs = disk.heldSyncs ?? [];
    expect(syncs.length).toBe(4);
    syncs[3]!.finish(null);
    syncs[1]!.finish(null);
    expect(told).toEqual([]);
    expect(contents(log).length).toBe(4);
    syncs[0]!.finish(null);
    expect(told).toEqual(["1:ok", "2:ok"]);
    syncs[2]!.finish(null);
    expect(told).toEqual(["1:ok", "2:ok", "3:ok", "4:ok"]);
    expect(log.unsyncedGroups).toBe(0);
    expect(log.idleProofDue).toBe(true);
    log.close();
  });

  test("a failed sync fails every group behind it and the log for good", () => {
    const { disk, log, told } = held();
    for (let index = 1; index <= 3; index++) write(log, index, told);
    const syncs = disk.heldSyncs ?? [];
    syncs[0]!.finish(null);
    syncs[1]!.finish(new EnvelopeError("IO", "broken"));
    syncs[2]!.finish(null);
    expect(told).toEqual(["1:ok", "2:IO", "3:IO"]);
    expect(log.writable).toBe(false);
    expect(() => log.stage([entryOf(4, 1)])).toThrow("broken");
    expect(() => log.write(at(0), () => {})).toThrow("broken");
    expect(() => log.backgroundStep(false)).toThrow("broken");
    expect(() => log.read(at(1), 10)).toThrow("broken");
  });

  test("a failed write is told like a failed sync", () => {
    const { disk, log, told } = held();
    write(log, 1, told);
    disk.before = (operation) => {
      if (operation === "write") throw new EnvelopeError("IO", "no writing");
    };
    write(log, 2, told);
    expect(told).toEqual(["1:IO", "2:IO"]);
    expect(() => log.write(at(0), () => {})).toThrow("no writing");
  });
});

describe("a full disk", () => {
  test("refuses in time, keeps what is staged, and goes on when there is room", () => {
    const disk = new MemoryDisk();
    disk.free = 0;
    const log = openLog(disk);
    drain(log);
    expect(log.writable).toBe(false);
    for (let index = 1; index <= 10; index++) append(log, [entryOf(index, 1)]);
    disk.before = (operation, path) => {
      if (operation === "write" && path.endsWith(".next")) throw new EnvelopeError("DISKFULL", "no room");
    };
    log.stage([entryOf(11, 1, 60_000)]);
    expect(() => log.write(at(0), () => {})).toThrow("no room");
    expect(log.hasStaged).toBe(true);
    expect(disk.list("/shard-0000").filter((name) => name.endsWith(".next"))).toEqual([]);
    disk.before = () => {};
    disk.free = 10_000_000;
    drain(log);
    expect(log.writable).toBe(true);
    append(log, []);
    expect(contents(log).length).toBe(11);
    log.close();
    expect(contents(openLog(disk)).length).toBe(11);
  });

  test("a disk that refuses although it claims to have room makes no busy loop", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    append(log, entriesOf(1, 3, 1, 2000));
    disk.before = (operation) => {
      if (operation === "create") throw new EnvelopeError("DISKFULL", "quota");
    };
    drain(log);
    expect(log.writable).toBe(false);
    disk.before = () => {};
    drain(log);
    expect(log.writable).toBe(true);
  });

  test("a segment that has its name is not given back for want of room: the log fails, and is whole at the next start", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    append(log, entriesOf(1, 3, 1));
    let isNamed = false;
    disk.before = (operation, path) => {
      if (operation === "rename" && path.endsWith(".evp")) isNamed = true;
      if (operation === "syncDirectory" && isNamed) throw new EnvelopeError("DISKFULL", "no room for the name");
    };
    log.stage([entryOf(4, 1, 60_000)]);
    expect(() => log.write(at(0), () => {})).toThrow(expect.objectContaining({ code: "IO" }));
    disk.before = () => {};
    expect(contents(openLog(disk))).toEqual(entriesOf(1, 3, 1));
  });

  test("a segment whose sync has failed is not gone on with, even if it cannot be removed", () => {
    const disk = new SimDisk(1, { capacityBytes: 1 << 30, sync: null });
    const log = openLog(disk);
    append(log, entriesOf(1, 3, 1, 2000));
    disk.planCall("sync", 1, { kind: "fail", code: "DISKFULL" });
    disk.planCall("remove", 1, { kind: "fail", code: "DISKFULL" });
    drain(log);
    for (let index = 4; index <= 20; index++) append(log, [entryOf(index, 1, 2000)]);
    disk.crash({ sector: 0 });
    expect(contents(openLog(disk))).toEqual(entriesOf(1, 20, 1, 2000));
  });

  test("a start on a full disk makes a short segment", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk, 1024 * 1024);
    append(log, entriesOf(1, 3, 1));
    log.close();
    let pieces = 0;
    disk.before = (operation, path) => {
      if (operation === "create") pieces = 0;
      if (operation === "write" && path.endsWith(".next") && ++pieces === 2 && disk.free > 0) {
        disk.free = 0;
        throw new EnvelopeError("DISKFULL", "no room");
      }
    };
    const reopened = openLog(disk, 4 * 1024 * 1024);
    expect(contents(reopened)).toEqual(entriesOf(1, 3, 1));
    expect(reopened.writable).toBe(false);
    expect(reopened.stats().segmentBytes).toBeLessThan(400_000);
  });
});
