/**
 * The work that flush and compaction share: what survives of a walk over versions goes into new tables, cut at
 * `tableBytesMax`; at the end one edit of the manifest puts them in place. Steps alternate between filling a table in
 * memory and writing it out.
 *
 * A job of which no step was taken may be carried out elsewhere: `reserveNumbers` gives the numbers for its tables, and
 * `adopt` takes their records; the next step publishes them. One thread.
 */
import { assert } from "../core/assert.ts";
import { EMPTY_BYTES } from "../core/bytes.ts";
import type { FileNumber } from "../core/ids.ts";
import type { Disk } from "../env/disk.ts";
import { type VersionCursor, VersionKind } from "../record/version.ts";
import type { DropRule, Job } from "./job.ts";
import type { StateChange } from "./manifest.ts";
import type { TableRecord } from "./manifest-format.ts";
import { mayHoldOlder, type OlderRanges } from "./older-ranges.ts";
import { removeGarbage } from "./remove-garbage.ts";
import { Survivors } from "./survivors.ts";
import { tableName } from "./table-format.ts";
import { TableWriter } from "./table-writer.ts";
import type { TreeIdentity, TreeOptions } from "./tree-options.ts";

/** What a job uses of the tree it works for. */
export interface JobHome {
  readonly disk: Disk;
  readonly directory: string;
  readonly options: TreeOptions;
  readonly identity: TreeIdentity;
  takeFileNumber(): FileNumber;
}

/** What the tree does for its jobs. */
export interface JobPorts {
  /** Makes a change of state durable and visible. */
  publish(change: StateChange): void;
  /** After a failed `publish`: whether the manifest on disk might name the new tables, so that they must stay. */
  mayBePublished(): boolean;
  /** The job has finished or was aborted. */
  ended(): void;
}

export interface Rewrite {
  /** Moved from its start to its end. Null: nothing is rewritten, the job is its edit. */
  readonly source: VersionCursor | null;
  /** The tables that `source` walks over, a list for each run; empty when it is a memtable. */
  readonly inputs: readonly (readonly TableRecord[])[];
  readonly rule: DropRule;
  readonly older: OlderRanges;
  /** Makes the outcome durable and visible. Level and run of the records are the caller's to fill in. */
  publish(tables: readonly TableRecord[]): void;
  /** As in JobPorts. */
  mayBePublished(): boolean;
  /** Called once, when the job has finished or was aborted: lets go of what it held. */
  ended(): void;
}

/** Cost of looking at a version, whatever its size. */
const VERSION_OVERHEAD_BYTES = 32;

/** Tables are cut once they have reached their size, so half as many would do. */
const RESERVE = 2;

export class RewriteJob implements Job {
  readonly home: JobHome;
  readonly work: Rewrite;
  /** Bytes worked off so far: what was read of the source, and what was written. */
  doneBytes = 0;
  readonly #survivors: Survivors;
  #finished: TableRecord[] = [];
  #reserved: FileNumber[] = [];
  #writer: TableWriter | null = null;
  #state: "merging" | "writing" | "publishing" | "ended" = "merging";
  #isPositioned = false;

  constructor(home: JobHome, work: Rewrite) {
    this.home = home;
    this.work = work;
    this.#survivors = new Survivors(work.rule, (tableKey, high, low) => mayHoldOlder(work.older, tableKey, high, low));
    if (work.source === null) this.#state = "publishing";
  }

