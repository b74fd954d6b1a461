/**
 * How much of each value file is alive: exactly what the live tables point to. Every table says in the manifest how many
 * bytes of which files it points to, so the sums are right after any crash, and a compaction that drops pointers needs to
 * tell nobody. A change of tables changes the sums by what it removes and adds. One thread.
 */
import type { ValueFileId } from "../core/ids.ts";
import type { TableRecord, ValueFileChange, ValueFileRecord } from "./manifest-format.ts";

export class ValueLiveness {
  /** Bytes of commands that live tables point to, of each file that they point into. */
  readonly #bytes = new Map<ValueFileId, number>();

  constructor(tables: Iterable<TableRecord>) {
    for (const table of tables) count(this.#bytes, table, 1);
  }

  bytesIn(file: ValueFileId): number {
    return this.#bytes.get(file) ?? 0;
  }

  /** What a change of tables would change: pass it to `apply` once it is durable. */
  difference(removed: readonly TableRecord[], added: readonly TableRecord[]): ReadonlyMap<ValueFileId, number> {
    const difference = new Map<ValueFileId, number>();
    for (const table of removed) count(difference, table, -1);
    for (const table of added) count(difference, table, 1);
    return difference;
  }

  /** Which files come and go with it; `describe` tells what a new one is like. */
  fileChange(
    difference: ReadonlyMap<ValueFileId, number>,
    describe: (id: ValueFileId) => ValueFileRecord,
  ): ValueFileChange {
    const removed: ValueFileId[] = [];
    const added: ValueFileRecord[] = [];
    for (const [file, byteCount] of difference) {
      const before = this.bytesIn(file);
      if (before > 0 && before + byteCount === 0) removed.push(file);
      if (before === 0 && byteCount > 0) added.push(describe(file));
    }
    return { removed, added };
  }

  apply(difference: ReadonlyMap<ValueFileId, number>): void {
    for (const [file, byteCount] of difference) {
      const bytes = this.bytesIn(file) + byteCount;
      if (bytes === 0) this.#bytes.delete(file);
      else this.#bytes.set(file, bytes);
    }
  }
}

function count(sums: Map<ValueFileId, number>, { references = [] }: TableRecord, sign: 1 | -1): void {
  for (const { file, byteCount } of references) sums.set(file, (sums.get(file) ?? 0) + sign * byteCount);
}
