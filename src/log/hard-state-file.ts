/**
 * Term, vote and what a vote waits for on disk, in two copies that are written and synced one after the other before
 * anybody is told: a crash or a bad block spoils one of them at most. With one bad copy the other is used and the bad
 * one written again; with both bad the node does not start, because it may not guess what it has voted. An existing
 * shard without a hard state is an error too, never an empty state. The shard's thread only.
 */
import { assert } from "../core/assert.ts";
import { corruption, EnvelopeError } from "../core/errors.ts";
import { type LogIndex, logIndex, NO_NODE, type NodeId, type Term, term } from "../core/ids.ts";
import type { Disk, DiskFile } from "../env/disk.ts";
import { decodeHardState, encodeHardState, type HardState } from "./hard-state-format.ts";
import { segmentPath, sortLogFiles } from "./log-files.ts";
import type { LogIdentity } from "./log-options.ts";
import { replaceFile } from "./replace-file.ts";
import { GROUP_HEADER_BYTES } from "../record/group-format.ts";
import { SEGMENT_HEADER_BYTES } from "../record/segment-format.ts";

const FIRST_STATE: HardState = {
  generation: 1,
  term: term(0),
  vote: NO_NODE,
  votesFrom: logIndex(0),
};

export class HardStateFile {
  readonly #identity: LogIdentity;
  readonly #files: readonly DiskFile[];
  #state: HardState;
  #failed = false;

  private constructor(identity: LogIdentity, files: readonly DiskFile[], state: HardState) {
    this.#identity = identity;
    this.#files = files;
    this.#state = state;
  }

  /**
   * Opens the hard state of a shard, or makes the first one in a directory that holds no data yet. Throws CORRUPTION
   * when no copy is good, MISSING_FILE when both are gone, FOREIGN_DIRECTORY, NEWER_FORMAT, IO.
   */
  static open(disk: Disk, directory: string, identity: LogIdentity): HardStateFile {
    if (!disk.exists(directory)) disk.makeDirectory(directory);
    const paths = hardStatePaths(directory);
    if (!paths.some((path) => disk.exists(path))) refuseLost(disk, directory);
    const found = readHardState(disk, directory, identity);
    const state = found.state ?? FIRST_STATE;
    for (const path of found.bad) replaceFile(disk, directory, path, encodeHardState(state, identity));
    return new HardStateFile(
      identity,
      paths.map((path) => disk.open(path, "write")),
      state,
    );
  }

  get term(): Term {
    return this.#state.term;
  }

  get vote(): NodeId {
    return this.#state.vote;
  }

  /** What the log must reach before this member votes; 0: it has never given up a log. */
  get votesFrom(): LogIndex {
    return this.#state.votesFrom;
  }

  /** Makes term and vote durable in both copies. Throws IO; after that every save throws. */
  save(newTerm: Term, vote: NodeId): void {
    this.#write({ ...this.#state, generation: this.#state.generation + 1, term: newTerm, vote });
  }

  /** The log is about to be given up: makes durable from where on it counts again. Throws as `save` does. */
  saveVotesFrom(index: LogIndex): void {
    const { generation, votesFrom } = this.#state;
    this.#write({ ...this.#state, generation: generation + 1, votesFrom: logIndex(Math.max(index, votesFrom)) });
  }

  close(): void {
    for (const file of this.#files) file.close();
  }

  #write(state: HardState): void {
    if (this.#failed) throw new EnvelopeError("IO", `the hard state ${this.#files[0]?.path} has failed before`);
    assert(state.term >= this.#state.term, "a term never falls");
    assert(
      state.term > this.#state.term || this.#state.vote === NO_NODE || state.vote === this.#state.vote,
      "a vote is cast once in a term",
    );
    const bytes = encodeHardState(state, this.#identity);
    this.#failed = true;
    for (const file of this.#files) {
      file.write(bytes, 0);
      file.sync();
    }
    this.#failed = false;
    this.#state = state;
  }
}

/** What the two copies say: the newest good state (null: none, and both are gone) and the paths to be made again. */
export function readHardState(
  disk: Disk,
  directory: string,
  identity: LogIdentity,
): { state: HardState | null; bad: string[] } {
  let state: HardState | null = null;
  let damage: EnvelopeError | null = null;
  const generations = new Map<string, number>();
  for (const path of hardStatePaths(directory)) {
    const copy = disk.exists(path) ? decodeHardState(readCopy(disk, path), identity, path) : null;
    if (copy instanceof EnvelopeError) {
      if (copy.code !== "CORRUPTION") throw copy;
      damage = copy;
    }
    const good = copy !== null && !(copy instanceof EnvelopeError) ? copy : null;
    generations.set(path, good?.generation ?? 0);
    if (good !== null && good.generation > (state?.generation ?? 0)) state = good;
  }
  if (state === null && damage !== null) throw damage;
  const newest = state?.generation ?? -1;
  return { state, bad: [...generations].filter(([, generation]) => generation !== newest).map(([path]) => path) };
}

/** Where the two copies lie. */
export function hardStatePaths(directory: string): readonly string[] {
  return [copyPath(directory, 0), copyPath(directory, 1)];
}

function copyPath(directory: string, copy: number): string {
  return `${directory}/hard-state.${copy}.meta`;
}

function readCopy(disk: Disk, path: string): Uint8Array {
  try {
    return disk.readWhole(path);
  } catch (failure) {
    if (failure instanceof EnvelopeError && failure.code === "IO") throw corruption(path, 0, failure.message);
    throw failure;
  }
}

/** A shard that has ever written anything has a hard state: Raft saves its term before it appends. */
function refuseLost(disk: Disk, directory: string): void {
  const names = disk.list(directory);
  const { segments, hints } = sortLogFiles(names);
  const isNew = segments.length === 0 || (segments.length === 1 && segments[0] === 1);
  const hasTables = names.some((name) => name.endsWith(".sst") || name.startsWith("generation"));
  if (isNew && hints.length === 0 && !hasTables && (segments.length === 0 || isUnused(disk, directory))) return;
  throw new EnvelopeError(
    "MISSING_FILE",
    `${copyPath(directory, 0)} and its second copy are missing from a shard that holds data`,
  );
}

function isUnused(disk: Disk, directory: string): boolean {
  const file = disk.open(segmentPath(directory, 1), "read");
  try {
    const head = new Uint8Array(GROUP_HEADER_BYTES);
    file.read(head, SEGMENT_HEADER_BYTES);
    return head.every((byte) => byte === 0);
  } finally {
    file.close();
  }
}
