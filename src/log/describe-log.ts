/**
 * The log's files as parts to be printed: segment, hint, hard state. Each function visits what is sound and throws
 * CORRUPTION where the file stops being so. A segment is read group by group. Any thread.
 */
import { type FilePart, escapeBytes, type PartVisitor } from "../core/file-report.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import { stampMilliseconds } from "../core/stamp.ts";
import type { DiskFile } from "../env/disk.ts";
import { CommandReader, CommandType } from "../record/command-format.ts";
import { decodeEntryHeader, ENTRY_HEADER_BYTES, EntryKind } from "../record/entry-format.ts";
import {
  decodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentChecksum,
} from "../record/segment-format.ts";
import { decodeHardState, hardStateIdentity } from "./hard-state-format.ts";
import {
  decodeHintHeader,
  decodeHintKeys,
  decodeHintTermRuns,
  HINT_ENTRY_BYTES,
  HINT_HEADER_BYTES,
  HINT_TERM_RUN_BYTES,
  hintEntryAt,
} from "./hint-format.ts";
import { readSection } from "./hint-reader.ts";
import { decodeQuarantine, QuarantineKind } from "./quarantine-format.ts";
import type { ScannedGroup } from "./segment-scan.ts";
import { walkSegment } from "./segment-walk.ts";

const COMMAND_NAMES = namesOf(CommandType);
const ENTRY_NAMES = namesOf(EntryKind);

export function describeSegment(file: DiskFile, visit: PartVisitor): void {
  const block = new Uint8Array(SEGMENT_HEADER_BYTES);
  const header = decodeSegmentHeader(block.subarray(0, file.read(block, 0)), file.path);
  if (header instanceof EnvelopeError) throw header;
  const { shard, clusterId, ...figures } = header;
  visit({ kind: "segment", depth: 0, offset: 0, fields: { shard, clusterId: clusterId.toHex(), ...figures } });
  let damage: EnvelopeError | null = null;
  let proven = header.provenBytes > SEGMENT_HEADER_BYTES ? header.basePosition + header.provenBytes : 0;
  let broken: { offset: number; why: string } | null = null;
  for (const part of walkSegment(file, header, segmentChecksum(block))) {
    if (part.kind === "group") {
      proven = Math.max(proven, part.group.syncedThrough);
      describeGroup(part.group, part.bytes, visit);
    } else if (part.kind === "break") {
      visit({ kind: "break", depth: 1, offset: part.offset, fields: { endOffset: part.end, why: part.why } });
      broken ??= part;
    } else {
      visit({ kind: "end", depth: 1, offset: part.offset, fields: endFields(header, part.offset, part.dirtyEnd) });
      broken ??= part.why === "no group header" && part.dirtyEnd === part.offset ? null : part;
    }
  }
  if (broken !== null && header.basePosition + broken.offset < proven) {
    damage = corruption(file.path, broken.offset, `${broken.why} before what was proven durable`);
  }
  const bytes = file.size();
  if (bytes !== header.segmentBytes) damage ??= corruption(file.path, bytes, "a segment of the wrong length");
  if (damage !== null) throw damage;
}

function endFields(header: SegmentHeader, offset: number, dirtyEnd: number): FilePart["fields"] {
  const unusedBytes = header.segmentBytes - offset;
  if (dirtyEnd === offset) return { unusedBytes };
  return { unusedBytes, dirtyBytes: dirtyEnd - offset, why: header.isRecycled ? "of a former life" : "a torn tail" };
}

function describeGroup(group: ScannedGroup, bytes: Uint8Array, visit: PartVisitor): void {
  const { number, offset, byteCount, bodyBytes, syncedThrough, commitIndex, previousTerm, entries } = group;
  visit({
    kind: "group",
    depth: 1,
    offset,
    fields: { number, byteCount, bodyBytes, syncedThrough, commitIndex, previousTerm, entryCount: entries.length },
  });
  const command = new CommandReader().over(bytes);
  for (const entry of entries) {
    const start = entry.offset - offset;
    const header = decodeEntryHeader(bytes, command.view, start, start + entry.byteCount, "");
    if (header instanceof Error) throw header;
    const { index, term, commandCount } = header;
    const fields = { index, term, kind: ENTRY_NAMES[header.kind] ?? "", byteCount: entry.byteCount, commandCount };
    visit({ kind: "entry", depth: 2, offset: entry.offset, fields });
    if (header.kind !== EntryKind.commands) continue;
    for (let at = start + ENTRY_HEADER_BYTES; at < start + entry.byteCount; ) {
      const commandOffset = offset + at;
      at = command.read(at, start + entry.byteCount);
      visit({ kind: "command", depth: 3, offset: commandOffset, fields: commandFields(command) });
    }
  }
}

