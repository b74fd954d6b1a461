/**
 * The life of a compactor: it carries out one order after the other, each on this thread from its start to its end, and
 * rests in the event loop between them. What disk and files get wrong fails the order and removes what it wrote; a broken
 * promise of ours ends the thread. Compactor thread.
 */
import type { MessagePort } from "node:worker_threads";
import { MemtableReader } from "../bridge/memtable-reader.ts";
import { EnvelopeError } from "../core/errors.ts";
import type { Disk } from "../env/disk.ts";
import type { VersionCursor } from "../record/version.ts";
import { DirectFiles } from "../storage/direct-files.ts";
import { dropRule } from "../storage/job.ts";
import type { TableRecord } from "../storage/manifest-format.ts";
import { MergeCursor } from "../storage/merge-cursor.ts";
import { RewriteJob } from "../storage/rewrite-job.ts";
import { RunCursor } from "../storage/run-cursor.ts";
import { Table } from "../storage/table.ts";
import { tableName } from "../storage/table-format.ts";
import {
  type CompactorData,
  type CompactorOrder,
  type CompactorReply,
  CompactorState,
  JobControl,
} from "./compactor-protocol.ts";

/** Between two looks at whether the job was cancelled: some milliseconds of work. */
const STEP_BYTES = 1024 * 1024;

/** Listens on all ends; the thread lives until `closeCompactor`. */
export function runCompactor(disk: Disk, data: CompactorData): void {
  const state = new Int32Array(data.state);
  for (const port of data.ports) {
    port.on("message", (order: CompactorOrder) => {
      answer(disk, order, port);
      Atomics.store(state, 0, CompactorState.idle);
    });
  }
}

/** No more orders are coming. */
export function closeCompactor(data: CompactorData): void {
  for (const port of data.ports) port.close();
}

function answer(disk: Disk, order: CompactorOrder, port: MessagePort): void {
  const control = new Int32Array(order.control);
  const reply = carryOut(disk, order, () => Atomics.load(control, 0) === JobControl.cancelled);
  if (reply !== null) port.postMessage(reply);
  Atomics.store(control, 0, JobControl.ended);
  Atomics.notify(control, 0);
}

/** There are more tables than numbers. */
const OUTGROWN = Symbol("outgrown");

/** Null: the job was cancelled. Nothing is left then, or of one that has failed or outgrown its numbers. */
export function carryOut(disk: Disk, order: CompactorOrder, isCancelled: () => boolean): CompactorReply | null {
  const { jobId } = order;
  const tables: Table[] = [];
  try {
    const finished = rewrite(disk, order, sourceOf(disk, order, tables), isCancelled);
    return finished === null ? null : { type: "finished", jobId, tables: finished };
  } catch (cause) {
    if (cause === OUTGROWN) return { type: "outgrown", jobId };
    if (!(cause instanceof EnvelopeError)) throw cause;
    return { type: "failed", jobId, code: cause.code, message: cause.message, place: cause.place };
  } finally {
    for (const table of tables) table.release();
  }
}

function sourceOf(disk: Disk, order: CompactorOrder, opened: Table[]): VersionCursor {
  const { source, directory, identity, options } = order;
  if (source.kind === "memtable") return new MemtableReader(source.arena).cursor();
  const direct = options.tableIo === "direct" ? new DirectFiles(disk) : null;
  const reading = { checks: "first", cache: null, direct, access: "through" } as const;
  const runs = source.runs.map((run) =>
    run.map((record) => {
      const table = Table.open(disk, `${directory}/${tableName(record.number)}`, record, identity, reading);
      table.retain();
      opened.push(table);
      return table;
    }),
  );
  return new MergeCursor(runs.map((run) => new RunCursor(run)));
}

function rewrite(
  disk: Disk,
  order: CompactorOrder,
  source: VersionCursor,
  isCancelled: () => boolean,
): readonly TableRecord[] | null {
  const { directory, options, identity, older } = order;
  const numbers = order.numbers.values();
  const takeFileNumber = () => {
    const { value } = numbers.next();
    if (value === undefined) throw OUTGROWN;
    return value;
  };
  let finished: readonly TableRecord[] = [];
  const job = new RewriteJob(
    { disk, directory, options, identity, takeFileNumber },
    {
      source,
      inputs: [],
      rule: dropRule(order.rule),
      older,
      publish: (tables) => {
        finished = tables;
      },
      mayBePublished: () => false,
      ended: () => undefined,
    },
  );
  try {
    while (job.step(STEP_BYTES)) {
      if (!isCancelled()) continue;
      job.abort();
      return null;
    }
  } catch (cause) {
    job.abort();
    throw cause;
  }
  return finished;
}
