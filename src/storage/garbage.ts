/**
 * Files that no state names any more, on their way out. Unmapping and removing a file takes the system a millisecond for
 * every 16 MiB, and a compaction leaves dozens of them at once; so large ones wait here, and each step in the
 * background unmaps one or cuts a piece off its end. What a crash leaves of them is not listed, and removed by the next
 * start. One thread.
 */
import { EnvelopeError } from "../core/errors.ts";
import type { Disk } from "../env/disk.ts";
import { removeGarbage } from "./remove-garbage.ts";

const PIECE_BYTES = 4 * 1024 * 1024;

interface WaitingFile {
  readonly path: string;
  /** Unmaps or closes it; null when that has been done. */
  close: (() => void) | null;
  leftBytes: number;
}

export class Garbage {
  readonly #disk: Disk;
  readonly #pieceBytes: number;
  /** Oldest first. */
  readonly #waiting: WaitingFile[] = [];

  /** `pieceBytes`: what is taken away in a step; smaller files go at once. */
  constructor(disk: Disk, pieceBytes: number = PIECE_BYTES) {
    this.#disk = disk;
    this.#pieceBytes = pieceBytes;
  }

  /** Takes a file of so many bytes that is open no more once `close` has been called. Throws IO. */
  add(path: string, byteCount: number, close: () => void): void {
    if (byteCount > this.#pieceBytes) {
      this.#waiting.push({ path, close, leftBytes: byteCount });
      return;
    }
    close();
    removeGarbage(this.#disk, path);
  }

  /** Takes away one piece; true: there is more. Throws IO. */
  step(): boolean {
    const file = this.#waiting[0];
    if (file === undefined) return false;
    if (file.close !== null) {
      file.close();
      file.close = null;
    } else if (file.leftBytes > this.#pieceBytes && this.#shorten(file)) {
      file.leftBytes -= this.#pieceBytes;
    } else {
      this.#waiting.shift();
      removeGarbage(this.#disk, file.path);
    }
    return this.#waiting.length > 0;
  }

  /** Everything at once. Throws IO. */
  clear(): void {
    for (const { path, close } of this.#waiting.splice(0)) {
      close?.();
      removeGarbage(this.#disk, path);
    }
  }

  /** False: the disk is too full even for that, so the whole file is tried. */
  #shorten({ path, leftBytes }: WaitingFile): boolean {
    try {
      const file = this.#disk.open(path, "write");
      try {
        file.truncate(leftBytes - this.#pieceBytes);
      } finally {
        file.close();
      }
      return true;
    } catch (failure) {
      if (failure instanceof EnvelopeError && failure.code === "DISKFULL") return false;
      throw failure;
    }
  }
}
