/**
 * The bytes of every record format, version 1, as they lie on the disks of everybody who has used this. A change here
 * is a change of format: it needs a new version and a decoder for the old one.
 */
import { describe, expect, test } from "bun:test";
import { utf8, viewOf } from "../../src/core/bytes.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { logIndex, shardId, term } from "../../src/core/ids.ts";
import {
  CommandReader,
  CommandType,
  commandBytes,
  encodeCommand,
  hasSession,
  FLAG_EXPIRY,
  FLAG_SESSION,
  FLAG_TRANSACTION,
  MODIFIER_GET,
  MODIFIER_NX,
  sealCommand,
  verifyCommands,
  withSession,
} from "../../src/record/command-format.ts";
import { decodeEntries, decodeEntryHeader, EntryKind, emptyEntry, sealEntry } from "../../src/record/entry-format.ts";
import { decodeGroupHeader, encodeGroupHeader, GroupHeader, groupBytesAt } from "../../src/record/group-format.ts";
import { bitOffset, bitValue, encodeBit, encodeRange, rangeOffset } from "../../src/record/part-format.ts";
import { integerResult } from "../../src/record/result.ts";
import {
  decodeKeptResult,
  encodeKeptResult,
  encodeSessionTtl,
  resultKey,
  sessionKey,
} from "../../src/record/session-format.ts";
import { decodeTransaction, encodeTransaction, transactionKeys } from "../../src/record/transaction-format.ts";
import { decodeSegmentHeader, encodeSegmentHeader, segmentChecksum } from "../../src/record/segment-format.ts";

const GOLDEN = {
  put: "f5c9f14601000300341292010700cdab400000000600000005000000757365723a31416c696365",
  conditionalPut: "6f9f173405010300341292010700cdab4000000001000005000000007bb4c5dab80100006b",
  optionalFields:
    "d0c5073f02070300341292010700cdab400000000300000000000000e803000000000000d007000000000000b80b000000000000040000006b6579",
  entry:
    "d86c69e86c000000050000000001000007000000000000000200000001000000f5c9f14601000300341292010700cdab400000000600000005000000757365723a31416c6963656f9f173405010300341292010700cdab4000000001000005000000007bb4c5dab80100006b",
  emptyEntry: "dc09df9b20000000090000000000000004000000000000000000000002000000",
  group:
    "45565047fa721d140c000000000000005a0000000000000091000000efbeadde002000160000000043420f000000000001000000000100000600000000000000",
  groupVersion1:
    "45565047a5d1c72d0c000000000000005a0000000000000091000000efbeadde002000160000000043420f000000000001000000000000000600000000000000",
  segment:
    "45565053189a256402000200000000000c0000000000000000000016000000000000000200000000000102030405060708090a0b0c0d0e0f58000000000000000080fe15000000000030000000000000",
  segmentWithOrigin:
    "45565053c9fd3d1503000200000000000c0000000000000000000016000000000000000200000000000102030405060708090a0b0c0d0e0f58000000000000000080fe1500000000003000000000000004000000010000000900000000000000",
  segmentVersion1:
    "45565053577d64dd01000200000000000c0000000000000000000016000000000000000200000000000102030405060708090a0b0c0d0e0f58000000000000000080fe15000000000030000000000000",
} as const;

function command(type: CommandType, modifiers: number, key: string, value: string, expiryMs: number): Uint8Array {
  const [keyBytes, valueBytes] = [utf8(key), utf8(value)];
  const bytes = new Uint8Array(commandBytes(expiryMs === 0 ? 0 : FLAG_EXPIRY, keyBytes.length, valueBytes.length));
  const view = new DataView(bytes.buffer);
  const end = encodeCommand(
    bytes,
    view,
    0,
    type,
    modifiers,
    64,
    { bytes: keyBytes, start: 0, end: keyBytes.length },
    { bytes: valueBytes, start: 0, end: valueBytes.length },
    expiryMs,
  );
  sealCommand(bytes, view, 0, end, 3, 0x0192_1234, 0xabcd_0007);
  return bytes;
}

