import { describe, expect, test } from "bun:test";
import { EnvelopeError } from "../../src/core/errors.ts";
import { logIndex, nodeId, shardId, term } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import { HardStateFile } from "../../src/log/hard-state-file.ts";
import { append, CLUSTER_ID, DIRECTORY, entriesOf, openLog } from "./log-kit.ts";
import { MemoryDisk } from "./memory-disk.ts";

const IDENTITY = { shard: shardId(0), clusterId: CLUSTER_ID };
const COPIES = [`${DIRECTORY}/hard-state.0.meta`, `${DIRECTORY}/hard-state.1.meta`] as const;

function open(disk: MemoryDisk): HardStateFile {
  return HardStateFile.open(disk, DIRECTORY, IDENTITY);
}

function saved(disk: MemoryDisk, newTerm: number, vote: number): MemoryDisk {
  const file = open(disk);
  file.save(term(newTerm), nodeId(vote));
  file.close();
  return disk;
}

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof EnvelopeError) return error.code;
    throw error;
  }
  return "none";
}

describe("the hard state", () => {
  test("begins at term 0 and comes back as it was saved", () => {
    const disk = new MemoryDisk();
    expect([open(disk).term, open(disk).vote]).toEqual([term(0), nodeId(0)]);
    saved(disk, 3, 2);
    saved(disk, 4, 0);
    saved(disk, 4, 65535);
    const file = open(disk);
    expect([file.term, file.vote]).toEqual([term(4), nodeId(65535)]);
    expect(file.votesFrom).toEqual(logIndex(0));
  });

  test("keeps what a vote waits for through every later save, and never an earlier entry", () => {
    const disk = saved(new MemoryDisk(), 3, 2);
    open(disk).saveVotesFrom(logIndex(70));
    open(disk).saveVotesFrom(logIndex(60));
    saved(disk, 4, 1);
    const file = open(disk);
    expect([file.term, file.vote, file.votesFrom]).toEqual([term(4), nodeId(1), logIndex(70)]);
  });

  test("is in both copies, each synced, when save returns", () => {
    const disk = new MemoryDisk();
    const file = open(disk);
    const seen: string[] = [];
    disk.before = (operation, path) => seen.push(`${operation} ${path}`);
    file.save(term(1), nodeId(1));
    expect(seen).toEqual(COPIES.flatMap((path) => [`write ${path}`, `sync ${path}`]));
    expect(disk.bytes(COPIES[0])).toEqual(disk.bytes(COPIES[1]));
  });

  test("with one copy bad at any byte, or gone, uses the other and repairs it", () => {
    for (const bad of COPIES) {
      for (let i = 0; i < 4096; i += i < 80 ? 1 : 61) {
        const disk = saved(new MemoryDisk(), 5, 2);
        const whole = disk.readWhole(bad);
        disk.bytes(bad)[i]! ^= 1 << (i % 8);
        expect(open(disk).term).toBe(term(5));
        expect(disk.readWhole(bad)).toEqual(whole);
      }
      for (const byteCount of [0, 100, 4095]) {
        const disk = saved(new MemoryDisk(), 5, 2);
        disk.put(bad, disk.readWhole(bad).slice(0, byteCount));
        expect([open(disk).term, open(disk).vote]).toEqual([term(5), nodeId(2)]);
      }
      const disk = saved(new MemoryDisk(), 5, 2);
      disk.remove(bad);
      expect(open(disk).vote).toBe(nodeId(2));
      expect(disk.exists(bad)).toBe(true);
    }
  });

  test("with one copy repaired has two again, whatever a power cut takes", () => {
    for (const [bad, other] of [COPIES, COPIES.toReversed()] as [string, string][]) {
      for (let seed = 1; seed <= 20; seed++) {
        const disk = saved(new MemoryDisk(), 5, 2);
        disk.bytes(bad)[9]! ^= 1;
        open(disk).close();
        const after = disk.crash(new Random(seed), 0);
        after.bytes(other)[9]! ^= 1;
        expect([open(after).term, open(after).vote]).toEqual([term(5), nodeId(2)]);
      }
    }
  });

  test("with an old copy put back uses the newer one", () => {
    for (const stale of COPIES) {
      const disk = saved(new MemoryDisk(), 5, 2);
      const old = disk.readWhole(stale);
      saved(disk, 9, 3);
      disk.put(stale, old);
      expect([open(disk).term, open(disk).vote]).toEqual([term(9), nodeId(3)]);
      expect(disk.bytes(COPIES[0])).toEqual(disk.bytes(COPIES[1]));
    }
  });

  test("with both copies bad is an error and changes nothing", () => {
    const disk = saved(new MemoryDisk(), 5, 2);
    for (const path of COPIES) disk.bytes(path)[45]! ^= 1;
    const before = COPIES.map((path) => disk.readWhole(path));
    expect(codeOf(() => open(disk))).toBe("CORRUPTION");
    expect(COPIES.map((path) => disk.readWhole(path))).toEqual(before);
  });

  test("that is gone from a shard that holds data is an error, never an empty state", () => {
    const disk = new MemoryDisk();
    const log = openLog(disk);
    saved(disk, 5, 2);
    append(log, entriesOf(1, 2, 5));
    for (const path of COPIES) disk.remove(path);
    expect(codeOf(() => open(disk))).toBe("MISSING_FILE");
    const tables = new MemoryDisk();
    tables.put(`${DIRECTORY}/00000003.sst`, new Uint8Array(1));
    expect(codeOf(() => open(tables))).toBe("MISSING_FILE");
  });

  test("may be made before or after the log of a new shard", () => {
    const logFirst = new MemoryDisk();
    openLog(logFirst).close();
    expect(open(logFirst).term).toBe(term(0));
    const stateFirst = new MemoryDisk();
    open(stateFirst).close();
    openLog(stateFirst).close();
    expect(open(stateFirst).term).toBe(term(0));
  });

  test("that says the shard has lived refuses a log that is gone", () => {
    const disk = saved(new MemoryDisk(), 5, 2);
    expect(codeOf(() => openLog(disk))).toBe("MISSING_FILE");
  });

  test("of another shard or cluster is refused", () => {
    const disk = saved(new MemoryDisk(), 5, 2);
    expect(codeOf(() => HardStateFile.open(disk, DIRECTORY, { ...IDENTITY, shard: shardId(3) }))).toBe(
      "FOREIGN_DIRECTORY",
    );
    const clusterId = new Uint8Array(16);
    expect(codeOf(() => HardStateFile.open(disk, DIRECTORY, { ...IDENTITY, clusterId }))).toBe("FOREIGN_DIRECTORY");
  });

  test("after a power cut is the last one saved, or the one that was being saved", () => {
    const seed = Number(process.env["EDB_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
    const random = new Random(seed);
    let disk = saved(new MemoryDisk(), 1, 1);
    for (let round = 2; round < 200; round++) {
      const file = open(disk);
      let operations = 0;
      const stopAt = random.between(1, 6);
      disk.before = () => {
        if (++operations === stopAt) throw new EnvelopeError("IO", "stopped");
      };
      const done = codeOf(() => file.save(term(round), nodeId(1))) === "none";
      disk = disk.crash(random, random.fraction());
      const found = open(disk).term;
      if (found !== round && (done || found !== round - 1))
        throw new Error(`EDB_SEED=${seed}: round ${round}: ${found}`);
      if (found !== round) saved(disk, round, 1);
    }
  });

  test("after a failed save refuses every other", () => {
    const disk = new MemoryDisk();
    const file = open(disk);
    disk.before = (operation) => {
      if (operation === "sync") throw new EnvelopeError("IO", "broken");
    };
    expect(codeOf(() => file.save(term(1), nodeId(1)))).toBe("IO");
    disk.before = () => {};
    expect(codeOf(() => file.save(term(2), nodeId(1)))).toBe("IO");
    expect(file.term).toBe(term(0));
  });
});
