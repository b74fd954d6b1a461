import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, cpSync, existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { encodeIdentity } from "../../src/cluster/identity-format.ts";
import { crc32 } from "../../src/core/crc32.ts";
import type { Finding, FilePart } from "../../src/core/file-report.ts";
import { fileNumber, shardId } from "../../src/core/ids.ts";
import { RealDisk } from "../../src/env/real-disk.ts";
import { inspectFile } from "../../src/inspect.ts";
import { encodeQuarantine, QuarantineKind, quarantinePath } from "../../src/log/quarantine-format.ts";
import { Manifest } from "../../src/storage/manifest.ts";
import { encodeFrame, encodeSnapshot, FrameKind, NO_VALUE_FILE_CHANGE } from "../../src/storage/manifest-format.ts";
import { verifyDirectory, type VerifySummary } from "../../src/verify.ts";
import { KIB, put, ShardHarness } from "../shard/shard-harness.ts";
import { runMain, temporaryDirectory } from "./run-main.ts";
import { fillShard, filesOf, fingerprint, flipBit } from "./shard-directory.ts";

setDefaultTimeout(60_000);

const CLUSTER_ID = "07".repeat(16);

interface Verified {
  readonly damage: readonly Finding[];
  readonly notes: readonly Finding[];
  readonly summary: VerifySummary;
}

function verified(directory: string, isShallow = false): Verified {
  const findings: Finding[] = [];
  const summary = verifyDirectory(new RealDisk(), directory, isShallow, (finding) => findings.push(finding));
  const bySeverity = (severity: string): Finding[] => findings.filter((finding) => finding.severity === severity);
  return { damage: bySeverity("damage"), notes: bySeverity("note"), summary };
}

function partsOf(path: string, kind: string): FilePart[] {
  const parts: FilePart[] = [];
  inspectFile(new RealDisk(), path, { withEntries: true }, (part) => parts.push(part));
  return parts.filter((part) => part.kind === kind);
}

/** A node's directory around the shard: what `verify` is usually given. */
function makeNode(home: string): void {
  const members = { version: 0, nextId: 1, members: [] };
  const rest = { nodeId: 1, incarnation: "ab", shardCount: 1, founders: [1], members, heard: [] };
  const identity = { clusterId: CLUSTER_ID, nodeName: "n1", ...rest };
  writeFileSync(join(home, "node.meta"), encodeIdentity(identity));
  writeFileSync(join(home, "LOCK"), "1\n");
}

function nth(directory: string, ending: string, place = 0): string {
  const path = filesOf(directory, ending).at(place);
  if (path === undefined) throw new Error(`no ${ending} ${place} in ${directory}`);
  return path;
}

/** One filled directory serves all tests of this file; each damages a copy of it. */
const original = temporaryDirectory();
fillShard(original.path);
makeNode(original.path);
afterAll(() => original[Symbol.dispose]());

function copyOfNode() {
  const home = temporaryDirectory();
  cpSync(original.path, home.path, { recursive: true });
  return { ...home, shard: join(home.path, "shard-0000"), [Symbol.dispose]: () => home[Symbol.dispose]() };
}

test("what a shard has left behind is sound, deep and shallow, as a node and as a shard, and nothing is changed", () => {
  using node = copyOfNode();
  const before = fingerprint(node.path);
  for (const directory of [node.path, node.shard]) {
    for (const isShallow of [false, true]) {
      const { damage, summary } = verified(directory, isShallow);
      expect(damage).toEqual([]);
      expect(summary.shardCount).toBe(1);
      expect(summary.fileCount).toBeGreaterThan(10);
    }
  }
  expect(fingerprint(node.path)).toEqual(before);
});

test("one flipped bit anywhere in what counts of a file is found, in that file", () => {
  using node = copyOfNode();
  const { shard } = node;
  const table = nth(shard, ".sst");
  const segment = nth(shard, ".evp");
  const [, secondBlock] = partsOf(table, "block");
  const [, edit] = partsOf(nth(shard, ".manifest"), "edit");
  const tableBytes = statSync(table).size;
  const places: [string, number][] = [
    [join(node.path, "node.meta"), 30],
    [nth(shard, "0.meta"), 41],
    [nth(shard, "1.meta"), 4000],
    [nth(shard, ".manifest"), (edit?.offset ?? 0) + 40],
    [table, 70],
    [table, (secondBlock?.offset ?? 0) + 30],
    [table, tableBytes - 100],
    [table, tableBytes - 130],
    [segment, 100],
    [segment, 4096 + 20],
    [segment, 8192 + 500],
    [nth(shard, ".hint"), 20],
    [nth(shard, ".hint"), 200],
  ];
  for (const [path, offset] of places) {
    flipBit(path, offset);
    const { damage } = verified(node.path);
    expect({ path, offset, files: damage.map(({ file }) => file) }).toMatchObject({
      files: expect.arrayContaining([path]),
    });
    flipBit(path, offset);
  }
  expect(verified(node.path).damage).toEqual([]);
});

