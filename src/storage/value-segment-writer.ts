/**
 * Writes one value segment (value-segment-format.ts): commands are added one behind the other, gathered into pieces, and
 * synced now and then so that no sync is long. The file means nothing until the manifest names it. Owned by one job.
 */
import { assert } from "../core/assert.ts";
import type { FileNumber } from "../core/ids.ts";
import type { Disk, DiskFile } from "../env/disk.ts";
import { removeGarbage } from "./remove-garbage.ts";
import type { TreeIdentity } from "./tree-options.ts";
import { valueSegmentPath } from "./value-file-names.ts";
import { encodeValueSegmentHeader, VALUE_SEGMENT_HEADER_BYTES } from "./value-segment-format.ts";

const PIECE_BYTES = 256 * 1024;
const UNSYNCED_BYTES_MAX = 1024 * 1024;

export class ValueSegmentWriter {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #file: DiskFile;
  #isOpen = true;
  /** Bytes of the file, gathered ones included. */
  #end = VALUE_SEGMENT_HEADER_BYTES;
  readonly #piece = new Uint8Array(PIECE_BYTES);
  #gathered = 0;
  #unsynced = 0;

  constructor(disk: Disk, directory: string, identity: TreeIdentity, number: FileNumber) {
    this.#disk = disk;
    this.#path = valueSegmentPath(directory, number);
    this.#file = disk.open(this.#path, "create");
    this.#piece.set(encodeValueSegmentHeader(identity, number));
    this.#gathered = VALUE_SEGMENT_HEADER_BYTES;
  }

  /** Bytes of the commands added so far. */
  get commandBytes(): number {
    return this.#end - VALUE_SEGMENT_HEADER_BYTES;
  }

  /** Adds a command and returns its offset in the file. */
  add(command: Uint8Array): number {
    const offset = this.#end;
    if (this.#gathered + command.length > PIECE_BYTES) this.#writePiece();
    if (command.length > PIECE_BYTES) this.#write(command, offset);
    else {
      this.#piece.set(command, this.#gathered);
      this.#gathered += command.length;
    }
    this.#end = offset + command.length;
    return offset;
  }

  /** Makes the whole file durable but for its name, and closes it. */
  finish(): void {
    assert(this.#isOpen, "a value segment is finished once");
    this.#writePiece();
    this.#file.sync();
    this.close();
  }

  close(): void {
    if (this.#isOpen) this.#file.close();
    this.#isOpen = false;
  }

  /** Removes what was written. */
  discard(): void {
    this.close();
    if (this.#disk.exists(this.#path)) removeGarbage(this.#disk, this.#path);
  }

  #writePiece(): void {
    if (this.#gathered === 0) return;
    this.#write(this.#piece.subarray(0, this.#gathered), this.#end - this.#gathered);
    this.#gathered = 0;
  }

  #write(bytes: Uint8Array, offset: number): void {
    this.#file.write(bytes, offset);
    this.#unsynced += bytes.length;
    if (this.#unsynced < UNSYNCED_BYTES_MAX) return;
    this.#file.sync();
    this.#unsynced = 0;
  }
}
