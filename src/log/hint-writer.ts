/**
 * Makes the hint of a sealed segment whose entries are all applied, in bounded steps between the shard's other work:
 * reads the entries back (which proves them once more), gathers their keys, and writes the file under an unfinished
 * name that becomes the hint's when it is whole and synced. The shard's thread only.
 */
import { assert } from "../core/assert.ts";
import { ByteWriter } from "../core/byte-writer.ts";
import { crc32 } from "../core/crc32.ts";
import { corruption } from "../core/errors.ts";
import type { Disk, DiskFile } from "../env/disk.ts";
import { CommandReader } from "../record/command-format.ts";
import { decodeEntryHeader, ENTRY_HEADER_BYTES, EntryKind } from "../record/entry-format.ts";
import { encodeHintEntry, encodeHintHeader, encodeHintKey, encodeHintTermRuns } from "./hint-format.ts";
import type { TermRun } from "./log-entries.ts";
import { hintPath, unfinishedPath } from "./log-files.ts";
import type { Segment } from "./segment.ts";
import type { SegmentReader } from "./segment-reader.ts";

const PIECE_BYTES = 1024 * 1024;

export class HintWriter {
  readonly segment: Segment;
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #reader: SegmentReader;
  readonly #path: string;
  readonly #previousTerm: number;
  readonly #termRuns: TermRun[] = [];
  readonly #commands = new CommandReader();
  readonly #entries = new ByteWriter(4096);
  readonly #keys = new ByteWriter(4096);
  #keyCount = 0;
  #ordinal = 0;
  /** The finished hint and how much of it is on disk; null while entries are still being read. */
  #output: { bytes: Uint8Array; file: DiskFile; writtenBytes: number } | null = null;

  /** `previousTerm` is the term of the entry before the segment's first live one. */
  constructor(disk: Disk, directory: string, reader: SegmentReader, segment: Segment, previousTerm: number) {
    this.#disk = disk;
    this.#directory = directory;
    this.#reader = reader;
    this.segment = segment;
    this.#path = hintPath(directory, segment.id);
    this.#previousTerm = previousTerm;
  }

  /** Does about a megabyte of it; true: there is more to do. */
  step(): boolean {
    if (this.#ordinal < this.segment.entries.count) {
      this.#gather();
      return true;
    }
    this.#output ??= { bytes: this.#encode(), file: this.#create(), writtenBytes: 0 };
    const { bytes, file, writtenBytes } = this.#output;
    const end = Math.min(bytes.length, writtenBytes + PIECE_BYTES);
    file.write(bytes.subarray(writtenBytes, end), writtenBytes);
    file.sync();
    this.#output.writtenBytes = end;
    if (end < bytes.length) return true;
    this.#output = null;
    file.close();
    this.#disk.rename(unfinishedPath(this.#path), this.#path);
    this.#disk.syncDirectory(this.#directory);
    this.segment.hasHint = true;
    return false;
  }

  /** Leaves it as it is, to be removed by the next start. */
  close(): void {
    this.#output?.file.close();
  }

  /** Stops half-way and leaves nothing behind. */
  abandon(): void {
    if (this.#output === null) return;
    this.#output.file.close();
    this.#disk.remove(unfinishedPath(this.#path));
    this.#output = null;
  }

  #gather(): void {
    const entries: Uint8Array[] = [];
    const count = this.#reader.readSpan(this.segment, this.#ordinal, PIECE_BYTES, entries);
    for (const [i, entry] of entries.entries()) this.#addEntry(this.#ordinal + i, entry);
    this.#ordinal += count;
  }

  #addEntry(ordinal: number, entry: Uint8Array): void {
    const columns = this.segment.entries;
    const start = columns.offsets[ordinal]!;
    const header = decodeEntryHeader(entry, 0, entry.length, this.segment.path);
    if (header instanceof Error) throw header;
    assert(header.index === columns.firstIndex + ordinal, "an entry lies where the index says");
    if (this.#termRuns.at(-1)?.term !== header.term) {
      this.#termRuns.push({ firstIndex: header.index, term: header.term });
    }
    const keyCount = header.kind === EntryKind.commands ? header.commandCount : 0;
    if (keyCount > 0) this.#addKeys(entry, keyCount, start);
    encodeHintEntry(
      this.#entries,
      header.index,
      header.term,
      start,
      entry.length,
      columns.checksums[ordinal]!,
      keyCount,
    );
  }

  #addKeys(entry: Uint8Array, keyCount: number, entryOffset: number): void {
    const reader = this.#commands.over(entry);
    let offset = ENTRY_HEADER_BYTES;
    for (let i = 0; i < keyCount; i++) {
      const end = reader.read(offset, entry.length);
      if (end < 0) throw corruption(this.segment.path, entryOffset + offset, "a command that does not parse");
      encodeHintKey(this.#keys, reader.bucket, entryOffset + offset, reader.type, reader.key());
      offset = end;
    }
    this.#keyCount += keyCount;
  }

  #encode(): Uint8Array {
    const termRuns = encodeHintTermRuns(this.#termRuns);
    const entries = this.#entries.written();
    const keys = this.#keys.written();
    const { groups, entries: live } = this.segment;
    const header = encodeHintHeader({
      segmentChecksum: this.segment.checksum,
      segmentId: this.segment.id,
      firstGroup: groups.firstGroup,
      groupCount: groups.groupCount,
      endOffset: groups.endOffset,
      commitIndex: groups.commitIndex,
      firstIndex: live.count === 0 ? 0 : live.firstIndex,
      previousTerm: this.#previousTerm,
      entryCount: live.count,
      termRunCount: this.#termRuns.length,
      keyCount: this.#keyCount,
      keySectionBytes: keys.length,
      termRunsChecksum: crc32(termRuns),
      entriesChecksum: crc32(entries),
      keysChecksum: crc32(keys),
    });
    const whole = new ByteWriter(header.length + termRuns.length + entries.length + keys.length);
    for (const section of [header, termRuns, entries, keys]) whole.raw(section);
    return whole.written();
  }

  #create(): DiskFile {
    const unfinished = unfinishedPath(this.#path);
    if (this.#disk.exists(unfinished)) this.#disk.remove(unfinished);
    return this.#disk.open(unfinished, "create");
  }
}
