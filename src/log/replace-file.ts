/**
 * Small files that are replaced whole: made aside, synced, and given their name by a rename. Half of one never has its name,
 * and a crash leaves the old one or the new one. What lies aside then never counts. Shard thread, and tools.
 */
import type { Disk } from "../env/disk.ts";
import { unfinishedPath } from "./log-files.ts";

/** Replaces the file of this path in the directory, durably. Throws DISKFULL, IO. */
export function replaceFile(disk: Disk, directory: string, path: string, bytes: Uint8Array): void {
  writeAside(disk, path, bytes);
  takeName(disk, directory, path);
}

/** Makes what is to have the path, durably, under another name (`unfinishedPath`). Throws DISKFULL, IO. */
export function writeAside(disk: Disk, path: string, bytes: Uint8Array): void {
  const aside = unfinishedPath(path);
  if (disk.exists(aside)) disk.remove(aside);
  const file = disk.open(aside, "create");
  try {
    file.write(bytes, 0);
    file.sync();
  } finally {
    file.close();
  }
}

/** What was written aside has the path from now on, durably. After an error nobody knows whether it has. Throws DISKFULL, IO. */
export function takeName(disk: Disk, directory: string, path: string): void {
  disk.rename(unfinishedPath(path), path);
  disk.syncDirectory(directory);
}
