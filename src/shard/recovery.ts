/**
 * How a shard comes back: hard state, log and tables are opened and verified by their own code; here they are held
 * against each other, and the entries behind the flushed position are applied again, up to the last index that a
 * group of the log proves committed. What lies behind it waits until Raft commits it.
 *
 * Main reads nothing before it has `opened`, so a memtable that fills up during the replay is flushed where it lies.
 * Shard thread.
 */
import { assert } from "../core/assert.ts";
import { EnvelopeError } from "../core/errors.ts";
import { EMPTY_BYTES, equalBytes, text } from "../core/bytes.ts";
import { type LogIndex, logIndex, SYSTEM_BUCKET, type Term, term } from "../core/ids.ts";
import { compareStamps, stampMilliseconds, type Stamp } from "../core/stamp.ts";
import { arenaShape } from "../bridge/memtable-format.ts";
import type { ShardMemory } from "../bridge/shard-memory.ts";
import type { LostEnd, ShardBoot, SystemChange } from "../bridge/shard-protocol.ts";
import { SharedState } from "../bridge/shared-state.ts";
import type { Logger } from "../env/environment.ts";
import { HardStateFile } from "../log/hard-state-file.ts";
import type { Log } from "../log/log.ts";
import { LogLoss } from "../log/log-loss.ts";
import { openLog } from "./open-log.ts";
import type { LogOptions } from "../log/log-options.ts";
import { CommandReader } from "../record/command-format.ts";
import { ENTRY_HEADER_BYTES, EntryKind, entryKind, entryTerm } from "../record/entry-format.ts";
import { type LoggedConfiguration, loggedConfiguration } from "../record/logged-configuration.ts";
import { isVisible } from "../record/version.ts";
import type { BlockCache } from "../storage/block-cache.ts";
import { currentGeneration, dataDirectory } from "../storage/shard-directories.ts";
import { Tree, type UnstartedTree } from "../storage/tree.ts";
import type { TreeOptions } from "../storage/tree-options.ts";
import { Applier } from "./apply.ts";
import { FENCE_PREFIX } from "./apply-catalog.ts";
import { CommandContext } from "./command-context.ts";
import { Fences } from "./fences.ts";
import type { PreparedGeneration } from "./installer.ts";
import { Maintenance } from "./maintenance.ts";
import { PendingEntries } from "./pending-entries.ts";
import { Quarantine } from "./quarantine.ts";
import type { ShardEnvironment } from "./shard-environment.ts";
import type { ShardOptions } from "./shard-options.ts";
import { ValuePlaces } from "./value-places.ts";
import { VersionStore } from "./version-store.ts";

/** The parts of an open shard. */
export interface Recovered {
  readonly hardState: HardStateFile;
  readonly loss: LogLoss;
  readonly log: Log;
  readonly tree: Tree;
  readonly state: SharedState;
  readonly store: VersionStore;
  readonly context: CommandContext;
  readonly applier: Applier;
  readonly pending: PendingEntries;
  readonly quarantine: Quarantine;
  readonly blockCache: BlockCache;
  /** The one in use (storage/shard-directories.ts). */
  readonly generation: number;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly appliedTerm: Term;
  /** The one in force where the tables end, if there is one, and those applied behind it, ascending. */
  readonly configurations: readonly LoggedConfiguration[];
}

const CATALOG_SHARD = 0;

/** Room that an arena needs beside the longest value: its key, and what lies around them. */
const ARENA_SLACK_BYTES = 32 * 1024;

export function recover(env: ShardEnvironment, options: ShardOptions, memory: ShardMemory): Recovered {
  checkArenas(options, memory);
  const { disk } = env;
  disk.makeDirectory(options.directory);
  const hardState = HardStateFile.open(disk, options.directory, options.log);
  const loss = LogLoss.open(disk, options.directory, options.log, hardState);
  const generation = currentGeneration(disk, options.directory, options.log);
  const directory = dataDirectory(options.directory, generation);
  const tables = lookAtTables(env, options, directory, true);
  return continueWith(env, options, memory, hardState, loss, { generation, directory, tables }, 1);
}

