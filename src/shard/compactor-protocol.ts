/**
 * What a shard's thread and a compactor say to each other: a few messages a job, passed by structured clone. A job is
 * given immutable files by their records, or a frozen memtable (which is shared memory), and everything that decides what
 * survives; it writes new files under numbers that were reserved for it, and its outcome is their records. Only the
 * shard's thread edits the manifest. Two words are shared beside the messages, changed by Atomics alone:
 *
 *   state of a compactor    idle → taken (by whichever shard's thread is first) → idle, or dead when its thread has ended
 *   control of a job        running → ended; or running → cancelled → ended, when the shard wants it no more
 */
import type { MessagePort } from "node:worker_threads";
import type { DamagePlace, ErrorCode } from "../core/errors.ts";
import type { FileNumber } from "../core/ids.ts";
import type { FrozenRule } from "../storage/job.ts";
import type { TableRecord } from "../storage/manifest-format.ts";
import type { OlderRanges } from "../storage/older-ranges.ts";
import type { TreeIdentity, TreeOptions } from "../storage/tree-options.ts";

export const CompactorState = { idle: 0, taken: 1, dead: 2 } as const;
export const JobControl = { running: 0, cancelled: 1, ended: 2 } as const;
/** Bytes of either word. */
export const WORD_BYTES = 4;

export type OrderSource =
  | { readonly kind: "memtable"; readonly arena: SharedArrayBuffer }
  /** A list for each run, in key order. */
  | { readonly kind: "tables"; readonly runs: readonly (readonly TableRecord[])[] };

export interface CompactorOrder {
  readonly jobId: number;
  readonly control: SharedArrayBuffer;
  readonly directory: string;
  readonly options: TreeOptions;
  readonly identity: TreeIdentity;
  /** For the tables it writes. */
  readonly numbers: readonly FileNumber[];
  readonly rule: FrozenRule;
  readonly older: OlderRanges;
  readonly source: OrderSource;
}

/** A cancelled job has no reply. */
export type CompactorReply =
  | { readonly type: "finished"; readonly jobId: number; readonly tables: readonly TableRecord[] }
  /** There were too few numbers: what was packed has been unpacked. */
  | { readonly type: "outgrown"; readonly jobId: number }
  | {
      readonly type: "failed";
      readonly jobId: number;
      readonly code: ErrorCode;
      readonly message: string;
      readonly place: DamagePlace | null;
    };

/** What a compactor's thread is started with: one end for each shard's thread. */
export interface CompactorData {
  readonly ports: readonly MessagePort[];
  readonly state: SharedArrayBuffer;
}
