/**
 * Files and directories that nobody needs any more, removed one file at a time between other work: snapshots that were
 * dropped, what an installation has replaced or left behind. Somebody may still be reading them, so they lose their names
 * and are never cut shorter. What a crash leaves of them is found again by the next start. Shard thread.
 */
import { EnvelopeError } from "../core/errors.ts";
import type { Disk } from "../env/disk.ts";
import { removeGarbage } from "../storage/remove-garbage.ts";

interface Cleared {
  readonly directory: string;
  /** Null: all, and the directory itself. */
  names: string[] | null;
  readonly isWhole: boolean;
}

export class FileClearing {
  readonly #disk: Disk;
  /** Oldest first. */
  readonly #waiting: Cleared[] = [];

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** These files of a directory. */
  addFiles(directory: string, names: readonly string[]): void {
    if (names.length > 0) this.#waiting.push({ directory, names: [...names], isWhole: false });
  }

  /** A directory and all files in it. */
  addDirectory(directory: string): void {
    this.#waiting.push({ directory, names: null, isWhole: true });
  }

  /** Whether the directory is on its way out. */
  has(directory: string): boolean {
    return this.#waiting.some((cleared) => cleared.isWhole && cleared.directory === directory);
  }

  /** Takes away one file, or an empty directory; true: there is more. Throws IO. */
  step(): boolean {
    const cleared = this.#waiting[0];
    if (cleared === undefined) return false;
    cleared.names ??= this.#disk.list(cleared.directory);
    const name = cleared.names.shift();
    if (name !== undefined) removeGarbage(this.#disk, `${cleared.directory}/${name}`);
    else {
      this.#waiting.shift();
      if (cleared.isWhole) this.#removeDirectory(cleared.directory);
    }
    return this.#waiting.length > 0;
  }

  /** On a disk that is too full even for that, the next start tries again. */
  #removeDirectory(directory: string): void {
    try {
      this.#disk.removeTree(directory);
    } catch (failure) {
      if (!(failure instanceof EnvelopeError) || failure.code !== "DISKFULL") throw failure;
    }
  }
}
