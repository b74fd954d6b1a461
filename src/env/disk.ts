/**
 * The disk as storage sees it: synchronous, because a shard owns its thread. Two implementations: `real-disk.ts` and
 * the simulator's. Every failure is an EnvelopeError of code IO, DISKFULL, MISSING_FILE or DIRECTORY_IN_USE with the
 * path in its message. What was written is durable only after a sync of the file, and a name (created, renamed,
 * removed) only after `syncDirectory`.
 */
import type { EnvelopeError } from "../core/errors.ts";

/**
 * `create` fails when the file exists; the others fail with MISSING_FILE when it does not. `writeDirect` is for files that
 * are written past the page cache, in whole blocks of 4096 bytes and where `directWriteObstacle` knows of none: a write
 * may then be durable by itself. `readDirect` reads past it, any range, where `directReadObstacle` knows of none.
 */
export type OpenMode = "read" | "readDirect" | "write" | "writeDirect" | "create";

export interface DiskFile {
  readonly path: string;
  /** Bytes in the file now. */
  size(): number;
  /** Fills `into` from `position`; returns the bytes read, fewer only at the end of the file. */
  read(into: Uint8Array, position: number): number;
  /** Writes all of `bytes` at `position` (short counts are looped over). */
  write(bytes: Uint8Array, position: number): void;
  /** Durable on return: data and the size needed to read it back (fdatasync). */
  sync(): void;
  /**
   * Starts a sync of everything written so far; `done` gets null, or the failure, now or later. After a failed sync
   * nothing written through this file may be counted as durable, ever.
   */
  beginSync(done: (failure: EnvelopeError | null) => void): void;
  truncate(byteCount: number): void;
  close(): void;
}

/** How a mapping is going to be read: here and there (the default), or from one end to the other. */
export type MapAccess = "scattered" | "through";

export interface DirectoryLock {
  release(): void;
}

export interface Disk {
  open(path: string, mode: OpenMode): DiskFile;
  /** The whole file in memory. */
  readWhole(path: string): Uint8Array;
  /**
   * An immutable file mapped (or, in the simulator, copied) into memory. An empty file maps to no bytes.
   * `unmap` must be called once nobody reads the view any more.
   */
  map(path: string, access?: MapAccess): Uint8Array<ArrayBuffer>;
  /** This range of a mapping is about to be read: it may be brought from the disk meanwhile. */
  willNeed(view: Uint8Array<ArrayBuffer>, start: number, end: number): void;
  unmap(view: Uint8Array<ArrayBuffer>): void;
  exists(path: string): boolean;
  /** Names (not paths) in a directory, sorted. */
  list(directory: string): string[];
  /** Creates a directory and its parents; syncs the parents that it changed. */
  makeDirectory(directory: string): void;
  rename(from: string, to: string): void;
  /** Gives a file a second name on the same file system. Both are the file: what is written under one is read under the other. */
  link(from: string, to: string): void;
  /** How many names a file has. */
  linkCount(path: string): number;
  remove(path: string): void;
  removeTree(directory: string): void;
  syncDirectory(directory: string): void;
  /** Bytes an ordinary user may still write to the file system of this directory. */
  freeBytes(directory: string): number;
  /** Why files in this directory cannot be opened to be written past the page cache; null: they can. */
  directWriteObstacle(directory: string): string | null;
  /** The same of reads past the page cache. */
  directReadObstacle(directory: string): string | null;
  /** Takes the directory for this process, or throws DIRECTORY_IN_USE. Freed by release or by the process's death. */
  lock(directory: string): DirectoryLock;
}
