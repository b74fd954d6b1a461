/**
 * A hint (`.hint`): what a sealed segment holds, so that a start reads this instead of the values. Written when every
 * entry of the segment is applied or superseded, so what it says never changes. It is an aid, not a source: one that
 * is missing, damaged or of another segment is ignored and made again from the log.
 *
 *   offset  bytes
 *        0      4  magic "EVPH"
 *        4      4  CRC-32 of bytes 8–127
 *        8      2  format version, u16
 *       10      2  zero
 *       12      4  checksum in the segment's header block: ties the hint to shard, cluster and segment
 *       16      8  segment id, u64
 *       24      8  number of the segment's first group, u64; 0: it has none
 *       32      4  group count, u32
 *       36      4  offset behind the last group, u32
 *       40      8  largest commit index in a group header, u64
 *       48      8  index of the first live entry, u64
 *       56      8  term of the entry before it, u64
 *       64      4  entry count, u32
 *       68      4  term run count, u32
 *       72      4  key count, u32
 *       76      4  key section bytes, u32
 *       80      4  CRC-32 of the term runs
 *       84      4  CRC-32 of the entries
 *       88      4  CRC-32 of the keys
 *       92     36  zero
 *      128         term runs, 16 bytes each: first index u64, term u64
 *                  entries, 32 bytes each: index u64, term u64, offset u32, bytes u32, CRC-32 of the whole entry u32,
 *                    keys u32 (how many of the records below belong to it)
 *                  keys, in log order: bucket u32, offset of the command in the segment u32, key bytes in the low 24
 *                    bits and the command's type in the high 8 of a u32, key
 */
import type { ByteWriter } from "../core/byte-writer.ts";
import { getU64, setU64, viewOf } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { corruption, type EnvelopeError } from "../core/errors.ts";
import { logIndex, term } from "../core/ids.ts";
import type { TermRun } from "./log-entries.ts";

export const HINT_HEADER_BYTES = 128;
export const HINT_TERM_RUN_BYTES = 16;
export const HINT_ENTRY_BYTES = 32;
const HINT_KEY_BYTES = 12;
const HINT_MAGIC = 0x4850_5645;
const HINT_VERSION = 1;

export interface HintHeader {
  readonly segmentChecksum: number;
  readonly segmentId: number;
  readonly firstGroup: number;
  readonly groupCount: number;
  readonly endOffset: number;
  readonly commitIndex: number;
  readonly firstIndex: number;
  readonly previousTerm: number;
  readonly entryCount: number;
  readonly termRunCount: number;
  readonly keyCount: number;
  readonly keySectionBytes: number;
  readonly termRunsChecksum: number;
  readonly entriesChecksum: number;
  readonly keysChecksum: number;
}

/** A key that a command of the segment wrote. */
export interface HintKey {
  readonly bucket: number;
  /** Of the command, in the segment. */
  readonly offset: number;
  readonly type: number;
  readonly key: Uint8Array;
}

export function encodeHintHeader(header: HintHeader): Uint8Array {
  const bytes = new Uint8Array(HINT_HEADER_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, HINT_MAGIC, true);
  view.setUint16(8, HINT_VERSION, true);
  view.setUint32(12, header.segmentChecksum, true);
  setU64(view, 16, header.segmentId);
  setU64(view, 24, header.firstGroup);
  view.setUint32(32, header.groupCount, true);
  view.setUint32(36, header.endOffset, true);
  setU64(view, 40, header.commitIndex);
  setU64(view, 48, header.firstIndex);
  setU64(view, 56, header.previousTerm);
  view.setUint32(64, header.entryCount, true);
  view.setUint32(68, header.termRunCount, true);
  view.setUint32(72, header.keyCount, true);
  view.setUint32(76, header.keySectionBytes, true);
  view.setUint32(80, header.termRunsChecksum, true);
  view.setUint32(84, header.entriesChecksum, true);
  view.setUint32(88, header.keysChecksum, true);
  view.setUint32(4, crc32(bytes.subarray(8)), true);
  return bytes;
}

