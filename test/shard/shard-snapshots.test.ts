/** Snapshots for members that are far behind: what is in them, how long it stays, and what is refused. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "../../src/core/crc32.ts";
import { concatBytes, text } from "../../src/core/bytes.ts";
import { RealDisk } from "../../src/env/real-disk.ts";
import { SimDisk } from "../../src/sim/sim-disk.ts";
import { decodeSnapshotDescription, type SnapshotDescription } from "../../src/storage/snapshot-format.ts";
import { Tree } from "../../src/storage/tree.ts";
import { KIB, put, ShardHarness, testOptions } from "./shard-harness.ts";

// On a real disk, every write with a sync of its own.
setDefaultTimeout(60_000);

const VALUES = { thresholdBytes: 100, collectBelow: 0.9, segmentBytes: 64 * KIB, hotKeyBytes: 0 };

interface Made {
  readonly id: number;
  readonly description: SnapshotDescription;
  readonly configuration: string;
}

function filled(options: { readonly separated: boolean }): ShardHarness {
  const { tree } = testOptions("");
  const harness = new ShardHarness({ options: { tree: options.separated ? { ...tree, values: VALUES } : tree } });
  for (let i = 0; i < 120; i++) harness.run(put(`k${i % 50}`, `${i}`.repeat(i % 2 === 0 ? 4 : 100)));
  return harness;
}

/** Asks for a snapshot and waits for the answer. */
function made(harness: ShardHarness): Made {
  const reply = harness.snapshot();
  if (reply.type !== "snapshotMade") throw new Error(`no snapshot: ${JSON.stringify(reply)}`);
  const { id, configuration } = reply;
  const { log } = testOptions("");
  return {
    id,
    description: decodeSnapshotDescription(reply.description, log, "the reply"),
    configuration: text(configuration),
  };
}

/** All files, fetched in small pieces. */
function fetched(harness: ShardHarness, { id, description }: Made): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  for (const [file, { name }] of description.files.entries()) {
    const pieces: Uint8Array[] = [];
    for (let offset = 0; ; offset += 700) {
      const reply = harness.ask({ type: "snapshotRead", requestId: 0, id, file, offset, byteCount: 700 });
      if (reply.type !== "snapshotPiece") throw new Error("no piece");
      pieces.push(reply.bytes);
      if (reply.bytes.length < 700) break;
    }
    files.set(name, concatBytes(pieces));
  }
  return files;
}

function contentOf(tree: Tree): Map<string, string> {
  const content = new Map<string, string>();
  using cursor = tree.cursor();
  for (cursor.seek(1, new Uint8Array(0)); cursor.valid; cursor.next()) {
    const key = text(cursor.key);
    if (!content.has(key)) content.set(key, text(cursor.value));
  }
  return content;
}

for (const separated of [false, true]) {
  test(`a snapshot opens as what was applied, ${separated ? "values in the log" : "values in tables"}`, () => {
    using harness = filled({ separated });
    harness.configure("members");
    harness.run(put("last", "one"));
    const expected = harness.content();
    const snapshot = made(harness);
    const { position, files } = snapshot.description;
    expect(position.index as number).toBe(harness.lastIndex);
    expect(position.term as number).toBe(1);
    expect(text(position.configuration.body)).toBe("members");
    expect(snapshot.configuration).toBe("members");
    // What the shard does afterwards changes nothing in it.
    for (let i = 0; i < 100; i++) harness.run(put(`k${i % 50}`, `later ${i}`.repeat(20)));
    harness.maintain("compact");
    harness.release(harness.lastIndex);
    harness.shard.turn();
    harness.settle();
    const fetchedFiles = fetched(harness, snapshot);
    for (const { name, byteCount, checksum } of files) {
      const bytes = fetchedFiles.get(name) ?? new Uint8Array(0);
      expect([name, bytes.length, crc32(bytes)]).toEqual([name, byteCount, checksum]);
    }
    const copy = join(harness.directory, "copy");
    mkdirSync(copy);
    const held = join(harness.directory, "shard-0000", "snapshot-0001");
    for (const { name } of files) linkSync(join(held, name), join(copy, name));
    const { tree: options, log } = testOptions("");
    const tree = Tree.open(new RealDisk(), copy, { ...options, ...(separated ? { values: VALUES } : {}) }, log);
    expect(contentOf(tree)).toEqual(expected);
    expect(tree.flushed).toEqual(position);
    tree.close();
    expect(files.some(({ name }) => name.endsWith(".kept.evp"))).toBe(separated);
  });
}

