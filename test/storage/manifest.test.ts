import { describe, expect, test } from "bun:test";
import { EnvelopeError } from "../../src/core/errors.ts";
import { fileNumber, logIndex, shardId } from "../../src/core/ids.ts";
import { Manifest } from "../../src/storage/manifest.ts";
import type { TableRecord } from "../../src/storage/manifest-format.ts";
import { GOLDEN_CONFIGURED_MANIFEST, GOLDEN_MANIFEST } from "./support/golden.ts";
import { MemoryDisk } from "./support/memory-disk.ts";
import { flipped, IDENTITY, position } from "./support/versions.ts";

function record(number: number, level = 0): TableRecord {
  return {
    number: fileNumber(number),
    level,
    run: level === 0 ? number : 0,
    fileBytes: 1000 + number,
    headerBytes: 128,
    footerBytes: 150,
    footerChecksum: 0xfedcba98,
  };
}

function started(disk: MemoryDisk): Manifest {
  const manifest = Manifest.open(disk, "d", IDENTITY);
  manifest.start();
  return manifest;
}

function add(manifest: Manifest, number: number): void {
  manifest.publish({ flushed: position(number), removed: [], added: [record(number)] });
}

/** Flushed index and table numbers: what a reader of the manifest comes to. */
function stateOf(disk: MemoryDisk): string {
  const manifest = Manifest.open(disk, "d", IDENTITY);
  return `${manifest.flushed.index}: ${[...manifest.records.keys()].join(" ")}`;
}

function outcomeOf(disk: MemoryDisk): string {
  try {
    return stateOf(disk);
  } catch (cause) {
    if (cause instanceof EnvelopeError) return cause.code;
    throw cause;
  }
}

/** One manifest with two edits, number 1. */
function twoEdits(): { disk: MemoryDisk; path: string; sizes: number[] } {
  const disk = new MemoryDisk();
  const manifest = started(disk);
  const path = "d/00000001.manifest";
  const sizes = [disk.bytesOf(path).length];
  for (const number of [2, 3]) {
    add(manifest, number);
    sizes.push(disk.bytesOf(path).length);
  }
  manifest.close();
  return { disk, path, sizes };
}

