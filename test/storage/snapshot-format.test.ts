/** The description of a snapshot: its bytes, and what is refused. */
import { expect, test } from "bun:test";
import { EnvelopeError } from "../../src/core/errors.ts";
import { logIndex, shardId, term } from "../../src/core/ids.ts";
import {
  decodeSnapshotDescription,
  encodeSnapshotDescription,
  type SnapshotDescription,
} from "../../src/storage/snapshot-format.ts";
import { flipped, IDENTITY } from "./support/versions.ts";

const DESCRIPTION: SnapshotDescription = {
  ...IDENTITY,
  position: {
    sequence: 3,
    index: logIndex(900),
    term: term(4),
    stampHigh: 7,
    stampLow: 8,
    configuration: { index: logIndex(12), body: new Uint8Array([0x91, 5]) },
  },
  files: [
    { name: "00000002.sst", byteCount: 4096, checksum: 0xfedcba98 },
    { name: "00000003.manifest", byteCount: 256, checksum: 1 },
  ],
};

const GOLDEN = [
  "45565044f5d028d4010003000200000007070707070707070707070707070707",
  "8403000000000000040000000000000007000000080000000300000000000000",
  "0c000000000000000200000091050c00000030303030303030322e7373740010",
  "00000000000098badcfe1100000030303030303030332e6d616e696665737400",
  "0100000000000001000000",
];

function outcomeOf(bytes: Uint8Array, identity = IDENTITY): string {
  try {
    decodeSnapshotDescription(bytes, identity, "a test");
    return "good";
  } catch (cause) {
    if (cause instanceof EnvelopeError) return cause.code;
    throw cause;
  }
}

test("has these very bytes in format version 1, and comes back as it was", () => {
  const bytes = encodeSnapshotDescription(DESCRIPTION);
  expect(bytes.toHex()).toBe(GOLDEN.join(""));
  expect(decodeSnapshotDescription(bytes, IDENTITY, "a test")).toEqual(DESCRIPTION);
});

test("any damage to it is found, and another shard's is refused", () => {
  const bytes = encodeSnapshotDescription(DESCRIPTION);
  for (let offset = 0; offset < bytes.length; offset++) expect(outcomeOf(flipped(bytes, offset))).toBe("CORRUPTION");
  for (let length = 0; length < bytes.length; length++) expect(outcomeOf(bytes.subarray(0, length))).toBe("CORRUPTION");
  expect(outcomeOf(bytes, { ...IDENTITY, shard: shardId(4) })).toBe("FOREIGN_DIRECTORY");
  expect(outcomeOf(bytes, { ...IDENTITY, clusterId: new Uint8Array(16) })).toBe("FOREIGN_DIRECTORY");
});

test("only files that a snapshot has are taken, each once, with one manifest", () => {
  const [table, manifest] = DESCRIPTION.files;
  if (table === undefined || manifest === undefined) throw new Error("the description has two files");
  const named = (name: string) =>
    outcomeOf(encodeSnapshotDescription({ ...DESCRIPTION, files: [{ ...table, name }, manifest] }));
  expect(named("00000009.kept.evp")).toBe("good");
  for (const name of [
    "../00000002.sst",
    "00000001.evp",
    "hard-state.0.meta",
    "x/00000002.sst",
    "00000003.manifest",
    "",
  ]) {
    expect(named(name)).toBe("CORRUPTION");
  }
  expect(outcomeOf(encodeSnapshotDescription({ ...DESCRIPTION, files: [table] }))).toBe("CORRUPTION");
});
