/** A walk over a run with a quarantined table: right up to its keys from either side, and never past them. */
import { expect, test } from "bun:test";
import { text, utf8 } from "../../src/core/bytes.ts";
import { corruption, EnvelopeError } from "../../src/core/errors.ts";
import { fileNumber } from "../../src/core/ids.ts";
import { DamagedRunCursor } from "../../src/storage/damaged-run-cursor.ts";
import { Table } from "../../src/storage/table.ts";
import { TableWriter } from "../../src/storage/table-writer.ts";
import { MemoryDisk } from "./support/memory-disk.ts";
import { IDENTITY, put, SMALL } from "./support/versions.ts";

function table(disk: MemoryDisk, number: number, keys: readonly string[]): Table {
  const path = `d/${number}.sst`;
  const writer = new TableWriter(SMALL, IDENTITY, fileNumber(number), path);
  for (const one of keys) {
    const { bucket, key, kind, stampHigh, stampLow, origin, expiryMs, value } = put(one, 5, `value of ${one}`);
    writer.add(bucket, key, kind, stampHigh, stampLow, origin, expiryMs, value);
  }
  writer.seal(disk);
  while (writer.writeStep(1000)) {}
  const opened = Table.open(disk, path, writer.record(1, 0), IDENTITY);
  opened.retain();
  return opened;
}

/** Three tables, the middle one quarantined. */
function damagedRun(): DamagedRunCursor {
  const disk = new MemoryDisk();
  const run = [table(disk, 1, ["a", "b", "c"]), table(disk, 2, ["h", "k", "m"]), table(disk, 3, ["x", "y"])];
  run[1]!.damage = corruption("d/2.sst", 0, "planned");
  return new DamagedRunCursor(run);
}

/** The keys with their values until the walk ends, or until it says that it cannot go on. */
function steps(cursor: DamagedRunCursor, move: () => void): string[] {
  const seen: string[] = [];
  for (; cursor.valid; move()) {
    try {
      const key = text(cursor.key);
      expect(text(cursor.value)).toBe(`value of ${key}`);
      seen.push(key);
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
      expect(move).toThrow(cause);
      return [...seen, `${cause.code} at ${text(cursor.key)}`];
    }
  }
  return seen;
}

test.each([
  ["a", ["a", "b", "c", "CORRUPTION at h"]],
  ["d", ["CORRUPTION at h"]],
  ["i", ["CORRUPTION at i"]],
  ["n", ["x", "y"]],
  ["x", ["x", "y"]],
  ["z", []],
])("forwards from %s", (from, expected) => {
  const cursor = damagedRun();
  cursor.seek(1, utf8(from));
  expect(steps(cursor, () => cursor.next())).toEqual(expected);
});

test.each([
  ["z", ["y", "x", "CORRUPTION at m"]],
  ["x", ["CORRUPTION at m"]],
  ["n", ["CORRUPTION at m"]],
  ["i", ["CORRUPTION at i"]],
  ["h", ["c", "b", "a"]],
  ["b", ["a"]],
  ["a", []],
])("backwards from before %s", (before, expected) => {
  const cursor = damagedRun();
  cursor.seekBefore(1, utf8(before));
  expect(steps(cursor, () => cursor.previous())).toEqual(expected);
});

test("turning round", () => {
  const cursor = damagedRun();
  cursor.seek(1, utf8("x"));
  cursor.next();
  cursor.previous();
  expect(text(cursor.key)).toBe("x");
  cursor.previous();
  expect(() => cursor.kind).toThrow("planned");
});
