/** The simulated disk keeps what was synced, may lose anything else, and behaves like the real one otherwise. */
import { expect, test } from "bun:test";
import { EnvelopeError } from "../../src/core/errors.ts";
import { Random } from "../../src/core/random.ts";
import { Scheduler, SimProcess } from "../../src/sim/scheduler.ts";
import { SimDisk, type SimDiskOptions, SimulatedCrash } from "../../src/sim/sim-disk.ts";

const ROOMY: SimDiskOptions = { capacityBytes: 1 << 30, sync: null };
const NOTHING = { sector: 0 };
const EVERYTHING = { sector: 1 };

function diskWithDirectory(options: SimDiskOptions = ROOMY): SimDisk {
  const disk = new SimDisk(1, options);
  disk.makeDirectory("/d");
  return disk;
}

test("at a power cut synced bytes and names stay, the others go", () => {
  const disk = diskWithDirectory();
  const file = disk.open("/d/a", "create");
  file.write(new Uint8Array([1, 2, 3]), 0);
  file.sync();
  disk.syncDirectory("/d");
  file.write(new Uint8Array([9, 9]), 1);
  disk.open("/d/b", "create").sync();
  expect([...disk.readWhole("/d/a")]).toEqual([1, 9, 9]);
  disk.crash(NOTHING);
  expect([...disk.readWhole("/d/a")]).toEqual([1, 2, 3]);
  expect(disk.list("/d")).toEqual(["a"]);
});

test("when only the process dies, everything written stays", () => {
  const disk = diskWithDirectory();
  const file = disk.open("/d/a", "create");
  file.write(new Uint8Array([1, 2, 3]), 0);
  disk.kill();
  expect([...disk.readWhole("/d/a")]).toEqual([1, 2, 3]);
  expect(() => file.write(new Uint8Array(1), 0)).toThrow(SimulatedCrash);
});

test("a removed or renamed name whose directory was not synced may come back, but a rename is never half done", () => {
  for (let seed = 0; seed < 50; seed++) {
    const disk = new SimDisk(seed, ROOMY);
    disk.makeDirectory("/d");
    disk.open("/d/old", "create").close();
    disk.open("/d/gone", "create").close();
    disk.syncDirectory("/d");
    disk.rename("/d/old", "/d/new");
    disk.remove("/d/gone");
    disk.crash({ sector: 0.5 });
    const names = disk.list("/d");
    expect([["gone", "old"], ["gone", "new"], ["new"]]).toContainEqual(names);
  }
});

test("a second name lasts behind a sync of its directory, takes no room, and shows the same bytes", () => {
  const disk = new SimDisk(1, { ...ROOMY, capacityBytes: 100 });
  disk.makeDirectory("/d");
  const file = disk.open("/d/a", "create");
  file.write(new Uint8Array(80).fill(1), 0);
  file.sync();
  disk.syncDirectory("/d");
  disk.link("/d/a", "/d/b");
  expect([disk.linkCount("/d/b"), disk.freeBytes("/d")]).toEqual([2, 20]);
  disk.crash({ sector: 0 });
  expect(disk.list("/d")).toEqual(["a"]);
  disk.link("/d/a", "/d/b");
  disk.syncDirectory("/d");
  disk.remove("/d/a");
  disk.crash({ sector: 1 });
  expect(disk.readWhole("/d/b")).toEqual(new Uint8Array(80).fill(1));
});

test("an unsynced write is torn at sectors: each is old or new, in any combination", () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 64; seed++) {
    const disk = new SimDisk(seed, ROOMY);
    disk.makeDirectory("/d");
    const file = disk.open("/d/a", "create");
    file.write(new Uint8Array(1536).fill(1), 0);
    file.sync();
    disk.syncDirectory("/d");
    file.write(new Uint8Array(1536).fill(2), 0);
    disk.crash({ sector: 0.5 });
    const bytes = disk.readWhole("/d/a");
    for (let sector = 0; sector < 3; sector++) {
      expect(new Set(bytes.subarray(sector * 512, (sector + 1) * 512)).size).toBe(1);
    }
    seen.add(`${bytes[0]}${bytes[512]}${bytes[1024]}`);
  }
  expect(seen.size).toBe(8);
});

test("the n-th call fails or kills as planned, and a failed sync loses what it should have saved for good", () => {
  const disk = diskWithDirectory();
  const file = disk.open("/d/a", "create");
  disk.syncDirectory("/d");
  file.write(new Uint8Array([1]), 0);
  disk.plan(1, { kind: "fail", code: "IO" });
  expect(() => file.sync()).toThrow(EnvelopeError);
  file.sync();
  disk.crash(EVERYTHING);
  expect(disk.readWhole("/d/a").length).toBe(0);

  const again = disk.open("/d/a", "write");
  disk.plan(2, { kind: "crash" });
  again.write(new Uint8Array([1]), 0);
  expect(() => again.sync()).toThrow(SimulatedCrash);
  expect(() => disk.list("/d")).toThrow(SimulatedCrash);
  disk.crash(NOTHING);
  expect(disk.list("/d")).toEqual(["a"]);
});

