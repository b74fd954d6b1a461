/**
 * A disk in memory that knows what has been synced. `crash` gives the disk as the next start finds it: of what was not
 * synced, any sector and any name may have made it or not. `copy` gives what a process that died alone leaves behind.
 */
import { type EnvelopeError, EnvelopeError as Failure } from "../../src/core/errors.ts";
import type { Random } from "../../src/core/random.ts";
import type { DirectoryLock, Disk, DiskFile, OpenMode } from "../../src/env/disk.ts";

const SECTOR_BYTES = 512;

interface Inode {
  data: Uint8Array<ArrayBuffer>;
  byteCount: number;
  durable: Uint8Array<ArrayBuffer>;
  pending: { position: number; bytes: Uint8Array }[];
}

export class MemoryDisk implements Disk {
  names = new Map<string, Inode>();
  durableNames = new Map<string, Inode>();
  directories = new Set<string>();
  /** Called before every operation that changes something; what it throws is the operation's failure. */
  before: (operation: string, path: string) => void = () => {};
  /** While set, syncs begun are put here instead of ending at once. */
  heldSyncs: { path: string; finish: (failure: EnvelopeError | null) => void }[] | null = null;
  free = Number.POSITIVE_INFINITY;
  /** Bytes read so far, by path. */
  bytesRead = new Map<string, number>();
  syncCount = 0;

  open(path: string, mode: OpenMode): DiskFile {
    if (mode === "create") {
      this.before("create", path);
      if (this.names.has(path)) throw new Failure("IO", `${path} exists`);
      this.names.set(path, { data: new Uint8Array(0), byteCount: 0, durable: new Uint8Array(0), pending: [] });
    }
    return new MemoryFile(this, path, this.inode(path));
  }

  readWhole(path: string): Uint8Array {
    const inode = this.inode(path);
    return inode.data.slice(0, inode.byteCount);
  }

  map(path: string): Uint8Array<ArrayBuffer> {
    const inode = this.inode(path);
    return inode.data.slice(0, inode.byteCount);
  }

  willNeed(): void {}

  unmap(): void {}

  exists(path: string): boolean {
    return this.names.has(path) || this.directories.has(path);
  }

  list(directory: string): string[] {
    const prefix = `${directory}/`;
    return [...this.names.keys()]
      .filter((path) => path.startsWith(prefix))
      .map((path) => path.slice(prefix.length))
      .sort();
  }

  makeDirectory(directory: string): void {
    this.directories.add(directory);
  }

  rename(from: string, to: string): void {
    this.before("rename", to);
    const inode = this.inode(from);
    this.names.delete(from);
    this.names.set(to, inode);
  }

  link(from: string, to: string): void {
    this.before("link", to);
    this.names.set(to, this.inode(from));
  }

  linkCount(path: string): number {
    const inode = this.inode(path);
    return [...this.names.values()].filter((named) => named === inode).length;
  }

  remove(path: string): void {
    this.before("remove", path);
    this.inode(path);
    this.names.delete(path);
  }

  removeTree(directory: string): void {
    for (const name of this.list(directory)) this.remove(`${directory}/${name}`);
  }

  syncDirectory(directory: string): void {
    this.before("syncDirectory", directory);
    this.durableNames = new Map(this.names);
  }

  freeBytes(): number {
    return this.free;
  }

  directWriteObstacle(): string | null {
    return null;
  }

  directReadObstacle(): string | null {
    return null;
  }

  lock(): DirectoryLock {
    return { release: () => {} };
  }

  /** The contents of a file, to look at or to damage in place. */
  bytes(path: string): Uint8Array {
    const inode = this.inode(path);
    return inode.data.subarray(0, inode.byteCount);
  }

  put(path: string, bytes: Uint8Array): void {
    const data = new Uint8Array(bytes);
    this.names.set(path, { data, byteCount: data.length, durable: data.slice(), pending: [] });
    this.durableNames = new Map(this.names);
  }

