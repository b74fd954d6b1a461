/**
 * RocksDB by its own db_bench, as it comes and tuned for reads. Its own report gives the time of the operations; when
 * the last compaction ended stands in its LOG. Processor time and memory are those of the whole process, the opening of
 * the database included.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { distinctKeys, KEY_BYTES, RECORD_BYTES, VALUE_BYTES } from "./workload.ts";
import { type Job, type Latencies, NOTHING, type Outcome } from "./job.ts";
import { runWatched, type Watched } from "./watched-process.ts";

const PROGRAM = "db_bench";
const ORDERS = { sequential: "fillseq", random: "fillrandom", permuted: "filluniquerandom" } as const;
const TUNED = ["--bloom_bits=10", "--mmap_read=1", "--compression_type=none"];
/** Logs short enough to be used again while the measurement lasts. */
const SYNCED_WRITE_BUFFER_BYTES = 2 * 1024 * 1024;
const RECYCLED_LOGS = 4;

export function dbBenchVersion(): string | null {
  return Bun.which(PROGRAM) === null ? null : Bun.spawnSync([PROGRAM, "--version"]).stdout.toString().trim();
}

/** Null: db_bench has no such measurement. */
export async function runDbBench(
  job: Job,
  groupFile: string | null,
): Promise<{ outcome: Outcome; watched: Watched } | null> {
  const plan = argumentsOf(job);
  if (plan === null) return null;
  const watched = await runWatched([PROGRAM, ...common(job), ...plan.args], groupFile);
  if (watched.exitCode !== 0) throw new Error(`db_bench failed: ${watched.errors.slice(-500)}`);
  const report = reportOf(watched.output, plan.name);
  const outcome = { ...NOTHING, ops: report.ops, seconds: report.seconds, processorMicros: watched.processorMicros };
  if (job.type === "reopen")
    return { outcome: { ...outcome, ops: 1, seconds: watched.seconds, found: report.found }, watched };
  if (job.type === "mixed") {
    return {
      outcome: {
        ...outcome,
        readMicros: percentiles(watched.output),
        note: "reads never wait, writes as many a second as there",
      },
      watched,
    };
  }
  if (job.type !== "fill" && job.type !== "fillsync") return { outcome: { ...outcome, found: report.found }, watched };
  const { writtenBytes } = watched;
  if (job.type === "fillsync")
    return { outcome: { ...outcome, writtenBytes, syncCount: syncsOf(watched.output) }, watched };
  const liveBytes = Math.round(
    (job.isFresh ? distinctKeys(job.order, job.opCount, job.keyCount) : job.keyCount) * RECORD_BYTES,
  );
  const seconds = Math.max(report.seconds, secondsToLastCompaction(job.directory));
  return { outcome: { ...outcome, seconds, writeSeconds: report.seconds, writtenBytes, liveBytes }, watched };
}

function common(job: Job): string[] {
  return [
    `--db=${job.directory}`,
    `--num=${job.keyCount}`,
    `--key_size=${KEY_BYTES}`,
    `--value_size=${VALUE_BYTES}`,
    "--seed=1",
    "--stats_dump_period_sec=0",
    ...(job.engine === "rocksdb-tuned" ? TUNED : []),
  ];
}

/** Name of the benchmark whose line counts, and the arguments that run it. */
function argumentsOf(job: Job): { name: string; args: string[] } | null {
  const existing = "--use_existing_db=1";
  switch (job.type) {
    case "fill": {
      const name = job.isFresh ? ORDERS[job.order] : "overwrite";
      const sequence = `${name},${job.flushes ? "flush," : ""}waitforcompaction`;
      const place = job.isFresh ? [] : [existing];
      return {
        name,
        args: [`--benchmarks=${sequence}`, `--writes=${job.opCount}`, `--batch_size=${job.batch}`, ...place],
      };
    }
    case "fillsync":
      return {
        name: "fillrandom",
        args: [
          "--benchmarks=fillrandom,stats",
          "--sync=1",
          `--threads=${job.outstanding}`,
          `--writes=${Math.ceil(job.opCount / job.outstanding)}`,
          `--options_file=${optionsWithRecycledLogs(job.directory)}`,
        ],
      };
    case "read": {
      if (job.throughMessages) return null;
      const name = job.isMissing ? "readmissing" : "readrandom";
      return { name, args: [`--benchmarks=${name}`, `--reads=${job.opCount}`, existing] };
    }
    case "seek":
      return {
        name: "seekrandom",
        args: ["--benchmarks=seekrandom", `--reads=${job.opCount}`, `--seek_nexts=${job.nextCount}`, existing],
      };
    case "scan":
      return { name: "readseq", args: ["--benchmarks=readseq", existing] };
    case "mixed":
      return {
        name: "readwhilewriting",
        args: [
          "--benchmarks=readwhilewriting",
          `--duration=${job.seconds}`,
          "--histogram=1",
          "--threads=1",
          `--benchmark_write_rate_limit=${Math.round(job.writesPerSecond * RECORD_BYTES)}`,
          existing,
        ],
      };
    case "crash":
      return { name: "filluniquerandom", args: ["--benchmarks=filluniquerandom"] };
    case "reopen":
      return { name: "readrandom", args: ["--benchmarks=readrandom", "--reads=1", existing] };
  }
}

