/**
 * Files that no state names any more, on their way out. Unmapping and removing a file takes the system a millisecond for
 * every 16 MiB, and a compaction leaves dozens of them at once; so large ones wait here, and each step in the
 * background closes or removes one. What a crash leaves of them is not listed, and removed by the next start. One thread.
 */
import type { Disk } from "../env/disk.ts";
import { removeGarbage } from "./remove-garbage.ts";

/** Smaller files go at once. */
const WAITING_BYTES_MIN = 1024 * 1024;

interface WaitingFile {
  readonly path: string;
  /** Unmaps or closes it; null when that has been done. */
  close: (() => void) | null;
}

export class Garbage {
  readonly #disk: Disk;
  readonly #waitingBytesMin: number;
  /** Oldest first. */
  readonly #waiting: WaitingFile[] = [];

  constructor(disk: Disk, waitingBytesMin: number = WAITING_BYTES_MIN) {
    this.#disk = disk;
    this.#waitingBytesMin = waitingBytesMin;
  }

  /** Takes a file of so many bytes that is open no more once `close` has been called. Throws IO. */
  add(path: string, byteCount: number, close: () => void): void {
    if (byteCount >= this.#waitingBytesMin) {
      this.#waiting.push({ path, close });
      return;
    }
    close();
    removeGarbage(this.#disk, path);
  }

  /** Closes or removes one file; true: there is more. Throws IO. */
  step(): boolean {
    const file = this.#waiting[0];
    if (file === undefined) return false;
    if (file.close !== null) {
      file.close();
      file.close = null;
      return true;
    }
    this.#waiting.shift();
    removeGarbage(this.#disk, file.path);
    return this.#waiting.length > 0;
  }

  /** Everything at once. Throws IO. */
  clear(): void {
    for (const { path, close } of this.#waiting.splice(0)) {
      close?.();
      removeGarbage(this.#disk, path);
    }
  }
}
