import { expect, test } from "bun:test";
import { EnvelopeError } from "../../src/core/errors.ts";
import { SimDisk } from "../../src/sim/sim-disk.ts";
import { Garbage } from "../../src/storage/garbage.ts";

const MIB = 1024 * 1024;

function diskWith(...files: readonly (readonly [string, number])[]): SimDisk {
  const disk = new SimDisk(1, { capacityBytes: 1 << 30, sync: null });
  disk.makeDirectory("d");
  for (const [name, byteCount] of files) {
    const file = disk.open(`d/${name}`, "create");
    file.write(new Uint8Array(byteCount), 0);
    file.sync();
    file.close();
  }
  disk.syncDirectory("d");
  return disk;
}

function sizeOf(disk: SimDisk, name: string): number {
  const file = disk.open(`d/${name}`, "read");
  const byteCount = file.size();
  file.close();
  return byteCount;
}

test("a small file goes at once, closed before", () => {
  const disk = diskWith(["a", MIB]);
  const garbage = new Garbage(disk);
  let wasThereWhenClosed = false;
  garbage.add("d/a", MIB, () => {
    wasThereWhenClosed = disk.exists("d/a");
  });
  expect(wasThereWhenClosed).toBe(true);
  expect(disk.exists("d/a")).toBe(false);
  expect(garbage.step()).toBe(false);
});

test("of a large file a piece goes in each step, and it is closed in one of its own", () => {
  const disk = diskWith(["a", 10 * MIB], ["b", 5 * MIB]);
  const garbage = new Garbage(disk);
  const closed: string[] = [];
  garbage.add("d/a", 10 * MIB, () => closed.push("a"));
  garbage.add("d/b", 5 * MIB, () => closed.push("b"));
  expect(closed).toEqual([]);
  const sizes: number[] = [];
  while (disk.exists("d/a")) {
    sizes.push(sizeOf(disk, "a") / MIB);
    expect(garbage.step()).toBe(true);
  }
  expect(sizes).toEqual([10, 10, 6, 2]);
  expect(closed).toEqual(["a"]);
  expect(sizeOf(disk, "b")).toBe(5 * MIB);
  while (garbage.step());
  expect(closed).toEqual(["a", "b"]);
  expect(disk.list("d")).toEqual([]);
});

test("everything can go at once, be it begun or not", () => {
  const disk = diskWith(["a", 10 * MIB], ["b", 10 * MIB]);
  const garbage = new Garbage(disk);
  let closeCount = 0;
  for (const name of ["a", "b"]) garbage.add(`d/${name}`, 10 * MIB, () => closeCount++);
  garbage.step();
  garbage.step();
  garbage.clear();
  expect(closeCount).toBe(2);
  expect(disk.list("d")).toEqual([]);
  expect(garbage.step()).toBe(false);
});

test("a disk too full to shorten a file gets rid of it whole, and of the next one", () => {
  const disk = diskWith(["a", 10 * MIB], ["b", 5 * MIB]);
  const garbage = new Garbage(disk);
  garbage.add("d/a", 10 * MIB, () => undefined);
  garbage.add("d/b", 5 * MIB, () => undefined);
  disk.planCall("truncate", 1, { kind: "fail", code: "DISKFULL" });
  while (garbage.step());
  expect(disk.list("d")).toEqual([]);
});

test("media that cannot be written are an error", () => {
  const disk = diskWith(["a", 10 * MIB]);
  const garbage = new Garbage(disk);
  garbage.add("d/a", 10 * MIB, () => undefined);
  garbage.step();
  disk.planCall("truncate", 1, { kind: "fail", code: "IO" });
  expect(() => garbage.step()).toThrow(EnvelopeError);
});
