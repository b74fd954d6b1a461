/** The offline tools on a shard whose values lie outside its tables. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { FilePart, Finding } from "../../src/core/file-report.ts";
import { RealDisk } from "../../src/env/real-disk.ts";
import { inspectFile } from "../../src/inspect.ts";
import { CommandType } from "../../src/record/command-format.ts";
import { verifyDirectory } from "../../src/verify.ts";
import { COLLECTED, EVERY_VALUE, separated } from "./separation-kit.ts";
import { command, put, ShardHarness } from "./shard-harness.ts";

/** The directory of a stopped shard with values in kept segments and in value segments. */
function separatedShard(): { readonly harness: ShardHarness; readonly directory: string } {
  const harness = new ShardHarness({ options: separated({ ...COLLECTED, collectBelow: 0.4 }) });
  for (let i = 0; i < 40; i++) harness.run(put(`k${i}`, `value-${i}-`.padEnd(6000, ".")));
  harness.maintain("flush");
  harness.release(harness.lastIndex);
  harness.shard.turn();
  for (let i = 0; i < 30; i++) if (i % 5 !== 0) harness.run(command(CommandType.delete, `k${i}`));
  harness.maintain("compact");
  harness.settle();
  harness.stop();
  return { harness, directory: join(harness.directory, "shard-0000") };
}

function pathOf(directory: string, ending: string): string {
  const name = readdirSync(directory).find((one) => one.endsWith(ending));
  expect(name).toBeDefined();
  return join(directory, name ?? "");
}

function findingsIn(directory: string): Finding[] {
  const findings: Finding[] = [];
  verifyDirectory(new RealDisk(), directory, false, (finding) => findings.push(finding));
  return findings;
}

function partsOf(path: string): FilePart[] {
  const parts: FilePart[] = [];
  expect(inspectFile(new RealDisk(), path, { withEntries: true }, (part) => parts.push(part))).toBeNull();
  return parts;
}

function damagedAt(path: string, text: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.indexOf(text)]! ^= 1;
  writeFileSync(path, bytes);
}

test("verify follows every pointer, and says which value is damaged and which file is missing", () => {
  const { harness, directory } = separatedShard();
  try {
    expect(findingsIn(directory)).toEqual([]);
    const kept = pathOf(directory, ".kept.evp");
    const values = pathOf(directory, ".values.evp");
    const [moved] = partsOf(values).filter(({ kind }) => kind === "command");
    const movedKey = String(moved?.fields["key"]).slice(2, -1);
    damagedAt(values, `value-${movedKey}-`);
    expect(findingsIn(directory)).toMatchObject([
      { severity: "damage", file: values, what: "a value with a wrong checksum" },
    ]);
    damagedAt(values, `walue-${movedKey}-`);
    writeFileSync(join(directory, "00000900.values.evp"), "left by a crash");
    expect(findingsIn(directory)).toMatchObject([{ severity: "note", file: join(directory, "00000900.values.evp") }]);
    rmSync(join(directory, "00000900.values.evp"));
    rmSync(kept);
    expect(findingsIn(directory)).toMatchObject([{ severity: "damage", what: expect.stringContaining("is missing") }]);
  } finally {
    rmSync(harness.directory, { recursive: true, force: true });
  }
});

test("inspect shows pointers, references and the commands of kept and value segments", () => {
  const { harness, directory } = separatedShard();
  try {
    const entries = readdirSync(directory)
      .filter((name) => name.endsWith(".sst"))
      .flatMap((name) => partsOf(join(directory, name)).filter(({ kind }) => kind === "entry"));
    expect(entries.find(({ fields }) => fields["kind"] === "pointer")?.fields).toMatchObject({ valueBytes: 6000 });
    const manifest = partsOf(pathOf(directory, ".manifest")).map(({ kind }) => kind);
    expect(manifest).toEqual(expect.arrayContaining(["live", "reference", "valuesAdded"]));
    expect(partsOf(pathOf(directory, ".kept.evp")).map(({ kind }) => kind)).toContain("command");
    expect(partsOf(pathOf(directory, ".values.evp")).map(({ kind }) => kind)).toContain("command");
  } finally {
    rmSync(harness.directory, { recursive: true, force: true });
  }
});

test("the scrubber finds a damaged value that nobody reads", () => {
  const scrubBytesPerSecond = 1 << 30;
  using harness = new ShardHarness({ options: { ...separated(EVERY_VALUE), scrubBytesPerSecond } });
  for (let i = 0; i < 40; i++) harness.run(put(`k${i}`, `value-${i}-`.padEnd(6000, ".")));
  harness.maintain("flush");
  harness.release(harness.lastIndex);
  harness.shard.turn();
  harness.settle();
  damagedAt(join(join(harness.directory, "shard-0000"), "00000001.kept.evp"), "value-1-");
  expect(harness.stats().quarantinedValueFiles).toBe(0);
  for (let i = 0; i < 1000 && harness.stats().quarantinedValueFiles === 0; i++) {
    harness.clock.nowMs += 60_000;
    harness.settle();
  }
  expect(harness.stats().quarantinedValueFiles).toBe(1);
});
