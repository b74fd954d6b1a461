/**
 * `bench`: a load on running servers, measured by the wall clock from the first request to the last reply, with the
 * distribution of latencies and the processor time that an operation costs the servers and this process.
 */
import { build, type Histogram } from "hdr-histogram-js";
import { RealClock } from "../env/real-clock.ts";
import { fixedCredentials } from "../env/credentials.ts";
import type { Network } from "../env/network.ts";
import { RealNetwork } from "../env/real-network.ts";
import { TlsNetwork } from "../env/tls-network.ts";
import { Random } from "../core/random.ts";
import type { Target, TargetTls } from "../client/target.ts";
import { Load, type LoadCounts } from "./bench-load.ts";
import { type Distribution, keyDistribution } from "./key-distribution.ts";
import { processMicros } from "./process-time.ts";

const SIGNIFICANT_DIGITS = 3;
const LATENCY_MICROS_MAX = 600_000_000;

export interface BenchOptions {
  readonly targets: readonly Target[];
  readonly bucket: string | null;
  readonly clients: number;
  /** Ignored when `seconds` is given. */
  readonly ops: number;
  readonly seconds: number | null;
  readonly pipeline: number;
  readonly valueBytes: number;
  readonly reads: number;
  readonly keys: number;
  readonly distribution: Distribution;
  /** Operations before the measurement. */
  readonly warmup: number;
  readonly seed: number;
  readonly serverPids: readonly number[];
  readonly json: boolean;
}

export interface BenchResult {
  readonly targets: readonly string[];
  readonly clients: number;
  readonly pipeline: number;
  readonly valueBytes: number;
  readonly reads: number;
  readonly keys: number;
  readonly distribution: Distribution;
  readonly seconds: number;
  /** Answered without an error. */
  readonly ops: number;
  readonly opsPerSecond: number;
  /** GETs of keys that were not there. */
  readonly misses: number;
  readonly latencyMicros: {
    readonly mean: number;
    readonly p50: number;
    readonly p99: number;
    readonly p999: number;
    readonly max: number;
  };
  readonly errorCount: number;
  readonly errors: Readonly<Record<string, { readonly count: number; readonly first: string }>>;
  /** Processor time for each operation; null where it could not be read. */
  readonly serverMicrosPerOp: number | null;
  readonly clientMicrosPerOp: number;
}

/** Runs and prints; returns the exit code: 0 when no operation failed. Throws UNAVAILABLE, PROTOCOL. */
export async function runBench(options: BenchOptions): Promise<number> {
  const result = await measure(options);
  process.stdout.write(options.json ? `${JSON.stringify(result)}\n` : describe(result));
  return result.errorCount === 0 ? 0 : 1;
}

async function measure(options: BenchOptions): Promise<BenchResult> {
  const random = new Random(options.seed);
  const nextKey = keyDistribution(options.distribution, options.keys, random);
  const load = new Load(networkTo(options.targets[0]?.tls ?? null), { ...options, nextKey, random });
  const counts = newCounts();
  try {
    await load.connect();
    if (options.warmup > 0) await load.run(newCounts(), options.warmup, Number.POSITIVE_INFINITY);
    const serversBefore = options.serverPids.map(processMicros);
    const ownBefore = process.cpuUsage();
    const startedAt = performance.now();
    if (options.seconds === null) await load.run(counts, options.ops, Number.POSITIVE_INFINITY);
    else await load.run(counts, Number.POSITIVE_INFINITY, options.seconds);
    const seconds = (performance.now() - startedAt) / 1000;
    const own = process.cpuUsage(ownBefore);
    const serverMicros = difference(serversBefore, options.serverPids.map(processMicros));
    return summarize(options, counts, seconds, serverMicros, own.user + own.system);
  } finally {
    load.close();
  }
}

function newCounts(): LoadCounts {
  const histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: LATENCY_MICROS_MAX,
    numberOfSignificantValueDigits: SIGNIFICANT_DIGITS,
  });
  return { histogram: histogram as Histogram, opCount: 0, missCount: 0, errors: new Map(), firstMessages: new Map() };
}

function difference(before: readonly (number | null)[], after: readonly (number | null)[]): number | null {
  let sum = 0;
  for (const [i, start] of before.entries()) {
    const end = after[i] ?? null;
    if (start === null || end === null) return null;
    sum += end - start;
  }
  return before.length === 0 ? null : sum;
}

function summarize(
  options: BenchOptions,
  counts: LoadCounts,
  seconds: number,
  serverMicros: number | null,
  ownMicros: number,
): BenchResult {
  const { histogram, opCount } = counts;
  const errors: Record<string, { count: number; first: string }> = {};
  let errorCount = 0;
  for (const [code, count] of counts.errors) {
    errors[code] = { count, first: counts.firstMessages.get(code) ?? "" };
    errorCount += count;
  }
  // A percentile is the upper end of its bin, which may lie above the largest value seen.
  const percentile = (share: number): number => Math.min(histogram.getValueAtPercentile(share), histogram.maxValue);
  const perOp = (micros: number): number => round(micros / Math.max(1, opCount), 2);
  return {
    targets: options.targets.map((target) => target.address),
    clients: options.clients,
    pipeline: options.pipeline,
    valueBytes: options.valueBytes,
    reads: options.reads,
    keys: options.keys,
    distribution: options.distribution,
    seconds: round(seconds, 3),
    ops: opCount,
    opsPerSecond: Math.round(opCount / seconds),
    misses: counts.missCount,
    latencyMicros: {
      mean: round(opCount === 0 ? 0 : histogram.mean, 1),
      p50: percentile(50),
      p99: percentile(99),
      p999: percentile(99.9),
      max: histogram.maxValue,
    },
    errorCount,
    errors,
    serverMicrosPerOp: serverMicros === null ? null : perOp(serverMicros),
    clientMicrosPerOp: perOp(ownMicros),
  };
}

function describe(result: BenchResult): string {
  const { latencyMicros: latency } = result;
  const figure = (value: number): string => value.toLocaleString("en-US");
  const lines = [
    `${figure(result.clients)} clients, ${result.pipeline} deep, ${figure(result.valueBytes)}-byte values, ` +
      `${Math.round(result.reads * 100)}% reads, ${figure(result.keys)} keys ${result.distribution}, ` +
      `to ${result.targets.join(", ")}`,
    `${figure(result.ops)} operations in ${result.seconds} s: ${figure(result.opsPerSecond)} ops/s`,
    `latency, µs: mean ${figure(latency.mean)}, p50 ${figure(latency.p50)}, p99 ${figure(latency.p99)}, ` +
      `p99.9 ${figure(latency.p999)}, max ${figure(latency.max)}`,
    `processor, µs per operation: ${result.serverMicrosPerOp === null ? "" : `servers ${result.serverMicrosPerOp}, `}` +
      `this process ${result.clientMicrosPerOp}`,
    `${figure(result.misses)} reads found nothing, ${figure(result.errorCount)} errors`,
  ];
  for (const [code, { count, first }] of Object.entries(result.errors))
    lines.push(`  ${code} ${figure(count)}: ${first}`);
  return `${lines.join("\n")}\n`;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

function networkTo(tls: TargetTls | null): Network {
  const clock = new RealClock();
  if (tls === null) return new RealNetwork(clock);
  return new TlsNetwork(clock, {
    credentials: fixedCredentials(tls),
    callers: "unasked",
    checksHost: true,
    objection: () => null,
    handshakesMax: 0,
    refused: () => undefined,
  });
}