  /** Everything as it is, durable. */
  copy(): MemoryDisk {
    const disk = new MemoryDisk();
    disk.directories = new Set(this.directories);
    for (const path of this.names.keys()) disk.put(path, this.bytes(path));
    return disk;
  }

  /** What a power cut leaves. `keep` is the chance of each unsynced sector and name to have made it. */
  crash(random: Random, keep = 0.5): MemoryDisk {
    const disk = new MemoryDisk();
    disk.directories = new Set(this.directories);
    const survivors = new Map<Inode, Uint8Array>();
    for (const path of new Set([...this.names.keys(), ...this.durableNames.keys()])) {
      const [now, durable] = [this.names.get(path), this.durableNames.get(path)];
      const inode = random.chance(keep) ? now : durable;
      if (inode === undefined) continue;
      const bytes = survivors.get(inode) ?? crashed(inode, random, keep);
      survivors.set(inode, bytes);
      disk.put(path, bytes);
    }
    return disk;
  }

  inode(path: string): Inode {
    const inode = this.names.get(path);
    if (inode === undefined) throw new Failure("MISSING_FILE", `${path} does not exist`);
    return inode;
  }
}

class MemoryFile implements DiskFile {
  readonly path: string;
  readonly #disk: MemoryDisk;
  readonly #inode: Inode;
  #open = true;

  constructor(disk: MemoryDisk, path: string, inode: Inode) {
    this.#disk = disk;
    this.path = path;
    this.#inode = inode;
  }

  size(): number {
    return this.#inode.byteCount;
  }

  read(into: Uint8Array, position: number): number {
    this.#check();
    const bytes = this.#inode.data.subarray(position, Math.min(position + into.length, this.#inode.byteCount));
    into.set(bytes);
    this.#disk.bytesRead.set(this.path, (this.#disk.bytesRead.get(this.path) ?? 0) + bytes.length);
    return bytes.length;
  }

  write(bytes: Uint8Array, position: number): void {
    this.#check();
    this.#disk.before("write", this.path);
    writeInto(this.#inode, bytes, position);
    this.#inode.pending.push({ position, bytes: bytes.slice() });
  }

  sync(): void {
    this.#check();
    this.#disk.before("sync", this.path);
    this.#disk.syncCount += 1;
    this.#inode.durable = this.#inode.data.slice(0, this.#inode.byteCount);
    this.#inode.pending = [];
  }

  beginSync(done: (failure: EnvelopeError | null) => void): void {
    const finish = (failure: EnvelopeError | null): void => {
      if (failure !== null) {
        done(failure);
        return;
      }
      try {
        this.sync();
      } catch (thrown) {
        if (!(thrown instanceof Failure)) throw thrown;
        done(thrown);
        return;
      }
      done(null);
    };
    if (this.#disk.heldSyncs === null) finish(null);
    else this.#disk.heldSyncs.push({ path: this.path, finish });
  }

  truncate(byteCount: number): void {
    this.#inode.byteCount = byteCount;
  }

  close(): void {
    this.#check();
    this.#open = false;
  }

  #check(): void {
    if (!this.#open) throw new Error(`${this.path} is closed`);
  }
}

function writeInto(inode: Inode, bytes: Uint8Array, position: number): void {
  const end = position + bytes.length;
  if (end > inode.data.length) {
    const larger = new Uint8Array(Math.max(end, inode.data.length * 2));
    larger.set(inode.data);
    inode.data = larger;
  }
  inode.data.set(bytes, position);
  inode.byteCount = Math.max(inode.byteCount, end);
}

function crashed(inode: Inode, random: Random, keep: number): Uint8Array {
  const after: Inode = {
    data: inode.durable.slice(),
    byteCount: inode.durable.length,
    durable: new Uint8Array(0),
    pending: [],
  };
  for (const { position, bytes } of inode.pending) {
    for (let offset = 0; offset < bytes.length; offset += SECTOR_BYTES) {
      if (!random.chance(keep)) continue;
      writeInto(after, bytes.subarray(offset, offset + SECTOR_BYTES), position + offset);
    }
  }
  return after.data.slice(0, after.byteCount);
}
