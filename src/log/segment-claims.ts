/**
 * What the log asks before it lets a segment go: whether tables point to values in it. The log writes the bytes and
 * says when it needs them no more; who points to them decides what becomes of the file. The shard's thread only.
 */

export interface SegmentClaims {
  /** Whether the bytes of the segment must stay where they are, whatever a recovery makes of them. */
  holds(segmentId: number): boolean;
  /**
   * The log needs the segment no more. "keep": its file takes the name of `keptSegmentPath` and is the asker's no
   * longer; "remove": it is pointed to no more, but has been, so that its file must not be written again; "recycle":
   * nobody ever pointed to it.
   */
  released(segmentId: number): "keep" | "remove" | "recycle";
}

/** Of a log that nobody points into. */
export const NO_CLAIMS: SegmentClaims = { holds: () => false, released: () => "recycle" };
