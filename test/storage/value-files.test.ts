import { expect, test } from "bun:test";
import { at } from "../../src/core/assert.ts";
import { crc32 } from "../../src/core/crc32.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { fileNumber, shardId } from "../../src/core/ids.ts";
import { Random } from "../../src/core/random.ts";
import { pickCollection } from "../../src/storage/collection-pick.ts";
import { Manifest } from "../../src/storage/manifest.ts";
import type { TableRecord, ValueFileRecord } from "../../src/storage/manifest-format.ts";
import {
  POINTER_BYTES,
  ValuePointer,
  valueFileOfNumber,
  valueFileOfSegment,
} from "../../src/storage/value-pointer-format.ts";
import { ValueLiveness } from "../../src/storage/value-liveness.ts";
import { checkValueSegmentHeader, encodeValueSegmentHeader } from "../../src/storage/value-segment-format.ts";
import { GOLDEN_VALUE_MANIFEST } from "./support/golden.ts";
import { MemoryDisk } from "./support/memory-disk.ts";
import { flipped, IDENTITY, position } from "./support/versions.ts";

const FIVE = valueFileOfSegment(5);
const SEVEN = valueFileOfNumber(fileNumber(7));

function table(number: number, references: readonly (readonly [typeof FIVE, number])[]): TableRecord {
  return {
    number: fileNumber(number),
    level: 0,
    run: number,
    fileBytes: 1000,
    headerBytes: 128,
    footerBytes: 150,
    footerChecksum: 0xfedcba98,
    references: references.map(([file, byteCount]) => ({ file, byteCount })),
  };
}