/** The tables of a directory, opened and verified, and nothing changed yet. With `isLenient` as in `Tree.look`. */
export function lookAtTables(
  env: ShardEnvironment,
  options: ShardOptions,
  directory: string,
  isLenient = false,
): UnstartedTree {
  return Tree.look(env.disk, directory, withPossibleReads(env, options), options.log, env.blockCache, isLenient);
}

/** A generation that is about to be used. */
type FoundGeneration = Pick<PreparedGeneration, "generation" | "directory" | "tables">;

/**
 * Opens the rest of a generation and makes a shard of it, whose first memtable has this number. Damaged tables have been
 * found before the log begins a new segment, and a log that does not fit is before tables are removed.
 */
export function continueWith(
  env: ShardEnvironment,
  options: ShardOptions,
  memory: ShardMemory,
  hardState: HardStateFile,
  loss: LogLoss,
  { generation, directory, tables: found }: FoundGeneration,
  firstArena: number,
): Recovered {
  const { disk } = env;
  const log = openLog(env, withPossibleIo(env, options), options.hasPeers, loss, directory, found);
  const tree = found.start();
  report(env.log, options, log, tree);
  const state = new SharedState(memory.state);
  const { values } = options.tree;
  const places = values === undefined ? null : new ValuePlaces(log, values.thresholdBytes);
  const store = new VersionStore(tree, memory, state, places, env.clock, options, firstArena);
  const fences = new Fences();
  const context = new CommandContext(store, fences, options.valueBytesMax, options.shard === CATALOG_SHARD);
  const quarantine = Quarantine.open(disk, directory, options.log, tree, log, env.clock, env.log, store.undecided);
  const applier = new Applier(context);
  applier.onDamage = (cause) => quarantine.note(cause) && quarantine.isDurable;
  applier.onSessionLost = () => quarantine.noteSessions();
  // Who is alone differs from nobody: there the transaction is refused, and that is all.
  const isAlone = (): boolean => !options.hasPeers && applier.configuration.index === 0;
  applier.onUndecided = (bucket, keys) => isAlone() || quarantine.noteUndecided(bucket, keys);
  const { flushed } = tree;
  applier.continueBehind(flushed);
  const system = pastDamage(quarantine, () => systemContent(store, flushedMs(tree)));
  for (const { key } of system) noteFence(fences, key);
  fences.flushed(fences.size);
  const firstIndex = logIndex(flushed.index + 1);
  const commitIndex = logIndex(Math.max(Math.min(log.commitIndex, log.lastIndex), flushed.index));
  const pending = new PendingEntries(log, firstIndex, log.lastIndex, options.pendingBytesMax);
  const { configuration } = flushed;
  const configurations = configuration.index === 0 ? [] : [configuration];
  const parts = { store, state, context, applier, pending, tree, log, commitIndex };
  const appliedTerm = replay(env, options, parts, configurations);
  // After the replay, which makes tables of its own when a memtable is not enough.
  if (tree.tableCount > 0) state.noteTables();
  const appliedIndex = commitIndex;
  const { blockCache } = env;
  const opened = {
    hardState,
    loss,
    log,
    tree,
    state,
    store,
    context,
    applier,
    pending,
    quarantine,
    blockCache,
    generation,
  };
  return { ...opened, commitIndex, appliedIndex, appliedTerm, configurations };
}

/** The log's options, without direct writes where the disk cannot do them: that costs speed, not safety. */
function withPossibleIo({ disk, log }: ShardEnvironment, { shard, directory, log: options }: ShardOptions): LogOptions {
  const obstacle = options.isDirect ? disk.directWriteObstacle(directory) : null;
  if (obstacle === null) return options;
  log.warn("the log is written through the page cache after all", { shard, why: obstacle });
  return { ...options, isDirect: false };
}

