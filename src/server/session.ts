/** What a connection has told about itself and chosen. */
import type { BucketRef, Ordering } from "../cluster/coordinator.ts";
import type { RespVersion } from "../wire/resp-writer.ts";

export interface Session {
  bucket: BucketRef;
  ordering: Ordering;
  version: RespVersion;
  name: string;
  libraryName: string;
  libraryVersion: string;
  /** CLIENT REPLY: off until told otherwise, or only the next one left out. */
  replies: "on" | "off" | "skipNext" | "skip";
}

export const FIRST_BUCKET = "0";
