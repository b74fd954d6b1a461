import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { keyDistribution } from "../../src/cli/key-distribution.ts";
import { Random } from "../../src/core/random.ts";
import { FakeServer } from "./fake-server.ts";
import { runMain } from "./run-main.ts";

// Processes are started here, on machines that may be busy.
setDefaultTimeout(30_000);

interface Result {
  readonly ops: number;
  readonly opsPerSecond: number;
  readonly seconds: number;
  readonly misses: number;
  readonly errorCount: number;
  readonly errors: Record<string, { count: number; first: string }>;
  readonly latencyMicros: Record<string, number>;
}

async function bench(server: FakeServer, ...args: string[]): Promise<{ code: number; result: Result }> {
  const run = await runMain(["bench", "--target", server.address, "--json", ...args]);
  expect(run.err).toBe("");
  return { code: run.code, result: JSON.parse(run.out) as Result };
}

describe("bench", () => {
  test("sends exactly the operations it was asked for and counts exactly those", async () => {
    await using server = await FakeServer.start();
    const { code, result } = await bench(
      server,
      "--ops",
      "1003",
      "--clients",
      "7",
      "--pipeline",
      "4",
      "--warmup",
      "100",
    );
    expect(code).toBe(0);
    expect(result.ops).toBe(1003);
    expect(result.errorCount).toBe(0);
    expect(server.seen.length).toBe(1103);
    const latency = result.latencyMicros;
    expect(latency["p50"]).toBeLessThanOrEqual(latency["p99"] ?? 0);
    expect(latency["p99"]).toBeLessThanOrEqual(latency["p999"] ?? 0);
    expect(latency["p999"]).toBeLessThanOrEqual(latency["max"] ?? 0);
  });

  test("mixes reads and writes as asked, over the keys and value lengths asked, in the bucket asked", async () => {
    await using server = await FakeServer.start();
    const args = ["--ops", "2000", "--clients", "3", "--reads", "0.25", "--keys", "10", "--value-bytes", "33"];
    const { result } = await bench(server, ...args, "--bucket", "b");
    const gets = server.seen.filter((request) => request[0] === "GET");
    const sets = server.seen.filter((request) => request[0] === "SET");
    expect(gets.length + sets.length).toBe(2000);
    expect(gets.length / 2000).toBeCloseTo(0.25, 1);
    expect(sets.every((request) => request[2]?.length === 33)).toBe(true);
    expect([...server.values("b").keys()].sort()).toEqual(Array.from({ length: 10 }, (_, i) => `key:00000000000${i}`));
    expect(result.misses).toBeLessThan(gets.length);
  });

  test("counts reads that find nothing", async () => {
    await using server = await FakeServer.start();
    const { result } = await bench(server, "--ops", "500", "--reads", "1");
    expect(result).toMatchObject({ ops: 500, misses: 500 });
  });

  test("counts errors by their code, apart from operations, and fails", async () => {
    await using server = await FakeServer.start();
    server.behave = (_, ordinal) => {
      if (ordinal % 10 === 0) return "-TRYAGAIN no leader\r\n";
      return ordinal % 25 === 1 ? "-DISKFULL no room\r\n" : "normal";
    };
    const { code, result } = await bench(server, "--ops", "1000", "--clients", "1", "--pipeline", "8");
    expect(code).toBe(1);
    expect(result.ops).toBe(860);
    expect(result.errors).toEqual({
      TRYAGAIN: { count: 100, first: "no leader" },
      DISKFULL: { count: 40, first: "no room" },
    });
  });

  test("counts what a lost connection costs and goes on", async () => {
    await using server = await FakeServer.start();
    server.behave = (_, ordinal) => (ordinal === 100 ? "hangUp" : "normal");
    const { result } = await bench(server, "--ops", "400", "--clients", "2", "--pipeline", "1");
    expect(result.errors["CONNECTION"]?.count).toBe(1);
    expect(result.ops).toBe(399);
  });

  test("runs for a time instead of a count, by the wall clock", async () => {
    await using server = await FakeServer.start();
    const { result } = await bench(server, "--seconds", "0.3", "--clients", "2");
    expect(result.seconds).toBeGreaterThanOrEqual(0.3);
    expect(result.ops).toBeGreaterThan(0);
    expect(result.ops).toBe(server.seen.length);
  });

  test("says so when nobody listens", async () => {
    const server = await FakeServer.start();
    await server.stop();
    const run = await runMain(["bench", "--target", server.address, "--ops", "10"]);
    expect(run.code).toBe(1);
    expect(run.err).toContain(server.address);
  });
});

describe("keys", () => {
  test.each(["uniform", "zipfian"] as const)("%s stay in their range, and all of a small range come up", (kind) => {
    const next = keyDistribution(kind, 20, new Random(7));
    const seen = new Set(Array.from({ length: 20_000 }, next));
    expect([...seen].every((key) => Number.isInteger(key) && key >= 0 && key < 20)).toBe(true);
    if (kind === "uniform") expect(seen.size).toBe(20);
  });

  test("zipfian favours a few keys, uniform none", () => {
    const share = (kind: "uniform" | "zipfian"): number => {
      const next = keyDistribution(kind, 10_000, new Random(7));
      const counts = new Map<number, number>();
      for (let i = 0; i < 50_000; i++) {
        const key = next();
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
      const hottest = [...counts.values()].sort((a, b) => b - a).slice(0, 100);
      return hottest.reduce((sum, count) => sum + count, 0) / 50_000;
    };
    expect(share("uniform")).toBeLessThan(0.05);
    expect(share("zipfian")).toBeGreaterThan(0.4);
  });
});