test("the n-th call of one kind fails, whatever other calls there are", () => {
  const disk = diskWithDirectory();
  disk.planCall("sync", 2, { kind: "fail", code: "DISKFULL" });
  const file = disk.open("/d/a", "create");
  file.sync();
  for (let i = 0; i < 5; i++) file.write(new Uint8Array(1), i);
  expect(() => file.sync()).toThrow("planned");
  file.sync();
  disk.planCall("map", 1, { kind: "fail", code: "IO" });
  disk.readWhole("/d/a");
  expect(() => disk.map("/d/a")).toThrow("planned");
});

test("a torn write has written some of its bytes, cut anywhere, before it fails or the process dies", () => {
  const lengths = new Set<number>();
  for (let seed = 0; seed < 40; seed++) {
    const disk = new SimDisk(seed, ROOMY);
    disk.makeDirectory("/d");
    const file = disk.open("/d/a", "create");
    disk.planCall("write", 1, { kind: "tear", code: seed % 2 === 0 ? "IO" : null });
    expect(() => file.write(new Uint8Array(1000).fill(1), 0)).toThrow(seed % 2 === 0 ? EnvelopeError : SimulatedCrash);
    disk.kill();
    const bytes = disk.readWhole("/d/a");
    expect(bytes.length).toBeLessThan(1000);
    expect(bytes.every((byte) => byte === 1)).toBe(true);
    lengths.add(bytes.length);
  }
  expect(lengths.size).toBeGreaterThan(30);
});

test("a full disk refuses growth, takes overwrites, and takes growth again once there is room", () => {
  const disk = diskWithDirectory({ capacityBytes: 1000, sync: null });
  const file = disk.open("/d/a", "create");
  file.write(new Uint8Array(900), 0);
  expect(disk.freeBytes("/d")).toBe(100);
  expect(() => file.write(new Uint8Array(200), 900)).toThrow("full");
  file.write(new Uint8Array(900), 50);
  disk.leaveRoom(10);
  expect(() => file.write(new Uint8Array(20), 950)).toThrow("full");
  disk.giveRoom();
  file.write(new Uint8Array(50), 950);
  expect(file.size()).toBe(1000);
});

test("a delayed sync covers what was written before it began, completes in order, and dies with its process", () => {
  const scheduler = new Scheduler(5);
  const process = new SimProcess("p");
  const disk = diskWithDirectory({ capacityBytes: 1 << 20, sync: { scheduler, delayMs: { min: 1, max: 9 } } });
  disk.mount(process);
  const file = disk.open("/d/a", "create");
  disk.syncDirectory("/d");
  const order: number[] = [];
  file.write(new Uint8Array([1]), 0);
  file.beginSync(() => order.push(1));
  file.write(new Uint8Array([2]), 1);
  file.beginSync(() => order.push(2));
  file.write(new Uint8Array([3]), 2);
  expect(order).toEqual([]);
  scheduler.runUntil(100, () => order.length === 2);
  expect(order).toEqual([1, 2]);
  file.beginSync(() => order.push(3));
  process.end();
  disk.crash(NOTHING);
  scheduler.runUntil(1000, () => false);
  expect(order).toEqual([1, 2]);
  expect([...disk.readWhole("/d/a")]).toEqual([1, 2]);
});

test("without crashes it agrees with a plain model under random operations", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new Random(seed);
    const disk = new SimDisk(seed, ROOMY);
    disk.makeDirectory("/d");
    const model = new Map<string, number[]>();
    for (let step = 0; step < 200; step++) {
      const path = `/d/${random.below(4)}`;
      const contents = model.get(path);
      const choice = random.below(4);
      if (contents === undefined) {
        disk.open(path, "create").close();
        model.set(path, []);
      } else if (choice === 0) {
        disk.remove(path);
        model.delete(path);
      } else if (choice === 1) {
        const byteCount = random.below(20);
        disk.open(path, "write").truncate(byteCount);
        while (contents.length < byteCount) contents.push(0);
        contents.length = byteCount;
      } else {
        const position = random.below(20);
        disk.open(path, "write").write(new Uint8Array([step & 255, 7]), position);
        while (contents.length < position) contents.push(0);
        contents.splice(position, 2, step & 255, 7);
      }
    }
    for (const [path, contents] of model)
      expect({ seed, bytes: [...disk.readWhole(path)] }).toEqual({ seed, bytes: contents });
    expect([...disk.files()]).toEqual([...model.keys()].sort());
  }
});
