/**
 * A walk over all tables of a layout, and over sources above them, which belong to it from then on. It holds the tables
 * until it is disposed. One thread.
 */
import type { TwoWayCursor } from "../record/version.ts";
import { DamagedRunCursor } from "./damaged-run-cursor.ts";
import { type KeyPrefix, mayHoldPrefix } from "./key-prefix.ts";
import type { Layout, Run } from "./layout.ts";
import { TwoWayMergeCursor } from "./merge-cursor.ts";
import { RunCursor } from "./run-cursor.ts";
import type { Table } from "./table.ts";

export class TreeCursor extends TwoWayMergeCursor implements Disposable {
  #layout: Layout | null;

  constructor(above: readonly TwoWayCursor[], layout: Layout, within: KeyPrefix | null, hasDamage: boolean) {
    const runs = within === null ? layout.runs : layout.runs.filter((run) => mayHoldPrefix(run, within));
    const cursorOf = (run: Run): TwoWayCursor =>
      hasDamage && run.some(isDamaged) ? new DamagedRunCursor(run) : new RunCursor(run);
    super([...above, ...runs.map(cursorOf)]);
    layout.retain();
    this.#layout = layout;
  }

  [Symbol.dispose](): void {
    this.#layout?.release();
    this.#layout = null;
  }
}

function isDamaged({ damage }: Table): boolean {
  return damage !== null;
}
