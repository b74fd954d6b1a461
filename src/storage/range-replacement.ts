/**
 * Everything that a tree holds in some ranges of keys gives way to tables that have come from another member, in one edit
 * of the manifest:
 *
 *   tables that lie in the ranges with all of their keys    leave unread: the damaged ones among them
 *   sound tables of which a part lies there                 are written anew without that part, on their level and run
 *   damaged tables of which a part lies there               stay, and stay in the way of look-ups
 *   the tables that have come                               are a new run of level 0
 *
 * Nothing older than them is left beneath, so they need no tombstones. The caller has seen to it that all that is applied is in
 * tables, and the same edit says so: a restart applies nothing again that the new tables have. One thread.
 */
import { assert } from "../core/assert.ts";
import type { DropRule, Job } from "./job.ts";
import { coversRange } from "./key-ranges.ts";
import type { Layout } from "./layout.ts";
import type { FlushedPosition, TableRecord } from "./manifest-format.ts";
import { type KeyRange, olderRanges, rangesOverlap } from "./older-ranges.ts";
import { OutsideCursor } from "./outside-cursor.ts";
import { removeGarbage } from "./remove-garbage.ts";
import { type JobHome, type JobPorts, RewriteJob } from "./rewrite-job.ts";
import { RunCursor } from "./run-cursor.ts";
import { tableName } from "./table-format.ts";
import type { Table } from "./table.ts";

/** The tables of a layout that a replacement of these ranges is about. */
export function concernedBy(layout: Layout, ranges: readonly KeyRange[]): readonly Table[] {
  return layout.tables.filter((table) => {
    const isTouched = ranges.some((range) => rangesOverlap(range, table.footer));
    return isTouched && (table.damage === null || coversRange(ranges, table.footer));
  });
}

export class RangeReplacement implements Job {
  readonly #home: JobHome;
  readonly #layout: Layout;
  readonly #ranges: readonly KeyRange[];
  readonly #concerned: readonly Table[];
  readonly #arrived: readonly TableRecord[];
  readonly #position: FlushedPosition;
  readonly #rule: DropRule;
  readonly #ports: JobPorts;
  /** Still to be written anew. */
  readonly #edges: Table[];
  readonly #rewritten: TableRecord[] = [];
  #rewrite: RewriteJob | null = null;
  #workedBytes = 0;
  #state: "rewriting" | "publishing" | "ended" = "rewriting";

  /** `layout` is the present one; the job holds it until it ends. The files of `arrived` stay the caller's until it has published. */
  constructor(
    home: JobHome,
    layout: Layout,
    ranges: readonly KeyRange[],
    arrived: readonly TableRecord[],
    position: FlushedPosition,
    rule: DropRule,
    ports: JobPorts,
  ) {
    this.#home = home;
    this.#layout = layout;
    this.#ranges = ranges;
    this.#concerned = concernedBy(layout, ranges);
    this.#arrived = arrived;
    this.#position = position;
    // What a pointer into a quarantined file says need not be so: nothing expires on its word.
    this.#rule = { ...rule, expireBeforeMs: 0 };
    this.#ports = ports;
    this.#edges = this.#concerned.filter(({ footer }) => !coversRange(ranges, footer));
    layout.retain();
  }

  get doneBytes(): number {
    return this.#workedBytes + (this.#rewrite?.doneBytes ?? 0);
  }

  step(budgetBytes: number): boolean {
    assert(this.#state !== "ended", "a job that has ended takes no more steps");
    const edge = this.#edges[0];
    if (edge !== undefined) {
      this.#rewrite ??= this.#beginRewrite(edge);
      const job = this.#rewrite;
      if (job.step(budgetBytes)) return true;
      this.#workedBytes += job.doneBytes;
      this.#rewrite = null;
      this.#edges.shift();
      return true;
    }
    this.#state = "publishing";
    const removed = this.#concerned.map(({ record }) => record.number);
    this.#ports.publish({ flushed: this.#position, removed, added: [...this.#rewritten, ...this.#arrived] });
    this.#end();
    return false;
  }

  abort(): void {
    if (this.#state === "ended") return;
    const mustStay = this.#state === "publishing" && this.#ports.mayBePublished();
    this.#rewrite?.abort();
    this.#end();
    if (mustStay) return;
    const { disk, directory } = this.#home;
    for (const { number } of this.#rewritten) {
      const path = `${directory}/${tableName(number)}`;
      if (disk.exists(path)) removeGarbage(disk, path);
    }
  }

  #beginRewrite(table: Table): RewriteJob {
    const place = this.#layout.placeOf(table);
    const { footer, record } = table;
    return new RewriteJob(this.#home, {
      source: new OutsideCursor(new RunCursor([table]), this.#ranges),
      inputs: [[record]],
      rule: this.#rule,
      older: olderRanges(this.#layout.runs, new Set([table]), footer.maxStamp, footer),
      publish: (finished) => {
        for (const one of finished) this.#rewritten.push({ ...one, ...place });
      },
      mayBePublished: () => false,
      ended: () => undefined,
    });
  }

  #end(): void {
    this.#state = "ended";
    this.#layout.release();
    this.#ports.ended();
  }
}
