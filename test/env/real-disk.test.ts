/** What storage relies on from a real file system. */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ErrorCode, EnvelopeError } from "../../src/core/errors.ts";
import { Random } from "../../src/core/random.ts";
import { RealDisk } from "../../src/env/real-disk.ts";

const directories: string[] = [];

function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), "envelopedb-disk-"));
  directories.push(directory);
  return directory;
}

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function codeOf(run: () => unknown): ErrorCode | "none" {
  try {
    run();
    return "none";
  } catch (failure) {
    if (failure instanceof EnvelopeError) return failure.code;
    throw failure;
  }
}

test("what is written is read back, and a read stops at the end of the file", () => {
  const disk = new RealDisk();
  const path = join(temporary(), "a");
  const file = disk.open(path, "create");
  file.write(new Uint8Array([1, 2, 3, 4]), 2);
  file.sync();
  const into = new Uint8Array(10);
  expect(file.read(into, 1)).toBe(5);
  expect([...into.subarray(0, 5)]).toEqual([0, 1, 2, 3, 4]);
  expect(file.size()).toBe(6);
  file.truncate(3);
  expect([...disk.readWhole(path)]).toEqual([0, 0, 1]);
  let reported = 0;
  file.beginSync((failure) => {
    expect(failure).toBeNull();
    reported += 1;
  });
  expect(reported).toBe(1);
  file.close();
});

test("failures carry the code that says what happened", () => {
  const disk = new RealDisk();
  const directory = temporary();
  const path = join(directory, "a");
  expect(codeOf(() => disk.open(path, "write"))).toBe("MISSING_FILE");
  expect(codeOf(() => disk.open(path, "read"))).toBe("MISSING_FILE");
  expect(codeOf(() => disk.readWhole(path))).toBe("MISSING_FILE");
  expect(codeOf(() => disk.map(path))).toBe("MISSING_FILE");
  expect(codeOf(() => disk.remove(path))).toBe("MISSING_FILE");
  disk.open(path, "create").close();
  expect(codeOf(() => disk.open(path, "create"))).toBe("IO");
  const readOnly = disk.open(path, "read");
  expect(codeOf(() => readOnly.write(new Uint8Array(1), 0))).toBe("IO");
  readOnly.close();
});

test.skipIf(process.platform !== "linux")("a device without room answers DISKFULL", () => {
  const file = new RealDisk().open("/dev/full", "write");
  expect(codeOf(() => file.write(new Uint8Array(4096), 0))).toBe("DISKFULL");
  file.close();
});

test.skipIf(process.platform !== "linux")(
  "a write that is cut short is gone on with, and what cannot be written is said",
  () => {
    const path = join(temporary(), "a");
    const source = JSON.stringify(join(import.meta.dir, "../../src/env/real-disk.ts"));
    const script = `
    const { RealDisk } = await import(${source});
    const file = new RealDisk().open(${JSON.stringify(path)}, "create");
    let said = "none";
    try { file.write(new Uint8Array(16384).fill(7), 0); } catch (failure) { said = failure.code; }
    console.log(said, file.size());`;
    // The system takes of a write what fits under its limit for a file (8 KiB), and refuses the rest.
    const limited = ["bash", "-c", 'trap "" XFSZ; ulimit -f 8; exec "$0" -e "$1"', process.execPath, script];
    const run = Bun.spawnSync(limited, { stdout: "pipe", stderr: "inherit" });
    expect(run.stdout.toString()).toBe("IO 8192\n");
  },
);

test.skipIf(process.platform !== "linux")("a sync that has failed is not tried again", () => {
  const file = new RealDisk().open("/dev/full", "write");
  const failures: unknown[] = [];
  for (let i = 0; i < 2; i++) {
    try {
      file.sync();
    } catch (failure) {
      failures.push(failure);
    }
  }
  file.beginSync((failure) => failures.push(failure));
  const [first] = failures;
  expect(first).toBeInstanceOf(EnvelopeError);
  expect(failures.map((failure) => failure === first)).toEqual([true, true, true]);
  file.close();
});

test("a mapped file shows its bytes, an empty one none, and unmapping empties every view", () => {
  const disk = new RealDisk();
  const directory = temporary();
  writeFileSync(join(directory, "full"), "hello");
  writeFileSync(join(directory, "empty"), "");
  const view = disk.map(join(directory, "full"));
  const part = view.subarray(1, 3);
  disk.willNeed(view, 1, 5);
  expect(new TextDecoder().decode(view)).toBe("hello");
  disk.unmap(view);
  expect(part.length).toBe(0);
  const nothing = disk.map(join(directory, "empty"));
  expect(nothing.length).toBe(0);
  disk.unmap(nothing);
});

test("directories are made with their parents, listed in order, renamed into and removed whole", () => {
  const disk = new RealDisk();
  const directory = temporary();
  const deep = join(directory, "x", "y");
  disk.makeDirectory(deep);
  disk.makeDirectory(deep);
  disk.open(join(deep, "b"), "create").close();
  disk.open(join(deep, "a"), "create").close();
  disk.rename(join(deep, "b"), join(deep, "c"));
  disk.syncDirectory(deep);
  expect(disk.list(deep)).toEqual(["a", "c"]);
  expect(disk.exists(join(deep, "b"))).toBe(false);
  disk.removeTree(join(directory, "x"));
  expect(disk.list(directory)).toEqual([]);
  expect(disk.freeBytes(directory)).toBeGreaterThan(0);
});

