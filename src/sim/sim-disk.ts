/**
 * A disk that tells the truth about crashes. What was written is seen at once, but it outlives a power cut only behind
 * a completed sync of the file, and a name only behind a sync of its directory; of everything else, chance decides at
 * the crash. Names change by an ordered journal for each directory, so a rename is never half done.
 *
 * Calls are counted, all together and each kind by itself, and the n-th can be made to fail, to fill the disk, to crash
 * the process, or to stop in the middle of a write. The disk survives its node: `crash` or `kill` ends every open file
 * and lock, and the next process finds what is left.
 *
 * Length: one method for each call of a disk.
 */
import { EnvelopeError } from "../core/errors.ts";
import { Random } from "../core/random.ts";
import type { DirectoryLock, Disk, DiskFile, OpenMode } from "../env/disk.ts";
import { Namespace } from "./sim-namespace.ts";
import { Inode, type Survival } from "./sim-inode.ts";
import type { Range, Scheduler, SimProcess } from "./scheduler.ts";

/** Thrown out of a disk call at a planned crash, and by every call of a process that is already dead. Never caught by production code as an EnvelopeError. */
export class SimulatedCrash extends Error {
  override readonly name = "SimulatedCrash";
}

/** The calls that change something, which is what can fail in an interesting way, and reads. */
export const DISK_CALLS = [
  "open",
  "create",
  "read",
  "map",
  "write",
  "sync",
  "truncate",
  "rename",
  "link",
  "remove",
  "makeDirectory",
  "syncDirectory",
] as const;
export type DiskCall = (typeof DISK_CALLS)[number];

export type PlannedFault =
  | { readonly kind: "fail"; readonly code: "IO" | "DISKFULL" }
  /** The process dies before the call takes effect. */
  | { readonly kind: "crash" }
  /** As the others (no code: the process dies), but a write has already written some of its bytes, cut anywhere. */
  | { readonly kind: "tear"; readonly code: "IO" | "DISKFULL" | null };

/** Writes the first part of what a torn call was to write; the share of it, 0 to 1, is drawn by chance. */
type WritePart = (share: number) => void;

export interface SimDiskOptions {
  readonly capacityBytes: number;
  /** How long a sync begun with `beginSync` takes; null: done in the same call. */
  readonly sync: { readonly scheduler: Scheduler; readonly delayMs: Range } | null;
}

export class SimDisk implements Disk {
  readonly #random: Random;
  readonly #options: SimDiskOptions;
  #names = new Namespace();
  readonly #faults = new Map<number, PlannedFault>();
  readonly #callsOf = new Map<DiskCall, number>();
  readonly #faultsOf = new Map<DiskCall, Map<number, PlannedFault>>();
  readonly #locks = new Set<string>();
  #capacityBytes: number;
  /** No more than that is used: what files have grown since they were measured, and none of what went. */
  #usedBytesMax = 0;
  #callCount = 0;
  #life = 0;
  #dead = false;
  #failed = false;
  #isSpared = false;
  #process: SimProcess | null = null;
  #syncFreeAtMs = 0;
  #slowSyncMs: Range | null = null;

  constructor(seed: number, options: SimDiskOptions) {
    this.#random = new Random(seed);
    this.#options = options;
    this.#capacityBytes = options.capacityBytes;
  }

  /** Calls so far that could have failed, over all lives. */
  get callCount(): number {
    return this.#callCount;
  }

  /** The n-th call from now on (from 1) meets this fault. */
  plan(callsFromNow: number, fault: PlannedFault): void {
    this.#faults.set(this.#callCount + callsFromNow, fault);
  }

