/**
 * What the running compactions of a tree have taken: their input tables, and the range of keys they will write into a
 * level. Two compactions may run at the same time if they share no input and write into no common range of one level.
 * Where versions stand never decides which is the newest (stamps do), so nothing else has to be kept apart. A quarantined
 * table is withheld as long as it is there: nothing reads or moves it, and nothing is laid over its keys on its own level.
 * One thread.
 */
import { type KeyRange, rangeOf, rangesOverlap } from "./older-ranges.ts";
import type { Table } from "./table.ts";

export interface Claim {
  readonly inputs: ReadonlySet<Table>;
  readonly outputLevel: number;
  /** Null: it has no inputs. */
  readonly range: KeyRange | null;
}

/** Of a job that reads the tables and writes what is left of them into the level. */
export function claimOf(inputs: readonly Table[], outputLevel: number): Claim {
  return { inputs: new Set(inputs), outputLevel, range: rangeOf(inputs) };
}

export class Claims {
  readonly #running = new Set<Claim>();
  readonly #withheld = new Set<Claim>();

  /** Running compactions. */
  get count(): number {
    return this.#running.size;
  }

  add(claim: Claim): void {
    this.#running.add(claim);
  }

  remove(claim: Claim): void {
    this.#running.delete(claim);
  }

  get hasWithheld(): boolean {
    return this.#withheld.size > 0;
  }

  /** As the claim of a compaction that never ends. */
  withhold(claim: Claim): void {
    this.#withheld.add(claim);
  }

  isWithheld(table: Table): boolean {
    for (const claim of this.#withheld) if (claim.inputs.has(table)) return true;
    return false;
  }

  /** Withheld tables that are not part of the tree any more keep nobody away. */
  releaseGone(isLive: (table: Table) => boolean): void {
    for (const claim of this.#withheld) if (![...claim.inputs].some(isLive)) this.#withheld.delete(claim);
  }

  /** Whether a running compaction reads the table, or it is withheld. */
  has(table: Table): boolean {
    return this.#some((claim) => claim.inputs.has(table));
  }

  hasAny(tables: readonly Table[]): boolean {
    return this.#running.size + this.#withheld.size > 0 && tables.some((table) => this.has(table));
  }

  /** Whether nothing else may be written into this range of the level. Runs of level 0 may overlap each other. */
  writesInto(level: number, range: KeyRange): boolean {
    if (level === 0) return false;
    return this.#some(
      (claim) => claim.outputLevel === level && claim.range !== null && rangesOverlap(claim.range, range),
    );
  }

  #some(test: (claim: Claim) => boolean): boolean {
    for (const claim of this.#running) if (test(claim)) return true;
    for (const claim of this.#withheld) if (test(claim)) return true;
    return false;
  }
}
