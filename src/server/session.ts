/** What a connection has told about itself and chosen. */
import type { BucketRef, Ordering, ReadMode } from "../cluster/coordinator.ts";
import type { RespVersion } from "../wire/resp-writer.ts";

/** How reads are answered; `staleMs` means something in the mode `stale` alone. */
export interface ReadChoice {
  readonly mode: ReadMode;
  readonly staleMs: number;
}

export interface Session {
  bucket: BucketRef;
  read: ReadChoice;
  ordering: Ordering;
  version: RespVersion;
  name: string;
  libraryName: string;
  libraryVersion: string;
  /** CLIENT REPLY: off until told otherwise, or only the next one left out. */
  replies: "on" | "off" | "skipNext" | "skip";
}

export const LINEARIZABLE: ReadChoice = { mode: "linearizable", staleMs: 0 };
export const FIRST_BUCKET = "0";
