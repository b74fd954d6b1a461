/** A shard that reads its tables past the page cache: what the disk cannot read is damage there, and nothing more. */
import { expect, spyOn, test } from "bun:test";
import { EnvelopeError } from "../../src/core/errors.ts";
import { utf8 } from "../../src/core/bytes.ts";
import type { DiskFile, OpenMode } from "../../src/env/disk.ts";
import type { Result } from "../../src/record/result.ts";
import type { ShardOptions } from "../../src/shard/shard-options.ts";
import { SimDisk } from "../../src/sim/sim-disk.ts";
import { BUCKET, KIB, put, ShardHarness, SILENT, testOptions } from "./shard-harness.ts";

const DIRECTORY = "/shard-test";

/** Notes how tables were opened, and may be unable to read past a page cache. */
class WatchedDisk extends SimDisk {
  readonly modes: OpenMode[] = [];
  obstacle: string | null = null;

  constructor() {
    super(1, { capacityBytes: 1 << 30, sync: null });
  }

  override open(path: string, mode: OpenMode): DiskFile {
    if (path.endsWith(".sst")) this.modes.push(mode);
    if (mode === "readDirect" && this.obstacle !== null) throw new EnvelopeError("IO", this.obstacle);
    return super.open(path, mode);
  }

  override directReadObstacle(): string | null {
    return this.obstacle;
  }
}

function openShard(disk: WatchedDisk, options: Partial<ShardOptions> = {}): ShardHarness {
  const tree = { ...testOptions("").tree, tableIo: "direct" } as const;
  return new ShardHarness({ directory: DIRECTORY, disk, options: { tree, ...options }, memtableBytes: 128 * KIB });
}

function fill(harness: ShardHarness): void {
  for (let i = 0; i < 400; i += 20) {
    const keys = Array.from({ length: 20 }, (_, j) => `k${String(i + j).padStart(3, "0")}`);
    harness.run(...keys.map((key) => put(key, key.repeat(50))));
  }
  harness.maintain("flush");
  harness.maintain("compact");
}

function get(harness: ShardHarness, key: string): Result {
  return harness.read({ type: "get", bucket: BUCKET, key: utf8(key), metadataOnly: false });
}

function outcomeOf(result: Result): string {
  return result.kind === "error" ? result.code : result.kind;
}

function quarantined(disk: SimDisk): string[] {
  return disk.files().filter((path) => path.endsWith(".quarantine"));
}

test("never maps a table, and answers as ever after a restart", () => {
  const disk = new WatchedDisk();
  using harness = openShard(disk);
  const maps = spyOn(disk, "map");
  fill(harness);
  const before = harness.content();
  harness.reopen();
  expect(harness.content()).toEqual(before);
  expect(outcomeOf(get(harness, "k007"))).toBe("version");
  expect(maps).toHaveBeenCalledTimes(0);
  expect(harness.stats().blockCacheBytes).toBeGreaterThan(0);
});

test("a block that cannot be read is answered with an error, and its table is quarantined for good", () => {
  const disk = new WatchedDisk();
  using harness = openShard(disk);
  fill(harness);
  disk.planCall("read", 1, { kind: "fail", code: "IO" });
  expect(outcomeOf(get(harness, "k000"))).toBe("version");
  expect(quarantined(disk)).toEqual([]);
  disk.planCall("read", 1, { kind: "fail", code: "IO" });
  disk.planCall("read", 2, { kind: "fail", code: "IO" });
  expect(outcomeOf(get(harness, "k010"))).toBe("CORRUPTION");
  expect(quarantined(disk).length).toBe(1);
  expect(harness.stats()).toMatchObject({ quarantinedTables: 1 });
  expect(outcomeOf(get(harness, "k399"))).toBe("version");
  harness.reopen();
  expect(outcomeOf(get(harness, "k010"))).toBe("CORRUPTION");
  expect(outcomeOf(get(harness, "k399"))).toBe("version");
  expect(harness.shard.stopped).toBe(false);
});

test("the scrubber reads past the page cache, too, in few reads, and finds damage", () => {
  const disk = new WatchedDisk();
  using harness = openShard(disk, { scrubBytesPerSecond: 100_000, scrubIntervalMs: 3_600_000 });
  fill(harness);
  const [path] = disk.files().filter((file) => file.endsWith(".sst"));
  if (path === undefined) throw new Error("no table");
  disk.flipBit(path, disk.byteCount(path) >>> 1, 3);
  disk.modes.length = 0;
  const callsBefore = disk.callCount;
  for (let i = 0; i < 200; i++) {
    harness.clock.nowMs += 1000;
    harness.shard.backgroundStep();
  }
  expect(new Set(disk.modes)).toEqual(new Set(["readDirect"]));
  expect(quarantined(disk)).toEqual([`${path}.quarantine`]);
  expect(disk.callCount - callsBefore).toBeLessThan(20 * harness.stats().tableCount);
});

test("where the disk cannot read past the page cache, tables are mapped, and the log says why", () => {
  const disk = new WatchedDisk();
  disk.obstacle = "cannot read with O_DIRECT: EINVAL";
  const warn = spyOn(SILENT, "warn");
  try {
    using harness = openShard(disk);
    fill(harness);
    expect(outcomeOf(get(harness, "k007"))).toBe("version");
    expect(warn.mock.calls).toContainEqual([
      "tables are read through mappings after all",
      { shard: 0, why: "cannot read with O_DIRECT: EINVAL" },
    ]);
  } finally {
    warn.mockRestore();
  }
});