describe("the manifest", () => {
  test("gives back tables, levels and flushed position as published", () => {
    const { disk } = twoEdits();
    const manifest = started(disk);
    manifest.publish({ flushed: null, removed: [fileNumber(2)], added: [record(4, 1)] });
    manifest.close();
    const again = Manifest.open(disk, "d", IDENTITY);
    expect(again.flushed).toEqual(position(3));
    expect([...again.records.values()]).toEqual([record(3), record(4, 1)]);
    expect(again.droppedBytes).toBe(0);
  });

  test("an edit cut anywhere by a crash is dropped, the ones before it survive", () => {
    const { disk, path, sizes } = twoEdits();
    const whole = disk.bytesOf(path).slice();
    const proofBytes = 24;
    for (let length = sizes[1] ?? 0; length < whole.length - proofBytes; length++) {
      disk.replace(path, whole.subarray(0, length));
      expect(stateOf(disk)).toBe("2: 2");
    }
    for (let length = whole.length - proofBytes; length < whole.length; length++) {
      disk.replace(path, whole.subarray(0, length));
      expect(stateOf(disk)).toBe("3: 2 3");
    }
  });

  test("zeros at the end are the end, and the next state is whole again", () => {
    const { disk, path } = twoEdits();
    const whole = disk.bytesOf(path);
    const padded = new Uint8Array(whole.length + 4096);
    padded.set(whole);
    disk.replace(path, padded);
    const manifest = started(disk);
    expect(manifest.droppedBytes).toBe(4096);
    add(manifest, 9);
    manifest.close();
    expect(stateOf(disk)).toBe("9: 2 3 9");
  });

  test("any flipped bit before the last proof is corruption, never an older state", () => {
    const { disk, path } = twoEdits();
    const whole = disk.bytesOf(path).slice();
    for (let offset = 0; offset < whole.length; offset++) {
      disk.replace(path, flipped(whole, offset));
      const expected = offset < whole.length - 24 ? "CORRUPTION" : "3: 2 3";
      expect(outcomeOf(disk), `bit in byte ${offset}`).toBe(expected);
    }
  });

  test("a lost, empty, exchanged or foreign manifest is an error, never an empty database", () => {
    const { disk, path } = twoEdits();
    const whole = disk.bytesOf(path).slice();
    disk.replace("d/00000002.sst", new Uint8Array(10));
    disk.replace(path, new Uint8Array(0));
    expect(outcomeOf(disk)).toBe("CORRUPTION");
    disk.remove(path);
    expect(outcomeOf(disk)).toBe("MISSING_FILE");
    disk.replace("d/00000007.manifest", whole);
    expect(outcomeOf(disk)).toBe("CORRUPTION");
    disk.remove("d/00000007.manifest");
    disk.replace(path, whole);
    const other = { ...IDENTITY, shard: shardId(9) };
    expect(() => Manifest.open(disk, "d", other)).toThrow("another cluster or shard");
    const stranger = { ...IDENTITY, clusterId: new Uint8Array(16) };
    expect(() => Manifest.open(disk, "d", stranger)).toThrow("another cluster or shard");
  });

  test("begins a new file when it has grown, and keeps one", () => {
    const disk = new MemoryDisk();
    const manifest = started(disk);
    for (let i = 0; i < 2000; i++) {
      const number = manifest.takeFileNumber();
      const removed = [...manifest.records.keys()].slice(0, i < 5 ? 0 : 1);
      manifest.publish({ flushed: position(i + 1), removed, added: [record(number)] });
    }
    manifest.close();
    const names = disk.list("d");
    expect(names.length).toBe(1);
    expect(names[0]).not.toBe("00000001.manifest");
    expect(disk.bytesOf(`d/${names[0]}`).length).toBeLessThan(70_000);
    const again = Manifest.open(disk, "d", IDENTITY);
    expect(again.flushed.index as number).toBe(2000);
    expect(again.records.size).toBe(5);
    expect(again.takeFileNumber()).toBeGreaterThan(2000);
  });

  test("after a failed sync nothing more is published until the directory is opened again", () => {
    const disk = new MemoryDisk();
    const manifest = started(disk);
    add(manifest, 2);
    disk.beforeChange = (change) => {
      if (change === "sync") throw new EnvelopeError("IO", "the sync failed");
    };
    expect(() => add(manifest, 3)).toThrow("the sync failed");
    disk.beforeChange = () => {};
    expect(() => add(manifest, 4)).toThrow("the sync failed");
    expect(manifest.hasFailed).toBe(true);
  });

  test("a sync that fails for want of room is a failure like any other: nobody is told to try again", () => {
    for (const failing of ["sync", "syncDirectory"]) {
      const disk = new MemoryDisk();
      const manifest = started(disk);
      disk.beforeChange = (change) => {
        if (change === failing) throw new EnvelopeError("DISKFULL", "no room to sync");
      };
      for (let attempt = 0; attempt < 2; attempt++) {
        expect(() => add(manifest, 2)).toThrow(expect.objectContaining({ code: "IO" }));
        disk.beforeChange = () => {};
      }
      expect(manifest.hasFailed).toBe(true);
    }
  });

  test("a full disk leaves the state as it was, and the next edit finds its place", () => {
    const disk = new MemoryDisk();
    const manifest = started(disk);
    add(manifest, 2);
    disk.beforeChange = (change) => {
      if (change === "write") throw new EnvelopeError("DISKFULL", "no room");
    };
    expect(() => add(manifest, 3)).toThrow("no room");
    expect([...manifest.records.keys()]).toEqual([fileNumber(2)]);
    disk.beforeChange = () => {};
    expect(stateOf(disk)).toBe("2: 2");
    add(manifest, 5);
    manifest.close();
    expect(stateOf(disk)).toBe("5: 2 5");
  });

  test("of format version 1 is read as ever, and goes on in the present one", () => {
    const disk = new MemoryDisk();
    disk.replace("d/00000001.manifest", Uint8Array.fromHex(GOLDEN_MANIFEST.join("")));
    const manifest = started(disk);
    expect(manifest.flushed).toEqual(position(3));
    expect([...manifest.records.values()]).toEqual([record(2), record(3)]);
    add(manifest, 9);
    manifest.close();
    expect(stateOf(disk)).toBe("9: 2 3 9");
  });

  test("keeps the configuration, and has these very bytes in format version 3", () => {
    const disk = new MemoryDisk();
    const manifest = started(disk);
    const configuration = { index: logIndex(2), body: new Uint8Array([0x93, 1, 2, 3]) };
    manifest.publish({ flushed: { ...position(2), configuration }, removed: [], added: [record(2)] });
    manifest.close();
    expect(disk.bytesOf("d/00000001.manifest").toHex()).toBe(GOLDEN_CONFIGURED_MANIFEST.join(""));
    const again = started(disk);
    expect(again.flushed.configuration).toEqual(configuration);
    again.close();
    expect(Manifest.open(disk, "d", IDENTITY).flushed.configuration).toEqual(configuration);
  });
});