export function decodeHintHeader(bytes: Uint8Array, file: string): HintHeader | EnvelopeError {
  if (bytes.length < HINT_HEADER_BYTES) return corruption(file, bytes.length, "a hint cut short");
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== HINT_MAGIC) return corruption(file, 0, "no hint");
  if (crc32(bytes.subarray(8, HINT_HEADER_BYTES)) !== view.getUint32(4, true)) {
    return corruption(file, 4, "a hint header with a wrong checksum");
  }
  if (view.getUint16(8, true) !== HINT_VERSION) return corruption(file, 8, "a hint of another format version");
  return {
    segmentChecksum: view.getUint32(12, true),
    segmentId: getU64(view, 16),
    firstGroup: getU64(view, 24),
    groupCount: view.getUint32(32, true),
    endOffset: view.getUint32(36, true),
    commitIndex: getU64(view, 40),
    firstIndex: getU64(view, 48),
    previousTerm: getU64(view, 56),
    entryCount: view.getUint32(64, true),
    termRunCount: view.getUint32(68, true),
    keyCount: view.getUint32(72, true),
    keySectionBytes: view.getUint32(76, true),
    termRunsChecksum: view.getUint32(80, true),
    entriesChecksum: view.getUint32(84, true),
    keysChecksum: view.getUint32(88, true),
  };
}

export function encodeHintTermRuns(runs: readonly TermRun[]): Uint8Array {
  const bytes = new Uint8Array(runs.length * HINT_TERM_RUN_BYTES);
  const view = viewOf(bytes);
  runs.forEach((run, i) => {
    setU64(view, i * HINT_TERM_RUN_BYTES, run.firstIndex);
    setU64(view, i * HINT_TERM_RUN_BYTES + 8, run.term);
  });
  return bytes;
}

/** The term runs of a section whose checksum has been verified. */
export function decodeHintTermRuns(bytes: Uint8Array): TermRun[] {
  const view = viewOf(bytes);
  const runs: TermRun[] = [];
  for (let offset = 0; offset < bytes.length; offset += HINT_TERM_RUN_BYTES) {
    runs.push({ firstIndex: logIndex(getU64(view, offset)), term: term(getU64(view, offset + 8)) });
  }
  return runs;
}

/** Adds one entry record. */
export function encodeHintEntry(
  into: ByteWriter,
  index: number,
  entryTerm: number,
  entryOffset: number,
  entryBytes: number,
  checksum: number,
  keyCount: number,
): void {
  into.u64(index);
  into.u64(entryTerm);
  into.u32(entryOffset);
  into.u32(entryBytes);
  into.u32(checksum);
  into.u32(keyCount);
}

/** The columns of an entry section whose checksum has been verified. */
export function decodeHintEntries(bytes: Uint8Array): {
  offsets: Uint32Array;
  byteCounts: Uint32Array;
  checksums: Uint32Array;
} {
  const view = viewOf(bytes);
  const count = bytes.length / HINT_ENTRY_BYTES;
  const offsets = new Uint32Array(count);
  const byteCounts = new Uint32Array(count);
  const checksums = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const offset = i * HINT_ENTRY_BYTES;
    offsets[i] = view.getUint32(offset + 16, true);
    byteCounts[i] = view.getUint32(offset + 20, true);
    checksums[i] = view.getUint32(offset + 24, true);
  }
  return { offsets, byteCounts, checksums };
}

/** One record of an entry section whose checksum has been verified. */
export function hintEntryAt(section: Uint8Array, ordinal: number) {
  const view = viewOf(section);
  const offset = ordinal * HINT_ENTRY_BYTES;
  return {
    index: getU64(view, offset),
    term: getU64(view, offset + 8),
    inSegment: view.getUint32(offset + 16, true),
    byteCount: view.getUint32(offset + 20, true),
    checksum: view.getUint32(offset + 24, true),
    keyCount: view.getUint32(offset + 28, true),
  };
}

/** Adds one key record. */
export function encodeHintKey(
  into: ByteWriter,
  bucket: number,
  commandOffset: number,
  type: number,
  key: Uint8Array,
): void {
  into.u32(bucket);
  into.u32(commandOffset);
  into.u32(key.length | (type << 24));
  into.raw(key);
}

/** The keys of a section whose checksum has been verified; `key` is a view. */
export function decodeHintKeys(bytes: Uint8Array): HintKey[] {
  const view = viewOf(bytes);
  const keys: HintKey[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const word = view.getUint32(offset + 8, true);
    const start = offset + HINT_KEY_BYTES;
    const end = start + (word & 0xff_ffff);
    keys.push({
      bucket: view.getUint32(offset, true),
      offset: view.getUint32(offset + 4, true),
      type: word >>> 24,
      key: bytes.subarray(start, end),
    });
    offset = end;
  }
  return keys;
}
