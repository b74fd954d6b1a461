/** Entries, and the calls every test of the log makes. */
import { utf8 } from "../../src/core/bytes.ts";
import { type LogIndex, logIndex, shardId, term } from "../../src/core/ids.ts";
import type { Disk } from "../../src/env/disk.ts";
import { Log } from "../../src/log/log.ts";
import { CommandType, commandBytes, encodeCommand, sealCommand } from "../../src/record/command-format.ts";
import { ENTRY_HEADER_BYTES, EntryKind, sealEntry } from "../../src/record/entry-format.ts";

export const DIRECTORY = "/shard-0000";
export const CLUSTER_ID = new Uint8Array(16).fill(7);
export const SEGMENT_BYTES = 64 * 1024;

export function optionsOf(segmentBytes = SEGMENT_BYTES) {
  return { shard: shardId(0), clusterId: CLUSTER_ID, segmentBytes, isDirect: false };
}

export function openLog(disk: Disk, segmentBytes = SEGMENT_BYTES): Log {
  return Log.open(disk, DIRECTORY, optionsOf(segmentBytes));
}

export function segmentFile(id: number): string {
  return `${DIRECTORY}/${String(id).padStart(8, "0")}.evp`;
}

export function hintFile(id: number): string {
  return `${DIRECTORY}/${String(id).padStart(8, "0")}.hint`;
}

/** An entry of one put: key `k<index>`, a value of the given length that depends on index and term. */
export function entryOf(index: number, entryTerm: number, valueBytes = 20): Uint8Array {
  const key = utf8(`k${index}`);
  const value = new Uint8Array(valueBytes).fill((index * 31 + entryTerm) & 0xff || 1);
  const entry = new Uint8Array(ENTRY_HEADER_BYTES + commandBytes(0, key.length, value.length));
  const view = new DataView(entry.buffer);
  const end = encodeCommand(
    entry,
    view,
    ENTRY_HEADER_BYTES,
    CommandType.put,
    0,
    1,
    { bytes: key, start: 0, end: key.length },
    { bytes: value, start: 0, end: value.length },
    0,
  );
  sealCommand(entry, view, ENTRY_HEADER_BYTES, end, 1, index, entryTerm);
  sealEntry(
    entry,
    new DataView(entry.buffer),
    0,
    entry.length,
    logIndex(index),
    term(entryTerm),
    1,
    EntryKind.commands,
  );
  return entry;
}

/** Stages and writes; the sync must end at once. */
export function append(log: Log, entries: readonly Uint8Array[], commitIndex = 0): void {
  let told = false;
  log.stage(entries);
  log.write(logIndex(commitIndex), (failure) => {
    if (failure !== null) throw failure;
    told = true;
  });
  if (!told) throw new Error("the sync has not ended");
}

export function entriesOf(from: number, to: number, entryTerm: number, valueBytes = 20): Uint8Array[] {
  const entries: Uint8Array[] = [];
  for (let index = from; index <= to; index++) entries.push(entryOf(index, entryTerm, valueBytes));
  return entries;
}

/** Every entry of the log, by replaying it. */
export function contents(log: Log): Uint8Array[] {
  const found: Uint8Array[] = [];
  if (log.lastIndex >= log.firstIndex) log.forEachFrom(log.firstIndex, log.lastIndex, (entry) => found.push(entry));
  return found;
}

export function drain(log: Log): void {
  for (let steps = 0; log.backgroundStep(false); steps++) {
    if (steps > 100_000) throw new Error("background work never ends");
  }
}

export function at(index: number): LogIndex {
  return logIndex(index);
}
