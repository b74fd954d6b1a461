/**
 * Value separation (Lu et al., "WiscKey: Separating Keys from Values in SSD-conscious Storage", FAST 2016): which values
 * stay in the log, when their files are collected, and how much memory the hot keys get. Threshold 0 with hot keys is the
 * Bitcask profile: every plain put stays in the log, tables are the key directory, and what is hot of it is in memory.
 */

export interface ValueOptions {
  /** A plain put of at least so many value bytes stays in the log, and tables hold a pointer to it. */
  readonly thresholdBytes: number;
  /** A value file of which less than this part (0–1) is pointed to is collected. 0: never. */
  readonly collectBelow: number;
  /** A collection moves about so many bytes, into one value segment, and then shows what it has done. */
  readonly segmentBytes: number;
  /** Memory for the places of hot keys; 0: none are kept. */
  readonly hotKeyBytes: number;
}
