/**
 * Flush: a frozen memtable becomes one run of level 0, and the flushed position moves on with it in the same edit. An
 * empty outcome (everything fenced, or deleted with nothing below) still moves the position.
 */
import type { VersionCursor } from "../record/version.ts";
import type { DropRule, Job } from "./job.ts";
import type { Layout } from "./layout.ts";
import type { FlushedPosition } from "./manifest-format.ts";
import { type JobHome, type JobPorts, RewriteJob } from "./rewrite-job.ts";
import type { Table } from "./table.ts";

const NO_TABLES: ReadonlySet<Table> = new Set();

/** `layout` is the one at the start; the job holds it until it ends. */
export function flushJob(
  home: JobHome,
  layout: Layout,
  source: VersionCursor,
  position: FlushedPosition,
  rule: DropRule,
  ports: JobPorts,
): Job {
  layout.retain();
  return new RewriteJob(home, {
    source,
    rule,
    olderElsewhere: (tableKey, high, low) => layout.mayHoldOlder(tableKey, high, low, NO_TABLES),
    publish: (tables) => {
      // Numbers only grow, so the first table's number puts this run above all earlier ones.
      const run = tables[0]?.number ?? 0;
      ports.publish({ flushed: position, removed: [], added: tables.map((table) => table.record(0, run)) });
    },
    mayBePublished: () => ports.mayBePublished(),
    ended: () => {
      layout.release();
      ports.ended();
    },
  });
}