test("one run shows the damage of several files and several places", () => {
  using node = copyOfNode();
  const segment = nth(node.shard, ".evp");
  const table = nth(node.shard, ".sst");
  const blocks = partsOf(table, "block");
  flipBit(segment, 8192 + 70);
  flipBit(segment, 8192 * 4 + 70);
  flipBit(table, (blocks[0]?.offset ?? 0) + 10);
  flipBit(table, (blocks[2]?.offset ?? 0) + 10);
  flipBit(nth(node.shard, ".hint", 1), 150);
  const { damage, summary } = verified(node.path);
  const places = damage.map(({ file, offset }) => `${basename(file)} ${offset}`);
  expect(places).toContain(`${basename(segment)} 8192`);
  expect(places).toContain(`${basename(segment)} ${8192 * 4}`);
  expect(places).toContain(`${basename(table)} ${blocks[0]?.offset}`);
  expect(places).toContain(`${basename(table)} ${blocks[2]?.offset}`);
  expect(summary.damageCount).toBe(damage.length);
});

test("shallow looks at headers and footers and at nothing between them", () => {
  using node = copyOfNode();
  const table = nth(node.shard, ".sst");
  const [, block] = partsOf(table, "block");
  flipBit(table, (block?.offset ?? 0) + 30);
  flipBit(nth(node.shard, ".evp"), 8192 + 70);
  expect(verified(node.path, true).damage).toEqual([]);
  flipBit(table, 70);
  expect(verified(node.path, true).damage.map(({ file }) => file)).toEqual([table]);
});

test("files that are missing, short, exchanged or of a gap in the log are damage", () => {
  const cases: ((shard: string) => void)[] = [
    (shard) => rmSync(nth(shard, ".sst", 1)),
    (shard) => rmSync(nth(shard, ".evp", 1)),
    (shard) => rmSync(nth(shard, ".manifest")),
    (shard) => rmSync(nth(shard, "0.meta")),
    (shard) => truncateSync(nth(shard, ".sst", 1), 200),
    (shard) => truncateSync(nth(shard, ".evp", 1), 8192),
    (shard) => {
      const [a, b] = [nth(shard, ".sst", 1), nth(shard, ".sst", 2)];
      const bytes = readFileSync(a);
      copyFileSync(b, a);
      writeFileSync(b, bytes);
    },
    (shard) => {
      // Everything before the segment that is written now, as if somebody had cleaned up.
      for (const path of filesOf(shard, ".evp").slice(0, -1)) rmSync(path);
      for (const path of filesOf(shard, ".hint")) rmSync(path);
    },
  ];
  for (const [number, damage] of cases.entries()) {
    using node = copyOfNode();
    damage(node.shard);
    expect({ number, isFound: verified(node.path).damage.length > 0 }).toEqual({ number, isFound: true });
  }
});

/** Makes the checksums of a table right again after its header region or its footer were changed. */
function sealTable(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const region = bytes.subarray(0, view.getUint32(12, true));
  const checksum = crc32(region.subarray(64), crc32(region.subarray(0, 60)));
  view.setUint32(60, checksum, true);
  view.setUint32(bytes.length - 56, checksum, true);
  const footerBytes = 128 + view.getUint32(bytes.length - 128, true) + view.getUint32(bytes.length - 124, true);
  view.setUint32(bytes.length - 4, crc32(bytes.subarray(bytes.length - footerBytes, bytes.length - 4)), true);
}

test("a table whose bytes are whole and whose contents are wrong is found out", () => {
  const cases: [(bytes: Uint8Array) => void, string][] = [
    // An empty filter: only reading every key can tell.
    [(bytes) => bytes.fill(0, 64, 128), "a key that the filter denies"],
    // Entries and tombstones that the footer has counted, its smallest and its largest stamp.
    [(bytes) => bytes[bytes.length - 104]!++, "entries, found"],
    [(bytes) => bytes[bytes.length - 96]!++, "tombstones, found"],
    [(bytes) => bytes[bytes.length - 120]!++, "another smallest stamp"],
    [(bytes) => bytes[bytes.length - 112]!++, "another largest stamp"],
  ];
  for (const [change, said] of cases) {
    using node = copyOfNode();
    const path = nth(node.shard, ".sst");
    const bytes = readFileSync(path);
    change(bytes);
    sealTable(bytes);
    writeFileSync(path, bytes);
    // The manifest would know the footer's checksum.
    rmSync(nth(node.shard, ".manifest"));
    const found = verified(node.path).damage.filter(({ file }) => file === path);
    expect(found.map(({ what }) => what)).toEqual(expect.arrayContaining([expect.stringContaining(said)]));
  }
});

test("tables that overlap within a level are found out", () => {
  using node = copyOfNode();
  const identity = { shard: shardId(0), clusterId: Uint8Array.fromHex(CLUSTER_ID) };
  const manifest = Manifest.open(new RealDisk(), node.shard, identity);
  const added = [...manifest.records.values()].map((record) => ({ ...record, level: 1, run: 0 }));
  const values = NO_VALUE_FILE_CHANGE;
  const edit = { nextFileNumber: 9000, flushed: manifest.flushed, removed: [], added, values };
  const path = nth(node.shard, ".manifest");
  const number = fileNumber(Number.parseInt(basename(path), 10));
  writeFileSync(path, encodeFrame(number, FrameKind.snapshot, 0, encodeSnapshot(identity, edit)));
  expect(verified(node.path).damage.map(({ what }) => what)).toContainEqual(expect.stringContaining("overlaps"));
});