function commandFields(command: CommandReader): FilePart["fields"] {
  const { type, bucket, modifiers, origin, stampHigh, stampLow, expiryMs, transactionId, sessionId } = command;
  return {
    type: COMMAND_NAMES[type] ?? "",
    bucket,
    key: escapeBytes(command.key()),
    valueBytes: command.valueEnd - command.valueStart,
    value: escapeBytes(command.value()),
    stampMs: stampMilliseconds(stampHigh, stampLow),
    stampCounter: stampLow & 0xffff,
    origin,
    ...(modifiers === 0 ? {} : { modifiers }),
    ...(expiryMs === 0 ? {} : { expiryMs }),
    ...(transactionId === 0 ? {} : { transactionId }),
    ...(sessionId === 0 ? {} : { sessionId, sequence: command.sequence }),
  };
}

/** With `withEntries` its entries and keys too. */
export function describeHint(file: DiskFile, withEntries: boolean, visit: PartVisitor): void {
  const head = new Uint8Array(HINT_HEADER_BYTES);
  const header = decodeHintHeader(head.subarray(0, file.read(head, 0)), file.path);
  if (header instanceof EnvelopeError) throw header;
  visit({ kind: "hint", depth: 0, offset: 0, fields: { ...header } });
  const runBytes = header.termRunCount * HINT_TERM_RUN_BYTES;
  const entryBytes = header.entryCount * HINT_ENTRY_BYTES;
  const byteCount = HINT_HEADER_BYTES + runBytes + entryBytes + header.keySectionBytes;
  if (file.size() !== byteCount) throw corruption(file.path, byteCount, "a hint of the wrong length");
  const runs = sectionOf(file, HINT_HEADER_BYTES, runBytes, header.termRunsChecksum);
  for (const [i, { firstIndex, term }] of decodeHintTermRuns(runs).entries()) {
    const offset = HINT_HEADER_BYTES + i * HINT_TERM_RUN_BYTES;
    visit({ kind: "termRun", depth: 1, offset, fields: { firstIndex, term } });
  }
  const entriesStart = HINT_HEADER_BYTES + runBytes;
  const entries = sectionOf(file, entriesStart, entryBytes, header.entriesChecksum);
  for (let i = 0; withEntries && i < header.entryCount; i++) {
    const offset = entriesStart + i * HINT_ENTRY_BYTES;
    visit({ kind: "entry", depth: 1, offset, fields: { ...hintEntryAt(entries, i) } });
  }
  const keysStart = entriesStart + entryBytes;
  const keys = sectionOf(file, keysStart, header.keySectionBytes, header.keysChecksum);
  for (const { key, type, bucket, offset } of withEntries ? decodeHintKeys(keys) : []) {
    const fields = {
      type: COMMAND_NAMES[type] ?? "",
      bucket,
      key: escapeBytes(key),
      inSegment: offset,
    };
    visit({ kind: "key", depth: 1, offset: keysStart + key.byteOffset - keys.byteOffset, fields });
  }
}

export function describeHardState(bytes: Uint8Array, path: string, visit: PartVisitor): void {
  const state = decodeHardState(bytes, null, path);
  if (state instanceof EnvelopeError) throw state;
  const { shard, clusterId } = hardStateIdentity(bytes);
  visit({ kind: "hardState", depth: 0, offset: 0, fields: { shard, clusterId: clusterId.toHex(), ...state } });
}

/** Keys are those of a table: the bucket in their first four bytes. */
export function describeQuarantine(bytes: Uint8Array, path: string, visit: PartVisitor): void {
  const record = decodeQuarantine(bytes, null, path);
  if (record instanceof EnvelopeError) throw record;
  const { kind, smallest, largest, firstIndex, lastIndex, offset, ...found } = record;
  const held =
    kind === QuarantineKind.segment
      ? { firstIndex, lastIndex }
      : { smallest: escapeBytes(smallest), largest: escapeBytes(largest) };
  const of = Object.entries(QuarantineKind).find(([, known]) => known === kind)?.[0] ?? "";
  visit({ kind: "quarantine", depth: 0, offset: 0, fields: { of, damageOffset: offset, ...found, ...held } });
}

function sectionOf(file: DiskFile, offset: number, byteCount: number, checksum: number): Uint8Array {
  const bytes = readSection(file, offset, byteCount, checksum);
  if (bytes instanceof EnvelopeError) throw bytes;
  return bytes;
}

function namesOf(numbers: Readonly<Record<string, number>>): Readonly<Record<number, string>> {
  return Object.fromEntries(Object.entries(numbers).map(([name, number]) => [number, name]));
}
