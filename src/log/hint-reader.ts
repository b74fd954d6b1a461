/**
 * Reads hints. Every doubt about one is answered with an error value: the caller goes to the segment instead. A start
 * reads the header and the term runs; the entries are read when somebody wants one of them. The shard's thread only.
 */
import { crc32 } from "../core/crc32.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import type { Disk, DiskFile } from "../env/disk.ts";
import type { SegmentHeader } from "../record/segment-format.ts";
import {
  decodeHintEntries,
  decodeHintHeader,
  decodeHintTermRuns,
  HINT_ENTRY_BYTES,
  HINT_HEADER_BYTES,
  HINT_TERM_RUN_BYTES,
  type HintHeader,
} from "./hint-format.ts";
import type { TermRun } from "./log-entries.ts";
import type { SegmentEntries } from "./segment-entries.ts";

export interface HintSummary {
  readonly header: HintHeader;
  readonly termRuns: readonly TermRun[];
  readonly bytesRead: number;
}

/** Header and term runs of a segment's hint. */
export function readHintSummary(
  disk: Disk,
  path: string,
  segment: SegmentHeader,
  segmentChecksum: number,
): HintSummary | EnvelopeError {
  return withHint(disk, path, (file) => {
    const header = readHeader(file, segment, segmentChecksum);
    if (header instanceof EnvelopeError) return header;
    const byteCount = header.termRunCount * HINT_TERM_RUN_BYTES;
    const runs = readSection(file, HINT_HEADER_BYTES, byteCount, header.termRunsChecksum);
    if (runs instanceof EnvelopeError) return runs;
    return { header, termRuns: decodeHintTermRuns(runs), bytesRead: HINT_HEADER_BYTES + byteCount };
  });
}

/** Fills the columns of a segment from its hint, which is checked to its end; the error says why it cannot. */
export function loadHintEntries(
  disk: Disk,
  path: string,
  segment: SegmentHeader,
  segmentChecksum: number,
  into: SegmentEntries,
): EnvelopeError | null {
  return withHint(disk, path, (file) => {
    const header = readHeader(file, segment, segmentChecksum);
    if (header instanceof EnvelopeError) return header;
    if (header.entryCount < into.count || header.firstIndex !== into.firstIndex) {
      return corruption(path, 48, "a hint that has changed");
    }
    const offset = HINT_HEADER_BYTES + header.termRunCount * HINT_TERM_RUN_BYTES;
    const entries = readSection(file, offset, header.entryCount * HINT_ENTRY_BYTES, header.entriesChecksum);
    if (entries instanceof EnvelopeError) return entries;
    const keys = readSection(file, offset + entries.length, header.keySectionBytes, header.keysChecksum);
    if (keys instanceof EnvelopeError) return keys;
    const columns = decodeHintEntries(entries);
    into.replace(columns.offsets, columns.byteCounts, columns.checksums);
    return null;
  });
}

function withHint<T>(disk: Disk, path: string, read: (file: DiskFile) => T | EnvelopeError): T | EnvelopeError {
  let file: DiskFile;
  try {
    file = disk.open(path, "read");
  } catch (failure) {
    if (failure instanceof EnvelopeError) return failure;
    throw failure;
  }
  try {
    return read(file);
  } catch (failure) {
    if (failure instanceof EnvelopeError) return failure;
    throw failure;
  } finally {
    file.close();
  }
}

function readHeader(file: DiskFile, segment: SegmentHeader, segmentChecksum: number): HintHeader | EnvelopeError {
  const bytes = new Uint8Array(HINT_HEADER_BYTES);
  const header = decodeHintHeader(bytes.subarray(0, file.read(bytes, 0)), file.path);
  if (header instanceof EnvelopeError) return header;
  if (header.segmentId !== segment.segmentId || header.segmentChecksum !== segmentChecksum) {
    return corruption(file.path, 12, "a hint of another segment");
  }
  const byteCount =
    HINT_HEADER_BYTES +
    header.termRunCount * HINT_TERM_RUN_BYTES +
    header.entryCount * HINT_ENTRY_BYTES +
    header.keySectionBytes;
  return file.size() === byteCount ? header : corruption(file.path, byteCount, "a hint of the wrong length");
}

/** A part of a hint whose checksum is right. */
export function readSection(
  file: DiskFile,
  offset: number,
  byteCount: number,
  checksum: number,
): Uint8Array | EnvelopeError {
  const bytes = new Uint8Array(byteCount);
  if (file.read(bytes, offset) !== byteCount) return corruption(file.path, offset, "a hint cut short");
  return crc32(bytes) === checksum ? bytes : corruption(file.path, offset, "a hint with a wrong checksum");
}