const PUT = command(CommandType.put, 0, "user:1", "Alice", 0);
const CONDITIONAL = command(CommandType.conditionalPut, MODIFIER_NX | MODIFIER_GET, "k", "", 1_893_456_000_123);

test("the values of commands that change a part of a value", () => {
  const range = encodeRange(0x0102_0304, { bytes: utf8("[abc]"), start: 1, end: 4 });
  expect(range.toHex()).toBe("04030201616263");
  expect(rangeOffset(viewOf(range), 0, range.length)).toBe(0x0102_0304);
  expect(rangeOffset(viewOf(range), 0, 3)).toBe(-1);
  const bit = encodeBit(0x8000_0007, 1);
  expect(bit.toHex()).toBe("0700008001");
  expect([bitOffset(viewOf(bit), 0, 5), bitValue(viewOf(bit), 0)]).toEqual([0x8000_0007, 1]);
  expect(bitOffset(viewOf(bit), 0, 4)).toBe(-1);
  expect(bitOffset(viewOf(encodeBit(7, 2)), 0, 5)).toBe(-1);
});

test("a type has the number it was given, and no other is read", () => {
  expect([CommandType.setRange, CommandType.setBit, CommandType.incrementFloat]).toEqual([23, 24, 25]);
  const numbers = new Set<number>(Object.values(CommandType));
  for (let number = 0; number < 256; number++) {
    const bytes = PUT.slice();
    bytes[4] = number;
    expect(new CommandReader().over(bytes).read(0, bytes.length)).toBe(numbers.has(number) ? bytes.length : -1);
  }
});

function entry(): Uint8Array {
  const bytes = new Uint8Array(32 + PUT.length + CONDITIONAL.length);
  bytes.set(PUT, 32);
  bytes.set(CONDITIONAL, 32 + PUT.length);
  sealEntry(bytes, new DataView(bytes.buffer), 0, bytes.length, logIndex(2 ** 40 + 5), term(7), 2, EntryKind.commands);
  return bytes;
}

const SEGMENT = {
  shard: shardId(2),
  clusterId: Uint8Array.fromHex("000102030405060708090a0b0c0d0e0f"),
  segmentId: 12,
  basePosition: 369_098_752,
  segmentBytes: 33_554_432,
  firstGroup: 88,
  cutPosition: 369_000_448,
  provenBytes: 12_288,
  originIndex: 0,
  originTerm: 0,
  isRecycled: false,
};

/** The first of a log that begins behind a snapshot. */
const SEGMENT_WITH_ORIGIN = { ...SEGMENT, originIndex: 4_294_967_300, originTerm: 9 };

describe("a command", () => {
  test("has these bytes", () => {
    expect(PUT.toHex()).toBe(GOLDEN.put);
    expect(CONDITIONAL.toHex()).toBe(GOLDEN.conditionalPut);
  });

  test("is read back from them", () => {
    const reader = new CommandReader().over(Uint8Array.fromHex(GOLDEN.conditionalPut));
    expect(reader.read(0, reader.bytes.length)).toBe(reader.bytes.length);
    expect(reader).toMatchObject({
      type: CommandType.conditionalPut,
      flags: FLAG_EXPIRY,
      modifiers: MODIFIER_NX | MODIFIER_GET,
      origin: 3,
      stampHigh: 0x0192_1234,
      stampLow: 0xabcd_0007,
      bucket: 64,
      expiryMs: 1_893_456_000_123,
    });
    expect([reader.key(), reader.value()]).toEqual([utf8("k"), new Uint8Array(0)]);
  });

  test("with every optional field is read back from these bytes", () => {
    const reader = new CommandReader().over(Uint8Array.fromHex(GOLDEN.optionalFields));
    expect(reader.read(0, reader.bytes.length)).toBe(reader.bytes.length);
    expect(reader).toMatchObject({
      type: CommandType.delete,
      flags: FLAG_EXPIRY | FLAG_TRANSACTION | FLAG_SESSION,
      expiryMs: 1000,
      transactionId: 2000,
      sessionId: 3000,
      sequence: 4,
    });
    expect(reader.key()).toEqual(utf8("key"));
    expect(verifyCommands(reader.bytes, 0, reader.bytes.length, 1, "golden")).toBeNull();
  });

  test("with one flipped bit is not accepted", () => {
    for (let i = 0; i < PUT.length * 8; i++) {
      const bytes = PUT.slice();
      bytes[i >> 3]! ^= 1 << (i & 7);
      expect(verifyCommands(bytes, 0, bytes.length, 1, "file")?.code).toBe("CORRUPTION");
    }
  });
});

