/**
 * One segment as the running log knows it: where it lies, what it holds, and until when it is needed. The shard's
 * thread only.
 */
import type { SegmentHeader } from "../record/segment-format.ts";
import { segmentPath } from "./log-files.ts";
import type { SegmentEntries } from "./segment-entries.ts";

/** What is known of the groups in a segment: kept in its hint. */
export interface GroupSummary {
  /** Number of the first group; 0: the segment holds none. */
  firstGroup: number;
  groupCount: number;
  /** Offset behind the last group. */
  endOffset: number;
  /** The largest commit index in a group header. */
  commitIndex: number;
}

export class Segment {
  readonly header: SegmentHeader;
  readonly path: string;
  /** Seed of its groups' checksums. */
  readonly checksum: number;
  readonly groups: GroupSummary;
  readonly entries: SegmentEntries;
  /** Whether its hint is on disk and good. */
  hasHint: boolean;
  /** Whether it is quarantined: some of its bytes are not what was written. */
  isDamaged = false;
  /** Whether this run made it: no recovery has looked at it, or copied into it. */
  isRecyclable = false;

  constructor(
    directory: string,
    header: SegmentHeader,
    checksum: number,
    groups: GroupSummary,
    entries: SegmentEntries,
    hasHint: boolean,
  ) {
    this.header = header;
    this.path = segmentPath(directory, header.segmentId);
    this.checksum = checksum;
    this.groups = groups;
    this.entries = entries;
    this.hasHint = hasHint;
  }

  get id(): number {
    return this.header.segmentId;
  }

  /** Log position behind the whole segment: where the next one begins. */
  get endPosition(): number {
    return this.header.basePosition + this.header.segmentBytes;
  }
}
