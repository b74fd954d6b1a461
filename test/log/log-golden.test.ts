/**
 * The bytes of hint, hard state and quarantine record, version 1. A change here is a change of format: it needs a new version and a
 * decoder for the old one.
 */
import { expect, test } from "bun:test";
import { ByteWriter } from "../../src/core/byte-writer.ts";
import { utf8 } from "../../src/core/bytes.ts";
import { logIndex, nodeId, shardId, term } from "../../src/core/ids.ts";
import { decodeHardState, encodeHardState } from "../../src/log/hard-state-format.ts";
import { decodeQuarantine, encodeQuarantine, QuarantineKind } from "../../src/log/quarantine-format.ts";
import {
  decodeHintEntries,
  decodeHintHeader,
  decodeHintKeys,
  decodeHintTermRuns,
  encodeHintEntry,
  encodeHintHeader,
  encodeHintKey,
  encodeHintTermRuns,
} from "../../src/log/hint-format.ts";

const GOLDEN = {
  hintHeader:
    "4556504874fd1ba901000000785634120500000000000000bc020000000000005000000000f0ff01915f010000000000905f01000000000003000000000000000200000001000000040000006400000004030201080706050c0b0a09000000000000000000000000000000000000000000000000000000000000000000000000",
  hintTermRuns: "905f0100000000000400000000000000",
  hintEntry: "905f0100000000000400000000000000401000002c0300000df0edfe02000000",
  hintKey: "40000000601000000600000a757365723a31",
  hardState:
    "4556504d3df9bfb80200020000000000000102030405060708090a0b0c0d0e0f11000000000000000c00000000000000030000000000000088130000000000000000000000000000",
  hardStateVersion1:
    "4556504d0af0071a0100020000000000000102030405060708090a0b0c0d0e0f11000000000000000c00000000000000030000000000000088130000000000000b00000000000000",
  quarantine:
    "455650512d36d6250100010002000000000102030405060708090a0b0c0d0e0f0c00000000000000807d0100000000000068e5cf8b0100000000000000000000000000000000000005000000060000000df0edfe0b0000000000000161000000017a7a612062616420626c6f636b",
} as const;

const HINT = {
  segmentChecksum: 0x1234_5678,
  segmentId: 5,
  firstGroup: 700,
  groupCount: 80,
  endOffset: 33_550_336,
  commitIndex: 90_001,
  firstIndex: 90_000,
  previousTerm: 3,
  entryCount: 2,
  termRunCount: 1,
  keyCount: 4,
  keySectionBytes: 100,
  termRunsChecksum: 0x0102_0304,
  entriesChecksum: 0x0506_0708,
  keysChecksum: 0x090a_0b0c,
};
const RUNS = [{ firstIndex: logIndex(90_000), term: term(4) }];

test("a hint has these bytes and is read back from them", () => {
  expect(encodeHintHeader(HINT).toHex()).toBe(GOLDEN.hintHeader);
  expect(decodeHintHeader(Uint8Array.fromHex(GOLDEN.hintHeader), "golden")).toEqual(HINT);
  expect(encodeHintTermRuns(RUNS).toHex()).toBe(GOLDEN.hintTermRuns);
  expect(decodeHintTermRuns(Uint8Array.fromHex(GOLDEN.hintTermRuns))).toEqual(RUNS);
  const entry = new ByteWriter();
  encodeHintEntry(entry, 90_000, 4, 4160, 812, 0xfeed_f00d, 2);
  expect(entry.written().toHex()).toBe(GOLDEN.hintEntry);
  expect(decodeHintEntries(Uint8Array.fromHex(GOLDEN.hintEntry))).toEqual({
    offsets: Uint32Array.of(4160),
    byteCounts: Uint32Array.of(812),
    checksums: Uint32Array.of(0xfeed_f00d),
  });
  const key = new ByteWriter();
  encodeHintKey(key, 64, 4192, 10, utf8("user:1"));
  expect(key.written().toHex()).toBe(GOLDEN.hintKey);
  expect(decodeHintKeys(Uint8Array.fromHex(GOLDEN.hintKey))).toEqual([
    { bucket: 64, offset: 4192, type: 10, key: utf8("user:1") },
  ]);
});

test("a hard state has these bytes, then zeros to the end of the block, and is read back from them", () => {
  const identity = { shard: shardId(2), clusterId: Uint8Array.fromHex("000102030405060708090a0b0c0d0e0f") };
  const state = {
    generation: 17,
    term: term(12),
    vote: nodeId(3),
    votesFrom: logIndex(5000),
  };
  const bytes = encodeHardState(state, identity);
  expect(bytes.length).toBe(4096);
  expect(bytes.subarray(0, 72).toHex()).toBe(GOLDEN.hardState);
  expect(bytes.subarray(72).every((byte) => byte === 0)).toBe(true);
  expect(decodeHardState(bytes, identity, "golden")).toEqual(state);
  const old = new Uint8Array(4096);
  old.set(Uint8Array.fromHex(GOLDEN.hardStateVersion1));
  expect(decodeHardState(old, identity, "golden")).toEqual({ ...state, votesFrom: logIndex(0) });
});

test("a quarantine record has these bytes and is read back from them; no flipped bit and no missing byte passes", () => {
  const identity = { shard: shardId(2), clusterId: Uint8Array.fromHex("000102030405060708090a0b0c0d0e0f") };
  const record = {
    kind: QuarantineKind.table,
    number: 12,
    offset: 97_664,
    reason: "a bad block",
    foundMs: 1_700_000_000_000,
    fileChecksum: 0xfeed_f00d,
    smallest: Uint8Array.fromHex("0000000161"),
    largest: Uint8Array.fromHex("000000017a7a"),
    firstIndex: 0,
    lastIndex: 0,
  };
  const bytes = encodeQuarantine(record, identity);
  expect(bytes.toHex()).toBe(GOLDEN.quarantine);
  expect(decodeQuarantine(bytes, identity, "golden")).toEqual(record);
  expect(decodeQuarantine(bytes, { ...identity, shard: shardId(3) }, "golden")).toMatchObject({
    code: "FOREIGN_DIRECTORY",
  });
  for (let i = 0; i < bytes.length; i++) {
    const damaged = bytes.slice();
    damaged[i]! ^= 1;
    expect(decodeQuarantine(damaged, identity, "golden")).toMatchObject({ code: "CORRUPTION" });
    expect(decodeQuarantine(bytes.subarray(0, i), identity, "golden")).toMatchObject({ code: "CORRUPTION" });
  }
});