describe("an entry", () => {
  test("has these bytes", () => {
    expect(entry().toHex()).toBe(GOLDEN.entry);
    expect(emptyEntry(logIndex(9), term(4)).toHex()).toBe(GOLDEN.emptyEntry);
  });

  test("is read back from them", () => {
    const bytes = Uint8Array.fromHex(GOLDEN.entry);
    expect(decodeEntryHeader(bytes, viewOf(bytes), 0, bytes.length, "golden")).toEqual({
      entryBytes: bytes.length,
      index: logIndex(2 ** 40 + 5),
      term: term(7),
      commandCount: 2,
      kind: EntryKind.commands,
      durability: 0,
    });
    expect(decodeEntries(bytes, "golden")).toEqual([bytes]);
  });

  test("with one flipped bit is not accepted", () => {
    const whole = entry();
    for (let i = 0; i < whole.length * 8; i++) {
      const bytes = whole.slice();
      bytes[i >> 3]! ^= 1 << (i & 7);
      expect(decodeEntries(bytes, "peer")).toBeInstanceOf(EnvelopeError);
    }
  });
});

describe("a group header", () => {
  const seed = segmentChecksum(encodeSegmentHeader(SEGMENT));

  function encoded(): Uint8Array {
    const bytes = new Uint8Array(64);
    const header = Object.assign(new GroupHeader(), {
      segmentId: 12,
      groupNumber: 90,
      bodyBytes: 145,
      groupBytes: 256,
      bodyChecksum: 0xdead_beef,
      syncedThrough: 369_106_944,
      commitIndex: 1_000_003,
      entryCount: 1,
      previousTerm: 6,
    });
    encodeGroupHeader(header, seed, bytes, new DataView(bytes.buffer), 0);
    return bytes;
  }

  test("has these bytes", () => {
    expect(encoded().toHex()).toBe(GOLDEN.group);
  });

  test("is read back from them, in its own segment only", () => {
    const bytes = new Uint8Array(4096);
    bytes.set(Uint8Array.fromHex(GOLDEN.group));
    const view = new DataView(bytes.buffer);
    const header = new GroupHeader();
    expect(decodeGroupHeader(bytes, view, 0, seed, 12, header)).toBe(true);
    expect(header).toMatchObject({ segmentId: 12, groupNumber: 90, bodyBytes: 145, entryCount: 1, previousTerm: 6 });
    expect(header.groupBytes).toBe(256);
    expect(header).toMatchObject({ bodyChecksum: 0xdead_beef, syncedThrough: 369_106_944, commitIndex: 1_000_003 });
    expect(decodeGroupHeader(bytes, view, 0, seed, 13, header)).toBe(false);
    expect(decodeGroupHeader(bytes, view, 0, seed + 1, 12, header)).toBe(false);
    expect(decodeGroupHeader(new Uint8Array(4096), new DataView(new ArrayBuffer(4096)), 0, 0, 0, header)).toBe(false);
  });

  test("with one flipped bit is not accepted", () => {
    const header = new GroupHeader();
    for (let i = 0; i < 64 * 8; i++) {
      const bytes = new Uint8Array(4096);
      bytes.set(encoded());
      bytes[i >> 3]! ^= 1 << (i & 7);
      expect(decodeGroupHeader(bytes, new DataView(bytes.buffer), 0, seed, 12, header)).toBe(false);
    }
  });

  test("of version 1 is read back from its bytes, and is as long as its blocks", () => {
    const bytes = new Uint8Array(4096);
    bytes.set(Uint8Array.fromHex(GOLDEN.groupVersion1));
    const header = new GroupHeader();
    const seedOfVersion1 = segmentChecksum(Uint8Array.fromHex(GOLDEN.segmentVersion1));
    expect(decodeGroupHeader(bytes, new DataView(bytes.buffer), 0, seedOfVersion1, 12, header)).toBe(true);
    expect(header).toMatchObject({ groupNumber: 90, bodyBytes: 145, groupBytes: 4096, bodyChecksum: 0xdead_beef });
  });

  test("of a length that its body does not ask for is not accepted", () => {
    const lengths = [0, 192, 208, 209, 250, 256, 320, 4096, 4288, 4352];
    const accepted = lengths.filter((groupBytes) => {
      const bytes = new Uint8Array(8192);
      const view = new DataView(bytes.buffer);
      const header = Object.assign(new GroupHeader(), {
        segmentId: 12,
        groupNumber: 90,
        bodyBytes: 145,
        entryCount: 1,
      });
      encodeGroupHeader(Object.assign(header, { groupBytes }), seed, bytes, view, 0);
      return decodeGroupHeader(bytes, view, 0, seed, 12, new GroupHeader());
    });
    expect(accepted).toEqual([0, 256, 320, 4096, 4288]);
  });

  test("counts units, and with a sync behind it to the end of the block", () => {
    const bodies = [0, 1, 64, 65, 4032, 4033];
    expect(bodies.map((bodyBytes) => groupBytesAt(8192, bodyBytes, false))).toEqual([64, 128, 128, 192, 4096, 4160]);
    expect(bodies.map((bodyBytes) => groupBytesAt(8192, bodyBytes, true))).toEqual([
      4096, 4096, 4096, 4096, 4096, 8192,
    ]);
    expect(bodies.map((bodyBytes) => groupBytesAt(8256, bodyBytes, true))).toEqual([
      4032, 4032, 4032, 4032, 8128, 8128,
    ]);
  });
});