/** The tree's options, with mapped tables where the disk cannot read past the page cache. */
function withPossibleReads({ disk, log }: ShardEnvironment, { shard, directory, tree }: ShardOptions): TreeOptions {
  const obstacle = tree.tableIo === "direct" ? disk.directReadObstacle(directory) : null;
  if (obstacle === null) return tree;
  log.warn("tables are read through mappings after all", { shard, why: obstacle });
  return { ...tree, tableIo: "mmap" };
}

/** Tells the operator what was found: routinely in one line, and loudly what was dropped or could not be used. */
function report(to: Logger, options: ShardOptions, log: Log, tree: Tree): void {
  const { shard } = options;
  const { dropped, hintsRefused, ...figures } = log.recovery;
  to.info("shard recovered", { shard, lastIndex: log.lastIndex, flushedIndex: tree.flushed.index, ...figures });
  for (const { file, offset, byteCount } of dropped) {
    to.warn("an end of the log that was not proven durable was damaged and is dropped", {
      shard,
      file,
      offset,
      byteCount,
    });
  }
  for (const why of hintsRefused) to.warn("a hint was not used; its segment was read instead", { shard, why });
  if (tree.droppedManifestBytes > 0) {
    to.warn("a torn end of the manifest was dropped", { shard, byteCount: tree.droppedManifestBytes });
  }
}

/** What main is told of a shard that has just been recovered. */
export function bootOf(parts: Recovered): ShardBoot {
  const { hardState, log, applier, store, commitIndex, appliedIndex } = parts;
  const { stamp, configurations } = logContent(parts);
  return {
    hardTerm: hardState.term,
    hardVote: hardState.vote,
    votesFrom: hardState.votesFrom,
    firstIndex: log.firstIndex,
    lastIndex: log.lastIndex,
    lastTerm: log.lastTerm,
    previousTerm: log.previousTerm,
    termRuns: log.termRuns,
    commitIndex,
    appliedIndex,
    stampHigh: stamp.high,
    stampLow: stamp.low,
    configurations,
    lostEnd: parts.loss.isPending ? lostEndOf(parts.loss) : null,
    system: pastDamage(parts.quarantine, () =>
      systemContent(store, stampMilliseconds(applier.stampHigh, applier.stampLow)),
    ),
  };
}

/** Files that are damaged, and one more if entries of the log are gone. */
export function damageCount({ quarantine, loss }: Recovered): number {
  return quarantine.records.length + (loss.isPending ? 1 : 0);
}

function lostEndOf({ end }: LogLoss): LostEnd {
  return { lastIndex: logIndex(end?.index ?? 0), lastTerm: term(end?.term ?? 0) };
}

function checkArenas(options: ShardOptions, memory: ShardMemory): void {
  const { valueBytesMax } = options;
  for (const arena of memory.arenas) {
    const { wordCount, firstWord } = arenaShape(arena.byteLength);
    if ((wordCount - firstWord) * 4 >= valueBytesMax + ARENA_SLACK_BYTES) continue;
    const said = `memtables of ${arena.byteLength} bytes are too small for values of ${valueBytesMax} bytes`;
    throw new EnvelopeError("CONFIG", said);
  }
}

/** Commands in the log may come from a time or a node with larger limits. */
export function memtableTooSmall(): EnvelopeError {
  return new EnvelopeError("CONFIG", "a command of the log is larger than a whole memtable: memtables must be larger");
}

type ReplayParts = Pick<
  Recovered,
  "store" | "state" | "context" | "applier" | "pending" | "tree" | "log" | "commitIndex"
>;

/**
 * Applies what is committed and not in tables, and adds the configurations in it; returns the term of the last applied
 * entry.
 */