interface Report {
  readonly ops: number;
  readonly seconds: number;
  readonly found: number | null;
}

/** `fillrandom : 4.2 micros/op 236000 ops/sec 4.2 seconds 1000000 operations; 26.2 MB/s (632 of 1000 found)` */
function reportOf(output: string, name: string): Report {
  const line = new RegExp(`^${name}\\s*:.*$`, "m").exec(output)?.[0] ?? "";
  const match = /micros\/op \d+ ops\/sec ([\d.]+) seconds (\d+) operations/.exec(line);
  if (match === null) throw new Error(`db_bench said nothing of ${name}: ${output.slice(-500)}`);
  const found = /\((\d+) of \d+ found\)/.exec(line)?.[1];
  return { seconds: Number(match[1]), ops: Number(match[2]), found: found === undefined ? null : Number(found) };
}

function syncsOf(output: string): number | null {
  const syncs = /Cumulative WAL: \S+ writes, (\d+)([KM]?) syncs/.exec(output);
  const factor = { K: 1000, M: 1_000_000 }[syncs?.[2] ?? ""] ?? 1;
  return syncs === null ? null : Number(syncs[1]) * factor;
}

function percentiles(output: string): Latencies | null {
  const match = /P50: ([\d.]+) .*P99: ([\d.]+) P99\.9: ([\d.]+)/.exec(output);
  const max = /Max: ([\d.]+)/.exec(output);
  if (match === null || max === null) return null;
  return { p50: Number(match[1]), p99: Number(match[2]), p999: Number(match[3]), max: Number(max[1]) };
}

/** From the first line of the database's LOG to the end of the last compaction in it. */
function secondsToLastCompaction(directory: string): number {
  const path = `${directory}/LOG`;
  if (!existsSync(path)) return 0;
  const lines = readFileSync(path, "latin1").split("\n");
  const last = lines.findLast((line) => line.includes('"event": "compaction_finished"'));
  return last === undefined ? 0 : (loggedMs(last) - loggedMs(lines[0] ?? "")) / 1000;
}

/** The time at the start of a line: `2026/11/21-17:01:11.525543 …`. */
function loggedMs(line: string): number {
  const match = /^(\d+)\/(\d+)\/(\d+)-([\d:.]+)/.exec(line);
  return match === null ? Number.NaN : Date.parse(`${match[1]}-${match[2]}-${match[3]}T${match[4]}Z`);
}

/**
 * db_bench has no flag for logs that are written again, so the options come from a file: that of a database of one
 * record, changed.
 */
function optionsWithRecycledLogs(directory: string): string {
  const origin = `${directory}-options`;
  Bun.spawnSync([PROGRAM, "--benchmarks=fillseq", "--num=1", `--db=${origin}`]);
  const name = readdirSync(origin).findLast((file) => file.startsWith("OPTIONS-")) ?? "";
  const options = readFileSync(`${origin}/${name}`, "latin1")
    .replace(/recycle_log_file_num=\d+/, `recycle_log_file_num=${RECYCLED_LOGS}`)
    .replace(/\bwrite_buffer_size=\d+/, `write_buffer_size=${SYNCED_WRITE_BUFFER_BYTES}`);
  rmSync(origin, { recursive: true });
  writeFileSync(`${directory}.options`, options);
  return `${directory}.options`;
}
