/**
 * Compaction: a pick (compaction-pick.ts) carried out. Inputs leave and outputs arrive in one edit.
 */
import { compareStamps, ZERO_STAMP } from "../core/stamp.ts";
import { inputsOf, type Pick } from "./compaction-pick.ts";
import type { DropRule } from "./job.ts";
import type { Layout } from "./layout.ts";
import type { TableRecord } from "./manifest-format.ts";
import { MergeCursor } from "./merge-cursor.ts";
import { olderRanges, rangeOf } from "./older-ranges.ts";
import { type JobHome, type JobPorts, RewriteJob } from "./rewrite-job.ts";
import { RunCursor } from "./run-cursor.ts";
import type { Table } from "./table.ts";

/** `layout` is the one that the pick was made from; the job holds it until it ends. */
export function compactionJob(home: JobHome, layout: Layout, pick: Pick, rule: DropRule, ports: JobPorts): RewriteJob {
  const tables = inputsOf(pick);
  const removed = tables.map((table) => table.record.number);
  layout.retain();
  return new RewriteJob(home, {
    source: pick.kind === "rewrite" ? new MergeCursor(pick.inputs.map((run) => new RunCursor(run))) : null,
    inputs: pick.kind === "rewrite" ? pick.inputs.map((run) => run.map((table) => table.record)) : [],
    rule,
    older: olderRanges(layout.runs, new Set(tables), newestOf(tables), rangeOf(tables)),
    publish: (finished) => ports.publish({ flushed: null, removed, added: addedBy(pick, finished) }),
    mayBePublished: () => ports.mayBePublished(),
    ended: () => {
      layout.release();
      ports.ended();
    },
  });
}

function addedBy(pick: Pick, finished: readonly TableRecord[]): TableRecord[] {
  if (pick.kind === "remove") return [];
  const records = pick.kind === "move" ? pick.tables.map((table) => table.record) : finished;
  return records.map((record) => ({ ...record, ...pick.output }));
}

function newestOf(tables: readonly Table[]) {
  let newest = ZERO_STAMP;
  for (const { footer } of tables) {
    const { high, low } = footer.maxStamp;
    if (compareStamps(high, low, newest.high, newest.low) > 0) newest = footer.maxStamp;
  }
  return newest;
}
