import { expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeIdentity } from "../../src/cluster/identity-format.ts";
import { escapeBytes, type FilePart } from "../../src/core/file-report.ts";
import { nodeId } from "../../src/core/ids.ts";
import { RealDisk } from "../../src/env/real-disk.ts";
import { type Damage, inspectFile } from "../../src/inspect.ts";
import { runMain, temporaryDirectory } from "./run-main.ts";
import { fillShard, filesOf, fingerprint, flipBit } from "./shard-directory.ts";

setDefaultTimeout(60_000);

function inspected(path: string, withEntries = false): { parts: FilePart[]; damage: Damage } {
  const parts: FilePart[] = [];
  const damage = inspectFile(new RealDisk(), path, { withEntries }, (part) => parts.push(part));
  return { parts, damage };
}

function kinds(parts: readonly FilePart[]): Set<string> {
  return new Set(parts.map((part) => part.kind));
}

function first(directory: string, ending: string): string {
  const [path] = filesOf(directory, ending);
  if (path === undefined) throw new Error(`no ${ending} in ${directory}`);
  return path;
}

test("every kind of file is described down to its entries, and none is changed", () => {
  using home = temporaryDirectory();
  const directory = fillShard(home.path);
  const before = fingerprint(directory);
  const segment = inspected(first(directory, ".evp"));
  expect(segment.damage).toBeNull();
  expect(kinds(segment.parts)).toEqual(new Set(["segment", "group", "entry", "command", "end"]));
  expect(segment.parts.find((part) => part.kind === "command")).toMatchObject({
    depth: 3,
    fields: { type: "put", bucket: 1, key: '"key0"', valueBytes: 3000 },
  });
  const hint = inspected(first(directory, ".hint"), true);
  expect(kinds(hint.parts)).toEqual(new Set(["hint", "termRun", "entry", "key"]));
  expect(hint.parts.find((part) => part.kind === "key")?.fields).toMatchObject({ type: "put", key: '"key0"' });
  const tables = filesOf(directory, ".sst").map((path) => inspected(path, true));
  expect(tables.every(({ damage }) => damage === null)).toBe(true);
  const versions = tables.flatMap(({ parts }) => parts.filter((part) => part.kind === "entry"));
  const kindsOfKey1 = versions.filter((part) => part.fields["key"] === '"key1"').map((part) => part.fields["kind"]);
  expect(kindsOfKey1).toContain("tombstone");
  expect(versions.find((part) => part.fields["key"] === '"soon"')?.fields).toHaveProperty("expiryMs");
  const counted = tables.flatMap(({ parts }) => parts.filter((part) => part.kind === "table"));
  const entryCount = counted.reduce((sum, part) => sum + Number(part.fields["entryCount"]), 0);
  expect(versions.length).toBe(entryCount);
  const manifest = inspected(first(directory, ".manifest"));
  expect(manifest.parts.filter((part) => part.kind === "live").length).toBe(tables.length);
  expect(kinds(inspected(first(directory, "0.meta")).parts)).toEqual(new Set(["hardState"]));
  expect(fingerprint(directory)).toEqual(before);
});

test("the identity of a node is described", () => {
  using home = temporaryDirectory();
  const path = join(home.path, "node.meta");
  const rest = { incarnation: "", peerAddress: "127.0.0.1:9101", rack: "", state: "member" } as const;
  const identity = {
    clusterId: "cd",
    nodeName: "n1",
    nodeId: 1,
    incarnation: "ab",
    shardCount: 2,
    founders: [1],
    members: { version: 3, nextId: 2, members: [{ id: nodeId(1), name: "n1", ...rest }] },
    heard: [{ id: 1, incarnation: "ab" }],
  };
  writeFileSync(path, encodeIdentity(identity));
  const { parts, damage } = inspected(path);
  expect(damage).toBeNull();
  expect(parts.map((part) => part.kind)).toEqual(["identity", "member", "heard"]);
});

