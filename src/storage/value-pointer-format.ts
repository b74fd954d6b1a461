/**
 * A pointer: what a table holds of a value that lies elsewhere, in place of the value (VersionKind.pointer).
 *
 *   offset  bytes
 *        0      8  value file, u64: 2 · the id of a log segment, or 2 · the number of a value segment + 1
 *        8      4  offset of the command in the file, u32
 *       12      4  command bytes, u32
 *       16      4  value bytes, u32: the value is the end of the command
 *       20      4  CRC-32 of the value, u32
 *
 * The block around it is checksummed, so the checksum in here says both that the value is whole and that it is the one
 * that was meant. Ids and file numbers are never used again, so a pointer leads to one file for ever. Any thread.
 */
import { setU64 } from "../core/bytes.ts";
import { type FileNumber, type ValueFileId, valueFileId } from "../core/ids.ts";
import { readU32 } from "./block-format.ts";

export const POINTER_BYTES = 24;

const TWO_32 = 0x1_0000_0000;

/** A place of a value: reused, never kept. */
export class ValuePointer {
  file = 0 as ValueFileId;
  commandOffset = 0;
  commandBytes = 0;
  valueBytes = 0;
  checksum = 0;

  /** Decodes the pointer at `offset` of a verified block. */
  read(bytes: Uint8Array, offset: number): this {
    this.file = (readU32(bytes, offset + 4) * TWO_32 + readU32(bytes, offset)) as ValueFileId;
    this.commandOffset = readU32(bytes, offset + 8);
    this.commandBytes = readU32(bytes, offset + 12);
    this.valueBytes = readU32(bytes, offset + 16);
    this.checksum = readU32(bytes, offset + 20);
    return this;
  }

  /** Encodes it into the first bytes of `view`. */
  write(view: DataView): void {
    setU64(view, 0, this.file);
    view.setUint32(8, this.commandOffset, true);
    view.setUint32(12, this.commandBytes, true);
    view.setUint32(16, this.valueBytes, true);
    view.setUint32(20, this.checksum, true);
  }

  get valueOffset(): number {
    return this.commandOffset + this.commandBytes - this.valueBytes;
  }
}

export function valueFileOfSegment(segmentId: number): ValueFileId {
  return valueFileId(2 * segmentId);
}

export function valueFileOfNumber(number: FileNumber): ValueFileId {
  return valueFileId(2 * number + 1);
}

/** Whether the values lie in a segment of the log, be it still in the log or not. */
export function isLogSegment(file: ValueFileId): boolean {
  return file % 2 === 0;
}

/** The segment's id, or the value segment's number. */
export function stemOf(file: ValueFileId): number {
  return Math.floor(file / 2);
}
