/**
 * Gathers what the hint of a segment says, in bounded steps: reads the entries back (which proves them once more) and
 * notes their places, terms and keys. Whoever asks has made sure that the entries are final. The shard's thread, or a
 * tool that compares a hint with its segment.
 */
import { assert } from "../core/assert.ts";
import { ByteWriter } from "../core/byte-writer.ts";
import { viewOf } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { corruption } from "../core/errors.ts";
import { CommandReader } from "../record/command-format.ts";
import { decodeEntryHeader, ENTRY_HEADER_BYTES, EntryKind } from "../record/entry-format.ts";
import { encodeHintEntry, encodeHintHeader, encodeHintKey, encodeHintTermRuns } from "./hint-format.ts";
import type { TermRun } from "./log-entries.ts";
import type { Segment } from "./segment.ts";
import type { SegmentReader } from "./segment-reader.ts";

const PIECE_BYTES = 1024 * 1024;

export class HintBuilder {
  readonly segment: Segment;
  readonly #reader: SegmentReader;
  readonly #previousTerm: number;
  readonly #termRuns: TermRun[] = [];
  readonly #commands = new CommandReader();
  readonly #entries = new ByteWriter(4096);
  readonly #keys = new ByteWriter(4096);
  #keyCount = 0;
  #ordinal = 0;

  /** `previousTerm` is the term of the entry before the segment's first live one. */
  constructor(reader: SegmentReader, segment: Segment, previousTerm: number) {
    this.#reader = reader;
    this.segment = segment;
    this.#previousTerm = previousTerm;
  }

  /** Reads about a megabyte of entries; false: there are no more. Throws CORRUPTION. */
  step(): boolean {
    if (this.#ordinal >= this.segment.entries.count) return false;
    this.#gather();
    return true;
  }

  /** The whole hint, once `step` has come to its end. */
  encode(): Uint8Array {
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

  #gather(): void {
    const entries: Uint8Array[] = [];
    const count = this.#reader.readSpan(this.segment, this.#ordinal, PIECE_BYTES, entries);
    for (const [i, entry] of entries.entries()) this.#addEntry(this.#ordinal + i, entry);
    this.#ordinal += count;
  }

  #addEntry(ordinal: number, entry: Uint8Array): void {
    const columns = this.segment.entries;
    const start = columns.offsets[ordinal]!;
    const header = decodeEntryHeader(entry, viewOf(entry), 0, entry.length, this.segment.path);
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
}
