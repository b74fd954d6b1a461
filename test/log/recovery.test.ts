import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { EnvelopeError } from "../../src/core/errors.ts";
import { Random } from "../../src/core/random.ts";
import { shardId } from "../../src/core/ids.ts";
import { Log } from "../../src/log/log.ts";
import {
  append,
  at,
  CLUSTER_ID,
  contents,
  DIRECTORY,
  drain,
  entriesOf,
  entryOf,
  hintFile,
  openLog,
  optionsOf,
  SEGMENT_BYTES,
  segmentFile,
} from "./log-kit.ts";
import { MemoryDisk } from "./memory-disk.ts";

setDefaultTimeout(60_000);

const BLOCK = 4096;

/** Opens a copy; the error when it is refused, which must leave every file as it was. */
function openCopy(disk: MemoryDisk): { log: Log; error: null } | { log: null; error: EnvelopeError } {
  const copy = disk.copy();
  try {
    return { log: openLog(copy), error: null };
  } catch (error) {
    if (!(error instanceof EnvelopeError)) throw error;
    expect(copy.list(DIRECTORY)).toEqual(disk.list(DIRECTORY));
    for (const name of disk.list(DIRECTORY)) {
      expect(copy.readWhole(`${DIRECTORY}/${name}`)).toEqual(disk.readWhole(`${DIRECTORY}/${name}`));
    }
    return { log: null, error };
  }
}

function openedCopy(disk: MemoryDisk): Log {
  const { log, error } = openCopy(disk);
  if (log === null) throw error;
  return log;
}

/** Three groups in segment 1: entries 1–3, 4–5, 6–7. The first two are proven by the third's header. */
function threeGroups(): MemoryDisk {
  const disk = new MemoryDisk();
  const log = openLog(disk, 8 * BLOCK);
  append(log, entriesOf(1, 3, 1));
  append(log, entriesOf(4, 5, 1, 2500));
  append(log, entriesOf(6, 7, 2));
  log.close();
  return disk;
}
const THIRD_GROUP = BLOCK * 4;

describe("a torn tail", () => {
  test("a last group cut at any byte is dropped, the groups before it survive", () => {
    const whole = threeGroups();
    const group = whole.readWhole(segmentFile(1)).subarray(THIRD_GROUP, THIRD_GROUP + BLOCK);
    const end = group.findLastIndex((byte) => byte !== 0) + 1;
    for (let cut = 0; cut < end; cut++) {
      const disk = whole.copy();
      disk.bytes(segmentFile(1)).fill(0, THIRD_GROUP + cut);
      const log = openedCopy(disk);
      expect(contents(log)).toEqual([...entriesOf(1, 3, 1), ...entriesOf(4, 5, 1, 2500)]);
      const dirty = group.subarray(0, cut).findLastIndex((byte) => byte !== 0) + 1;
      const dropped = log.recovery.dropped.reduce((sum, { byteCount }) => sum + byteCount, 0);
      expect(dropped).toBe(Math.ceil(dirty / 4) * 4);
    }
    expect(openedCopy(whole).recovery.dropped).toEqual([]);
  });

  test("later blocks of one unsynced write without the earlier ones are dropped", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    append(log, entriesOf(1, 2, 1));
    append(log, [entryOf(3, 1, 20_000)]);
    log.close();
    for (let missing = 0; missing < 5; missing++) {
      const torn = disk.copy();
      torn.bytes(segmentFile(1)).fill(0, BLOCK * (2 + missing), BLOCK * (3 + missing));
      const reopened = openedCopy(torn);
      expect(contents(reopened)).toEqual(entriesOf(1, 2, 1));
      expect(reopened.recovery.dropped.length).toBe(1);
    }
  });

  test("of several groups in flight, all behind the first missing one are dropped, also over a segment's end", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    append(log, entriesOf(1, 2, 1));
    disk.heldSyncs = [];
    for (let index = 3; index <= 10; index++) {
      log.stage([entryOf(index, 1, 15_000)]);
      log.write(at(0), () => {});
    }
    expect(log.stats().segmentCount).toBe(3);
    for (let missing = 3; missing <= 10; missing++) {
      const torn = disk.copy();
      const [file, offset] = placeOf(torn, missing);
      torn.bytes(file).fill(0, offset, offset + BLOCK);
      const reopened = openedCopy(torn);
      expect(contents(reopened)).toEqual([...entriesOf(1, 2, 1), ...entriesOf(3, missing - 1, 1, 15_000)]);
    }
  });

  test("zeros and garbage behind the end are the end", () => {
    const disk = threeGroups();
    const all = [...entriesOf(1, 3, 1), ...entriesOf(4, 5, 1, 2500), ...entriesOf(6, 7, 2)];
    expect(contents(openedCopy(disk))).toEqual(all);
    disk.bytes(segmentFile(1)).fill(0xa5, BLOCK * 6, BLOCK * 7);
    const log = openedCopy(disk);
    expect(contents(log)).toEqual(all);
    expect(log.recovery.dropped).toEqual([{ file: segmentFile(1), offset: BLOCK * 5, byteCount: BLOCK * 2 }]);
  });

  test("what was dropped never comes back after more writes and restarts", () => {
    const disk = threeGroups();
    disk.bytes(segmentFile(1)).fill(0xff, THIRD_GROUP + 200, THIRD_GROUP + 210);
    let log = openLog(disk);
    append(log, entriesOf(6, 6, 9));
    log.close();
    log = openLog(disk);
    expect(contents(log)).toEqual([...entriesOf(1, 3, 1), ...entriesOf(4, 5, 1, 2500), entryOf(6, 9)]);
    expect(log.recovery.dropped).toEqual([]);
  });
});

