/**
 * A damaged log makes way: its segments leave the directory's log, so that another one can begin. Those that tables point
 * into stay for the values in them; the others keep their bytes under another name until what they held is there again.
 * The shard's thread only.
 */
import type { Disk } from "../env/disk.ts";
import { hintPath, keptSegmentPath, segmentPath, sortLogFiles } from "./log-files.ts";
import type { SegmentClaims } from "./segment-claims.ts";

const LOST = /^\d{8,}\.evp\.lost$/;
const EVER_A_SEGMENT = /^(\d{8,})\.(evp|kept\.evp|evp\.lost)$/;

/** Returns the largest id that a segment of it ever had, as far as files tell. Throws IO. */
export function setLogAside(disk: Disk, directory: string, claims: SegmentClaims): number {
  const { segments, hints, unfinished } = sortLogFiles(disk.list(directory));
  for (const name of unfinished) disk.remove(`${directory}/${name}`);
  for (const id of hints) disk.remove(hintPath(directory, id));
  // From the last one on: what is left at a crash is a log that begins where it did.
  for (const id of segments.toReversed()) {
    const path = segmentPath(directory, id);
    const isKept = claims.holds(id) && claims.released(id) === "keep";
    disk.rename(path, isKept ? keptSegmentPath(directory, id) : `${path}.lost`);
  }
  disk.syncDirectory(directory);
  return Math.max(0, ...disk.list(directory).map((name) => Number(EVER_A_SEGMENT.exec(name)?.[1] ?? 0)));
}

/** The names of what was set aside in a directory. */
export function setAsideNames(disk: Disk, directory: string): string[] {
  return disk.list(directory).filter((name) => LOST.test(name));
}
