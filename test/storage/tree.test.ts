import { describe, expect, test } from "bun:test";
import { EnvelopeError } from "../../src/core/errors.ts";
import { VersionKind } from "../../src/record/version.ts";
import type { DropRule } from "../../src/storage/job.ts";
import { Tree } from "../../src/storage/tree.ts";
import { MemoryDisk } from "./support/memory-disk.ts";
import {
  ArrayCursor,
  findIn,
  flipped,
  flush,
  IDENTITY,
  KEEP_ALL,
  type PlainVersion,
  position,
  put,
  readText,
  run,
  SMALL,
  tombstone,
  walk,
} from "./support/versions.ts";
import { NO_RETENTION } from "../../src/storage/retention.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);

function opened(disk = new MemoryDisk()): Tree {
  return Tree.open(disk, "d", SMALL, IDENTITY);
}

function compact(tree: Tree, rule: DropRule = KEEP_ALL): void {
  for (let job = tree.nextCompaction(rule); job !== null; job = tree.nextCompaction(rule)) run(job);
}

function tables(disk: MemoryDisk): string[] {
  return disk.list("d").filter((name) => name.endsWith(".sst"));
}

/** Keys k000 … with values of 100 bytes, all with stamps from `stamp` on. */
function many(count: number, stamp: number): PlainVersion[] {
  return Array.from({ length: count }, (_, i) =>
    put(`k${String(i).padStart(3, "0")}`, stamp + i, `${stamp}-`.padEnd(100, "x")),
  );
}

describe("a tree", () => {
  test("answers with the newest of several versions, in one flush or in many", () => {
    const tree = opened();
    flush(tree, [put("a", 5, "five"), put("a", 3, "three"), put("a", 4, "four")], 1);
    expect(readText(tree, "a")).toBe("five");
    flush(tree, [put("a", 9, "nine"), put("b", 8, "eight")], 2);
    expect(readText(tree, "a")).toBe("nine");
    flush(tree, [tombstone("a", 12)], 3);
    expect(findIn(tree, 1, utf8("a"))?.kind).toBe(VersionKind.tombstone);
    expect(readText(tree, "b")).toBe("eight");
    expect(findIn(tree, 2, utf8("b"))).toBeNull();
    tree.close();
  });

  test("does not let a newer flush with older stamps hide a newer version", () => {
    const tree = opened();
    flush(tree, [put("a", 50, "newer stamp")], 1);
    flush(tree, [put("a", 10, "older stamp"), put("b", 60, "b")], 2);
    expect(readText(tree, "a")).toBe("newer stamp");
    tree.close();
  });

  test("cuts large flushes into tables, goes down through levels, and says so", () => {
    const disk = new MemoryDisk();
    const tree = opened(disk);
    for (let round = 0; round < 12; round++) {
      flush(tree, many(80, round * 1000), round + 1);
      compact(tree);
    }
    const stats = tree.stats();
    expect(stats.tableCount).toBe(tables(disk).length);
    expect(stats.tablesPerLevel.reduce((sum, count) => sum + count)).toBe(stats.tableCount);
    expect(stats.tablesPerLevel.slice(1).some((count) => count > 1)).toBe(true);
    expect(stats.flushCount).toBe(12);
    expect(stats.compactionCount).toBeGreaterThan(3);
    for (const { key } of many(80, 0))
      expect(readText(tree, new TextDecoder().decode(key))?.startsWith("11000-")).toBe(true);
    run(tree.compactAll(KEEP_ALL));
    expect(tree.stats().tableEntries).toBe(80);
    expect(tree.stats().tablesPerLevel.filter((count) => count > 0).length).toBe(1);
    tree.close();
    expect(disk.mappingCount).toBe(0);
  });

  test("moves tables that overlap nothing down without writing them again", () => {
    const disk = new MemoryDisk();
    const tree = opened(disk);
    for (let round = 0; round < 3; round++) {
      flush(tree, many(90, round * 1000).slice(round * 30, round * 30 + 30), round + 1);
    }
    const before = tables(disk);
    compact(tree);
    expect(tree.stats().tablesPerLevel[0]).toBe(0);
    expect(tables(disk)).toEqual(before);
    tree.close();
    const again = opened(disk);
    expect(again.stats().tablesPerLevel[0]).toBe(0);
    expect(readText(again, "k059")?.startsWith("1000-")).toBe(true);
    again.close();
  });

  test("takes along the tables that lie in the gaps of what goes down", () => {
    const tree = opened();
    flush(tree, [put("m", 1, "middle")], 1);
    run(tree.compactAll(KEEP_ALL));
    flush(tree, [put("a", 2, "left")], 2);
    flush(tree, [put("z", 3, "right")], 3);
    flush(tree, [put("a", 4, "left too")], 4);
    compact(tree);
    expect(tree.stats().tablesPerLevel).toEqual([0, 0, 0, 0, 0, 0, 1]);
    expect(walk(tree.cursor()).map((version) => version.stampLow)).toEqual([4, 1, 3]);
    tree.close();
  });

  test("a flush of nothing moves the position alone", () => {
    const disk = new MemoryDisk();
    const tree = opened(disk);
    flush(tree, [tombstone("never-there", 3)], 7);
    expect(tree.flushed).toEqual(position(7));
    expect(tree.tableCount).toBe(0);
    tree.close();
    expect(opened(disk).flushed).toEqual(position(7));
  });

  test("stores values far larger than a block", () => {
    const tree = opened();
    const large = "L".repeat(300_000);
    flush(tree, [put("a", 1, "small"), put("b", 2, large), put("c", 3, "small too")], 1);
    expect(readText(tree, "b")).toBe(large);
    expect(readText(tree, "c")).toBe("small too");
    tree.close();
  });
});

