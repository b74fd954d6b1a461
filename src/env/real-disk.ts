/**
 * The disk of a real node: node:fs, synchronous. Every failure is translated here, once, into the closed set of
 * `disk.ts`. A file whose sync has failed is poisoned: the kernel may have thrown the dirty pages away and would report
 * the next sync as a success (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020), so no later
 * sync of that file ever succeeds. Any thread; objects are not shared between threads.
 */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { assert } from "../core/assert.ts";
import { EnvelopeError } from "../core/errors.ts";
import { DirectReader } from "./direct-reader.ts";
import { DirectWriter } from "./direct-writer.ts";
import type { DirectoryLock, Disk, DiskFile, MapAccess, OpenMode } from "./disk.ts";
import { lockDirectory } from "./directory-lock.ts";
import { MemoryAdvice } from "./memory-advice.ts";

const FLAGS = { read: "r", write: "r+", create: "wx+" } as const;

export class RealDisk implements Disk {
  #direct: DirectWriter | null = null;
  #directReader: DirectReader | null = null;
  readonly #advice = new MemoryAdvice();

  open(path: string, mode: OpenMode): DiskFile {
    if (mode === "writeDirect") return this.#openDirect(path);
    if (mode === "readDirect") return this.#openDirectReads(path);
    return new RealFile(
      path,
      guarded(path, "open", () => openSync(path, FLAGS[mode])),
    );
  }

  readWhole(path: string): Uint8Array {
    return guarded(path, "read", () => readFileSync(path));
  }

  map(path: string, access: MapAccess = "scattered"): Uint8Array<ArrayBuffer> {
    return guarded(path, "map", () => {
      if (statSync(path).size === 0) return new Uint8Array(0);
      const view = Bun.mmap(path, { shared: false }) as Uint8Array<ArrayBuffer>;
      if (access === "scattered") this.#advice.scattered(view);
      return view;
    });
  }

  willNeed(view: Uint8Array<ArrayBuffer>, start: number, end: number): void {
    this.#advice.willNeed(view, start, end);
  }

  /** Unmaps at once; every view of the mapping becomes empty. */
  unmap(view: Uint8Array<ArrayBuffer>): void {
    if (view.buffer.byteLength > 0) view.buffer.transfer(0);
  }

  exists(path: string): boolean {
    return existsSync(path);
  }

  list(directory: string): string[] {
    return guarded(directory, "list", () => readdirSync(directory).sort());
  }

  makeDirectory(directory: string): void {
    const path = resolve(directory);
    if (existsSync(path)) return;
    const parent = dirname(path);
    this.makeDirectory(parent);
    guarded(path, "create", () => mkdirSync(path, { recursive: true }));
    this.syncDirectory(parent);
  }

  rename(from: string, to: string): void {
    guarded(from, "rename", () => renameSync(from, to));
  }

  link(from: string, to: string): void {
    guarded(from, "link", () => linkSync(from, to));
  }

  linkCount(path: string): number {
    return guarded(path, "look at", () => statSync(path).nlink);
  }

  remove(path: string): void {
    guarded(path, "remove", () => unlinkSync(path));
  }

  removeTree(directory: string): void {
    guarded(directory, "remove", () => rmSync(directory, { recursive: true, force: true }));
  }

  syncDirectory(directory: string): void {
    guarded(directory, "sync", () => {
      const fd = openSync(directory, "r");
      try {
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
    });
  }

  freeBytes(directory: string): number {
    return guarded(directory, "measure", () => {
      const { bavail, bsize } = statfsSync(directory);
      return bavail * bsize;
    });
  }

  directWriteObstacle(directory: string): string | null {
    const probed = guarded(directory, "probe", () => DirectWriter.probe(directory));
    if (typeof probed === "string") return probed;
    this.#direct = probed;
    return null;
  }

  directReadObstacle(directory: string): string | null {
    return guarded(directory, "probe", () => this.#reader().probe(directory));
  }

  #openDirect(path: string): DiskFile {
    const direct = this.#direct;
    assert(direct !== null, "direct writes were probed before a file is opened for them");
    const fd = guarded(path, "open", () => direct.open(path));
    return new DirectFile(path, fd, direct);
  }

  #openDirectReads(path: string): DiskFile {
    const reader = this.#reader();
    const fd = guarded(path, "open", () => reader.open(path));
    return new DirectlyReadFile(path, fd, reader);
  }

