/**
 * Which table of a run may hold a key. Numbers made of the tables' first and last keys lie side by side in one array, so
 * that a look-up touches neither tables nor keys before it knows which table it is after. Built with the layout that has
 * the run; one thread.
 */
import { at } from "../core/assert.ts";
import { compareToTarget } from "./block-cursor.ts";
import { sharedBytes } from "./block-format.ts";
import { headOf } from "./key-head.ts";
import type { Table } from "./table.ts";

export class RunSearch {
  readonly #run: readonly Table[];
  /** What all keys of the run begin with: no head has it. */
  readonly #common: Uint8Array;
  /** For each table the head of its largest key. */
  readonly #ends: Float64Array;

  /** Of tables in key order, none overlapping, at least one. */
  constructor(run: readonly Table[]) {
    this.#run = run;
    const first = at(run, 0).footer.smallest;
    const last = at(run, run.length - 1).footer.largest;
    this.#common = first.slice(0, sharedBytes(first, first.length, last, last.length));
    const common = this.#common.length;
    this.#ends = Float64Array.from(run, ({ footer: { largest } }) => headOf(largest, common, largest.length));
  }

  /** The table between whose smallest and largest key the target lies, or null. */
  tableFor(target: Uint8Array, targetBytes: number): Table | null {
    const common = this.#common;
    if (targetBytes < common.length) return null;
    for (let i = 0; i < common.length; i++) if (target[i] !== common[i]) return null;
    const ends = this.#ends;
    const head = headOf(target, common.length, targetBytes);
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ends[middle]! < head) low = middle + 1;
      else high = middle;
    }
    // Heads may be equal where keys are not.
    while (low < ends.length && ends[low] === head && this.#endsBefore(low, target, targetBytes)) low++;
    if (low === ends.length) return null;
    const table = this.#run[low]!;
    const { smallest } = table.footer;
    return compareToTarget(smallest, 0, smallest.length, target, targetBytes) <= 0 ? table : null;
  }

  #endsBefore(index: number, target: Uint8Array, targetBytes: number): boolean {
    const { largest } = this.#run[index]!.footer;
    return compareToTarget(largest, 0, largest.length, target, targetBytes) < 0;
  }
}
