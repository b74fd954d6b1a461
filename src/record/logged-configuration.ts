/**
 * A configuration of the shard's members as the log carries it: the body of an entry of that kind, which only Raft's
 * driver reads, and the entry's index. Any thread.
 */
import { EMPTY_BYTES, viewOf } from "../core/bytes.ts";
import { type LogIndex, logIndex } from "../core/ids.ts";
import { ENTRY_HEADER_BYTES, EntryKind, entryIndex, entryKind } from "./entry-format.ts";

export interface LoggedConfiguration {
  readonly index: LogIndex;
  readonly body: Uint8Array;
}

/** Of a log that has had none: the members are the first ones. */
export const NO_CONFIGURATION: LoggedConfiguration = { index: logIndex(0), body: EMPTY_BYTES };

/** The configuration that a verified entry brings, with a body of its own; null: it is of another kind. */
export function loggedConfiguration(entry: Uint8Array): LoggedConfiguration | null {
  if (entryKind(viewOf(entry)) !== EntryKind.configuration) return null;
  return { index: entryIndex(entry), body: entry.slice(ENTRY_HEADER_BYTES) };
}
