/**
 * One Raft entry: a header and a batch of commands, encoded once by the leader. The same bytes travel to followers,
 * through the ring and to disk.
 *
 *   offset  bytes
 *        0      4  CRC-32 of bytes 4–31
 *        4      4  entry bytes, header included, u32
 *        8      8  index, u64
 *       16      8  term, u64
 *       24      4  command count, u32
 *       28      1  kind (EntryKind)
 *       29      1  zero
 *       30      2  durability of the answers (durability.ts), u16; 0: sync
 *       32         commands (kind commands) or members (kind configuration, see configuration-format.ts)
 *
 * What follows carries checksums of its own, so the header's covers the header alone.
 */
import { getU64, setU64, viewOf } from "../core/bytes.ts";
import { crc32Range } from "../core/crc32.ts";
import { corruption, type EnvelopeError } from "../core/errors.ts";
import { type LogIndex, logIndex, type Term, term } from "../core/ids.ts";
import { verifyCommands } from "./command-format.ts";
import { decodeConfiguration } from "./configuration-format.ts";
import { SYNC } from "./durability.ts";

export const ENTRY_HEADER_BYTES = 32;
const KIND_OFFSET = 28;
const DURABILITY_OFFSET = 30;

export const EntryKind = { commands: 1, empty: 2, configuration: 3 } as const;
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind];

export interface EntryHeader {
  readonly entryBytes: number;
  readonly index: LogIndex;
  readonly term: Term;
  readonly commandCount: number;
  readonly kind: EntryKind;
  readonly durability: number;
}

/** Writes the header of the entry at [start, end) of `bytes`, whose commands are already in place and sealed. */
export function sealEntry(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  end: number,
  index: LogIndex,
  entryTerm: Term,
  commandCount: number,
  kind: EntryKind,
  durability: number = SYNC,
): void {
  view.setUint32(start + 4, end - start, true);
  setU64(view, start + 8, index);
  setU64(view, start + 16, entryTerm);
  view.setUint32(start + 24, commandCount, true);
  view.setUint16(start + KIND_OFFSET, kind, true);
  view.setUint16(start + DURABILITY_OFFSET, durability, true);
  view.setUint32(start, crc32Range(bytes, start + 4, start + ENTRY_HEADER_BYTES), true);
}

/** The entry a new leader appends first: no commands. */
export function emptyEntry(index: LogIndex, entryTerm: Term): Uint8Array {
  const entry = new Uint8Array(ENTRY_HEADER_BYTES);
  sealEntry(entry, viewOf(entry), 0, entry.length, index, entryTerm, 0, EntryKind.empty);
  return entry;
}

/** An entry that says who belongs to the group; `body` as configuration-format.ts makes it. */
export function configurationEntry(index: LogIndex, entryTerm: Term, body: Uint8Array): Uint8Array {
  const entry = new Uint8Array(ENTRY_HEADER_BYTES + body.length);
  entry.set(body, ENTRY_HEADER_BYTES);
  sealEntry(entry, viewOf(entry), 0, entry.length, index, entryTerm, 0, EntryKind.configuration);
  return entry;
}

/** Decodes and checks the header at `offset`; an error when it is not one or reaches past `limit`. `view` is of `bytes`. */
export function decodeEntryHeader(
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  limit: number,
  file: string,
): EntryHeader | EnvelopeError {
  if (offset + ENTRY_HEADER_BYTES > limit) return corruption(file, offset, "an entry header cut short");
  if (crc32Range(bytes, offset + 4, offset + ENTRY_HEADER_BYTES) !== view.getUint32(offset, true)) {
    return corruption(file, offset, "an entry header with a wrong checksum");
  }
  const entryBytes = view.getUint32(offset + 4, true);
  const kind = view.getUint16(offset + KIND_OFFSET, true);
  const index = getU64(view, offset + 8);
  const entryTerm = getU64(view, offset + 16);
  if (entryBytes < ENTRY_HEADER_BYTES || offset + entryBytes > limit)
    return corruption(file, offset, "an entry cut short");
  if (kind < EntryKind.commands || kind > EntryKind.configuration)
    return corruption(file, offset, "an entry of unknown kind");
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(entryTerm))
    return corruption(file, offset, "an absurd entry");
  return {
    entryBytes,
    index: logIndex(index),
    term: term(entryTerm),
    commandCount: view.getUint32(offset + 24, true),
    kind: kind as EntryKind,
    durability: view.getUint16(offset + DURABILITY_OFFSET, true),
  };
}

/** Splits and fully verifies consecutive entries (as they arrive from a peer): headers, order, every command and configuration. */
export function decodeEntries(bytes: Uint8Array, source: string): Uint8Array[] | EnvelopeError {
  const entries: Uint8Array[] = [];
  const view = viewOf(bytes);
  for (let offset = 0; offset < bytes.length; ) {
    const header = decodeEntryHeader(bytes, view, offset, bytes.length, source);
    if (header instanceof Error) return header;
    const end = offset + header.entryBytes;
    if (header.kind === EntryKind.commands) {
      const damage = verifyCommands(bytes, offset + ENTRY_HEADER_BYTES, end, header.commandCount, source);
      if (damage !== null) return damage;
    } else if (header.kind === EntryKind.configuration) {
      const members = decodeConfiguration(bytes.subarray(offset + ENTRY_HEADER_BYTES, end), source);
      if (members instanceof Error) return members;
    }
    entries.push(bytes.subarray(offset, end));
    offset = end;
  }
  return entries;
}

/** Index of an entry that has already been verified. */
export function entryIndex(entry: Uint8Array): LogIndex {
  return u64At(entry, 8) as LogIndex;
}

/** Kind of an entry that has already been verified; `view` begins where it does. */
export function entryKind(view: DataView): EntryKind {
  return view.getUint16(KIND_OFFSET, true) as EntryKind;
}

/** Whether an entry that has already been verified says who belongs to the group. Without a view, as below. */
export function isConfigurationEntry(entry: Uint8Array): boolean {
  return entry[KIND_OFFSET] === EntryKind.configuration;
}

/** What an entry that has already been verified promises those who are answered. */
export function entryDurability(entry: Uint8Array): number {
  return entry[DURABILITY_OFFSET]! | (entry[DURABILITY_OFFSET + 1]! << 8);
}

/** Term of an entry that has already been verified. */
export function entryTerm(entry: Uint8Array): Term {
  return u64At(entry, 16) as Term;
}

/** Without a view, which would be an object for each entry that is looked at. */
function u64At(bytes: Uint8Array, offset: number): number {
  return u32At(bytes, offset + 4) * 0x1_0000_0000 + u32At(bytes, offset);
}

function u32At(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16) | (bytes[offset + 3]! << 24)) >>> 0;
}
