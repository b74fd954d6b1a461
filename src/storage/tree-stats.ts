/** What a tree tells of itself. */
export interface TreeStats {
  readonly tableCount: number;
  readonly tableBytes: number;
  /** Runs that a look-up may have to ask: read amplification. */
  readonly runCount: number;
  /** Bytes of the oldest run. All bytes over these are space amplification, at most: what lies above may be new. */
  readonly oldestRunBytes: number;
  /** Versions, tombstones among them. */
  readonly tableEntries: number;
  /** Level 0 first. */
  readonly tablesPerLevel: readonly number[];
  /** Since the tree was opened. */
  readonly flushCount: number;
  readonly compactionCount: number;
  /** Bytes of the tables that flushes wrote. */
  readonly flushBytes: number;
  /** Bytes of the tables that compactions wrote. */
  readonly compactionBytes: number;
}