describe("what compaction drops", () => {
  test("a tombstone stays while an older version lies below, and goes when none does", () => {
    const tree = opened();
    flush(tree, [put("a", 1, "old"), put("b", 2, "b")], 1);
    run(tree.compactAll(KEEP_ALL));
    flush(tree, [tombstone("a", 10), put("c", 11, "c")], 2);
    expect(readText(tree, "a")).toBeNull();
    expect(findIn(tree, 1, utf8("a"))).not.toBeNull();
    run(tree.compactAll(KEEP_ALL));
    expect(findIn(tree, 1, utf8("a"))).toBeNull();
    expect(tree.stats().tableEntries).toBe(2);
    tree.close();
  });

  test("a tombstone that only passes an upper level keeps covering the deepest", () => {
    const tree = opened();
    flush(tree, many(400, 0), 1);
    run(tree.compactAll(KEEP_ALL));
    const deepest = tree.stats().tablesPerLevel.findLastIndex((count) => count > 0);
    const deepCount = tree.stats().tablesPerLevel[deepest];
    for (let round = 0; round < 3; round++) {
      flush(tree, [tombstone("k100", 1000 + round), put("k300", 2000 + round, "new")], 2 + round);
    }
    const job = tree.nextCompaction(KEEP_ALL);
    expect(job).not.toBeNull();
    if (job !== null) run(job);
    const levels = tree.stats().tablesPerLevel;
    expect([levels[0], levels[deepest]]).toEqual([0, deepCount]);
    expect(readText(tree, "k100")).toBeNull();
    expect(findIn(tree, 1, utf8("k100"))?.kind).toBe(VersionKind.tombstone);
    run(tree.compactAll(KEEP_ALL));
    expect(findIn(tree, 1, utf8("k100"))).toBeNull();
    tree.close();
  });

  test("what has expired goes, and does not bring back what it had replaced", () => {
    const tree = opened();
    flush(tree, [put("a", 1, "old"), put("b", 2, "stays")], 1);
    run(tree.compactAll(KEEP_ALL));
    const rule: DropRule = { ...KEEP_ALL, expireBeforeMs: 500 };
    flush(tree, [put("a", 10, "short-lived", 1, 500), put("b", 11, "later", 1, 501)], 2, rule);
    expect(readText(tree, "a")).toBeNull();
    expect(readText(tree, "b")).toBe("later");
    run(tree.compactAll(rule));
    expect(walk(tree.cursor()).map((version) => version.stampLow)).toEqual([11]);
    tree.close();
  });

  test("versions of fenced buckets go, whole tables of them without being read", () => {
    const disk = new MemoryDisk();
    const tree = opened(disk);
    flush(tree, [put("a", 1, "one", 1), put("a", 2, "two", 2), tombstone("b", 3, 2), put("a", 4, "three", 3)], 1);
    const rule: DropRule = { ...KEEP_ALL, fenced: (bucket) => bucket === 2 || bucket === 7 };
    flush(tree, [put("x", 5, "gone", 7)], 2, KEEP_ALL);
    const [, name] = tables(disk);
    disk.replace(`d/${name}`, flipped(disk.bytesOf(`d/${name}`), 300));
    compact(tree, rule);
    expect(tables(disk)).not.toContain(name);
    run(tree.compactAll(rule));
    expect(walk(tree.cursor()).map((version) => version.bucket)).toEqual([1, 3]);
    tree.close();
  });
});

