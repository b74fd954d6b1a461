/**
 * The names of a simulated disk: a tree of directories, each with its entries as seen, its entries on the platter, and
 * an ordered journal of the changes between the two. `syncDirectory` settles the journal; a crash keeps a prefix of it,
 * so a file system that commits early is simulated as well as one that commits nothing.
 */
import { EnvelopeError } from "../core/errors.ts";
import type { Random } from "../core/random.ts";
import { Inode } from "./sim-inode.ts";

type Node = Inode | Directory;

/** One atomic change of a directory: names and what they mean afterwards, null for nothing. */
type Edit = readonly (readonly [string, Node | null])[];

class Directory {
  seen = new Map<string, Node>();
  durable = new Map<string, Node>();
  journal: Edit[] = [];

  edit(edit: Edit): void {
    applyEdit(this.seen, edit);
    this.journal.push(edit);
  }

  settle(editCount: number): void {
    for (const edit of this.journal.splice(0, editCount)) applyEdit(this.durable, edit);
  }
}

function applyEdit(entries: Map<string, Node>, edit: Edit): void {
  for (const [name, node] of edit) {
    if (node === null) entries.delete(name);
    else entries.set(name, node);
  }
}

export class Namespace {
  readonly #root = new Directory();

  get(path: string): Inode | undefined {
    const node = this.#find(path);
    return node instanceof Inode ? node : undefined;
  }

  exists(path: string): boolean {
    return this.#find(path) !== undefined;
  }

  list(directory: string): string[] {
    const node = this.#find(directory);
    return node instanceof Directory ? [...node.seen.keys()].sort() : [];
  }

  link(path: string, inode: Inode): void {
    this.#parent(path).edit([[lastPart(path), inode]]);
  }

  unlink(path: string): void {
    this.#parent(path).edit([[lastPart(path), null]]);
  }

  /** Like the real one, it settles the parents it changed. */
  makeDirectory(path: string): void {
    let directory = this.#root;
    for (const part of parts(path)) {
      let next = directory.seen.get(part);
      if (!(next instanceof Directory)) {
        next = new Directory();
        directory.edit([[part, next]]);
        directory.settle(directory.journal.length);
      }
      directory = next;
    }
  }

  rename(from: string, to: string): void {
    const source = this.#parent(from);
    const target = this.#parent(to);
    const node = source.seen.get(lastPart(from));
    if (node === undefined) return;
    if (source === target) {
      source.edit([
        [lastPart(from), null],
        [lastPart(to), node],
      ]);
      return;
    }
    target.edit([[lastPart(to), node]]);
    source.edit([[lastPart(from), null]]);
  }

  removeTree(path: string): void {
    if (this.#find(path) !== undefined) this.unlink(path);
  }

  syncDirectory(path: string): void {
    const node = this.#find(path);
    if (node instanceof Directory) node.settle(node.journal.length);
  }

  /** A prefix of each journal survives: nothing of it, or by `keepChance` a random part. */
  crash(random: Random, keepChance: number): void {
    for (const directory of this.#directories()) {
      const kept = random.chance(keepChance) ? random.between(0, directory.journal.length) : 0;
      directory.settle(kept);
      directory.journal = [];
      directory.seen = new Map(directory.durable);
    }
  }

  usedBytes(): number {
    let byteCount = 0;
    for (const inode of new Set(reachable(this.#root, (directory) => directory.seen))) {
      if (inode instanceof Inode) byteCount += inode.size;
    }
    return byteCount;
  }

  /** How many names a file has now. */
  namesOf(inode: Inode): number {
    let count = 0;
    for (const node of reachable(this.#root, (directory) => directory.seen)) if (node === inode) count += 1;
    return count;
  }

  /** Every file that has a name now or would have one after a crash. */
  inodes(): Inode[] {
    const found = new Set<Inode>();
    for (const directory of this.#directories()) {
      for (const node of [...directory.seen.values(), ...directory.durable.values()]) {
        if (node instanceof Inode) found.add(node);
      }
      for (const edit of directory.journal) {
        for (const [, node] of edit) if (node instanceof Inode) found.add(node);
      }
    }
    return [...found];
  }

  files(): string[] {
    const found: string[] = [];
    const walk = (directory: Directory, prefix: string): void => {
      for (const [name, node] of directory.seen) {
        if (node instanceof Inode) found.push(`${prefix}/${name}`);
        else walk(node, `${prefix}/${name}`);
      }
    };
    walk(this.#root, "");
    return found.sort();
  }

  #directories(): Directory[] {
    const found = new Set<Directory>([this.#root]);
    for (const entries of [(d: Directory) => d.seen, (d: Directory) => d.durable]) {
      for (const node of reachable(this.#root, entries)) if (node instanceof Directory) found.add(node);
    }
    return [...found];
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const part of parts(path)) node = node instanceof Directory ? node.seen.get(part) : undefined;
    return node;
  }

  #parent(path: string): Directory {
    const node = this.#find(parts(path).slice(0, -1).join("/"));
    if (node instanceof Directory) return node;
    throw new EnvelopeError("MISSING_FILE", `the directory of ${path} is missing`);
  }
}

function* reachable(directory: Directory, entries: (directory: Directory) => Map<string, Node>): Generator<Node> {
  for (const node of entries(directory).values()) {
    yield node;
    if (node instanceof Directory) yield* reachable(node, entries);
  }
}

function parts(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

function lastPart(path: string): string {
  return parts(path).at(-1) ?? "";
}