  /** The n-th call of this kind from now on (from 1) meets this fault. */
  planCall(call: DiskCall, callsFromNow: number, fault: PlannedFault): void {
    const planned = this.#faultsOf.get(call) ?? new Map<number, PlannedFault>();
    planned.set((this.#callsOf.get(call) ?? 0) + callsFromNow, fault);
    this.#faultsOf.set(call, planned);
  }

  cancelPlans(): void {
    this.#faults.clear();
    this.#faultsOf.clear();
  }

  /** Calls meanwhile neither count nor fail: they are those of somebody who looks on. */
  spare<T>(look: () => T): T {
    this.#isSpared = true;
    try {
      return look();
    } finally {
      this.#isSpared = false;
    }
  }

  /** A planned crash has struck and `crash` or `kill` is due. */
  get isDead(): boolean {
    return this.#dead;
  }

  /** A call of this life was made to fail. */
  get hasFailed(): boolean {
    return this.#failed;
  }

  /** Syncs begun from now on take so long; null: as long as ever. */
  slowSyncs(delayMs: Range | null): void {
    this.#slowSyncMs = delayMs;
  }

  /** Only so many more bytes fit from now on. */
  leaveRoom(byteCount: number): void {
    this.#capacityBytes = this.#names.usedBytes() + byteCount;
  }

  /** Back to the capacity it was made with. */
  giveRoom(): void {
    this.#capacityBytes = this.#options.capacityBytes;
  }

  /** The disk is smaller than it was made. */
  get isSqueezed(): boolean {
    return this.#capacityBytes < this.#options.capacityBytes;
  }

  /** Delayed syncs from now on belong to this process and die with it. */
  mount(process: SimProcess): void {
    this.#process = process;
  }

  /** Power is cut: unsynced data and names are at the mercy of `survival`. */
  crash(survival: Survival): void {
    for (const inode of this.#names.inodes()) inode.crash(this.#random, survival);
    this.#names.crash(this.#random, survival.sector);
    this.#usedBytesMax = Infinity;
    this.#endLife();
  }

  /** The process is killed, the machine goes on: the system's cache survives. */
  kill(): void {
    this.#endLife();
  }

  /** A new, empty disk in the place of this one. */
  replace(): void {
    this.#names = new Namespace();
    this.#endLife();
  }

  #endLife(): void {
    this.#life += 1;
    this.#dead = false;
    this.#failed = false;
    this.#locks.clear();
    this.#syncFreeAtMs = 0;
  }

  flipBit(path: string, position: number, bit: number): void {
    this.#inode(path).flipBit(position, bit);
  }

  byteCount(path: string): number {
    return this.#inode(path).size;
  }

  /** All files, with paths, sorted. */
  files(): readonly string[] {
    return this.#names.files();
  }

  open(path: string, mode: OpenMode): DiskFile {
    this.#count(mode === "create" ? "create" : "open", path);
    if (mode === "create") {
      if (this.#names.get(path) !== undefined) throw new EnvelopeError("IO", `cannot create ${path}: it exists`);
      this.#names.link(path, new Inode());
    }
    return new SimFile(path, this.#inode(path), {
      count: (call, life, writePart) => this.#countFor(call, path, life, writePart),
      grow: (byteCount) => this.#reserve(byteCount, path),
      life: this.#life,
      beginSync: (inode, done) => this.#beginSync(path, inode, done),
    });
  }

  readWhole(path: string): Uint8Array {
    this.#count("read", path);
    return this.#inode(path).whole();
  }

  map(path: string): Uint8Array<ArrayBuffer> {
    this.#count("map", path);
    return this.#inode(path).whole();
  }

  willNeed(): void {}

  /** As on a real disk, every view is empty afterwards: a late reader is found out. */
  unmap(view: Uint8Array<ArrayBuffer>): void {
    if (view.buffer.byteLength > 0) view.buffer.transfer(0);
  }

  exists(path: string): boolean {
    this.#checkAlive(this.#life);
    return this.#names.exists(path);
  }

  list(directory: string): string[] {
    this.#checkAlive(this.#life);
    if (!this.#names.exists(directory)) throw missing(directory);
    return this.#names.list(directory);
  }

  makeDirectory(directory: string): void {
    if (this.#names.exists(directory)) return;
    this.#count("makeDirectory", directory);
    this.#names.makeDirectory(directory);
  }

  rename(from: string, to: string): void {
    this.#count("rename", from);
    if (!this.#names.exists(from)) throw missing(from);
    this.#names.rename(from, to);
  }

  link(from: string, to: string): void {
    this.#count("link", from);
    const inode = this.#inode(from);
    if (this.#names.exists(to)) throw new EnvelopeError("IO", `cannot link ${to}: it exists`);
    this.#names.link(to, inode);
  }

  linkCount(path: string): number {
    this.#checkAlive(this.#life);
    return this.#names.namesOf(this.#inode(path));
  }

  remove(path: string): void {
    this.#count("remove", path);
    if (this.#names.get(path) === undefined) throw missing(path);
    this.#names.unlink(path);
  }

  removeTree(directory: string): void {
    this.#count("remove", directory);
    this.#names.removeTree(directory);
  }

  syncDirectory(directory: string): void {
    this.#count("syncDirectory", directory);
    if (!this.#names.exists(directory)) throw missing(directory);
    this.#names.syncDirectory(directory);
  }

  freeBytes(_directory: string): number {
    return Math.max(0, this.#capacityBytes - this.#names.usedBytes());
  }

  directWriteObstacle(): string | null {
    return null;
  }

  directReadObstacle(): string | null {
    return null;
  }

  lock(directory: string): DirectoryLock {
    this.#checkAlive(this.#life);
    if (this.#locks.has(directory)) throw new EnvelopeError("DIRECTORY_IN_USE", `${directory} is in use`);
    this.#locks.add(directory);
    const life = this.#life;
    return {
      release: () => {
        if (life === this.#life) this.#locks.delete(directory);
      },
    };
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw missing(path);
    return inode;
  }

  #checkAlive(life: number): void {
    if (this.#dead || life !== this.#life) throw new SimulatedCrash("a call by a process that is dead");
  }

  #count(call: DiskCall, path: string): void {
    this.#countFor(call, path, this.#life, null);
  }

  #countFor(call: DiskCall, path: string, life: number, writePart: WritePart | null): void {
    this.#checkAlive(life);
    if (this.#isSpared) return;
    const fault = this.#nextFault(call);
    if (fault === null) return;
    if (fault.kind === "tear") {
      writePart?.(this.#random.fraction());
      this.#usedBytesMax = Infinity;
    }
    const code = fault.kind === "crash" ? null : fault.code;
    if (code === null) {
      this.#dead = true;
      throw new SimulatedCrash(`at ${call} of ${path}, call ${this.#callCount}`);
    }
    this.#failed = true;
    throw new EnvelopeError(code, `cannot ${call} ${path}: planned, call ${this.#callCount}`);
  }

  /** Counts a call, and gives what was planned for it. */
  #nextFault(call: DiskCall): PlannedFault | null {
    this.#callCount += 1;
    const countOfKind = (this.#callsOf.get(call) ?? 0) + 1;
    this.#callsOf.set(call, countOfKind);
    const faultsOfKind = this.#faultsOf.get(call);
    const fault = this.#faults.get(this.#callCount) ?? faultsOfKind?.get(countOfKind) ?? null;
    if (fault === null) return null;
    this.#faults.delete(this.#callCount);
    faultsOfKind?.delete(countOfKind);
    return fault;
  }

  #reserve(byteCount: number, path: string): void {
    if (byteCount <= 0) return;
    this.#usedBytesMax += byteCount;
    if (this.#usedBytesMax <= this.#capacityBytes) return;
    this.#usedBytesMax = this.#names.usedBytes() + byteCount;
    if (this.#usedBytesMax > this.#capacityBytes) {
      throw new EnvelopeError("DISKFULL", `cannot write ${path}: the disk is full`);
    }
  }

  /** Syncs of one disk complete in the order in which they were begun, as on a device with one queue. */
  #beginSync(path: string, inode: Inode, done: (failure: EnvelopeError | null) => void): void {
    const life = this.#life;
    const changeEnd = inode.changeEnd;
    const complete = (): void => {
      if (life !== this.#life) return;
      let failure: EnvelopeError | null = null;
      try {
        this.#countFor("sync", path, life, null);
        inode.settle(changeEnd);
      } catch (cause) {
        if (!(cause instanceof EnvelopeError)) throw cause;
        inode.forget(changeEnd);
        failure = cause;
      }
      done(failure);
    };
    const { sync } = this.#options;
    if (sync === null) {
      complete();
      return;
    }
    const nowMs = sync.scheduler.nowMs;
    this.#syncFreeAtMs =
      Math.max(this.#syncFreeAtMs, nowMs) + sync.scheduler.duration(this.#slowSyncMs ?? sync.delayMs);
    sync.scheduler.schedule(this.#syncFreeAtMs - nowMs, this.#process, complete);
  }
}

interface FileHost {
  readonly life: number;
  count(call: DiskCall, life: number, writePart: WritePart | null): void;
  grow(byteCount: number): void;
  beginSync(inode: Inode, done: (failure: EnvelopeError | null) => void): void;
}

class SimFile implements DiskFile {
  readonly path: string;
  readonly #inode: Inode;
  readonly #host: FileHost;

  constructor(path: string, inode: Inode, host: FileHost) {
    this.path = path;
    this.#inode = inode;
    this.#host = host;
  }

  size(): number {
    return this.#inode.size;
  }

  read(into: Uint8Array, position: number): number {
    this.#host.count("read", this.#host.life, null);
    return this.#inode.read(into, position);
  }

  write(bytes: Uint8Array, position: number): void {
    const writePart = (share: number): void => {
      this.#inode.write(position, bytes.subarray(0, Math.floor(share * bytes.length)));
    };
    this.#host.count("write", this.#host.life, writePart);
    this.#host.grow(position + bytes.length - this.#inode.size);
    this.#inode.write(position, bytes);
  }

  sync(): void {
    try {
      this.#host.count("sync", this.#host.life, null);
    } catch (cause) {
      if (cause instanceof EnvelopeError) this.#inode.forget(this.#inode.changeEnd);
      throw cause;
    }
    this.#inode.settle(this.#inode.changeEnd);
  }

  beginSync(done: (failure: EnvelopeError | null) => void): void {
    this.#host.beginSync(this.#inode, done);
  }

  truncate(byteCount: number): void {
    this.#host.count("truncate", this.#host.life, null);
    this.#host.grow(byteCount - this.#inode.size);
    this.#inode.truncate(byteCount);
  }

  close(): void {
    // Nothing is kept open: the inode lives as long as a name or this object points to it.
  }
}

function missing(path: string): EnvelopeError {
  return new EnvelopeError("MISSING_FILE", `${path} is missing`);
}
