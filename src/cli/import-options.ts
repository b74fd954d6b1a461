/** What `import` was asked to do, with everything resolved. */
import type { Target } from "../client/target.ts";

export interface ImportOptions {
  /** A path, or "-" for standard input. */
  readonly file: string;
  /** Null: the server's default bucket. */
  readonly bucket: string | null;
  /** See record-key.ts. */
  readonly key: string;
  readonly targets: readonly Target[];
  /** Most records without an acknowledgement. */
  readonly pipeline: number;
  readonly resume: boolean;
  /** Null: next to the input; standard input has none unless it is named. */
  readonly checkpoint: string | null;
  readonly giveUpAfterMs: number;
  readonly connectTimeoutMs: number;
  readonly replyTimeoutMs: number;
  /** Read all records back afterwards, from every target. */
  readonly verify: boolean;
  /** Only read back. */
  readonly verifyOnly: boolean;
}
