/**
/**
 * A walk over all tables of a layout, and over sources above them, which belong to it from then on. It holds the tables
 * until it is disposed. Values that lie elsewhere are read when they are asked for; pointers are the storage's own
 * business. Where a table is quarantined the walk stops (DamagedRunCursor); a version whose value lies in a quarantined
 * file can be passed, but not looked at. One thread.
 */
import { type TwoWayCursor, VersionKind } from "../record/version.ts";
import { DamagedRunCursor } from "./damaged-run-cursor.ts";
import { type KeyPrefix, mayHoldPrefix } from "./key-prefix.ts";
import type { Layout, Run } from "./layout.ts";
import { TwoWayMergeCursor } from "./merge-cursor.ts";
import { RunCursor } from "./run-cursor.ts";
import type { Table } from "./table.ts";
import type { ValueFiles } from "./value-files.ts";
import { ValuePointer } from "./value-pointer-format.ts";

export class TreeCursor extends TwoWayMergeCursor implements Disposable {
  #layout: Layout | null;
  readonly #files: ValueFiles;
  readonly #pointer = new ValuePointer();

  constructor(
    above: readonly TwoWayCursor[],
    layout: Layout,
    files: ValueFiles,
    within: KeyPrefix | null,
    hasDamage: boolean,
  ) {
    const runs = within === null ? layout.runs : layout.runs.filter((run) => mayHoldPrefix(run, within));
    const cursorOf = (run: Run): TwoWayCursor =>
      hasDamage && run.some(isDamaged) ? new DamagedRunCursor(run) : new RunCursor(run);
    super([...above, ...runs.map(cursorOf)]);
    layout.retain();
    this.#layout = layout;
    this.#files = files;
  }

  /** Throws CORRUPTION. */
  override get kind(): VersionKind {
    const kind = super.kind;
    if (kind !== VersionKind.pointer) return kind;
    if (this.#files.hasDamage) this.#files.requireSound(this.#pointer.read(super.value, 0).file);
    return VersionKind.value;
  }

  /** Throws CORRUPTION. */
  override get value(): Uint8Array {
    const value = super.value;
    return super.kind === VersionKind.pointer ? this.#files.read(this.#pointer.read(value, 0)) : value;
  }

  [Symbol.dispose](): void {
    this.#layout?.release();
    this.#layout = null;
  }
}

function isDamaged({ damage }: Table): boolean {
  return damage !== null;
}
