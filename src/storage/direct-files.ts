/**
 * The files of tables that are open for direct reads: a bounded number, so that a tree of thousands of tables needs but a
 * few descriptors. One that had to make room is opened again by its next read, which costs a small part of the read.
 * The first to be opened is the first to go. One thread.
 */
import { at } from "../core/assert.ts";
import { EMPTY_BYTES } from "../core/bytes.ts";
import type { Disk, DiskFile } from "../env/disk.ts";

/** Of one shard, or of a compactor. */
export const DIRECT_FILES_MAX = 16;

const SCRATCH_BYTES_MAX = 64 * 1024;

export class DirectFiles {
  readonly #disk: Disk;
  readonly #files: (DiskFile | null)[] = new Array<DiskFile | null>(DIRECT_FILES_MAX).fill(null);
  readonly #paths: string[] = new Array<string>(DIRECT_FILES_MAX).fill("");
  #next = 0;
  #scratch: Uint8Array = EMPTY_BYTES;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** The file, to be used at once: the next call may close it. Throws IO or MISSING_FILE. */
  open(path: string): DiskFile {
    const known = this.#paths.indexOf(path);
    if (known >= 0) return at(this.#files, known)!;
    const file = this.#disk.open(path, "readDirect");
    const slot = this.#next;
    this.#next = (slot + 1) % DIRECT_FILES_MAX;
    this.#files[slot]?.close();
    this.#files[slot] = file;
    this.#paths[slot] = path;
    return file;
  }

  /** Memory for one block, good until the next call. */
  scratch(byteCount: number): Uint8Array {
    if (byteCount > SCRATCH_BYTES_MAX) return new Uint8Array(byteCount);
    if (this.#scratch.length < byteCount) this.#scratch = new Uint8Array(SCRATCH_BYTES_MAX);
    return this.#scratch.subarray(0, byteCount);
  }

  close(path: string): void {
    const slot = this.#paths.indexOf(path);
    if (slot < 0) return;
    this.#files[slot]?.close();
    this.#files[slot] = null;
    this.#paths[slot] = "";
  }
}
