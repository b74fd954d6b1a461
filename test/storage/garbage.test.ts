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
  const disk = diskWith(["a", MIB - 1]);
  const garbage = new Garbage(disk);
  let wasThereWhenClosed = false;
  garbage.add("d/a", MIB - 1, () => {
    wasThereWhenClosed = disk.exists("d/a");
  });
  expect(wasThereWhenClosed).toBe(true);
  expect(disk.exists("d/a")).toBe(false);
  expect(garbage.step()).toBe(false);
});

test("large files go one by one: closed in one step, removed in the next", () => {
  const disk = diskWith(["a", 10 * MIB], ["b", 5 * MIB]);
  const garbage = new Garbage(disk);
  const events: string[] = [];
  for (const name of ["a", "b"]) garbage.add(`d/${name}`, 5 * MIB, () => events.push(name));
  expect(events).toEqual([]);
  const states: string[] = [];
  let isMore = true;
  while (isMore) {
    isMore = garbage.step();
    states.push(`${events.join("")} ${disk.list("d").join("")}`);
  }
  expect(states).toEqual(["a ab", "a b", "ab b", "ab "]);
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

test("a disk too full to take a name away keeps the file, and lets the next one go", () => {
  const disk = diskWith(["a", 10 * MIB], ["b", 5 * MIB]);
  const garbage = new Garbage(disk);
  for (const name of ["a", "b"]) garbage.add(`d/${name}`, 5 * MIB, () => undefined);
  disk.planCall("remove", 1, { kind: "fail", code: "DISKFULL" });
  while (garbage.step());
  expect(disk.list("d")).toEqual(["a"]);
});

test("media that cannot be written are an error", () => {
  const disk = diskWith(["a", 10 * MIB]);
  const garbage = new Garbage(disk);
  garbage.add("d/a", 10 * MIB, () => undefined);
  garbage.step();
  disk.planCall("remove", 1, { kind: "fail", code: "IO" });
  expect(() => garbage.step()).toThrow(EnvelopeError);
});

test("a large file that has another name loses this one alone", () => {
  const disk = diskWith(["a", 10 * MIB]);
  disk.link("d/a", "d/other");
  const garbage = new Garbage(disk);
  garbage.add("d/a", 10 * MIB, () => {});
  while (garbage.step());
  expect(disk.list("d")).toEqual(["other"]);
  expect(sizeOf(disk, "other")).toBe(10 * MIB);
  expect(disk.linkCount("d/other")).toBe(1);
});