test("a group that is gone without a trace from a sealed segment is missed by its number", () => {
  using node = copyOfNode();
  const path = nth(node.shard, ".evp");
  const last = partsOf(path, "group").at(-1);
  const bytes = readFileSync(path);
  bytes.fill(0, last?.offset ?? 0);
  writeFileSync(path, bytes);
  for (const hint of filesOf(node.shard, ".hint")) rmSync(hint);
  const { damage } = verified(node.path);
  expect(damage).toMatchObject([{ file: path, offset: last?.offset ?? 0 }]);
  expect(damage[0]?.what).toContain("where bytes were durable");
});

test("a log that begins behind the place where the tables end has a gap", () => {
  using home = temporaryDirectory();
  const harness = new ShardHarness({ directory: home.path, memtableBytes: 4096 * KIB });
  harness.run(put("k", "0"));
  harness.maintain("flush");
  for (let i = 0; i < 150; i++) harness.run(put(`k${i}`, "x".repeat(3000)));
  harness.stop();
  const shard = join(home.path, "shard-0000");
  expect(verified(shard).damage).toEqual([]);
  rmSync(nth(shard, ".evp"));
  for (const hint of filesOf(shard, ".hint")) rmSync(hint);
  expect(verified(shard).damage.map(({ what }) => what)).toEqual([expect.stringContaining("entries are missing")]);
});

test("a torn tail and files that count for nothing are noted and are no damage", () => {
  using node = copyOfNode();
  const path =
    filesOf(node.shard, ".evp")
      .filter((one) => partsOf(one, "group").length > 0)
      .at(-1) ?? "";
  flipBit(path, (partsOf(path, "group").at(-1)?.offset ?? 0) + 70);
  const names = ["00000009.evp.next", "00000999.sst", "notes.txt"].map((name) => join(node.shard, name));
  for (const name of names) writeFileSync(name, "x");
  const { damage, notes } = verified(node.path);
  expect(damage).toEqual([]);
  expect(notes.map(({ file }) => file).sort()).toEqual([...names, path].sort());
  expect(notes.find(({ file }) => file === path)?.what).toContain("torn tail");
});

test("a quarantined file is noted beside what is found in it now", () => {
  using node = copyOfNode();
  const table = nth(node.shard, ".sst");
  const record = {
    kind: QuarantineKind.table,
    number: Number.parseInt(basename(table), 10),
    offset: 512,
    reason: "a block with a wrong checksum",
    foundMs: 1,
    fileChecksum: 2,
    smallest: new Uint8Array(4),
    largest: new Uint8Array(4),
    firstIndex: 0,
    lastIndex: 0,
  };
  const identity = { shard: shardId(0), clusterId: Uint8Array.fromHex(CLUSTER_ID) };
  writeFileSync(quarantinePath(table), encodeQuarantine(record, identity));
  const { damage, notes } = verified(node.path);
  expect(damage).toEqual([]);
  expect(notes).toEqual([
    { severity: "note", file: table, offset: 512, what: "quarantined: a block with a wrong checksum" },
  ]);
  expect(partsOf(quarantinePath(table), "quarantine")[0]?.fields).toMatchObject({ of: "table", damageOffset: 512 });
});

test("exit codes: 0 sound, 1 damaged, 2 in use or none of ours", async () => {
  using node = copyOfNode();
  const sound = await runMain(["verify", node.path]);
  expect(sound).toMatchObject({ code: 0, err: "" });
  expect(sound.out).toStartWith("sound: 1 shards, ");
  const lock = new RealDisk().lock(node.path);
  for (const directory of [node.path, node.shard]) {
    const refused = await runMain(["verify", directory]);
    expect(refused).toMatchObject({ code: 2, out: "" });
    expect(refused.err).toContain(`DIRECTORY_IN_USE: ${node.path} is in use by process ${process.pid}`);
  }
  lock.release();
  const before = readFileSync(join(node.path, "LOCK"), "utf8");
  flipBit(nth(node.shard, ".evp"), 8192 + 70);
  const damaged = await runMain(["verify", node.shard, "--json"]);
  const objects = damaged.out
    .trim()
    .split("\n")
    .map((line): Record<string, unknown> => JSON.parse(line));
  expect(damaged.code).toBe(1);
  expect(objects[0]).toMatchObject({ severity: "damage", offset: 8192 });
  expect(objects.at(-1)).toMatchObject({ severity: "summary", damageCount: objects.length - 1 });
  expect(readFileSync(join(node.path, "LOCK"), "utf8")).toBe(before);
  using empty = temporaryDirectory();
  expect((await runMain(["verify", empty.path])).code).toBe(2);
  expect((await runMain(["verify", join(empty.path, "nowhere")])).code).toBe(2);
  expect(existsSync(join(empty.path, "LOCK"))).toBe(false);
});