function replay(
  env: ShardEnvironment,
  options: ShardOptions,
  parts: ReplayParts,
  configurations: LoggedConfiguration[],
): Term {
  const { applier, pending, context, store, state, commitIndex, tree, log } = parts;
  let appliedTerm = tree.flushed.term;
  let appliedIndex = tree.flushed.index;
  const maintenance = new Maintenance(store, state, context.fences, env, options, {
    position: () => ({
      sequence: 0,
      index: appliedIndex,
      term: appliedTerm,
      stampHigh: applier.stampHigh,
      stampLow: applier.stampLow,
      configuration: applier.configuration,
    }),
    arenaFlushed: () => undefined,
    damaged: () => false,
  });
  while (appliedIndex < commitIndex) {
    const entry = pending.peek(commitIndex);
    applier.begin(entry, false);
    while (!applier.run()) {
      if (store.active.entryCount === 0) throw memtableTooSmall();
      maintenance.flushInPlace();
    }
    appliedIndex = pending.nextIndex;
    appliedTerm = entryTerm(entry);
    if (configurations.at(-1) !== applier.configuration && applier.configuration.index > 0) {
      configurations.push(applier.configuration);
    }
    pending.advance();
  }
  log.noteApplied(commitIndex);
  context.system = [];
  return appliedTerm;
}

/**
 * The largest stamp in tables and log, above which a leader's clock starts; and the configurations in force where the
 * tables end and behind.
 */
function logContent(parts: Recovered): { readonly stamp: Stamp; readonly configurations: LoggedConfiguration[] } {
  const { applier, log, appliedIndex } = parts;
  const configurations = [...parts.configurations];
  let high = applier.stampHigh;
  let low = applier.stampLow;
  if (appliedIndex >= log.lastIndex) return { stamp: { high, low }, configurations };
  const command = new CommandReader();
  log.forEachFrom(logIndex(appliedIndex + 1), log.lastIndex, (entry) => {
    command.over(entry);
    if (entryKind(command.view) !== EntryKind.commands) {
      const configuration = loggedConfiguration(entry);
      if (configuration !== null) configurations.push(configuration);
      return;
    }
    for (let offset = ENTRY_HEADER_BYTES; offset < entry.length; ) {
      offset = command.read(offset, entry.length);
      assert(offset > 0, "an entry in the log has been verified");
      if (compareStamps(command.stampHigh, command.stampLow, high, low) > 0) {
        high = command.stampHigh;
        low = command.stampLow;
      }
    }
  });
  return { stamp: { high, low }, configurations };
}

/**
 * What `read` gives. A damaged table that it comes upon is quarantined, so that the next attempt reads of it no more than
 * it needs; damage to that is the start's.
 */
function pastDamage<T>(quarantine: Quarantine, read: () => T): T {
  for (;;) {
    const knownCount = quarantine.records.length;
    try {
      return read();
    } catch (cause) {
      if (!quarantine.note(cause) || quarantine.records.length === knownCount) throw cause;
    }
  }
}

/** The system bucket as applied. */
function systemContent(store: VersionStore, nowMs: number): SystemChange[] {
  const content: SystemChange[] = [];
  using cursor = store.cursor();
  let last: Uint8Array | null = null;
  for (cursor.seek(SYSTEM_BUCKET, EMPTY_BYTES); cursor.valid && cursor.bucket === SYSTEM_BUCKET; cursor.next()) {
    const key = cursor.key.slice();
    const isOlder = last !== null && equalBytes(last, key);
    last = key;
    if (!isOlder && isVisible(cursor.kind, cursor.expiryMs, nowMs)) content.push({ key, value: cursor.value.slice() });
  }
  return content;
}

function flushedMs(tree: Tree): number {
  return stampMilliseconds(tree.flushed.stampHigh, tree.flushed.stampLow);
}

function noteFence(fences: Fences, key: Uint8Array): void {
  const name = text(key);
  if (name.startsWith(FENCE_PREFIX)) fences.add(Number(name.slice(FENCE_PREFIX.length)));
}