test("what is sound around damage is printed, and the damage is named with its offset", () => {
  using home = temporaryDirectory();
  const directory = fillShard(home.path);
  const segment = first(directory, ".evp");
  const groups = inspected(segment).parts.filter((part) => part.kind === "group");
  flipBit(segment, 8192 + 100);
  const broken = inspected(segment);
  expect(broken.damage?.message).toContain("at offset 8192");
  expect(broken.parts.filter((part) => part.kind === "group").length).toBe(groups.length - 1);

  const table = first(directory, ".sst");
  const blocks = inspected(table).parts.filter((part) => part.kind === "block");
  flipBit(table, (blocks[1]?.offset ?? 0) + 20);
  const damaged = inspected(table);
  expect(damaged.damage?.message).toContain(`at offset ${blocks[1]?.offset}`);
  expect(damaged.parts.filter((part) => part.kind === "block").length).toBe(blocks.length - 1);

  const manifest = first(directory, ".manifest");
  const edits = inspected(manifest).parts.filter((part) => part.kind === "edit");
  flipBit(manifest, (edits[0]?.offset ?? 0) + 30);
  expect(inspected(manifest).damage?.message).toContain(`at offset ${edits[0]?.offset}`);
  expect(inspected(manifest).parts.filter((part) => part.kind === "edit").length).toBe(edits.length - 1);

  for (const ending of [".hint", "0.meta"]) {
    flipBit(first(directory, ending), 60);
    expect(inspected(first(directory, ending)).damage).not.toBeNull();
  }
});

test("a damaged last group is a torn tail and no damage, as nothing says that it was durable", () => {
  using home = temporaryDirectory();
  const directory = fillShard(home.path);
  // The last segment may have been made ahead.
  const hasGroup = (one: string): boolean => inspected(one).parts.some((part) => part.kind === "group");
  const path = filesOf(directory, ".evp").filter(hasGroup).at(-1) ?? "";
  const lastGroup = inspected(path)
    .parts.filter((part) => part.kind === "group")
    .at(-1);
  flipBit(path, (lastGroup?.offset ?? 0) + 10);
  const { parts, damage } = inspected(path);
  expect(damage).toBeNull();
  expect(parts.at(-1)).toMatchObject({ kind: "end", fields: { why: "a torn tail" } });
});

test("a file is known by its content, whatever its name, and by its name when the content is gone", () => {
  using home = temporaryDirectory();
  const directory = fillShard(home.path);
  for (const ending of [".evp", ".hint", ".sst", "0.meta"]) {
    const renamed = join(home.path, `renamed${ending}.copy`);
    copyFileSync(first(directory, ending), renamed);
    expect({ ending, ...inspected(renamed).damage }).toEqual({ ending });
  }
  const segment = first(directory, ".evp");
  writeFileSync(segment, readFileSync(segment).fill(0));
  expect(inspected(segment).damage?.message).toContain("no segment header");
  const table = first(directory, ".sst");
  truncateSync(table, 0);
  expect(inspected(table).damage?.message).toContain("cut short");
});

test("bytes are shown escaped and cut to a length", () => {
  expect(escapeBytes(new Uint8Array([65, 34, 92, 10, 0, 255]), 64)).toBe('"A\\"\\\\\\n\\x00\\xff"');
  expect(escapeBytes(new Uint8Array(70).fill(120), 4)).toBe('"xxxx"… 66 more bytes');
});

test("exit codes: 0 sound, 1 damaged, 2 not ours or not there; JSON is an object a line, and a limit hides parts", async () => {
  using home = temporaryDirectory();
  const directory = fillShard(home.path);
  const segment = first(directory, ".evp");
  const sound = await runMain(["inspect", segment, "--json", "--limit", "3"]);
  const lines = sound.out.trim().split("\n");
  const objects = lines.map((line): Record<string, unknown> => JSON.parse(line));
  expect(sound.code).toBe(0);
  expect(objects.map((one) => one["part"])).toEqual(["segment", "group", "entry", "result"]);
  expect(objects.at(-1)).toMatchObject({ sound: true, damage: null });
  flipBit(segment, 8192 + 100);
  const damaged = await runMain(["inspect", segment]);
  expect(damaged.code).toBe(1);
  expect(damaged.out).toContain("damage: ");
  const foreign = join(home.path, "letter.txt");
  writeFileSync(foreign, "Dear reader, nothing here is a database.");
  const refused = await runMain(["inspect", foreign]);
  expect(refused).toMatchObject({ code: 2, out: "" });
  expect(refused.err).toContain("is not a file of EnvelopeDB");
  expect((await runMain(["inspect", join(home.path, "nothing.sst")])).code).toBe(2);
  expect((await runMain(["inspect", home.path])).code).toBe(2);
});
