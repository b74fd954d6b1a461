/**
 * Long work of a tree, cut into bounded steps that its thread runs between batches. A job reads immutable files or a
 * frozen memtable and writes new files; nothing it wrote is seen before its last step has published it.
 */
import type { Retention } from "./retention.ts";

export interface Job {
  /** Bytes worked off so far. */
  readonly doneBytes: number;
  /**
   * Works off about `budgetBytes` of input or output. True: there is more to do. After a thrown error the only thing
   * left to call is `abort`; the work may then be begun anew.
   */
  step(budgetBytes: number): boolean;
  /** Gives up and removes what was written. Of no effect on a job that has finished. */
  abort(): void;
}

/** What a job may leave behind, frozen at its start: it is asked throughout, so its answers must not change meanwhile. */
export interface DropRule {
  /** Whether the bucket is gone for good: every version of it is dropped. */
  fenced(bucket: number): boolean;
  /** Milliseconds of the last applied stamp: what expired at or before it is dropped. */
  readonly expireBeforeMs: number;
  /** Who may still read what has been overwritten. Readers that come later want nothing the job may drop by this. */
  readonly retention: Retention;
}

/** A drop rule as plain values, which can go to another thread. */
export interface FrozenRule {
  readonly fences: ReadonlySet<number>;
  readonly expireBeforeMs: number;
  readonly retention: Retention;
}

export function dropRule({ fences, expireBeforeMs, retention }: FrozenRule): DropRule {
  return { fenced: (bucket) => fences.has(bucket), expireBeforeMs, retention };
}
