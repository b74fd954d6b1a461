/** The engine benchmark on a few keys and without peers: it measures everything, finds what it wrote and cleans up. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runMain } from "../cli/run-main.ts";

// Processes are started here, on machines that may be busy.
setDefaultTimeout(120_000);

const KEYS = 2000;

interface Row {
  readonly measure: string;
  readonly engine: string;
  readonly opsPerSecond: number;
  readonly opsPerSync: number | null;
  readonly found: number | null;
  readonly writeAmplification: number | null;
  readonly readMicros: { readonly p50: number; readonly max: number } | null;
}

test("every measure ends and finds what was written", async () => {
  const directory = mkdtempSync(join(tmpdir(), "engine-bench-test-"));
  try {
    const small = ["--keys", String(KEYS), "--reads", String(KEYS), "--syncs", "5", "--seconds", "1", "--rounds", "1"];
    const place = ["--peers", "none", "--json", "--directory", directory];
    const run = await runMain(["bench", "engine", ...small, ...place]);
    expect(run.err).not.toContain("failed");
    expect(run.code).toBe(0);
    const rows = new Map((JSON.parse(run.out) as Row[]).map((row) => [row.measure, row]));
    expect([...rows.keys()]).toEqual([
      ...["fillrandom", "fillrandom16", "fillseq", "overwrite"],
      ...["fillsync1", "fillsync8", "fillsync64", "fillsync512"],
      ...["readrandom", "readmissing", "readmessage", "seekrandom", "scan", "readwhilewriting", "reopen0.002M"],
    ]);
    for (const row of rows.values()) expect([row.measure, row.opsPerSecond > 0]).toEqual([row.measure, true]);
    expect(rows.get("readrandom")?.found).toBe(KEYS);
    expect(rows.get("readmessage")?.found).toBe(KEYS);
    expect(rows.get("readmissing")?.found).toBe(0);
    expect(rows.get("scan")?.found).toBe(KEYS);
    expect(rows.get("reopen0.002M")?.found).toBe(1);
    expect(rows.get("fillsync64")?.opsPerSync).toBe(64);
    expect(rows.get("fillrandom16")?.writeAmplification).toBeGreaterThan(1);
    const latency = rows.get("readwhilewriting")?.readMicros;
    expect(latency?.p50).toBeLessThanOrEqual(latency?.max ?? 0);
    expect(readdirSync(directory)).toEqual([]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("a measure that does not exist is refused by name", async () => {
  const run = await runMain(["bench", "engine", "--only", "fillrandom,nonsense"]);
  expect(run.code).toBe(2);
  expect(run.out).toContain("nonsense");
});