describe("damage before what was proven synced", () => {
  test("a flipped bit at any byte is an error that names the file, and nothing is changed", () => {
    const disk = threeGroups();
    const bytes = disk.bytes(segmentFile(1));
    // The two proven groups and the segment's header; header blocks are mostly alike, so those are sampled.
    for (let i = 0; i < THIRD_GROUP; i += i > 100 && i < BLOCK ? 13 : 1) {
      bytes[i]! ^= 1 << (i % 8);
      const { log, error } = openCopy(disk);
      bytes[i]! ^= 1 << (i % 8);
      if (log !== null) throw new Error(`byte ${i} was not noticed`);
      expect(["CORRUPTION", "NEWER_FORMAT", "FOREIGN_DIRECTORY"]).toContain(error.code);
      expect(error.message).toContain(segmentFile(1));
    }
  });

  test("a flipped bit behind it drops the group", () => {
    const disk = threeGroups();
    const bytes = disk.bytes(segmentFile(1));
    for (let i = THIRD_GROUP; i < THIRD_GROUP + BLOCK; i += 3) {
      bytes[i]! ^= 1 << (i % 8);
      expect(contents(openedCopy(disk)).length).toBe(5);
      bytes[i]! ^= 1 << (i % 8);
    }
  });

  test("an idle proof makes the last group's damage an error", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    append(log, entriesOf(1, 3, 1));
    append(log, []);
    log.close();
    disk.bytes(segmentFile(1))[BLOCK + 100]! ^= 1;
    expect(openCopy(disk).error?.message).toContain(`${segmentFile(1)} at offset ${BLOCK}`);
  });

  test("what a recovery has copied is proven by the new segment's header", () => {
    const disk = threeGroups();
    openLog(disk).close();
    const bytes = disk.bytes(segmentFile(1));
    for (const offset of [BLOCK + 100, BLOCK * 2 + 100, THIRD_GROUP + 100]) {
      bytes[offset]! ^= 1;
      expect(openCopy(disk).error?.code).toBe("CORRUPTION");
      bytes[offset]! ^= 1;
    }
  });

  test("groups that are gone at the end of an earlier segment, or at the start of a later one, are an error", () => {
    const disk = manySegments();
    for (const [file, offset] of [
      [segmentFile(1), lastGroupOf(disk, 1)],
      [segmentFile(2), BLOCK],
      [segmentFile(2), lastGroupOf(disk, 2)],
    ] as const) {
      for (const fill of [0, 0x55]) {
        const damaged = disk.copy();
        damaged.bytes(file).fill(fill, offset, offset + BLOCK);
        const { error } = openCopy(damaged);
        expect(error?.code).toBe("CORRUPTION");
        if (fill !== 0) expect(error?.message).toContain(`${file} at offset ${offset}`);
      }
    }
  });
});