test("there are two at most; one that is dropped makes room and leaves the disk", () => {
  using harness = filled({ separated: false });
  const first = made(harness);
  const second = made(harness);
  expect(second.id).not.toBe(first.id);
  expect(harness.snapshot()).toMatchObject({ type: "done", result: { kind: "error", code: "OVERLOADED" } });
  const directory = join(harness.directory, "shard-0000", "snapshot-0001");
  expect(existsSync(directory)).toBe(true);
  harness.send({ type: "snapshotDrop", id: first.id });
  harness.shard.turn();
  const read = { type: "snapshotRead", requestId: 0, id: first.id, file: 0, offset: 0, byteCount: 10 } as const;
  expect(harness.ask(read)).toMatchObject({ type: "done", result: { kind: "error", code: "MISSING_FILE" } });
  harness.settle();
  expect(existsSync(directory)).toBe(false);
  expect(made(harness).id).toBe(3);
  expect(fetched(harness, second).size).toBe(second.description.files.length);
});

test("a start removes what a process has left, and nothing of the shard itself", () => {
  using harness = filled({ separated: true });
  made(harness);
  const expected = harness.content();
  const root = join(harness.directory, "shard-0000");
  harness.reopen();
  harness.settle();
  expect(readdirSync(root).filter((name) => name.startsWith("snapshot-"))).toEqual([]);
  harness.send({ type: "commit", commitIndex: harness.boot.lastIndex });
  harness.shard.turn();
  expect(harness.content()).toEqual(expected);
});

test("files are read through in steps of bounded size", () => {
  using harness = filled({ separated: false });
  harness.maintain("flush");
  harness.settle();
  harness.send({ type: "snapshot", requestId: 99 });
  harness.shard.turn();
  let steps = 0;
  while (harness.ofType("snapshotMade").length === 0) {
    harness.shard.backgroundStep();
    steps += 1;
  }
  const tables = readdirSync(join(harness.directory, "shard-0000")).filter((name) => name.endsWith(".sst"));
  const byteCount = tables.reduce((sum, name) => sum + statSync(join(harness.directory, "shard-0000", name)).size, 0);
  expect(steps).toBeGreaterThan(byteCount / (4 * KIB));
});

test("a shard that has nothing in tables has no snapshot to give", () => {
  using harness = new ShardHarness();
  expect(harness.snapshot()).toMatchObject({ type: "done", result: { kind: "error", code: "UNAVAILABLE" } });
});

test("damage that nobody knew of is found before others get it, and its table is quarantined", () => {
  using harness = filled({ separated: false });
  harness.maintain("flush");
  const directory = join(harness.directory, "shard-0000");
  const table = readdirSync(directory).find((name) => name.endsWith(".sst"));
  if (table === undefined) throw new Error("there is no table");
  const path = join(directory, table);
  const bytes = readFileSync(path);
  // In the middle there are blocks.
  bytes[bytes.length >> 1]! ^= 4;
  writeFileSync(path, bytes);
  expect(harness.snapshot()).toMatchObject({ type: "done", result: { kind: "error", code: "CORRUPTION" } });
  expect(harness.stats().quarantinedTables).toBe(1);
  // Whoever asks again and again, as a leader with a member in need does, must not have a table written each time.
  const { flushCount } = harness.stats();
  for (let i = 0; i < 3; i++) {
    harness.run(put("later", `${i}`));
    expect(harness.snapshot()).toMatchObject({ type: "done", result: { kind: "error", code: "CORRUPTION" } });
  }
  expect(harness.stats().flushCount).toBe(flushCount);
});

/** Values lie in a segment that has hardly been used, so that the next one is not made ahead. */
function pointingIntoTheLog(disk: SimDisk): ShardHarness {
  const { tree, log } = testOptions("");
  const options = { tree: { ...tree, values: VALUES }, log: { ...log, segmentBytes: 1024 * KIB } };
  const harness = new ShardHarness({ disk, directory: "/d", options });
  for (let i = 0; i < 5; i++) harness.run(put(`k${i}`, "x".repeat(200)));
  harness.maintain("flush");
  return harness;
}

test("a log that cannot begin its next segment for a snapshot is the shard's failure, as it always is", () => {
  const disk = new SimDisk(1, { capacityBytes: 1 << 28, sync: null });
  const harness = pointingIntoTheLog(disk);
  // The first sync is that of the new segment.
  disk.planCall("sync", 1, { kind: "fail", code: "IO" });
  harness.send({ type: "snapshot", requestId: 77 });
  harness.shard.turn();
  harness.settle();
  expect(harness.ofType("failed")).toMatchObject([{ code: "IO" }]);
});

test("a log that has no room for its next segment refuses the snapshot and goes on", () => {
  const disk = new SimDisk(1, { capacityBytes: 1 << 28, sync: null });
  const harness = pointingIntoTheLog(disk);
  disk.planCall("sync", 1, { kind: "fail", code: "DISKFULL" });
  expect(harness.snapshot()).toMatchObject({ type: "done", result: { kind: "error", code: "DISKFULL" } });
  harness.run(put("more", "value"));
  expect(harness.get("more")).toBe("value");
  expect(harness.snapshot()).toMatchObject({ type: "snapshotMade" });
});
