/**
 * A file that tables point into: a segment of the log, the same one when the log has let it go (`.kept.evp`), or a value
 * segment. As long as it is in the log it may still be written behind the values, and is read by ordinary reads; then
 * it never changes again and is read through a mapping. Every read is checked against the checksum in the pointer, not
 * only the first one: a page may come from the disk again long after it was first seen.
 *
 * Counted: each table that points into it holds it. The last one out closes it and, if the manifest has dropped it by
 * then, it is gone for good. Views of values are dead from that moment. Shard thread.
 */
import { assert } from "../core/assert.ts";
import { EMPTY_BYTES, equalBytes } from "../core/bytes.ts";
import { crc32 } from "../core/crc32.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import type { ValueFileId } from "../core/ids.ts";
import type { Disk, DiskFile } from "../env/disk.ts";
import { CommandReader } from "../record/command-format.ts";
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES, segmentChecksum } from "../record/segment-format.ts";
import { readU32 } from "./block-format.ts";
import type { ValueFileRecord } from "./manifest-format.ts";
import type { TreeIdentity } from "./tree-options.ts";
import { isLogSegment, stemOf, type ValuePointer } from "./value-pointer-format.ts";
import { checkPointedTo, checkValue } from "./value-check.ts";
import { checkValueSegmentHeader, VALUE_SEGMENT_HEADER_BYTES, valueSegmentChecksum } from "./value-segment-format.ts";

export class ValueFile {
  readonly record: ValueFileRecord;
  /** No live table points into it: it goes with the last reference. */
  obsolete = false;
  /** Not null: it is quarantined. Who would need a value of it is told this instead. */
  damage: EnvelopeError | null = null;
  /** Its path when it was written: a segment that leaves the log gets another one. */
  readonly writtenAs: string;
  readonly #disk: Disk;
  #path: string;
  #isInLog: boolean;
  #references = 0;
  #file: DiskFile | null = null;
  #map: Uint8Array<ArrayBuffer> | null = null;
  /** Over the mapping, or over what was read last. */
  readonly #reader = new CommandReader();
  readonly #unused: (file: ValueFile) => void;

  /** `unused` is called when the last reference is gone. */
  constructor(
    disk: Disk,
    writtenAs: string,
    path: string,
    record: ValueFileRecord,
    isInLog: boolean,
    unused: (file: ValueFile) => void,
  ) {
    this.#disk = disk;
    this.writtenAs = writtenAs;
    this.#path = path;
    this.record = record;
    this.#isInLog = isInLog;
    this.#unused = unused;
  }

  get path(): string {
    return this.#path;
  }

  /** Whether it is a segment of the log still, which then decides when the file may go. */
  get isInLog(): boolean {
    return this.#isInLog;
  }

  retain(): void {
    this.#references += 1;
  }

  release(): void {
    assert(this.#references > 0, "a value file is released as often as it was retained");
    this.#references -= 1;
    if (this.#references > 0) return;
    this.#close();
    this.#unused(this);
  }

  /** The log has let it go, and gives it another name. */
  leaveLog(path: string): void {
    this.#file?.close();
    this.#file = null;
    this.#path = path;
    this.#isInLog = false;
  }

  /** The value, checked: a view that lives until the file is released. Throws CORRUPTION. */
  value(pointer: ValuePointer): Uint8Array {
    const value = this.#bytes(pointer.valueOffset, pointer.valueBytes);
    checkValue(value, pointer, this.#path);
    return value;
  }

  /** The whole command that wrote the value, checked by its own checksum as well. Throws CORRUPTION. */
  command(pointer: ValuePointer): Uint8Array {
    const command = this.#bytes(pointer.commandOffset, pointer.commandBytes);
    checkPointedTo(command, pointer, this.#path);
    return command;
  }

  /** The command at a place that was remembered with its checksum, in a reader that is reused; null: it is damaged. */
  readCommand(offset: number, byteCount: number, checksum: number): CommandReader | null {
    const reader = this.#reader;
    let start = offset;
    if (this.#isInLog) {
      reader.over(this.#bytes(offset, byteCount));
      start = 0;
    } else if (reader.bytes !== this.#map) {
      reader.over(this.#map ?? this.#mapFile());
    }
    const { bytes } = reader;
    const end = start + byteCount;
    const isWhole = end <= bytes.length && readU32(bytes, start) === checksum;
    const isSound = isWhole && crc32(bytes.subarray(start + 4, end)) === checksum && reader.read(start, end) === end;
    return isSound ? reader : null;
  }

  #bytes(offset: number, byteCount: number): Uint8Array {
    if (!this.#isInLog) {
      const map = this.#map ?? this.#mapFile();
      if (offset + byteCount > map.length) throw corruption(this.#path, offset, "a value cut short");
      return map.subarray(offset, offset + byteCount);
    }
    this.#file ??= this.#disk.open(this.#path, "read");
    const bytes = new Uint8Array(byteCount);
    if (this.#file.read(bytes, offset) !== byteCount) throw corruption(this.#path, offset, "a value cut short");
    return bytes;
  }

  #mapFile(): Uint8Array {
    const map = this.#disk.map(this.#path);
    if (map.length !== this.record.fileBytes) {
      const mapped = map.length;
      this.#disk.unmap(map);
      throw corruption(this.#path, mapped, "a value file that changed its size");
    }
    this.#map = map;
    return map;
  }

  #close(): void {
    this.#file?.close();
    this.#file = null;
    if (this.#map === null) return;
    this.#reader.over(EMPTY_BYTES);
    this.#disk.unmap(this.#map);
    this.#map = null;
  }
}

/** What the manifest is to say of a file, read from its header. Throws MISSING_FILE, CORRUPTION, FOREIGN_DIRECTORY, … */
export function describeValueFile(disk: Disk, path: string, id: ValueFileId, identity: TreeIdentity): ValueFileRecord {
  const file = disk.open(path, "read");
  try {
    const headerBytes = isLogSegment(id) ? SEGMENT_HEADER_BYTES : VALUE_SEGMENT_HEADER_BYTES;
    const block = new Uint8Array(headerBytes);
    const header = block.subarray(0, file.read(block, 0));
    const checksum = isLogSegment(id)
      ? checkedSegment(header, identity, stemOf(id), path)
      : checkedValueSegment(header, identity, stemOf(id), path);
    return { id, fileBytes: file.size(), checksum };
  } finally {
    file.close();
  }
}

function checkedSegment(block: Uint8Array, identity: TreeIdentity, segmentId: number, path: string): number {
  const header = decodeSegmentHeader(block, path);
  if (header instanceof EnvelopeError) throw header;
  if (header.shard !== identity.shard || !equalBytes(header.clusterId, identity.clusterId)) {
    throw new EnvelopeError("FOREIGN_DIRECTORY", `${path} belongs to another shard or cluster`);
  }
  if (header.segmentId !== segmentId) throw corruption(path, 16, `the header of segment ${header.segmentId}`);
  return segmentChecksum(block);
}

function checkedValueSegment(block: Uint8Array, identity: TreeIdentity, number: number, path: string): number {
  checkValueSegmentHeader(block, identity, number, path);
  return valueSegmentChecksum(block);
}
