/** What was measured, as rows: text for people, JSON for machines. */
import type { EngineName, Latencies, Outcome } from "./job.ts";

/** A median of the rounds, with what the process took. */
export interface Measured {
  readonly outcome: Outcome;
  readonly residentBytes: number;
  readonly anonymousBytes: number;
  /** Bytes of the directory on disk; null where nothing was written. */
  readonly directoryBytes: number | null;
}

export interface Row {
  readonly measure: string;
  readonly engine: EngineName;
  readonly opsPerSecond: number;
  readonly microsPerOp: number;
  readonly processorMicrosPerOp: number;
  /** To db_bench as it comes, and tuned; null where that was not measured. */
  readonly toRocksdb: number | null;
  readonly toTuned: number | null;
  /** db_bench's processor time for each operation, as it comes, by this engine's. */
  readonly processorToRocksdb: number | null;
  /** Without the time for what was put off. */
  readonly writesPerSecond: number | null;
  readonly writeAmplification: number | null;
  readonly spaceAmplification: number | null;
  readonly opsPerSync: number | null;
  readonly residentMib: number;
  readonly anonymousMib: number;
  readonly found: number | null;
  readonly readMicros: Latencies | null;
  readonly writeMicros: Latencies | null;
  readonly note: string | null;
}

const MIB = 1024 * 1024;

export function rowsOf(measure: string, results: ReadonlyMap<EngineName, Measured>, recordBytes: number): Row[] {
  const speed = (engine: EngineName): number | null => {
    const outcome = results.get(engine)?.outcome;
    return outcome === undefined ? null : outcome.ops / outcome.seconds;
  };
  const [rocksdb, tuned] = [speed("rocksdb"), speed("rocksdb-tuned")];
  const rocksdbOutcome = results.get("rocksdb")?.outcome ?? null;
  const rocksdbMicros = rocksdbOutcome === null ? null : rocksdbOutcome.processorMicros / rocksdbOutcome.ops;
  return [...results].map(([engine, { outcome, directoryBytes, residentBytes, anonymousBytes }]) => {
    const { ops, seconds, writeSeconds, processorMicros, writtenBytes, liveBytes, syncCount } = outcome;
    const opsPerSecond = ops / seconds;
    return {
      measure,
      engine,
      opsPerSecond: Math.round(opsPerSecond),
      microsPerOp: round((seconds * 1e6) / ops, 3),
      processorMicrosPerOp: round(processorMicros / ops, 3),
      toRocksdb: rocksdb === null ? null : round(opsPerSecond / rocksdb, 2),
      toTuned: tuned === null ? null : round(opsPerSecond / tuned, 2),
      processorToRocksdb: rocksdbMicros === null ? null : round((rocksdbMicros * ops) / processorMicros, 2),
      writesPerSecond: writeSeconds === null ? null : Math.round(ops / writeSeconds),
      writeAmplification: writtenBytes === null ? null : round(writtenBytes / (ops * recordBytes), 2),
      spaceAmplification: directoryBytes === null || liveBytes === null ? null : round(directoryBytes / liveBytes, 2),
      opsPerSync: syncCount === null || syncCount === 0 ? null : round(ops / syncCount, 1),
      residentMib: Math.round(residentBytes / MIB),
      anonymousMib: Math.round(anonymousBytes / MIB),
      found: outcome.found,
      readMicros: outcome.readMicros,
      writeMicros: outcome.writeMicros,
      note: outcome.note,
    };
  });
}

const HEADINGS = [
  ["measure", -17],
  ["engine", -16],
  ["ops/s", 10],
  ["us/op", 9],
  ["cpu us", 8],
  ["x rocks", 8],
  ["x tuned", 8],
  ["x cpu", 8],
  ["w-amp", 7],
  ["space", 6],
  ["RSS", 6],
  ["anon", 6],
] as const;

export function heading(): string {
  return HEADINGS.map(([name, width]) => padded(name, width)).join("");
}

export function lineOf(row: Row): string {
  const cells = [
    row.measure,
    row.engine,
    String(row.opsPerSecond),
    row.microsPerOp.toFixed(2),
    row.processorMicrosPerOp.toFixed(2),
    row.toRocksdb?.toFixed(2) ?? "",
    row.toTuned?.toFixed(2) ?? "",
    row.processorToRocksdb?.toFixed(2) ?? "",
    row.writeAmplification?.toFixed(2) ?? "",
    row.spaceAmplification?.toFixed(2) ?? "",
    String(row.residentMib),
    String(row.anonymousMib),
  ];
  return [...HEADINGS.map(([, width], i) => padded(cells[i] ?? "", width)), remarks(row)].join("").trimEnd();
}

function remarks({ writesPerSecond, opsPerSync, found, readMicros, writeMicros, note }: Row): string {
  const said: string[] = [];
  if (writesPerSecond !== null) said.push(`writes alone ${writesPerSecond}/s`);
  if (opsPerSync !== null) said.push(`${opsPerSync} a sync`);
  if (found !== null) said.push(`${found} found`);
  if (readMicros !== null) said.push(`reads ${latencyText(readMicros)}`);
  if (writeMicros !== null) said.push(`writes ${latencyText(writeMicros)}`);
  if (note !== null) said.push(note);
  return `  ${said.join(", ")}`;
}

function latencyText({ p50, p99, p999, max }: Latencies): string {
  return `p50 ${p50} p99 ${p99} p99.9 ${p999} max ${max} us`;
}

/** To the left where the width is negative; at least one space apart. */
function padded(text: string, width: number): string {
  return width < 0 ? `${text.padEnd(-width - 1)} ` : ` ${text.padStart(width - 1)}`;
}

function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}