  /** Made when it is first needed: its memory is not small. */
  #reader(): DirectReader {
    this.#directReader ??= new DirectReader();
    return this.#directReader;
  }

  lock(directory: string): DirectoryLock {
    return guarded(directory, "lock", () => lockDirectory(directory));
  }
}

class RealFile implements DiskFile {
  readonly path: string;
  protected fd: number;
  protected syncFailure: EnvelopeError | null = null;

  constructor(path: string, fd: number) {
    this.path = path;
    this.fd = fd;
  }

  size(): number {
    return guarded(this.path, "measure", () => fstatSync(this.fd).size);
  }

  read(into: Uint8Array, position: number): number {
    return guarded(this.path, "read", () => {
      let done = 0;
      while (done < into.length) {
        const count = readSync(this.fd, into, done, into.length - done, position + done);
        if (count === 0) break;
        done += count;
      }
      return done;
    });
  }

  write(bytes: Uint8Array, position: number): void {
    try {
      for (let done = 0; done < bytes.length; ) {
        const count = writeSync(this.fd, bytes, done, bytes.length - done, position + done);
        if (count === 0) throw new EnvelopeError("IO", `write took no bytes of ${this.path} at ${position + done}`);
        done += count;
      }
    } catch (cause) {
      throw translate(this.path, "write", cause);
    }
  }

  sync(): void {
    if (this.syncFailure !== null) throw this.syncFailure;
    try {
      fdatasyncSync(this.fd);
    } catch (cause) {
      this.syncFailure = translate(this.path, "sync", cause);
      throw this.syncFailure;
    }
  }

  beginSync(done: (failure: EnvelopeError | null) => void): void {
    let failure: EnvelopeError | null = null;
    try {
      this.sync();
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
      failure = cause;
    }
    done(failure);
  }

  truncate(byteCount: number): void {
    guarded(this.path, "truncate", () => ftruncateSync(this.fd, byteCount));
  }

  close(): void {
    if (this.fd < 0) return;
    const fd = this.fd;
    this.fd = -1;
    guarded(this.path, "close", () => closeSync(fd));
  }
}

/** Every write is durable when it returns. */
class DirectFile extends RealFile {
  readonly #writer: DirectWriter;

  constructor(path: string, fd: number, writer: DirectWriter) {
    super(path, fd);
    this.#writer = writer;
  }

  override write(bytes: Uint8Array, position: number): void {
    try {
      this.#writer.write(this.fd, this.path, bytes, position);
    } catch (cause) {
      // A failed write is a failed sync, too.
      this.syncFailure = translate(this.path, "write", cause);
      throw this.syncFailure;
    }
  }

  override sync(): void {
    if (this.syncFailure !== null) throw this.syncFailure;
  }
}

class DirectlyReadFile extends RealFile {
  readonly #reader: DirectReader;

  constructor(path: string, fd: number, reader: DirectReader) {
    super(path, fd);
    this.#reader = reader;
  }

  override read(into: Uint8Array, position: number): number {
    return guarded(this.path, "read", () => this.#reader.read(this.fd, into, position));
  }
}

function guarded<T>(path: string, action: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw translate(path, action, cause);
  }
}

function translate(path: string, action: string, cause: unknown): EnvelopeError {
  if (cause instanceof EnvelopeError) return cause;
  const errno = (cause as NodeJS.ErrnoException).code ?? String(cause);
  const said = `cannot ${action} ${path}: ${errno}`;
  if (errno === "ENOSPC" || errno === "EDQUOT") return new EnvelopeError("DISKFULL", said);
  if (errno === "ENOENT") return new EnvelopeError("MISSING_FILE", said);
  return new EnvelopeError("IO", said);
}
