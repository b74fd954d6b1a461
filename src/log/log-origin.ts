/**
 * The beginning of a log behind a snapshot: a short first segment without a group, whose header names the entry before
 * the log's first. Opening the log makes a segment of the usual length of it. The shard's thread only.
 */
import type { LogIndex, Term } from "../core/ids.ts";
import type { Disk } from "../env/disk.ts";
import { LOG_BLOCK_BYTES } from "../record/group-format.ts";
import { SEGMENT_HEADER_BYTES } from "../record/segment-format.ts";
import { segmentPath } from "./log-files.ts";
import type { LogIdentity } from "./log-options.ts";
import { SegmentPreparation } from "./segment-preparation.ts";

/**
 * Makes the log durable whose first entry will be the one behind `index`, which was of term `term`; its first segment is
 * `segmentId`. Of no effect where that segment is there: it has its name because it was whole. Throws DISKFULL, IO.
 */
export function beginLogBehind(
  disk: Disk,
  directory: string,
  { shard, clusterId }: LogIdentity,
  segmentId: number,
  index: LogIndex,
  term: Term,
): void {
  if (disk.exists(segmentPath(directory, segmentId))) return;
  const segmentBytes = SEGMENT_HEADER_BYTES + LOG_BLOCK_BYTES;
  const preparation = SegmentPreparation.begin(disk, directory, segmentId, segmentBytes);
  try {
    preparation.fill();
    const identity = { shard, clusterId, segmentId, segmentBytes, basePosition: 0, firstGroup: 1, cutPosition: 0 };
    const origin = { originIndex: index, originTerm: term };
    const header = { ...identity, ...origin, provenBytes: SEGMENT_HEADER_BYTES, isRecycled: false };
    preparation.finish(header, false).file.close();
  } catch (failure) {
    preparation.close();
    throw failure;
  }
}
