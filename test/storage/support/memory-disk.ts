/**
 * A disk in memory for the tests of storage: what was not synced is lost, torn or kept at a crash, as chance has it,
 * names as well as bytes. `beforeChange` sees every change first and may throw, which is how a crash or a full disk is
 * made at an exact step.
 */
import { EnvelopeError } from "../../../src/core/errors.ts";
import type { Random } from "../../../src/core/random.ts";
import type { DirectoryLock, Disk, DiskFile, OpenMode } from "../../../src/env/disk.ts";

interface Node {
  bytes: Uint8Array;
  synced: Uint8Array;
}

export type Change = "create" | "write" | "sync" | "rename" | "link" | "remove" | "syncDirectory";

export class MemoryDisk implements Disk {
  beforeChange: (change: Change, path: string) => void = () => {};
  /** Sees every read of a file first, and may throw. */
  beforeRead: (path: string, position: number, byteCount: number) => void = () => {};
  readCount = 0;
  /** Ranges of mappings that a reader said it would need. */
  readonly announced: [number, number][] = [];
  /** Files that are open to be read past a page cache. */
  openDirectly = 0;
  #names = new Map<string, Node>();
  #durableNames = new Map<string, Node>();
  #mapped = new Set<Uint8Array>();

  /** Forgets what power loss may forget; `random` decides for each file and name. Null: everything unsynced is lost. */
  crash(random: Random | null): void {
    this.beforeChange = () => {};
    for (const path of new Set([...this.#names.keys(), ...this.#durableNames.keys()])) {
      const durable = this.#durableNames.get(path);
      const current = this.#names.get(path);
      const survivor = durable === current || random === null || random.chance(0.5) ? durable : current;
      if (survivor === undefined) this.#names.delete(path);
      else this.#names.set(path, survivor);
    }
    this.#durableNames = new Map(this.#names);
    for (const node of this.#names.values()) {
      node.bytes = survivingBytes(node, random);
      node.synced = node.bytes.slice();
    }
  }

  /** The process dies, the machine goes on: everything written is still there. */
  kill(): void {
    this.beforeChange = () => {};
  }

  get mappingCount(): number {
    return this.#mapped.size;
  }

  /** A copy of everything, durable and not, as an independent disk. */
  clone(): MemoryDisk {
    const copy = new MemoryDisk();
    const nodes = new Map<Node, Node>();
    const copied = (node: Node): Node => {
      const known = nodes.get(node) ?? { bytes: node.bytes.slice(), synced: node.synced.slice() };
      nodes.set(node, known);
      return known;
    };
    for (const [path, node] of this.#names) copy.#names.set(path, copied(node));
    for (const [path, node] of this.#durableNames) copy.#durableNames.set(path, copied(node));
    return copy;
  }

  bytesOf(path: string): Uint8Array {
    return this.#node(path).bytes;
  }

  replace(path: string, bytes: Uint8Array): void {
    const node: Node = { bytes: bytes.slice(), synced: bytes.slice() };
    this.#names.set(path, node);
    this.#durableNames.set(path, node);
  }

  open(path: string, mode: OpenMode): DiskFile {
    if (mode === "create") {
      if (this.#names.has(path)) throw new EnvelopeError("IO", `${path} exists`);
      this.beforeChange("create", path);
      this.#names.set(path, { bytes: new Uint8Array(0), synced: new Uint8Array(0) });
    }
    const file = new MemoryFile(this, path, this.#node(path));
    if (mode !== "readDirect") return file;
    this.openDirectly += 1;
    file.close = () => {
      this.openDirectly -= 1;
    };
    return file;
  }

  readWhole(path: string): Uint8Array {
    return this.#node(path).bytes.slice();
  }

  map(path: string): Uint8Array<ArrayBuffer> {
    const view = this.#node(path).bytes.slice() as Uint8Array<ArrayBuffer>;
    this.#mapped.add(view);
    return view;
  }

  willNeed(_view: Uint8Array<ArrayBuffer>, start: number, end: number): void {
    this.announced.push([start, end]);
  }

  unmap(view: Uint8Array<ArrayBuffer>): void {
    if (!this.#mapped.delete(view)) throw new Error("unmapped what was not mapped");
    view.buffer.transfer(0);
  }

  exists(path: string): boolean {
    return this.#names.has(path) || [...this.#names.keys()].some((name) => name.startsWith(`${path}/`));
  }

  list(directory: string): string[] {
    const names = [...this.#names.keys()].filter((path) => path.startsWith(`${directory}/`));
    return names.map((path) => path.slice(directory.length + 1)).sort();
  }

  makeDirectory(): void {}

  rename(from: string, to: string): void {
    this.beforeChange("rename", to);
    this.#names.set(to, this.#node(from));
    this.#names.delete(from);
  }

  link(from: string, to: string): void {
    this.beforeChange("link", to);
    this.#names.set(to, this.#node(from));
  }

  linkCount(path: string): number {
    const node = this.#node(path);
    return [...this.#names.values()].filter((named) => named === node).length;
  }

  remove(path: string): void {
    this.#node(path);
    this.beforeChange("remove", path);
    this.#names.delete(path);
  }

  removeTree(directory: string): void {
    for (const name of this.list(directory)) this.remove(`${directory}/${name}`);
  }

  syncDirectory(directory: string): void {
    this.beforeChange("syncDirectory", directory);
    for (const path of [...this.#durableNames.keys()]) {
      if (path.startsWith(`${directory}/`) && !this.#names.has(path)) this.#durableNames.delete(path);
    }
    for (const [path, node] of this.#names) if (path.startsWith(`${directory}/`)) this.#durableNames.set(path, node);
  }

  freeBytes(): number {
    return Number.MAX_SAFE_INTEGER;
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

  #node(path: string): Node {
    const node = this.#names.get(path);
    if (node === undefined) throw new EnvelopeError("MISSING_FILE", `${path} is missing`);
    return node;
  }
}

class MemoryFile implements DiskFile {
  readonly path: string;
  readonly #disk: MemoryDisk;
  readonly #node: Node;

  constructor(disk: MemoryDisk, path: string, node: Node) {
    this.#disk = disk;
    this.path = path;
    this.#node = node;
  }

  size(): number {
    return this.#node.bytes.length;
  }

  read(into: Uint8Array, position: number): number {
    this.#disk.readCount += 1;
    this.#disk.beforeRead(this.path, position, into.length);
    const piece = this.#node.bytes.subarray(position, position + into.length);
    into.set(piece);
    return piece.length;
  }

  write(bytes: Uint8Array, position: number): void {
    try {
      this.#disk.beforeChange("write", this.path);
    } catch (cause) {
      this.#put(bytes.subarray(0, bytes.length >>> 1), position);
      throw cause;
    }
    this.#put(bytes, position);
  }

  sync(): void {
    this.#disk.beforeChange("sync", this.path);
    this.#node.synced = this.#node.bytes.slice();
  }

  beginSync(done: (failure: EnvelopeError | null) => void): void {
    this.sync();
    done(null);
  }

  truncate(byteCount: number): void {
    this.#node.bytes = this.#node.bytes.slice(0, byteCount);
  }

  close(): void {}

  #put(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length;
    if (end > this.#node.bytes.length) {
      const larger = new Uint8Array(end);
      larger.set(this.#node.bytes);
      this.#node.bytes = larger;
    }
    this.#node.bytes.set(bytes, position);
  }
}

/** Nothing, everything, or a torn part of what was written since the last sync. */
function survivingBytes(node: Node, random: Random | null): Uint8Array {
  if (random === null) return node.synced.slice();
  switch (random.below(3)) {
    case 0:
      return node.synced.slice();
    case 1:
      return node.bytes.slice();
    default: {
      const torn = node.synced.slice();
      const length = random.between(Math.min(torn.length, node.bytes.length), node.bytes.length);
      const mixed = new Uint8Array(length);
      mixed.set(torn.subarray(0, length));
      for (let at = torn.length; at < length; at += 16) {
        if (random.chance(0.7)) mixed.set(node.bytes.subarray(at, Math.min(at + 16, length)), at);
      }
      return mixed;
    }
  }
}
