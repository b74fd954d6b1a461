/**
 * Which tables still hold versions of fenced buckets beside others: their space is to come back without waiting for the
 * compactions that writes bring about. For each new fence the tables that may hold its bucket are asked, which costs a
 * block each at most, and no more than a bounded number of fences at a time. What a job wrote whose rule is older than a
 * fence is asked again. Tables of one bucket alone are not listed: they are removed whole. One thread.
 */
import { EMPTY_BYTES } from "../core/bytes.ts";
import { tableKeyBucket } from "./block-format.ts";
import type { Layout, Run } from "./layout.ts";
import { RunCursor } from "./run-cursor.ts";
import type { Table } from "./table.ts";

const FENCES_A_LOOK = 64;

export class FencedRemains {
  /** As found by the last `look`. */
  readonly tables = new Set<Table>();
  /** In the order of their coming. */
  readonly #fences: number[] = [];
  readonly #known = new Set<number>();
  /** So many of them have been looked for in all tables. */
  #lookedFor = 0;

  get fenceCount(): number {
    return this.#fences.length;
  }

  /** Whether all fences have been looked for. */
  get isComplete(): boolean {
    return this.#lookedFor === this.#fences.length;
  }

  noteFence(bucket: number): void {
    if (this.#known.has(bucket)) return;
    this.#known.add(bucket);
    this.#fences.push(bucket);
  }

  /** A job that was begun when there were so many fences has put its tables into the layout. */
  noteWritten(fenceCount: number): void {
    this.#lookedFor = Math.min(this.#lookedFor, fenceCount);
  }

  /** Brings `tables` up to date, a step at a time. Throws CORRUPTION at damage. */
  look(layout: Layout): void {
    for (const table of this.tables) if (!layout.places.has(table)) this.tables.delete(table);
    const end = Math.min(this.#fences.length, this.#lookedFor + FENCES_A_LOOK);
    for (; this.#lookedFor < end; this.#lookedFor++) {
      const bucket = this.#fences[this.#lookedFor]!;
      for (const run of layout.runs) this.#lookFor(bucket, run);
    }
  }

  #lookFor(bucket: number, run: Run): void {
    for (let i = firstReaching(run, bucket); i < run.length; i++) {
      const table = run[i]!;
      if (bucketAt(table.footer.smallest) > bucket) return;
      // A quarantined one is left as it is: asked, it would only say again that it is damaged.
      if (table.damage === null && holdsPart(table, bucket)) this.tables.add(table);
    }
  }
}

/** Index of the first table of a run whose last bucket is at or behind the given one. */
function firstReaching(run: Run, bucket: number): number {
  let low = 0;
  let high = run.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (bucketAt(run[middle]!.footer.largest) < bucket) low = middle + 1;
    else high = middle;
  }
  return low;
}

function holdsPart(table: Table, bucket: number): boolean {
  const first = bucketAt(table.footer.smallest);
  const last = bucketAt(table.footer.largest);
  if (first === last) return false;
  if (first === bucket || last === bucket) return true;
  const cursor = new RunCursor([table]);
  cursor.seek(bucket, EMPTY_BYTES);
  return cursor.valid && cursor.bucket === bucket;
}

function bucketAt(tableKey: Uint8Array): number {
  return tableKeyBucket(tableKey, 0);
}
