/** Where a damaged log ended, as far as that is beyond doubt. Reads only. The shard's thread only. */
import { EnvelopeError } from "../core/errors.ts";
import type { Disk } from "../env/disk.ts";
import { sortLogFiles } from "./log-files.ts";
import type { LogEnd } from "./log-loss-format.ts";
import type { LogOptions } from "./log-options.ts";
import { surveySegments } from "./recovery.ts";

/** What a log had, as far as anything can still be read: the last entry, if the end of the last segment is beyond doubt. */
export function provenEnd(disk: Disk, directory: string, options: LogOptions): LogEnd | null {
  try {
    const files = sortLogFiles(disk.list(directory));
    const { segments } = surveySegments(disk, directory, { ...files, hints: [] }, options, []);
    const last = segments.findLast(({ content }) => content.kind === "scan" && content.scan.groups.length > 0);
    if (last?.content.kind !== "scan") return null;
    const { groups, endOffset, dirtyEnd } = last.content.scan;
    const entry = groups.findLast(({ entries }) => entries.length > 0)?.entries.at(-1);
    const isAtEnd = dirtyEnd <= endOffset && segments.at(-1)?.header.segmentId === last.header.segmentId;
    return entry === undefined || !isAtEnd ? null : { index: entry.index, term: entry.term };
  } catch (cause) {
    if (!(cause instanceof EnvelopeError) || cause.code === "IO") throw cause;
    return null;
  }
}
