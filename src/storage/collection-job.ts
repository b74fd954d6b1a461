/**
 * Collection: live values are moved out of files that are mostly garbage, so that these can go. One table at a time:
 *
 *   1  walk it, and copy the commands that its pointers into those files lead to into one new value segment, a bounded
 *      number of bytes; every value is checked on the way
 *   2  write the table anew in its place, level and run, with pointers to where the values are now
 *   3  one edit: the old table leaves, the new one and the value segment arrive
 *
 * Until step 3 nobody sees anything of it, and afterwards whoever began before it goes on with the old table and the old
 * files. A file is gone when the last table that points into it has been through this, or has been compacted.
 */
import { EMPTY_BYTES } from "../core/bytes.ts";
import type { FileNumber } from "../core/ids.ts";
import { VersionKind } from "../record/version.ts";
import type { CollectionPick } from "./collection-pick.ts";
import type { DropRule, Job } from "./job.ts";
import type { Layout } from "./layout.ts";
import type { TableRecord } from "./manifest-format.ts";
import { olderRanges } from "./older-ranges.ts";
import { RelocatingCursor } from "./relocating-cursor.ts";
import { type JobHome, type JobPorts, RewriteJob } from "./rewrite-job.ts";
import { RunCursor } from "./run-cursor.ts";
import type { ValueFiles } from "./value-files.ts";
import { valueFileOfNumber, ValuePointer } from "./value-pointer-format.ts";
import { ValueSegmentWriter } from "./value-segment-writer.ts";

/** Cost of looking at a version, whatever its size. */
const VERSION_OVERHEAD_BYTES = 32;

export class CollectionJob implements Job {
  readonly #home: JobHome;
  readonly #files: ValueFiles;
  readonly #layout: Layout;
  readonly #pick: CollectionPick;
  readonly #rule: DropRule;
  readonly #ports: JobPorts;
  readonly #bytesMax: number;
  readonly #source: RunCursor;
  readonly #pointer = new ValuePointer();
  /** Of the moved commands in the value segment, in the order of the walk. */
  readonly #offsets: number[] = [];
  /** Number of the value segment. */
  readonly #target: FileNumber;
  #segment: ValueSegmentWriter | null = null;
  #rewrite: RewriteJob | null = null;
  #hasEnded = false;
  /** Bytes that the first of its steps came to. */
  #movedBytes = 0;

  /** `layout` is the one that the pick was made from; the job holds it until it ends. */
  constructor(
    home: JobHome,
    files: ValueFiles,
    layout: Layout,
    pick: CollectionPick,
    bytesMax: number,
    rule: DropRule,
    ports: JobPorts,
  ) {
    this.#home = home;
    this.#files = files;
    this.#layout = layout;
    this.#pick = pick;
    this.#rule = rule;
    this.#ports = ports;
    this.#bytesMax = bytesMax;
    this.#source = new RunCursor([pick.table]);
    this.#target = home.takeFileNumber();
    layout.retain();
  }

  /** Bytes worked off so far. */
  get doneBytes(): number {
    return this.#movedBytes + (this.#rewrite?.doneBytes ?? 0);
  }

  step(budgetBytes: number): boolean {
    if (this.#rewrite !== null) return this.#rewrite.step(budgetBytes);
    this.#move(budgetBytes);
    return true;
  }

  abort(): void {
    if (this.#hasEnded) return;
    const mustStay = this.#ports.mayBePublished();
    if (this.#rewrite === null) this.#end();
    else this.#rewrite.abort();
    if (mustStay) this.#segment?.close();
    else this.#segment?.discard();
  }

  #move(budgetBytes: number): void {
    const source = this.#source;
    if (this.#segment === null) {
      const { disk, directory, identity } = this.#home;
      this.#segment = new ValueSegmentWriter(disk, directory, identity, this.#target);
      source.seek(0, EMPTY_BYTES);
    }
    const segment = this.#segment;
    let left = budgetBytes;
    while (source.valid && segment.commandBytes < this.#bytesMax) {
      if (left <= 0) return;
      let cost = VERSION_OVERHEAD_BYTES;
      if (source.kind === VersionKind.pointer) cost += this.#moveValue(source.value, segment);
      left -= cost;
      this.#movedBytes += cost;
      source.next();
    }
    segment.finish();
    this.#rewrite = this.#beginRewrite();
  }

  /** Returns the bytes it has moved. */
  #moveValue(encoded: Uint8Array, segment: ValueSegmentWriter): number {
    const pointer = this.#pointer.read(encoded, 0);
    if (!this.#pick.files.has(pointer.file)) return 0;
    this.#offsets.push(segment.add(this.#files.of(pointer.file).command(pointer)));
    return pointer.commandBytes;
  }

  #beginRewrite(): RewriteJob {
    const target = valueFileOfNumber(this.#target);
    const { table, files } = this.#pick;
    const { footer } = table;
    return new RewriteJob(this.#home, {
      source: new RelocatingCursor(new RunCursor([table]), files, target, this.#offsets),
      inputs: [[table.record]],
      rule: this.#rule,
      older: olderRanges(this.#layout.runs, new Set([table]), footer.maxStamp, footer),
      publish: (finished) => this.#publish(finished),
      mayBePublished: () => this.#ports.mayBePublished(),
      ended: () => this.#end(),
    });
  }

  #publish(finished: readonly TableRecord[]): void {
    const { table } = this.#pick;
    const place = this.#layout.placeOf(table);
    const added = finished.map((record) => ({ ...record, ...place }));
    this.#ports.publish({ flushed: null, removed: [table.record.number], added });
    // Everything that was moved has expired or been fenced since.
    const target = valueFileOfNumber(this.#target);
    const isUsed = added.some(({ references = [] }) => references.some(({ file }) => file === target));
    if (!isUsed) this.#segment?.discard();
  }

  #end(): void {
    this.#hasEnded = true;
    this.#layout.release();
    this.#ports.ended();
  }
}
