/**
 * Flush: a frozen memtable becomes one run of level 0, and the flushed position moves on with it in the same edit. An
 * empty outcome (everything fenced, or deleted with nothing below) still moves the position.
 */
import { MAX_STAMP } from "../core/stamp.ts";
import type { VersionCursor } from "../record/version.ts";
import type { DropRule } from "./job.ts";
import type { Layout } from "./layout.ts";
import type { FlushedPosition } from "./manifest-format.ts";
import { olderRanges } from "./older-ranges.ts";
import { type JobHome, type JobPorts, RewriteJob } from "./rewrite-job.ts";

/** `layout` is the one at the start; the job holds it until it ends. */
export function flushJob(
  home: JobHome,
  layout: Layout,
  source: VersionCursor,
  position: FlushedPosition,
  rule: DropRule,
  ports: JobPorts,
): RewriteJob {
  layout.retain();
  return new RewriteJob(home, {
    source,
    inputs: [],
    rule,
    older: olderRanges(layout.runs, new Set(), MAX_STAMP, null),
    publish: (tables) => {
      // Numbers only grow, so the first table's number puts this run above all earlier ones.
      const run = tables[0]?.number ?? 0;
      ports.publish({ flushed: position, removed: [], added: tables.map((record) => ({ ...record, level: 0, run })) });
    },
    mayBePublished: () => ports.mayBePublished(),
    ended: () => {
      layout.release();
      ports.ended();
    },
  });
}