describe("the wrong files", () => {
  test("a missing segment in the middle, or all of them, is an error", () => {
    const disk = manySegments();
    const gap = disk.copy();
    gap.remove(segmentFile(2));
    expect(openCopy(gap).error?.code).toBe("MISSING_FILE");
    const first = disk.copy();
    first.remove(segmentFile(1));
    expect(openCopy(first).error).toBeNull();
    const none = disk.copy();
    for (const name of none.list(DIRECTORY)) if (name.endsWith(".evp")) none.remove(`${DIRECTORY}/${name}`);
    none.put(`${DIRECTORY}/00000004.sst`, new Uint8Array(10));
    expect(openCopy(none).error?.code).toBe("MISSING_FILE");
  });

  test("a segment missing behind a sealed one is an error", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    for (let index = 1; index <= 20; index++) append(log, [entryOf(index, 1, 3000)]);
    log.noteApplied(at(20));
    drain(log);
    log.close();
    expect(disk.exists(hintFile(1))).toBe(true);
    for (const name of disk.list(DIRECTORY)) if (!name.startsWith("00000001")) disk.remove(`${DIRECTORY}/${name}`);
    expect(openCopy(disk).error?.code).toBe("MISSING_FILE");
  });

  test("an empty or shortened segment is an error", () => {
    const disk = manySegments();
    for (const byteCount of [0, 100, BLOCK, SEGMENT_BYTES - 1]) {
      for (const id of [1, 2, 3]) {
        const short = disk.copy();
        short.put(segmentFile(id), disk.bytes(segmentFile(id)).slice(0, byteCount));
        expect(openCopy(short).error?.code).toBe("CORRUPTION");
      }
    }
  });

  test("two segments exchanged are an error", () => {
    const disk = manySegments();
    const [one, two] = [disk.readWhole(segmentFile(1)), disk.readWhole(segmentFile(2))];
    disk.put(segmentFile(1), two);
    disk.put(segmentFile(2), one);
    expect(openCopy(disk).error?.message).toContain("the header of segment 2");
  });

  test("an old segment put back is an error", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    append(log, [entryOf(1, 1, 3000)]);
    const old = disk.readWhole(segmentFile(1));
    for (let index = 2; index <= 40; index++) append(log, [entryOf(index, 1, 3000)]);
    log.close();
    disk.put(segmentFile(1), old);
    expect(openCopy(disk).error?.code).toBe("CORRUPTION");
  });

  test("groups of another segment do not pass for this one's", () => {
    const disk = manySegments();
    disk.bytes(segmentFile(2)).set(disk.readWhole(segmentFile(1)).subarray(BLOCK, BLOCK * 3), BLOCK);
    expect(openCopy(disk).error?.code).toBe("CORRUPTION");
  });

  test("a directory of another shard or cluster is refused", () => {
    const disk = threeGroups();
    const other = { ...optionsOf(), shard: shardId(1) };
    expect(() => Log.open(disk, DIRECTORY, other)).toThrow("another shard");
    const foreign = { ...optionsOf(), clusterId: new Uint8Array(CLUSTER_ID).fill(8) };
    expect(() => Log.open(disk, DIRECTORY, foreign)).toThrow("another shard or cluster");
  });
});

