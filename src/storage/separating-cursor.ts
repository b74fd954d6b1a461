/**
 * What a flush sees of a memtable whose large values stay in the log: the same versions, but a plain put of at least the
 * threshold comes as a pointer. Where its command lies is asked of the locator; a value that it does not know was computed
 * (by APPEND, say) and lies nowhere as such, so it goes into the table. The system bucket is always whole in tables. One
 * job, one thread.
 */
import { crc32 } from "../core/crc32.ts";
import { SYSTEM_BUCKET } from "../core/ids.ts";
import { murmur3 } from "../core/murmur3.ts";
import { type VersionCursor, VersionKind } from "../record/version.ts";
import type { KeyHashes } from "./hot-reads.ts";
import { PassingCursor } from "./passing-cursor.ts";
import { POINTER_BYTES, ValuePointer, valueFileOfSegment } from "./value-pointer-format.ts";

/** Finds commands in the log by their stamps. */
export interface ValueLocator {
  /** Of the command found last. */
  readonly segmentId: number;
  readonly commandOffset: number;
  readonly commandBytes: number;
  /** Whether the put with this stamp has left its value in the log: then the fields say where. */
  find(stampHigh: number, stampLow: number): boolean;
}

/** Of a memtable of which nobody knows where its values lie. */
export const NO_PLACES: ValueLocator = { segmentId: 0, commandOffset: 0, commandBytes: 0, find: () => false };

export class SeparatingCursor extends PassingCursor {
  readonly #locator: ValueLocator;
  readonly #thresholdBytes: number;
  readonly #written: KeyHashes | null;
  readonly #pointer = new ValuePointer();
  readonly #encoded = new Uint8Array(POINTER_BYTES);
  readonly #view = new DataView(this.#encoded.buffer);
  #isSeparate = false;

  /** `written`: is told the hash of every key, if anybody wants to know. */
  constructor(source: VersionCursor, locator: ValueLocator, thresholdBytes: number, written: KeyHashes | null) {
    super(source);
    this.#locator = locator;
    this.#thresholdBytes = thresholdBytes;
    this.#written = written;
  }

  override get kind(): VersionKind {
    return this.#isSeparate ? VersionKind.pointer : this.source.kind;
  }
  override get value(): Uint8Array {
    return this.#isSeparate ? this.#encode() : this.source.value;
  }

  protected override moved(): void {
    const source = this.source;
    this.#isSeparate = false;
    if (!source.valid) return;
    if (this.#written !== null) this.#written.add(murmur3(source.key, 0, source.key.length, source.bucket));
    this.#isSeparate =
      source.kind === VersionKind.value &&
      source.bucket !== SYSTEM_BUCKET &&
      source.value.length >= this.#thresholdBytes &&
      this.#locator.find(source.stampHigh, source.stampLow);
  }

  /** Only versions that are kept are asked for their values, so only they are checksummed. */
  #encode(): Uint8Array {
    const value = this.source.value;
    const { segmentId, commandOffset, commandBytes } = this.#locator;
    const pointer = this.#pointer;
    pointer.file = valueFileOfSegment(segmentId);
    pointer.commandOffset = commandOffset;
    pointer.commandBytes = commandBytes;
    pointer.valueBytes = value.length;
    pointer.checksum = crc32(value);
    pointer.write(this.#view);
    return this.#encoded;
  }
}
