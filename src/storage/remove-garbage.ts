/**
 * Removes a file that no state names any more. A disk may be too full even for that (a file system that copies on write
 * needs room to take a name away): then the file lies there until the next start, which removes whatever is not live.
 * One that is gone already is gone.
 * One thread.
 */
import { EnvelopeError } from "../core/errors.ts";
import type { Disk } from "../env/disk.ts";

/** Throws IO. */
export function removeGarbage(disk: Disk, path: string): void {
  try {
    disk.remove(path);
  } catch (failure) {
    const isExcused =
      failure instanceof EnvelopeError && (failure.code === "DISKFULL" || failure.code === "MISSING_FILE");
    if (!isExcused) throw failure;
  }
}