describe("a segment header", () => {
  test("has these bytes, then zeros to the end of the block", () => {
    const block = encodeSegmentHeader(SEGMENT);
    expect(block.length).toBe(4096);
    expect(block.subarray(0, 80).toHex()).toBe(GOLDEN.segment);
    expect(block.subarray(80).every((byte) => byte === 0)).toBe(true);
  });

  test.each([GOLDEN.segment, GOLDEN.segmentVersion1])("is read back from them: %s", (golden) => {
    const block = new Uint8Array(4096);
    block.set(Uint8Array.fromHex(golden));
    expect(decodeSegmentHeader(block, "golden")).toEqual(SEGMENT);
  });

  test("of a log that begins behind a snapshot has these bytes, in format version 3", () => {
    const block = encodeSegmentHeader(SEGMENT_WITH_ORIGIN);
    expect(block.subarray(0, 96).toHex()).toBe(GOLDEN.segmentWithOrigin);
    expect(block.subarray(96).every((byte) => byte === 0)).toBe(true);
    expect(decodeSegmentHeader(block, "golden")).toEqual(SEGMENT_WITH_ORIGIN);
  });

  test("with one flipped bit, cut short or all zero is not accepted", () => {
    const block = encodeSegmentHeader(SEGMENT);
    for (let i = 0; i < 4096 * 8; i += i < 640 ? 1 : 53) {
      const bytes = block.slice();
      bytes[i >> 3]! ^= 1 << (i & 7);
      expect(decodeSegmentHeader(bytes, "file")).toBeInstanceOf(EnvelopeError);
    }
    expect(decodeSegmentHeader(block.subarray(0, 4095), "file")).toBeInstanceOf(EnvelopeError);
    expect(decodeSegmentHeader(new Uint8Array(4096), "file")).toBeInstanceOf(EnvelopeError);
  });
});

