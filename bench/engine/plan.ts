/** The measures by name: which jobs they are, and on what data. */
import type { EngineName, Job } from "./job.ts";

export interface Sizes {
  readonly writeKeys: number;
  readonly syncGroups: number;
  readonly readKeys: number;
  readonly reads: number;
  readonly seeks: number;
  readonly mixedSeconds: number;
  readonly reopenKeys: readonly number[];
  readonly budgetKeys: number;
  readonly budgetReads: number;
}

export const SHORT: Sizes = {
  writeKeys: 1_000_000,
  syncGroups: 1_000,
  readKeys: 1_000_000,
  reads: 500_000,
  seeks: 50_000,
  mixedSeconds: 5,
  reopenKeys: [1_000_000],
  budgetKeys: 0,
  budgetReads: 100_000,
};

export const FULL: Sizes = {
  writeKeys: 20_000_000,
  syncGroups: 5_000,
  readKeys: 10_000_000,
  reads: 2_000_000,
  seeks: 200_000,
  mixedSeconds: 60,
  reopenKeys: [1_000_000, 10_000_000],
  budgetKeys: 43_000_000,
  budgetReads: 200_000,
};

/** Where a job's data comes from: `fresh` is an empty directory; others are made once for each engine, and kept. */
export type Source = "fresh" | "written" | "filled" | "crashed" | "budget";

type WithoutPlace<Of> = Of extends Job ? Omit<Of, "engine" | "directory" | "memoryBytes"> : never;
export type PlannedJob = WithoutPlace<Job>;

export interface Measure {
  readonly name: string;
  readonly source: Source;
  /** What makes the data of a source that is not there yet. */
  readonly prepare: PlannedJob | null;
  readonly job: PlannedJob;
  readonly engines: readonly EngineName[];
  /** Short enough to be repeated in turn with the other engines. */
  readonly isShort: boolean;
  readonly isLimited: boolean;
}

const ALL: readonly EngineName[] = ["envelope", "rocksdb", "leveldb", "lmdb"];
const READERS: readonly EngineName[] = ["envelope", "rocksdb", "rocksdb-tuned", "leveldb", "lmdb"];
const TABLES: readonly EngineName[] = ["envelope", "rocksdb"];
/** More data than memory: whose cache it is that the memory goes to is what is asked there. */
const LIMITED: readonly EngineName[] = ["envelope", "envelope-direct", "rocksdb"];
const OUTSTANDING = [1, 8, 64, 512];
const SCANNED_BEHIND_SEEK = 10;

export function measuresOf(sizes: Sizes): Measure[] {
  return [...writes(sizes), ...syncedWrites(sizes), ...reads(sizes), ...others(sizes)];
}

function writes({ writeKeys }: Sizes): Measure[] {
  const fill = { type: "fill", keyCount: writeKeys, opCount: writeKeys, flushes: false } as const;
  const measure = (name: string, job: PlannedJob, source: Source, prepare: PlannedJob | null): Measure => {
    return { name, source, prepare, job, engines: ALL, isShort: false, isLimited: false };
  };
  const random = { ...fill, order: "random", isFresh: true } as const;
  return [
    measure("fillrandom", { ...random, batch: 1 }, "fresh", null),
    measure("fillrandom16", { ...random, batch: 16 }, "fresh", null),
    measure("fillseq", { ...random, order: "sequential", batch: 1 }, "fresh", null),
    measure("overwrite", { ...random, batch: 1, isFresh: false }, "written", {
      ...random,
      order: "permuted",
      batch: 16,
    }),
  ];
}

function syncedWrites({ syncGroups, writeKeys }: Sizes): Measure[] {
  return OUTSTANDING.map((outstanding) => ({
    name: `fillsync${outstanding}`,
    source: "fresh",
    prepare: null,
    job: { type: "fillsync", keyCount: writeKeys, opCount: outstanding * syncGroups, outstanding },
    engines: ALL,
    isShort: true,
    isLimited: false,
  }));
}

/** The data that reads find: each key once, none of it in memory, no compaction owed. */
function filled(keyCount: number): PlannedJob {
  return { type: "fill", keyCount, opCount: keyCount, order: "permuted", batch: 16, isFresh: true, flushes: true };
}

function reads({ readKeys, reads: opCount, seeks }: Sizes): Measure[] {
  const measure = (name: string, job: PlannedJob, engines: readonly EngineName[]): Measure => {
    return { name, source: "filled", prepare: filled(readKeys), job, engines, isShort: true, isLimited: false };
  };
  const read = { type: "read", keyCount: readKeys, opCount, isMissing: false, throughMessages: false } as const;
  const seek = { type: "seek", keyCount: readKeys, opCount: seeks, nextCount: SCANNED_BEHIND_SEEK } as const;
  return [
    measure("readrandom", read, READERS),
    measure("readmissing", { ...read, isMissing: true }, READERS),
    measure("readmessage", { ...read, throughMessages: true }, ["envelope"]),
    measure("seekrandom", seek, READERS),
    measure("scan", { type: "scan", keyCount: readKeys }, READERS),
  ];
}

function others(sizes: Sizes): Measure[] {
  const { readKeys, mixedSeconds, reopenKeys, budgetKeys, budgetReads } = sizes;
  const one = { isShort: false, isLimited: false };
  const mixed: Measure = {
    name: "readwhilewriting",
    source: "filled",
    prepare: filled(readKeys),
    job: { type: "mixed", keyCount: readKeys, seconds: mixedSeconds, writesPerSecond: 0 },
    engines: TABLES,
    ...one,
  };
  const reopen = reopenKeys.map((keyCount): Measure => {
    const prepare = { type: "crash", keyCount } as const;
    const job = { type: "reopen", keyCount } as const;
    return { name: `reopen${keyCount / 1e6}M`, source: "crashed", prepare, job, engines: TABLES, ...one };
  });
  if (budgetKeys === 0) return [mixed, ...reopen];
  const limited = { source: "budget", engines: LIMITED, isShort: false, isLimited: true } as const;
  const read: PlannedJob = {
    type: "read",
    keyCount: budgetKeys,
    opCount: budgetReads,
    isMissing: false,
    throughMessages: false,
  };
  const budget: Measure[] = [
    { name: "budgetfill", prepare: null, job: filled(budgetKeys), ...limited },
    { name: "budgetread", prepare: filled(budgetKeys), job: read, ...limited },
  ];
  return [mixed, ...reopen, ...budget];
}
