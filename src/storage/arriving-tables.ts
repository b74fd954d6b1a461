/**
 * Tables made of versions that come from another member, in order, a few at a time. They are part of no state before
 * somebody publishes their records; until then a start removes their files. One thread.
 */
import { assert } from "../core/assert.ts";
import type { GivenVersion } from "../record/range-piece-format.ts";
import { VersionKind } from "../record/version.ts";
import type { TableRecord } from "./manifest-format.ts";
import { removeGarbage } from "./remove-garbage.ts";
import type { JobHome } from "./rewrite-job.ts";
import { tableName } from "./table-format.ts";
import { TableWriter } from "./table-writer.ts";

export class ArrivingTables {
  readonly #home: JobHome;
  readonly #finished: TableRecord[] = [];
  #writer: TableWriter | null = null;
  /** The one under the pen has all its versions and goes to the disk. */
  #isWriting = false;

  constructor(home: JobHome) {
    this.#home = home;
  }

  /** Whether a table has to be written before more can be taken. */
  get isWriting(): boolean {
    return this.#isWriting;
  }

  take(versions: readonly GivenVersion[]): void {
    assert(!this.#isWriting, "a table is written before the next one begins");
    const { options, identity, directory, disk } = this.#home;
    for (const { bucket, key, stampHigh, stampLow, origin, expiryMs, value } of versions) {
      if (this.#writer === null) {
        const number = this.#home.takeFileNumber();
        this.#writer = new TableWriter(options, identity, number, `${directory}/${tableName(number)}`);
      }
      this.#writer.add(bucket, key, VersionKind.value, stampHigh, stampLow, origin, expiryMs, value);
    }
    if (this.#writer === null || this.#writer.byteCount < options.tableBytesMax) return;
    this.#writer.seal(disk);
    this.#isWriting = true;
  }

  /** No more versions come. */
  finish(): void {
    if (this.#writer === null || this.#isWriting) return;
    this.#writer.seal(this.#home.disk);
    this.#isWriting = true;
  }

  /** Writes some of the table under the pen; true: there is more of it. */
  writeStep(budgetBytes: number): boolean {
    const writer = this.#writer;
    if (writer === null || !this.#isWriting) return false;
    if (writer.writeStep(budgetBytes)) return true;
    this.#finished.push(writer.record(0, 0));
    this.#writer = null;
    this.#isWriting = false;
    return false;
  }

  /** As one new run of level 0. Whole and synced. */
  get records(): readonly TableRecord[] {
    assert(this.#writer === null, "all tables are written");
    const run = this.#finished[0]?.number ?? 0;
    return this.#finished.map((record) => ({ ...record, level: 0, run }));
  }

  /** Nobody is going to publish them. */
  discard(): void {
    const { disk, directory } = this.#home;
    const numbers = this.#finished.splice(0).map(({ number }) => number);
    if (this.#writer !== null) numbers.push(this.#writer.number);
    this.#writer?.close();
    this.#writer = null;
    this.#isWriting = false;
    for (const number of numbers) {
      const path = `${directory}/${tableName(number)}`;
      if (disk.exists(path)) removeGarbage(disk, path);
    }
  }
}
