/**
 * What the running compactions of a tree have taken: their input tables, and the range of keys they will write into a
 * level. Two compactions may run at the same time if they share no input and write into no common range of one level.
 * Where versions stand never decides which is the newest (stamps do), so nothing else has to be kept apart. One thread.
 */
import { type KeyRange, rangesOverlap } from "./older-ranges.ts";
import type { Table } from "./table.ts";

export interface Claim {
  readonly inputs: ReadonlySet<Table>;
  readonly outputLevel: number;
  /** Null: it has no inputs. */
  readonly range: KeyRange | null;
}

export class Claims {
  readonly #claims = new Set<Claim>();

  get count(): number {
    return this.#claims.size;
  }

  add(claim: Claim): void {
    this.#claims.add(claim);
  }

  remove(claim: Claim): void {
    this.#claims.delete(claim);
  }

  /** Whether a running compaction reads the table. */
  has(table: Table): boolean {
    for (const claim of this.#claims) if (claim.inputs.has(table)) return true;
    return false;
  }

  hasAny(tables: readonly Table[]): boolean {
    return this.#claims.size > 0 && tables.some((table) => this.has(table));
  }

  /** Whether a running compaction writes into this range of the level. Runs of level 0 may overlap each other. */
  writesInto(level: number, range: KeyRange): boolean {
    if (level === 0) return false;
    for (const claim of this.#claims) {
      if (claim.outputLevel === level && claim.range !== null && rangesOverlap(claim.range, range)) return true;
    }
    return false;
  }
}
