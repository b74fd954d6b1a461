/**
 * Compaction: a pick (compaction-pick.ts) carried out. Inputs leave and outputs arrive in one edit.
 */
import type { Pick } from "./compaction-pick.ts";
import type { DropRule, Job } from "./job.ts";
import type { Layout } from "./layout.ts";
import { MergeCursor } from "./merge-cursor.ts";
import { type FinishedTable, type JobHome, type JobPorts, RewriteJob } from "./rewrite-job.ts";
import { RunCursor } from "./run-cursor.ts";
import type { Table } from "./table.ts";

/** `layout` is the one that the pick was made from; the job holds it until it ends. */
export function compactionJob(home: JobHome, layout: Layout, pick: Pick, rule: DropRule, ports: JobPorts): Job {
  const tables = pick.kind === "rewrite" ? pick.inputs.flat() : pick.tables;
  const inputs: ReadonlySet<Table> = new Set(tables);
  const removed = tables.map((table) => table.record.number);
  layout.retain();
  return new RewriteJob(home, {
    source: pick.kind === "rewrite" ? new MergeCursor(pick.inputs.map((run) => new RunCursor(run))) : null,
    rule,
    olderElsewhere: (tableKey, high, low) => layout.mayHoldOlder(tableKey, high, low, inputs),
    publish: (finished) => ports.publish({ flushed: null, removed, added: addedBy(pick, finished) }),
    mayBePublished: () => ports.mayBePublished(),
    ended: () => {
      layout.release();
      ports.ended();
    },
  });
}

function addedBy(pick: Pick, finished: readonly FinishedTable[]) {
  if (pick.kind === "remove") return [];
  if (pick.kind === "move") return pick.tables.map((table) => ({ ...table.record, level: pick.outputLevel, run: 0 }));
  return finished.map((table) => table.record(pick.outputLevel, 0));
}
