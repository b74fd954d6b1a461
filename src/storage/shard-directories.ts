/**
 * The directories in a shard's own, and which of them holds its data:
 *
 *   shard-0000/                   hard state, and the data of a shard that has never installed a snapshot
 *     generation.meta             absent, or which generation holds the data (generation-format.ts)
 *     generation-00000001/        the data since an installation, or one that is still coming
 *     snapshot-0001/              second names for other members; gone with the next start
 *
 * Generation 0 is the shard's directory itself. A switch is a rename of a pointer that was synced aside: a crash leaves
 * the old one or the new one, and the data of neither is touched before the rename is durable. Any thread.
 */
import { EnvelopeError } from "../core/errors.ts";
import type { Disk } from "../env/disk.ts";
import { unfinishedPath } from "../log/log-files.ts";
import { takeName, writeAside } from "../log/replace-file.ts";
import { decodeGenerationPointer, encodeGenerationPointer, GENERATION_POINTER_NAME } from "./generation-format.ts";
import { removeGarbage } from "./remove-garbage.ts";
import type { TreeIdentity } from "./tree-options.ts";

const SNAPSHOT = /^snapshot-(\d{4,15})$/;
const GENERATION = /^generation-(\d{8,15})$/;
/** Everything that a generation has, and what is left of such a file being made. */
const DATA_FILE = /^\d{8,}\./;
const MANIFEST = /\.manifest$/;

export function snapshotDirectory(root: string, id: number): string {
  return `${root}/snapshot-${String(id).padStart(4, "0")}`;
}

/** The ids of the snapshots whose directories are there, ascending. */
export function snapshotIds(disk: Disk, root: string): number[] {
  return numbersOf(disk, root, SNAPSHOT);
}

/** Where a generation has its files. */
export function dataDirectory(root: string, generation: number): string {
  return generation === 0 ? root : `${root}/generation-${String(generation).padStart(8, "0")}`;
}

/** The generations whose directories are there, ascending, but for the shard's own. */
export function generationNumbers(disk: Disk, root: string): number[] {
  return numbersOf(disk, root, GENERATION);
}

/** Whether the name is that of a directory in a shard's. */
export function isDirectoryName(name: string): boolean {
  return SNAPSHOT.test(name) || GENERATION.test(name);
}

/** The data files of generation 0: first what says that the others are a shard. */
export function rootDataFiles(disk: Disk, root: string): string[] {
  const names = disk.list(root).filter((name) => DATA_FILE.test(name));
  return [...names.filter((name) => MANIFEST.test(name)), ...names.filter((name) => !MANIFEST.test(name))];
}

/**
 * The generation that holds the data. Throws CORRUPTION, FOREIGN_DIRECTORY, NEWER_FORMAT, and MISSING_FILE when it is not
 * there: which one it is is never guessed, and one that is gone is no empty one.
 */
export function currentGeneration(disk: Disk, root: string, identity: TreeIdentity | null): number {
  const path = pointerPath(root);
  if (!disk.exists(path)) return 0;
  const { generation } = decodeGenerationPointer(disk.readWhole(path), identity, path);
  const directory = dataDirectory(root, generation);
  const isThere = disk.exists(directory) && disk.list(directory).some((name) => MANIFEST.test(name));
  if (isThere) return generation;
  throw new EnvelopeError("MISSING_FILE", `${directory} is missing or has no manifest, and the shard's data are in it`);
}

/** Removes what a crash has left of a switch that did not come to be. */
export function removeUnfinishedSwitch(disk: Disk, root: string): void {
  const aside = unfinishedPath(pointerPath(root));
  if (disk.exists(aside)) removeGarbage(disk, aside);
}

/** Makes a pointer durable aside. Throws DISKFULL, IO. */
export function prepareSwitch(disk: Disk, root: string, identity: TreeIdentity, generation: number): void {
  const { shard, clusterId } = identity;
  writeAside(disk, pointerPath(root), encodeGenerationPointer({ shard, clusterId, generation }));
}

/** The pointer that was prepared counts from now on, durably. After an error nobody knows which one does. */
export function switchGeneration(disk: Disk, root: string): void {
  takeName(disk, root, pointerPath(root));
}

function pointerPath(root: string): string {
  return `${root}/${GENERATION_POINTER_NAME}`;
}

function numbersOf(disk: Disk, root: string, pattern: RegExp): number[] {
  const numbers: number[] = [];
  for (const name of disk.list(root)) {
    const digits = pattern.exec(name)?.[1];
    if (digits !== undefined) numbers.push(Number(digits));
  }
  return numbers.sort((a, b) => a - b);
}
