/**
 * The real disk, except that a sync begun while `isHolding` ends only when the test says how, and that no file can be
 * made and none can grow while `isFull`.
 */
import { EnvelopeError } from "../../src/core/errors.ts";
import type { DirectoryLock, Disk, DiskFile, OpenMode } from "../../src/env/disk.ts";
import { RealDisk } from "../../src/env/real-disk.ts";

type Done = (failure: EnvelopeError | null) => void;

export class HeldSyncDisk implements Disk {
  isHolding = false;
  isFull = false;
  readonly #real = new RealDisk();
  readonly #held: { file: DiskFile; done: Done }[] = [];

  get heldCount(): number {
    return this.#held.length;
  }

  /** Forgets the syncs that are held: their process is gone. */
  forget(): void {
    this.#held.length = 0;
  }

  /** Ends the oldest sync that is held: done in truth, or failed. */
  end(fails = false): void {
    const oldest = this.#held.shift();
    if (oldest === undefined) throw new Error("no sync is held");
    if (fails) oldest.done(new EnvelopeError("IO", `cannot sync ${oldest.file.path}: EIO`));
    else oldest.file.beginSync(oldest.done);
  }

  open(path: string, mode: OpenMode): DiskFile {
    if (mode === "create") this.#refuseIfFull(path);
    const file = this.#real.open(path, mode);
    return {
      path,
      size: () => file.size(),
      read: (into, position) => file.read(into, position),
      write: (bytes, position) => {
        if (position + bytes.length > file.size()) this.#refuseIfFull(path);
        file.write(bytes, position);
      },
      sync: () => file.sync(),
      beginSync: (done) => {
        if (this.isHolding) this.#held.push({ file, done });
        else file.beginSync(done);
      },
      truncate: (byteCount) => file.truncate(byteCount),
      close: () => file.close(),
    };
  }

  readWhole(path: string): Uint8Array {
    return this.#real.readWhole(path);
  }
  map(path: string): Uint8Array<ArrayBuffer> {
    return this.#real.map(path);
  }
  willNeed(): void {}
  unmap(view: Uint8Array<ArrayBuffer>): void {
    this.#real.unmap(view);
  }
  exists(path: string): boolean {
    return this.#real.exists(path);
  }
  list(directory: string): string[] {
    return this.#real.list(directory);
  }
  makeDirectory(directory: string): void {
    this.#real.makeDirectory(directory);
  }
  rename(from: string, to: string): void {
    this.#real.rename(from, to);
  }
  link(from: string, to: string): void {
    this.#real.link(from, to);
  }
  linkCount(path: string): number {
    return this.#real.linkCount(path);
  }
  remove(path: string): void {
    this.#real.remove(path);
  }
  removeTree(directory: string): void {
    this.#real.removeTree(directory);
  }
  syncDirectory(directory: string): void {
    this.#real.syncDirectory(directory);
  }
  freeBytes(directory: string): number {
    return this.isFull ? 0 : this.#real.freeBytes(directory);
  }
  directWriteObstacle(directory: string): string | null {
    return this.#real.directWriteObstacle(directory);
  }
  directReadObstacle(directory: string): string | null {
    return this.#real.directReadObstacle(directory);
  }

  lock(directory: string): DirectoryLock {
    return this.#real.lock(directory);
  }

  #refuseIfFull(path: string): void {
    if (this.isFull) throw new EnvelopeError("DISKFULL", `cannot write ${path}: ENOSPC`);
  }
}