test("a file with two names is one file, until the last of them goes", () => {
  const disk = new RealDisk();
  const directory = temporary();
  const [first, second] = [join(directory, "a"), join(directory, "b")];
  writeFileSync(first, "same");
  disk.link(first, second);
  expect([disk.linkCount(first), disk.linkCount(second)]).toEqual([2, 2]);
  expect(codeOf(() => disk.link(first, second))).toBe("IO");
  expect(codeOf(() => disk.link(join(directory, "none"), join(directory, "c")))).toBe("MISSING_FILE");
  disk.remove(first);
  expect(disk.linkCount(second)).toBe(1);
  expect(Buffer.from(disk.readWhole(second)).toString()).toBe("same");
});

test("a directory has one owner at a time, in this process too", () => {
  const disk = new RealDisk();
  const directory = temporary();
  const lock = disk.lock(directory);
  expect(codeOf(() => disk.lock(directory))).toBe("DIRECTORY_IN_USE");
  lock.release();
  disk.lock(directory).release();
});

test("an owner that was killed frees the directory", async () => {
  const disk = new RealDisk();
  const directory = temporary();
  const program = `
    const { RealDisk } = await import(${JSON.stringify(join(import.meta.dir, "../../src/env/real-disk.ts"))});
    new RealDisk().lock(${JSON.stringify(directory)});
    console.log("held");
    setInterval(() => undefined, 1000);
  `;
  const owner = Bun.spawn([process.execPath, "-e", program], { stdout: "pipe", stderr: "inherit" });
  const { value } = await owner.stdout.getReader().read();
  expect(new TextDecoder().decode(value)).toBe("held\n");
  expect(codeOf(() => disk.lock(directory))).toBe("DIRECTORY_IN_USE");
  owner.kill("SIGKILL");
  await owner.exited;
  disk.lock(directory).release();
});

test("direct writes arrive whole, or the disk says why it has none; what is not aligned is refused", () => {
  const disk = new RealDisk();
  const directory = temporary();
  const path = join(directory, "direct");
  disk.open(path, "create").close();
  const obstacle = disk.directWriteObstacle(directory);
  expect(disk.list(directory)).toEqual(["direct"]);
  if (obstacle !== null) return expect(obstacle).toContain("O_DIRECT");
  const file = disk.open(path, "writeDirect");
  // More than one copy's worth, from memory that lies anywhere.
  const bytes = new Uint8Array(3 * 1024 * 1024 + 8192 + 3).subarray(3);
  for (let i = 0; i < bytes.length; i++) bytes[i] = i * 31 + (i >>> 12);
  file.write(bytes, 8192);
  file.sync();
  let told: unknown = "nothing";
  file.beginSync((failure) => {
    told = failure;
  });
  expect(told).toBeNull();
  expect(Buffer.compare(disk.readWhole(path).subarray(8192), bytes)).toBe(0);
  expect(codeOf(() => file.write(bytes.subarray(0, 100), 0))).toBe("IO");
  // A write that failed may have lost more than itself.
  expect(codeOf(() => file.sync())).toBe("IO");
  file.close();
});

test("direct reads bring any range into any memory, or the disk says why it has none", () => {
  const disk = new RealDisk();
  const directory = temporary();
  const path = join(directory, "direct");
  const file = disk.open(path, "create");
  const bytes = new Uint8Array(3 * 512 * 1024 + 777);
  for (let i = 0; i < bytes.length; i++) bytes[i] = i * 31 + (i >>> 12);
  file.write(bytes, 0);
  file.close();
  const obstacle = disk.directReadObstacle(directory);
  expect(disk.list(directory)).toEqual(["direct"]);
  if (obstacle !== null) return expect(obstacle).toContain("O_DIRECT");
  const direct = disk.open(path, "readDirect");
  expect(direct.size()).toBe(bytes.length);
  const first = Math.floor(Math.random() * 1e9);
  for (let seed = first; seed < first + 200; seed++) {
    const random = new Random(seed);
    const into = new Uint8Array(random.below(random.chance(0.1) ? bytes.length : 20_000)).subarray(random.below(9));
    const position = random.chance(0.2) ? bytes.length - random.below(9000) : random.below(bytes.length);
    const count = direct.read(into, position);
    const expected = bytes.subarray(position, position + into.length);
    expect(Buffer.compare(into.subarray(0, count), expected), `seed ${seed}`).toBe(0);
  }
  expect(direct.read(new Uint8Array(10), bytes.length)).toBe(0);
  expect(direct.read(new Uint8Array(10), bytes.length + 100_000)).toBe(0);
  direct.close();
  expect(codeOf(() => direct.read(new Uint8Array(10), 0))).toBe("IO");
  expect(codeOf(() => disk.open(join(directory, "none"), "readDirect"))).toBe("MISSING_FILE");
});

test("where a probe cannot be made, direct reads have an obstacle and nothing is left behind", () => {
  expect(new RealDisk().directReadObstacle(join(temporary(), "none"))).toContain("O_DIRECT: ENOENT");
});