describe("what comes back by itself", () => {
  test("the part of a table that belonged to a bucket fenced since", () => {
    const disk = new MemoryDisk();
    const tree = opened(disk);
    flush(tree, [put("a", 1, "one", 1), put("a", 2, "two", 2), put("a", 3, "three", 3)], 1);
    flush(tree, [put("b", 4, "one", 1), put("b", 5, "three", 3)], 2);
    const rule: DropRule = { fenced: (bucket) => bucket === 2, expireBeforeMs: 0, retention: NO_RETENTION };
    const [, untouched = ""] = tables(disk);
    compact(tree, rule);
    expect(tree.stats().tableEntries).toBe(5);
    tree.noteFence(2);
    compact(tree, rule);
    expect(tree.stats().tableEntries).toBe(4);
    expect(tables(disk)).toContain(untouched);
    expect(readText(tree, "a", 3)).toBe("three");
    tree.close();
  });

  test("what a compaction begun before the fence has carried on", () => {
    const tree = opened();
    for (let round = 0; round < 3; round++)
      flush(tree, [put("a", round * 2 + 1, "", 1), put("b", round * 2 + 2, "", 2)], round + 1);
    const early = tree.nextCompaction(KEEP_ALL);
    expect(early?.step(1)).toBe(true);
    tree.noteFence(2);
    const rule: DropRule = { fenced: (bucket) => bucket === 2, expireBeforeMs: 0, retention: NO_RETENTION };
    expect(tree.nextCompaction(rule)).toBeNull();
    if (early !== null) run(early);
    compact(tree, rule);
    expect(walk(tree.cursor()).map((version) => version.bucket)).toEqual([1]);
    tree.close();
  });

  test("what many tombstones cover, and they with it", () => {
    const tree = opened();
    flush(tree, many(40, 0), 1);
    run(tree.compactAll(KEEP_ALL));
    flush(
      tree,
      many(40, 0).map(({ key }, i) => tombstone(new TextDecoder().decode(key), 1000 + i)),
      2,
    );
    compact(tree);
    expect(tree.tableCount).toBe(0);
    tree.close();
  });
});

