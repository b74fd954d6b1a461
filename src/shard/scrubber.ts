/**
 * Reads what nobody reads: tables with the values that they point to, and sealed segments, one after the other, all of them
 * in a pass, and checks every checksum in them, so that damage is found while there still are other copies. A pass begins
 * at a start and then at most once in `intervalMs`; within it the bytes read are paced to `bytesPerSecond`. Each step is
 * bounded, and the shard takes one only when it has nothing better to do.
 *
 * Files are read with ordinary reads and never through a mapping: a sector that cannot be read is an error here and would
 * be a signal there. What fails is read once more, because a passing failure of the way to the disk is no damage; what
 * fails twice is quarantined. Shard thread.
 */
import { corruption, EnvelopeError } from "../core/errors.ts";
import type { Clock } from "../env/clock.ts";
import type { Disk } from "../env/disk.ts";
import type { Logger } from "../env/environment.ts";
import type { Log } from "../log/log.ts";
import type { Segment } from "../log/segment.ts";
import { scrubSegment } from "../log/segment-scrub.ts";
import type { Table } from "../storage/table.ts";
import { scrubTable } from "../storage/table-scrub.ts";
import type { Tree } from "../storage/tree.ts";
import type { Quarantine } from "./quarantine.ts";

export interface ScrubOptions {
  /** 0: nothing is scrubbed. */
  readonly bytesPerSecond: number;
  /** From the beginning of one pass to that of the next, at least. */
  readonly intervalMs: number;
  /** Bytes of one step, about: a block or a group is read whole. */
  readonly stepBytes: number;
}

/** A file of the pass. The walk yields the bytes that it has read; what is damaged it throws. */
interface Item {
  readonly path: string;
  readonly isLive: () => boolean;
  readonly walk: () => Generator<number, void>;
}

export class Scrubber {
  readonly #disk: Disk;
  readonly #tree: Tree;
  readonly #log: Log;
  readonly #quarantine: Quarantine;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #options: ScrubOptions;
  /** What is left of the pass, last first; null: none is under way. */
  #items: Item[] | null = null;
  #item: Item | null = null;
  #walk: Generator<number, void> | null = null;
  /** The item that has failed once. */
  #suspect: Item | null = null;
  #passBeganMs = 0;
  #passBytes = 0;
  /** Nothing is due before. */
  #dueMs: number;

  constructor(
    disk: Disk,
    tree: Tree,
    log: Log,
    quarantine: Quarantine,
    clock: Clock,
    logger: Logger,
    options: ScrubOptions,
  ) {
    this.#disk = disk;
    this.#tree = tree;
    this.#log = log;
    this.#quarantine = quarantine;
    this.#clock = clock;
    this.#logger = logger;
    this.#options = options;
    this.#dueMs = options.bytesPerSecond === 0 ? Number.POSITIVE_INFINITY : clock.monotonicMs();
  }

  /** Milliseconds for which there is nothing to do. */
  get dueInMs(): number {
    return Math.max(0, this.#dueMs - this.#clock.monotonicMs());
  }

  /** One bounded step, if one is due; true: another one is due already. */
  step(): boolean {
    if (this.dueInMs > 0) return false;
    this.#items ??= this.#beginPass();
    const readBytes = this.#read();
    this.#passBytes += readBytes;
    const nowMs = this.#clock.monotonicMs();
    if (this.#item === null && this.#items.length === 0) this.#endPass(nowMs);
    else this.#dueMs = nowMs + (readBytes / this.#options.bytesPerSecond) * 1000;
    return this.dueInMs === 0;
  }

  /** Lets go of the file that is being read. */
  close(): void {
    this.#walk?.return();
    this.#walk = null;
    this.#item = null;
    this.#items = [];
  }

  #beginPass(): Item[] {
    this.#quarantine.sweep();
    this.#passBeganMs = this.#clock.monotonicMs();
    this.#passBytes = 0;
    const segments = this.#log.sealedSegments.filter(({ isDamaged }) => !isDamaged);
    const tables = this.#tree.liveTables.filter(({ damage }) => damage === null);
    return [...segments.map((one) => this.#segmentItem(one)), ...tables.map((one) => this.#tableItem(one))];
  }

  #segmentItem(segment: Segment): Item {
    return {
      path: segment.path,
      // A segment that is released may be written again under another name while this still holds its file.
      isLive: () => !segment.isDamaged && this.#log.sealedSegments.includes(segment),
      walk: () => scrubSegment(this.#disk, segment),
    };
  }

  #tableItem(table: Table): Item {
    return {
      path: table.path,
      isLive: () => table.damage === null && !table.obsolete,
      walk: () => scrubTable(this.#disk, table, this.#tree.valueFiles, this.#tree.identity),
    };
  }

  #endPass(nowMs: number): void {
    const { intervalMs } = this.#options;
    this.#logger.info("scrubbed", { byteCount: this.#passBytes, damagedFiles: this.#quarantine.records.length });
    this.#items = null;
    this.#dueMs = Math.max(nowMs, this.#passBeganMs + intervalMs);
  }

  /** Reads on for about a step; returns the bytes read. */
  #read(): number {
    let readBytes = 0;
    let checked: Item | null = null;
    while (readBytes < this.#options.stepBytes) {
      this.#item ??= this.#items?.pop() ?? null;
      const item = this.#item;
      if (item === null) return readBytes;
      // Between steps anything may have happened to the file, within one nothing does.
      if (item !== checked && !item.isLive()) {
        this.#leave();
        continue;
      }
      checked = item;
      readBytes += this.#advance(item);
    }
    return readBytes;
  }

  #advance(item: Item): number {
    try {
      this.#walk ??= item.walk();
      const { value, done } = this.#walk.next();
      if (done === true) this.#leave();
      return value ?? 0;
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
      this.#failed(item, cause);
      return 0;
    }
  }

  #failed(item: Item, cause: EnvelopeError): void {
    const isSecond = this.#suspect === item;
    this.#suspect = item;
    this.#walk = null;
    if (!isSecond) return;
    this.#leave();
    this.#quarantine.note(cause.place === null ? corruption(item.path, 0, cause.message) : cause);
  }

  #leave(): void {
    this.#walk?.return();
    this.#walk = null;
    this.#item = null;
  }
}
