/** What a log tells of itself. */
export interface LogStats {
  readonly segmentCount: number;
  /** Length of all segment files. */
  readonly segmentBytes: number;
  /** Syncs begun and groups written since the log was opened. */
  readonly syncCount: number;
  readonly groupCount: number;
  /** Bytes of all groups written, padding included. */
  readonly writtenBytes: number;
}