describe("cursors and jobs", () => {
  test("a cursor sees the tables of its beginning and keeps them alive through a compaction", () => {
    const disk = new MemoryDisk();
    const tree = opened(disk);
    for (let round = 0; round < 3; round++) flush(tree, many(30, round * 1000), round + 1);
    const cursor = tree.cursor();
    cursor.seek(1, utf8("k010"));
    const old = tables(disk);
    compact(tree);
    run(tree.compactAll(KEEP_ALL));
    flush(tree, [tombstone("k020", 90_000)], 9);
    expect(tables(disk)).toEqual(expect.arrayContaining(old));
    const seen: number[] = [];
    for (; cursor.valid; cursor.next()) seen.push(cursor.stampLow);
    expect(seen).toEqual(
      many(30, 0)
        .slice(10)
        .flatMap(({ stampLow }) => [stampLow + 2000, stampLow + 1000, stampLow]),
    );
    cursor[Symbol.dispose]();
    expect(tables(disk).filter((name) => old.includes(name))).toEqual([]);
    tree.close();
    expect(disk.mappingCount).toBe(0);
  });

  test("a flush while a compaction is under way loses nothing of either", () => {
    const tree = opened();
    for (let round = 0; round < 3; round++) flush(tree, many(40, round * 1000), round + 1);
    const compaction = tree.nextCompaction(KEEP_ALL);
    expect(compaction?.step(1000)).toBe(true);
    expect(tree.nextCompaction(KEEP_ALL)).toBeNull();
    flush(tree, [put("k005", 9000, "newest"), tombstone("k006", 9001)], 4);
    if (compaction !== null) run(compaction);
    expect(readText(tree, "k005")).toBe("newest");
    expect(readText(tree, "k006")).toBeNull();
    expect(readText(tree, "k007")?.startsWith("2000-")).toBe(true);
    tree.close();
  });

  test("an aborted job leaves no file and no trace, and can be begun again", () => {
    const disk = new MemoryDisk();
    const tree = opened(disk);
    const job = tree.beginFlush(new ArrayCursor(many(60, 0)), position(1), KEEP_ALL);
    for (let i = 0; i < 20; i++) job.step(200);
    expect(tables(disk).length).toBeGreaterThan(0);
    job.abort();
    expect(tables(disk)).toEqual([]);
    expect(tree.flushed.index as number).toBe(0);
    flush(tree, many(60, 0), 1);
    expect(readText(tree, "k059")).not.toBeNull();
    tree.close();
  });

  test("a full disk fails the job and nothing else; with room again it succeeds", () => {
    const disk = new MemoryDisk();
    const tree = opened(disk);
    for (let allowed = 0; ; allowed++) {
      let left = allowed;
      disk.beforeChange = (change) => {
        if ((change === "write" || change === "create") && left-- <= 0) throw new EnvelopeError("DISKFULL", "no room");
      };
      const job = tree.beginFlush(new ArrayCursor(many(60, 0)), position(1), KEEP_ALL);
      try {
        run(job);
        break;
      } catch (cause) {
        expect((cause as EnvelopeError).code).toBe("DISKFULL");
        job.abort();
        disk.beforeChange = () => {};
        expect(tables(disk)).toEqual([]);
      }
    }
    disk.beforeChange = () => {};
    tree.close();
    const again = opened(disk);
    expect(readText(again, "k059")).not.toBeNull();
    again.close();
  });

  test("a disk too full to remove a table keeps the file until the next start", () => {
    const disk = new MemoryDisk();
    const tree = opened(disk);
    flush(tree, many(60, 0), 1);
    flush(tree, many(60, 100), 2);
    disk.beforeChange = (change) => {
      if (change === "remove") throw new EnvelopeError("DISKFULL", "no room to take a name away");
    };
    run(tree.compactAll(KEEP_ALL));
    const job = tree.beginFlush(new ArrayCursor(many(60, 200)), position(3), KEEP_ALL);
    while (tables(disk).length <= tree.tableCount + 2) job.step(100);
    job.abort();
    expect(readText(tree, "k059")).toStartWith("100-");
    tree.close();
    disk.beforeChange = () => {};
    const again = opened(disk);
    expect(tables(disk).length).toBe(again.tableCount);
    expect(readText(again, "k059")).toStartWith("100-");
    again.close();
  });

  test("no step goes far beyond its budget", () => {
    const disk = new MemoryDisk();
    const tree = opened(disk);
    let written = 0;
    const job = tree.beginFlush(new ArrayCursor(many(200, 0)), position(1), KEEP_ALL);
    disk.beforeChange = (change) => {
      if (change === "write") written += 1;
    };
    let stepCount = 0;
    for (;;) {
      written = 0;
      const more = job.step(300);
      stepCount += 1;
      if (!more) break;
      expect(written).toBeLessThanOrEqual(3);
    }
    expect(stepCount).toBeGreaterThan((200 * 100) / 300);
    tree.close();
  });
});

describe("opening a damaged directory", () => {
  function prepared() {
    const disk = new MemoryDisk();
    const tree = opened(disk);
    flush(tree, many(20, 0), 1);
    flush(tree, many(20, 1000), 2);
    tree.close();
    return disk;
  }

  test("a missing table is an error that names it, and nothing is removed", () => {
    const disk = prepared();
    const [first = ""] = tables(disk);
    disk.remove(`d/${first}`);
    const before = disk.list("d");
    expect(() => opened(disk)).toThrow(first);
    expect(disk.list("d")).toEqual(before);
  });

  test("two tables exchanged for each other are found", () => {
    const disk = prepared();
    const [a = "", , , b = ""] = tables(disk);
    const bytes = disk.bytesOf(`d/${a}`).slice();
    disk.replace(`d/${a}`, disk.bytesOf(`d/${b}`));
    disk.replace(`d/${b}`, bytes);
    expect(() => opened(disk)).toThrow(EnvelopeError);
  });

  test("files of unfinished jobs are removed, other files are left alone", () => {
    const disk = prepared();
    disk.replace("d/00000099.sst", new Uint8Array(5));
    disk.replace("d/00000098.manifest.new", new Uint8Array(5));
    disk.replace("d/00000001.evp", new Uint8Array(5));
    disk.replace("d/hard-state.0.meta", new Uint8Array(5));
    const tree = opened(disk);
    expect(disk.list("d")).not.toContain("00000099.sst");
    expect(disk.list("d")).not.toContain("00000098.manifest.new");
    expect(disk.list("d")).toEqual(expect.arrayContaining(["00000001.evp", "hard-state.0.meta"]));
    expect(disk.list("d").filter((name) => name.endsWith(".manifest")).length).toBe(1);
    expect(readText(tree, "k007")?.startsWith("1000-")).toBe(true);
    tree.close();
  });
});
