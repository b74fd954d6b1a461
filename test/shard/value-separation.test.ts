import { expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { utf8 } from "../../src/core/bytes.ts";
import { EnvelopeError } from "../../src/core/errors.ts";
import { CommandType, MODIFIER_NX } from "../../src/record/command-format.ts";
import type { ValueOptions } from "../../src/storage/value-options.ts";
import { COLLECTED, EVERY_VALUE, LARGE_VALUES, separated } from "./separation-kit.ts";
import { BUCKET, command, KIB, put, ShardHarness } from "./shard-harness.ts";

const VALUE_BYTES = 5000;

function value(of: string): string {
  return of.padEnd(VALUE_BYTES, ".");
}

function open(values: ValueOptions = LARGE_VALUES): ShardHarness {
  return new ShardHarness({ options: separated(values) });
}

function directoryOf(harness: ShardHarness): string {
  return join(harness.directory, "shard-0000");
}

function namesOf(harness: ShardHarness, ending: string): string[] {
  return readdirSync(directoryOf(harness)).filter((name) => name.endsWith(ending));
}

function bytesOf(harness: ShardHarness, ending: string): number {
  return namesOf(harness, ending).reduce((sum, name) => sum + readFileSync(join(directoryOf(harness), name)).length, 0);
}

/** Writes keys `k<from>` to `k<to − 1>`, flushes, and lets the log go as far as it can. */
function fill(harness: ShardHarness, from: number, to: number, round = ""): void {
  for (let i = from; i < to; i++) harness.run(put(`k${i}`, value(`${round}${i}`)));
  harness.maintain("flush");
  release(harness);
}

function release(harness: ShardHarness): void {
  harness.release(harness.lastIndex);
  harness.shard.turn();
  harness.settle();
}

function expectValues(harness: ShardHarness, from: number, to: number, round = ""): void {
  for (let i = from; i < to; i++) expect(harness.get(`k${i}`)).toBe(value(`${round}${i}`));
}

function restart(harness: ShardHarness): void {
  harness.stop();
  harness.reopen();
}

/** The error that a read of the key is answered with; null: none. The shard goes on. */
function failureOf(harness: ShardHarness, key: string, metadataOnly = false): string | null {
  const result = harness.read({ type: "get", bucket: BUCKET, key: utf8(key), metadataOnly });
  expect(harness.ofType("failed")).toEqual([]);
  return result.kind === "error" ? result.code : null;
}

function flipFirstByteOf(path: string, text: string): void {
  const bytes = readFileSync(path);
  const offset = bytes.indexOf(text);
  expect(offset).toBeGreaterThan(0);
  bytes[offset]! ^= 1;
  writeFileSync(path, bytes);
}

test("large values are written once: tables hold pointers, which outlive the log and restarts", () => {
  using harness = open();
  fill(harness, 0, 40);
  expect(bytesOf(harness, ".sst")).toBeLessThan(10 * KIB);
  expect(namesOf(harness, ".kept.evp").length).toBeGreaterThan(3);
  expectValues(harness, 0, 40);
  restart(harness);
  expectValues(harness, 0, 40);
  harness.maintain("compact");
  expectValues(harness, 0, 40);
  restart(harness);
  release(harness);
  expectValues(harness, 0, 40);
});

test("without the option nothing is kept, and the same tree reads what an earlier run has separated", () => {
  using plain = new ShardHarness({ options: { log: separated(LARGE_VALUES).log! } });
  fill(plain, 0, 40);
  expect(namesOf(plain, ".kept.evp")).toEqual([]);
  expect(bytesOf(plain, ".sst")).toBeGreaterThan(40 * VALUE_BYTES);

  using harness = open();
  fill(harness, 0, 40);
  harness.stop();
  using without = new ShardHarness({ directory: harness.directory, options: { log: separated(LARGE_VALUES).log! } });
  expectValues(without, 0, 40);
  without.maintain("compact");
  expectValues(without, 0, 40);
});

test("small and computed values lie in tables, and every command finds a value wherever it lies", () => {
  using harness = open();
  harness.run(put("large", value("a")), put("small", "s"));
  harness.run(command(CommandType.conditionalPut, "nx", { value: utf8(value("b")), modifiers: MODIFIER_NX }));
  harness.maintain("flush");
  expect(harness.run(command(CommandType.append, "large", { value: utf8("!") }))).toEqual([
    { kind: "integer", value: BigInt(VALUE_BYTES + 1) },
  ]);
  harness.maintain("flush");
  restart(harness);
  expect(harness.get("large")).toBe(`${value("a")}!`);
  expect(harness.get("nx")).toBe(value("b"));
  expect(harness.get("small")).toBe("s");
  expect(harness.run(command(CommandType.getDelete, "large"))).toEqual([
    { kind: "bytes", bytes: utf8(`${value("a")}!`) },
  ]);
});

test("the length of a value is known without reading it", () => {
  using harness = open();
  fill(harness, 0, 20);
  for (const name of namesOf(harness, ".kept.evp")) rmSync(join(directoryOf(harness), name));
  const found = harness.read({ type: "get", bucket: BUCKET, key: utf8("k0"), metadataOnly: true });
  expect(found).toMatchObject({ kind: "version", valueBytes: VALUE_BYTES });
  expect(failureOf(harness, "k0")).toBe("MISSING_FILE");
});

test("a file whose values are all overwritten goes once compaction has dropped the pointers, and not before", () => {
  const options = separated(LARGE_VALUES);
  using harness = new ShardHarness({ options: { ...options, tree: { ...options.tree!, level0Tables: 8 } } });
  fill(harness, 0, 30);
  const first = namesOf(harness, ".kept.evp");
  expect(first.length).toBeGreaterThan(2);
  fill(harness, 0, 30, "again ");
  expect(namesOf(harness, ".kept.evp")).toEqual(expect.arrayContaining(first));
  harness.maintain("compact");
  expectValues(harness, 0, 30, "again ");
  // The last of them holds the first of the new values too.
  for (const name of first.slice(0, -1)) expect(namesOf(harness, ".kept.evp")).not.toContain(name);
  restart(harness);
  expectValues(harness, 0, 30, "again ");
});

test("a segment that was pointed into is not written again, one that never was is", () => {
  const spares = (harness: ShardHarness): number[] => namesOf(harness, ".evp.next").map(Number.parseFloat);
  using plain = new ShardHarness({ options: { log: separated(LARGE_VALUES).log! } });
  fill(plain, 0, 40);
  expect(spares(plain)).toContain(2);
  using harness = open();
  fill(harness, 0, 40);
  expect(spares(harness)).toEqual([]);

  using dropped = open();
  for (let i = 0; i < 40; i++) dropped.run(put(`k${i}`, value(`${i}`)));
  const last = namesOf(dropped, ".evp").length;
  dropped.maintain("flush");
  for (let i = 0; i < 40; i++) dropped.run(command(CommandType.delete, `k${i}`));
  dropped.maintain("compact");
  release(dropped);
  // Those behind it hold nothing but deletions, which nobody points to.
  for (const id of spares(dropped)) expect(id).toBeGreaterThan(last);
  expect(namesOf(dropped, ".kept.evp")).toEqual([]);
});

test("files that are mostly garbage are collected while writes go on, and what is alive survives them", () => {
  // Three values of this length fill a segment, but for what pads their groups.
  using harness = open({ ...COLLECTED, collectBelow: 0.3 });
  for (let i = 0; i < 120; i++) harness.run(put(`k${i}`, value(`${i}`)));
  harness.maintain("flush");
  release(harness);
  const before = bytesOf(harness, ".kept.evp");
  expect(before).toBeGreaterThan(500 * KIB);
  // Five of six values go; writes fall between the steps of the collection.
  for (let i = 0; i < 120; i++) if (i % 6 !== 0) harness.run(command(CommandType.delete, `k${i}`));
  // Until a compaction has seen the deletions, the values they hide count as alive.
  harness.maintain("compact");
  let writes = 0;
  for (; harness.shard.backgroundStep(); writes++) harness.run(put(`w${writes}`, "small"));
  expect(writes).toBeGreaterThan(10);
  release(harness);
  expect(namesOf(harness, ".values.evp").length).toBeGreaterThan(0);
  expect(bytesOf(harness, ".kept.evp") + bytesOf(harness, ".values.evp")).toBeLessThan(before / 2);
  const expectAll = (): void => {
    for (let i = 0; i < 120; i++) expect(harness.get(`k${i}`)).toBe(i % 6 === 0 ? value(`${i}`) : null);
    for (let i = 0; i < writes; i++) expect(harness.get(`w${i}`)).toBe("small");
  };
  expectAll();
  restart(harness);
  expectAll();
});

test("a damaged value is found when it is to be moved, and then its file is left as it is", () => {
  using harness = open(COLLECTED);
  for (let i = 0; i < 30; i++) harness.run(put(`k${i}`, value(`damaged-${i}-`)));
  harness.maintain("flush");
  harness.release(harness.lastIndex);
  harness.shard.turn();
  flipFirstByteOf(join(directoryOf(harness), "00000001.evp"), "damaged-1-");
  for (let i = 2; i < 20; i++) harness.run(command(CommandType.delete, `k${i}`));
  harness.maintain("compact");
  harness.settle();
  expect(namesOf(harness, ".quarantine")).toEqual(["00000001.evp.quarantine"]);
  expect(namesOf(harness, "01.kept.evp")).toEqual(["00000001.kept.evp"]);
  expect(failureOf(harness, "k1")).toBe("CORRUPTION");
  for (let i = 20; i < 30; i++) expect(harness.get(`k${i}`)).toBe(value(`damaged-${i}-`));
});

test.each([
  ["in the log", false],
  ["behind the log", true],
])(
  "a damaged value %s is an error and never a wrong value, also after a restart, until it is written anew",
  (_, isReleased) => {
    using harness = open(EVERY_VALUE);
    for (let i = 0; i < 3; i++) harness.run(put(`k${i}`, value(`damaged-${i}`)));
    harness.maintain("flush");
    for (let i = 3; i < 20; i++) harness.run(put(`k${i}`, value(`${i}`)));
    if (isReleased) {
      harness.maintain("flush");
      release(harness);
    }
    const name = isReleased ? "00000001.kept.evp" : "00000001.evp";
    flipFirstByteOf(join(directoryOf(harness), name), "damaged-1");
    expect(harness.get("k0")).toBe(value("damaged-0"));
    // A command that needs the value is refused, and changes nothing.
    expect(harness.run(put("k1", "x", { type: CommandType.append }))).toMatchObject([
      { kind: "error", code: "CORRUPTION" },
    ]);
    expect(failureOf(harness, "k1")).toBe("CORRUPTION");
    // From the refusal on not even the length may be told, whatever the disk says: another replica knows a newer value.
    flipFirstByteOf(join(directoryOf(harness), name), "eamaged-1");
    restart(harness);
    expect(failureOf(harness, "k1", true)).toBe("CORRUPTION");
    harness.maintain("flush");
    release(harness);
    expect(namesOf(harness, "01.kept.evp")).toEqual(["00000001.kept.evp"]);
    restart(harness);
    expect(failureOf(harness, "k1")).toBe("CORRUPTION");
    expect(harness.get("k19")).toBe(value("19"));
    for (let i = 0; i < 3; i++) harness.run(put(`k${i}`, value("anew")));
    expect(harness.get("k1")).toBe(value("anew"));
  },
);

test("a value file that is gone, cut, of another life or of another shard keeps the shard from opening", () => {
  const harness = open();
  fill(harness, 0, 30);
  harness.stop();
  const [first = "", second = ""] = namesOf(harness, ".kept.evp").map((name) => join(directoryOf(harness), name));
  const whole = readFileSync(first);
  const codeOfOpening = (): string => {
    try {
      harness.reopen();
      harness.stop();
      return "open";
    } catch (cause) {
      if (cause instanceof EnvelopeError) return cause.code;
      throw cause;
    }
  };
  try {
    rmSync(first);
    expect(codeOfOpening()).toBe("MISSING_FILE");
    writeFileSync(first, whole.subarray(0, whole.length - 4096));
    expect(codeOfOpening()).toBe("CORRUPTION");
    writeFileSync(first, readFileSync(second));
    expect(codeOfOpening()).toBe("CORRUPTION");
    const damaged = Buffer.from(whole);
    damaged[100]! ^= 1;
    writeFileSync(first, damaged);
    expect(codeOfOpening()).toBe("CORRUPTION");
    writeFileSync(first, whole);
    expect(codeOfOpening()).toBe("open");
  } finally {
    rmSync(harness.directory, { recursive: true, force: true });
  }
});

test("what no table points into is removed by a start", () => {
  using harness = open();
  fill(harness, 0, 10);
  harness.stop();
  const directory = directoryOf(harness);
  writeFileSync(join(directory, "00000999.kept.evp"), "left by a crash");
  writeFileSync(join(directory, "00000998.values.evp"), "left by a crash");
  harness.reopen();
  expect(namesOf(harness, "999.kept.evp")).toEqual([]);
  expect(namesOf(harness, ".values.evp")).toEqual([]);
  expectValues(harness, 0, 10);
});