function file(id: typeof FIVE, fileBytes: number): ValueFileRecord {
  return { id, fileBytes, checksum: 0x12345678 };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

test("a pointer has the bytes it had in format version 1", () => {
  const pointer = new ValuePointer();
  pointer.file = FIVE;
  pointer.commandOffset = 4160;
  pointer.commandBytes = 100;
  pointer.valueBytes = 60;
  pointer.checksum = crc32(new Uint8Array(60));
  const bytes = new Uint8Array(POINTER_BYTES);
  pointer.write(new DataView(bytes.buffer));
  expect(hex(bytes)).toBe("0a0000000000000040100000640000003c00000008891204");
  const again = new ValuePointer().read(new Uint8Array([9, ...bytes]), 1);
  expect(again).toEqual(pointer);
  expect(again.valueOffset).toBe(4200);
});

test("the header of a value segment has the bytes it had in format version 1, and any damage to it is found", () => {
  const header = encodeValueSegmentHeader(IDENTITY, fileNumber(9));
  expect(hex(header)).toBe(`455650567682e71a01000300000000000900000000000000${"07".repeat(16)}${"00".repeat(24)}`);
  expect(failureOf(header, IDENTITY, 9)).toBeNull();
  for (let offset = 0; offset < header.length; offset++) {
    expect(failureOf(flipped(header, offset), IDENTITY, 9)).toBe("CORRUPTION");
  }
  expect(failureOf(header, IDENTITY, 8)).toBe("CORRUPTION");
  expect(failureOf(header, { ...IDENTITY, shard: shardId(4) }, 9)).toBe("FOREIGN_DIRECTORY");
  expect(failureOf(header.subarray(0, 63), IDENTITY, 9)).toBe("CORRUPTION");
});

test("a manifest gives back value files and references, that of format version 2 too", () => {
  const disk = new MemoryDisk();
  const manifest = Manifest.open(disk, "d", IDENTITY);
  manifest.start();
  const two = table(2, [[FIVE, 3000]]);
  const three = table(3, [
    [FIVE, 10],
    [SEVEN, 20],
  ]);
  manifest.publish({ flushed: position(2), removed: [], added: [two] }, { removed: [], added: [file(FIVE, 8192)] });
  manifest.publish({ flushed: null, removed: [], added: [three] }, { removed: [], added: [file(SEVEN, 164)] });
  manifest.close();
  const old = new MemoryDisk();
  old.replace("d/00000001.manifest", Uint8Array.fromHex(GOLDEN_VALUE_MANIFEST.join("")));
  const ofVersion2 = Manifest.open(old, "d", IDENTITY);
  expect([...ofVersion2.records.values()]).toEqual([two, three]);
  expect([...ofVersion2.valueFiles.values()]).toEqual([file(FIVE, 8192), file(SEVEN, 164)]);
  expect(ofVersion2.flushed).toEqual(position(2));
  const again = Manifest.open(disk, "d", IDENTITY);
  expect([...again.records.values()]).toEqual([two, three]);
  expect([...again.valueFiles.values()]).toEqual([file(FIVE, 8192), file(SEVEN, 164)]);
  // Values stay values, whatever the option says now.
  again.start();
  again.publish({ flushed: null, removed: [three.number], added: [] }, { removed: [SEVEN], added: [] });
  again.close();
  const last = Manifest.open(disk, "d", IDENTITY);
  expect([...last.records.values()]).toEqual([two]);
  expect([...last.valueFiles.keys()]).toEqual([FIVE]);
});

test("a table that points into a file the manifest does not know is corruption", () => {
  const disk = new MemoryDisk();
  const manifest = Manifest.open(disk, "d", IDENTITY);
  manifest.start();
  expect(() => manifest.publish({ flushed: null, removed: [], added: [table(2, [[FIVE, 1]])] })).toThrow(EnvelopeError);
});

test("collected is what too little of is alive and has left the log; the table that points to most comes first", () => {
  const records = [
    table(2, [[FIVE, 100]]),
    table(3, [
      [FIVE, 200],
      [SEVEN, 100],
    ]),
  ];
  const tables = records.map((record) => ({ record }));
  const listed = new Map([file(FIVE, 1000), file(SEVEN, 164)].map((one) => [one.id, one]));
  const liveness = new ValueLiveness(records);
  const pick = (below: number, inLog: boolean) => pickCollection(tables, listed, liveness, below, () => !inLog);
  expect(pick(0.3, false)).toBeNull();
  expect(pick(0.31, true)).toBeNull();
  // A value segment full of live commands is never due.
  expect(pick(1, false)).toEqual({
    table: at(tables, 1),
    files: new Set([FIVE]),
  });
});

test("what is alive is the sum of the references of live tables, however they came and went", () => {
  const random = new Random(7);
  const files = [FIVE, SEVEN, valueFileOfSegment(6)];
  const tables = new Map<number, TableRecord>();
  const liveness = new ValueLiveness([]);
  const listed = new Set<typeof FIVE>();
  for (let number = 1; number < 500; number++) {
    const removed = [...tables.values()].filter(() => random.chance(0.3));
    const some = files.filter(() => random.chance(0.3)).map((id) => [id, random.between(1, 100)] as const);
    const added = [table(number, some)];
    const difference = liveness.difference(removed, added);
    const change = liveness.fileChange(difference, (id) => file(id, 1000));
    liveness.apply(difference);
    for (const one of removed) tables.delete(one.number);
    for (const one of added) tables.set(one.number, one);
    for (const id of change.removed) expect(listed.delete(id)).toBe(true);
    for (const { id } of change.added) listed.add(id);
    for (const id of files) {
      const references = [...tables.values()].flatMap((one) => one.references ?? []).filter((one) => one.file === id);
      expect(liveness.bytesIn(id)).toBe(references.reduce((sum, { byteCount }) => sum + byteCount, 0));
      expect(listed.has(id)).toBe(references.length > 0);
    }
  }
});

/** The code of what the check of a value segment's header throws; null: nothing. */
function failureOf(header: Uint8Array, identity: typeof IDENTITY, number: number): string | null {
  try {
    checkValueSegmentHeader(header, identity, number, "f");
    return null;
  } catch (cause) {
    if (cause instanceof EnvelopeError) return cause.code;
    throw cause;
  }
}