describe("what is kept of a session", () => {
  test("has these keys and values", () => {
    expect(sessionKey(0x1f_0203_0405_0607).toHex()).toBe("01001f020304050607");
    expect(resultKey(0x1f_0203_0405_0607, 300).toHex()).toBe("02001f0203040506072c");
    expect(encodeSessionTtl(10_000).toHex()).toBe("10270000");
    const kept = { sequence: 300, result: integerResult(-2) };
    expect(encodeKeptResult(kept).toHex()).toBe("2c01000003feffffffffffffff");
    expect(decodeKeptResult(encodeKeptResult(kept))).toEqual(kept);
  });

  test("a command of it is the same command with twelve bytes more", () => {
    const bare = new Uint8Array(commandBytes(FLAG_EXPIRY, 1, 2));
    const range = (text: string) => ({ bytes: utf8(text), start: 0, end: text.length });
    encodeCommand(bare, viewOf(bare), 0, CommandType.put, 5, 7, range("k"), range("vv"), 99);
    const once = withSession(bare, 2 ** 40, 6);
    expect([hasSession(bare), hasSession(once)]).toEqual([false, true]);
    const command = new CommandReader().over(once);
    expect(command.read(0, once.length)).toBe(bare.length + 12);
    const { type, modifiers, bucket, expiryMs, sessionId, sequence } = command;
    expect({ type, modifiers, bucket, expiryMs, sessionId, sequence }).toEqual({
      type: CommandType.put,
      modifiers: 5,
      bucket: 7,
      expiryMs: 99,
      sessionId: 2 ** 40,
      sequence: 6,
    });
    expect([command.key().toHex(), command.value().toHex()]).toEqual(["6b", "7676"]);
  });
});

describe("a transaction", () => {
  const key = (name: string): Uint8Array => utf8(name);
  const inner = encodeTransaction({ conditions: [{ kind: "absent", key: key("i") }], operations: [] });
  const transaction = {
    conditions: [
      { kind: "absent", key: key("a") },
      { kind: "present", key: key("b") },
      { kind: "stamp", key: key("c"), high: 1, low: 2 },
      { kind: "value", key: key("d"), value: key("v") },
    ],
    operations: [
      { kind: "read", key: key("e"), metadataOnly: false },
      { kind: "read", key: key("f"), metadataOnly: true },
      { kind: "write", type: CommandType.put, modifiers: 0, key: key("g"), value: key("w"), expiryMs: 7 },
      { kind: "write", type: CommandType.rename, modifiers: MODIFIER_NX, key: key("g"), value: key("h"), expiryMs: 0 },
      { kind: "write", type: CommandType.transaction, modifiers: 0, key: key("i"), value: inner, expiryMs: 0 },
    ],
  } as const;
  const bytes = encodeTransaction(transaction);

  test("has these bytes", () => {
    expect(bytes.toHex()).toBe(
      "04000000010100000061020100000062030100000063010000000200000004010000006401000000760500000001010000006502010000006603260000000000000001010000000000000000000000000000010000000100000007000000000000006777031e000000000000001b00000000000000000000000000000001000001010000006768032b000000000000001a000000000000000000000000000000010000000e000000690100000001010000006900000000",
    );
  });

  test("comes back as it was, its writes as commands", () => {
    const back = decodeTransaction(bytes);
    expect(back.conditions).toEqual(transaction.conditions);
    expect<unknown>(back.operations.slice(0, 2)).toEqual(transaction.operations.slice(0, 2));
    const reader = new CommandReader();
    const written = back.operations.slice(2).map((operation) => {
      if (operation.kind !== "write") return null;
      reader.over(operation.command).read(0, operation.command.length);
      const { type, modifiers, expiryMs } = reader;
      return { kind: "write", type, modifiers, key: reader.key(), value: reader.value(), expiryMs };
    });
    expect<unknown>(written).toEqual(transaction.operations.slice(2));
  });

  test("names all its keys", () => {
    expect(
      transactionKeys(transaction)
        .map((one) => new TextDecoder().decode(one))
        .join(""),
    ).toBe("abcdefgghi");
  });

  test("cut short anywhere, or with a kind that nobody knows, it is none", () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeTransaction(bytes.subarray(0, length))).toThrow(EnvelopeError);
    }
    const foreign = bytes.slice();
    foreign[4] = 9;
    expect(() => decodeTransaction(foreign)).toThrow(EnvelopeError);
  });
});