describe("a recovery", () => {
  test("does not trust what it reads but cannot prove: it copies and syncs that before it returns", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    append(log, entriesOf(1, 2, 1));
    disk.heldSyncs = [];
    log.stage(entriesOf(3, 4, 1));
    log.write(at(0), () => {});
    // The process dies, the machine does not: the page cache still shows group 2.
    disk.heldSyncs = null;
    expect(contents(openLog(disk)).length).toBe(4);
    disk.inode(segmentFile(1)).pending = [];
    const survived = new MemoryDisk();
    for (const [path, inode] of disk.durableNames) survived.put(path, inode.durable);
    expect(contents(openLog(survived))).toEqual(entriesOf(1, 4, 1));
  });

  test("that dies at any step is repeated by the next one", () => {
    for (const base of [threeGroups(), manySegments()]) {
      const expected = contents(openedCopy(base));
      for (let stopAt = 1; ; stopAt++) {
        const disk = base.copy();
        let operations = 0;
        disk.before = () => {
          if (++operations === stopAt) throw new EnvelopeError("IO", "stopped");
        };
        let finished = true;
        try {
          openLog(disk);
        } catch (error) {
          if (!(error instanceof EnvelopeError)) throw error;
          finished = false;
        }
        disk.before = () => {};
        expect(contents(openLog(disk))).toEqual(expected);
        if (finished) break;
      }
    }
  });
});

describe("a power cut", () => {
  const seed = Number(process.env["EDB_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

  test("while released segments are deleted leaves no hole", () => {
    const random = new Random(seed);
    const disk = manySegments();
    const log = openLog(disk);
    drain(log);
    log.release(at(35));
    for (let more = true; more; ) {
      more = log.backgroundStep(false);
      for (let cut = 0; cut < 5; cut++) {
        const found = openAfterCut(disk, random);
        expect(contents(found)).toEqual(entriesOf(found.firstIndex, 40, 1, 3000));
      }
    }
    expect(log.firstIndex).toBeGreaterThan(25);
  });

  test("at any step of a recovery, also of one that reuses a segment made ahead, loses nothing", () => {
    const random = new Random(seed);
    const ahead = manySegments();
    const log = openLog(ahead);
    append(log, entriesOf(41, 41, 1, 3000));
    drain(log);
    for (const base of [threeGroups(), manySegments(), ahead]) {
      const expected = contents(openedCopy(base));
      for (let stopAt = 1; stopAt < 40; stopAt++) {
        for (let cut = 0; cut < 4; cut++) {
          const disk = base.copy();
          let operations = 0;
          disk.before = () => {
            if (++operations === stopAt) throw new EnvelopeError("IO", "stopped");
          };
          try {
            openLog(disk);
          } catch (error) {
            if (!(error instanceof EnvelopeError)) throw error;
          }
          disk.before = () => {};
          expect(contents(openAfterCut(disk, random))).toEqual(expected);
        }
      }
    }
  });

  function openAfterCut(disk: MemoryDisk, random: Random): Log {
    try {
      return openLog(disk.crash(random, random.fraction()));
    } catch (error) {
      throw new Error(`EDB_SEED=${seed}: ${String(error)}`);
    }
  }
});

/** Segments of single groups: 40 entries of 3000 bytes. */
function manySegments(): MemoryDisk {
  const disk = new MemoryDisk();
  const log = openLog(disk);
  for (let index = 1; index <= 40; index++) append(log, [entryOf(index, 1, 3000)]);
  log.close();
  return disk;
}

function lastGroupOf(disk: MemoryDisk, id: number): number {
  const bytes = disk.bytes(segmentFile(id));
  return Math.floor(bytes.findLastIndex((byte) => byte !== 0) / BLOCK) * BLOCK;
}

/** File and offset of the group that holds the entry with this index, found by its key. */
function placeOf(disk: MemoryDisk, index: number): [string, number] {
  for (let id = 1; id <= 3; id++) {
    const offset = Buffer.from(disk.bytes(segmentFile(id))).indexOf(entryOf(index, 1, 15_000));
    if (offset >= 0) return [segmentFile(id), Math.floor(offset / BLOCK) * BLOCK];
  }
  throw new Error(`entry ${index} is nowhere`);
}