  step(budgetBytes: number): boolean {
    assert(this.#state !== "ended", "a job that has ended takes no more steps");
    assert(Math.floor(budgetBytes) === budgetBytes, "a budget is in whole bytes");
    if (this.#state === "publishing") {
      this.work.publish(this.#finished);
      this.#end();
      return false;
    }
    const end = this.doneBytes + budgetBytes;
    do {
      if (this.#state === "merging") this.#merge(end - this.doneBytes);
      else this.#write(end - this.doneBytes);
    } while (this.doneBytes < end && this.#isRewriting);
    return true;
  }

  /** Numbers enough for the tables that so many bytes of source may become. */
  reserveNumbers(sourceBytes: number): readonly FileNumber[] {
    assert(!this.#isPositioned && this.#reserved.length === 0, "numbers are reserved before the first step");
    const count = Math.ceil((sourceBytes * RESERVE) / this.home.options.tableBytesMax) + RESERVE;
    this.#reserved = Array.from({ length: count }, () => this.home.takeFileNumber());
    return this.#reserved;
  }

  /** The work was done elsewhere, and these are its tables, whole and synced. */
  adopt(tables: readonly TableRecord[]): void {
    assert(this.#state === "merging" && this.#reserved.length > 0, "only work that was given away is adopted");
    this.#finished = [...tables];
    this.#reserved = [];
    this.#state = "publishing";
  }

  get #isRewriting(): boolean {
    return this.#state === "merging" || this.#state === "writing";
  }

  abort(): void {
    if (this.#state === "ended") return;
    const mustStay = this.#state === "publishing" && this.work.mayBePublished();
    this.#end();
    this.#writer?.close();
    if (mustStay) return;
    const { disk, directory } = this.home;
    const numbers = [...this.#reserved, ...this.#finished.map((table) => table.number)];
    if (this.#writer !== null) numbers.push(this.#writer.number);
    for (const number of numbers) {
      const path = `${directory}/${tableName(number)}`;
      if (disk.exists(path)) removeGarbage(disk, path);
    }
  }

  #merge(budgetBytes: number): void {
    const { source } = this.work;
    assert(source !== null, "a merging job has a source");
    if (!this.#isPositioned) source.seek(0, EMPTY_BYTES);
    this.#isPositioned = true;
    let left = budgetBytes;
    while (source.valid) {
      if (left <= 0) return;
      const cost = this.#takeVersion(source);
      left -= cost;
      this.doneBytes += cost;
      if (this.#writer !== null && this.#isFull(this.#writer, source)) {
        this.#seal(this.#writer);
        return;
      }
    }
    if (this.#writer === null) this.#state = "publishing";
    else this.#seal(this.#writer);
  }

  /** All versions of a key lie in one table, or the tables of a run would overlap. */
  #isFull(writer: TableWriter, source: VersionCursor): boolean {
    const isFull = writer.byteCount >= this.home.options.tableBytesMax;
    return isFull && !(source.valid && writer.endsWith(source.bucket, source.key));
  }

  /** Keeps or drops the version under the cursor and moves on; returns what it cost. */
  #takeVersion(source: VersionCursor): number {
    const fate = this.#survivors.fateOf(source);
    const key = source.key;
    const value = fate === "keep" ? source.value : EMPTY_BYTES;
    const cost = VERSION_OVERHEAD_BYTES + key.length + value.length;
    if (fate !== "drop") {
      const kind = fate === "bury" ? VersionKind.tombstone : source.kind;
      const expiryMs = fate === "bury" ? 0 : source.expiryMs;
      this.#writer ??= this.#newWriter();
      this.#writer.add(source.bucket, key, kind, source.stampHigh, source.stampLow, source.origin, expiryMs, value);
    }
    source.next();
    return cost;
  }

  #newWriter(): TableWriter {
    const { options, identity, directory } = this.home;
    const number = this.home.takeFileNumber();
    return new TableWriter(options, identity, number, `${directory}/${tableName(number)}`);
  }

  #seal(writer: TableWriter): void {
    writer.seal(this.home.disk);
    this.#state = "writing";
  }

  #write(budgetBytes: number): void {
    const writer = this.#writer;
    assert(writer !== null, "a writing job has a table");
    this.doneBytes += Math.min(budgetBytes, writer.byteCount);
    if (writer.writeStep(budgetBytes)) return;
    this.#finished.push(writer.record(0, 0));
    this.#writer = null;
    this.#state = this.work.source?.valid === true ? "merging" : "publishing";
  }

  #end(): void {
    this.#state = "ended";
    this.work.ended();
  }
}
