/**
 * One shard: a log, a memtable, tables, and the order between them. It is synchronous and owns its thread. `handle`
 * only queues; `turn` does all the work that has gathered:
 *
 *   1  requests in their order: entries are staged, reads of what is applied already are answered
 *   2  everything staged is written as one group and its sync begun (group-commit.ts)
 *   3  synced: `persisted`, then entries are applied through min(persisted, what may be applied), and between two
 *      entries the reads that waited for the first; then `applied` with the results (state-machine.ts)
 *
 * `takeAndWrite` is steps 1 and 2, `settle` is step 3, so that the thread may let `persisted` go in between.
 *
 * Durability is an event: step 3 may come in the same call or later, and nothing here assumes either. Whatever the disk
 * or its contents get wrong ends the shard: it says `failed`, and acknowledges nothing any more. Damage to a table or to a
 * sealed segment does not: the file is quarantined, and only who needs it is refused (`quarantine.ts`). Replies are given
 * during `turn`, `backgroundStep` and the disk's callbacks, in the order in which they became true.
 *
 * What members give each other besides entries is the business of member-exchange.ts. A snapshot that was installed takes the
 * place of log, tables and memtables at once, and the shard goes on with it; hard state stays as it is (`installer.ts`,
 * `storage/shard-directories.ts`). So does nothing at all, where the shard is to be empty.
 *
 * Length: what a step does is in files of its own already; what is left here is the order between the steps.
 */
import { at } from "../core/assert.ts";
import { EnvelopeError } from "../core/errors.ts";
import type { LogIndex, Term } from "../core/ids.ts";
import { stampMilliseconds } from "../core/stamp.ts";
import type { ShardReply, ShardRequest } from "../bridge/shard-protocol.ts";
import type { ShardMemory } from "../bridge/shard-memory.ts";
import { entryIndex } from "../record/entry-format.ts";
import { errorResult, type Result } from "../record/result.ts";
import type { FlushedPosition } from "../storage/manifest-format.ts";
import { dataDirectory, rootDataFiles, switchGeneration } from "../storage/shard-directories.ts";
import { FileClearing } from "./file-clearing.ts";
import { GroupCommit } from "./group-commit.ts";
import type { PreparedGeneration } from "./installer.ts";
import type { Segment } from "../log/segment.ts";
import { setAsideNames } from "../log/set-aside.ts";
import { Maintenance } from "./maintenance.ts";
import { MemberExchange, type PresentData } from "./member-exchange.ts";
import { answerRead } from "./reads.ts";
import { bootOf, continueWith, damageCount, recover, type Recovered } from "./recovery.ts";
import type { ShardEnvironment } from "./shard-environment.ts";
import { ShardReader } from "./shard-reader.ts";
import type { ShardOptions } from "./shard-options.ts";
import { Scrubber } from "./scrubber.ts";
import { statsOf } from "./shard-stats.ts";
import { StateMachine } from "./state-machine.ts";
import { WaitingReads } from "./waiting-reads.ts";

type Append = Extract<ShardRequest, { type: "append" }>;
type ReadEntries = Extract<ShardRequest, { type: "readEntries" }>;

export class Shard {
  /** For whoever shares the shard's thread: reads of what is applied, without a request. */
  readonly reader: ShardReader;
  readonly #env: ShardEnvironment;
  readonly #options: ShardOptions;
  readonly #memory: ShardMemory;
  #parts: Recovered;
  readonly #reply: (reply: ShardReply) => void;
  #maintenance: Maintenance;
  #scrubber: Scrubber;
  readonly #clearing: FileClearing;
  readonly #exchange: MemberExchange;
  /** Main has been asked for its memtables, before what is prepared takes their place. */
  #isRecalled = false;
  #commit: GroupCommit;
  #machine: StateMachine;
  readonly #reads = new WaitingReads();
  #queue: ShardRequest[] = [];
  /** The next queue while the requests of the last one are taken. */
  #emptyQueue: ShardRequest[] = [];
  #entryReads: ReadEntries[] = [];
  #releaseIndex = 0 as LogIndex;
  #retainedBytes = Number.POSITIVE_INFINITY;
  #isWorking = false;
  /** The last step in the background has left more to do. */
  #owesSteps = false;
  /** A turn was asked for while another call was at work. */
  #isTurnAsked = false;
  #isStopping = false;
  #isStopped = false;

  /**
   * Recovers the shard of a directory and replies `opened`. Throws the EnvelopeError that kept it from opening:
   * CORRUPTION, IO, DISKFULL, MISSING_FILE, FOREIGN_DIRECTORY, NEWER_FORMAT, CONFIG.
   */
  static open(
    env: ShardEnvironment,
    options: ShardOptions,
    memory: ShardMemory,
    reply: (reply: ShardReply) => void,
  ): Shard {
    const parts = recover(env, options, memory);
    const shard = new Shard(env, options, memory, parts, reply);
    reply({ type: "opened", boot: bootOf(parts) });
    return shard;
  }

  private constructor(
    env: ShardEnvironment,
    options: ShardOptions,
    memory: ShardMemory,
    parts: Recovered,
    reply: (reply: ShardReply) => void,
  ) {
    this.reader = new ShardReader(parts.store, env.clock);
    this.#env = env;
    this.#options = options;
    this.#memory = memory;
    this.#parts = parts;
    this.#reply = reply;
    this.#maintenance = this.#newMaintenance(parts);
    this.#scrubber = this.#newScrubber(parts);
    this.#commit = this.#newCommit(parts);
    this.#machine = this.#newMachine(parts);
    const { disk } = env;
    const root = options.directory;
    this.#clearing = new FileClearing(disk);
    this.#exchange = new MemberExchange(env, options, this.#present, this.#clearing, {
      reply,
      position: () => this.#position(),
      repaired: () => this.#repaired(),
    });
    if (parts.generation > 0) this.#clearing.addFiles(root, rootDataFiles(disk, root));
    this.#watch();
    this.#machine.publish();
  }

  get #present(): PresentData {
    return { parts: this.#parts, maintenance: this.#maintenance, machine: this.#machine };
  }

  #newMaintenance({ store, state, context, quarantine }: Recovered): Maintenance {
    return new Maintenance(store, state, context.fences, this.#env, this.#options, {
      position: () => this.#position(),
      arenaFlushed: (arena) => this.#arenaFlushed(arena),
      damaged: (cause) => quarantine.note(cause),
    });
  }

  #newScrubber({ tree, log, quarantine }: Recovered): Scrubber {
    const { disk, clock, log: logger } = this.#env;
    return new Scrubber(disk, tree, log, quarantine, clock, logger, {
      bytesPerSecond: this.#options.scrubBytesPerSecond,
      intervalMs: this.#options.scrubIntervalMs,
      stepBytes: this.#options.stepBytes,
    });
  }

  #newCommit({ log, loss }: Recovered): GroupCommit {
    return new GroupCommit(log, this.#env.clock, this.#env.log, this.#options.idleProofMs, {
      provenCommit: () => this.#machine.provenCommit,
      failed: (failure) => this.#fail(failure),
      written: (lastIndex, lastTerm, hasEntries) => {
        if (this.#isStopped) return;
        if (hasEntries) this.#reply({ type: "persisted", lastIndex, lastTerm });
        if (loss.isPending) this.#makeUp(lastTerm);
        // Within a turn the turn goes on by itself; this is for a sync that ended later.
        if (!this.#isWorking) this.settle();
      },
    });
  }

  #newMachine(parts: Recovered): StateMachine {
    return new StateMachine(parts, this.#maintenance, this.#reads, this.#options.pendingBytesMax, {
      reply: this.#reply,
      answer: ({ requestId, read }) => this.#answer(requestId, read),
    });
  }

  /** Begins to look after the parts. */
  #watch(): void {
    const { quarantine, log } = this.#parts;
    this.#countDamage();
    quarantine.onDamage((segment) => this.#onDamage(segment));
    this.#maintenance.noteWritten(0, log.endPosition);
    if (quarantine.records.length > 0) this.#releaseLog();
  }

  /** Whether the shard has stopped or failed and does nothing more. */
  get stopped(): boolean {
    return this.#isStopped;
  }

  /** Milliseconds for which nothing is due if no request comes. */
  get idleMs(): number {
    const untilScrub = Math.max(this.#scrubber.dueInMs, this.#commit.busyMs);
    return Math.min(this.#commit.dueInMs, untilScrub, this.#maintenance.dueInMs);
  }

  /** Queues a request for the next turn. */
  handle(request: ShardRequest): void {
    if (this.#isStopped) return;
    // An arena may come back in the midst of a turn that waits for it.
    if (request.type === "returnArena") this.#parts.store.arenas.returned(request.arena);
    else this.#queue.push(request);
  }

  /** Works off everything that was queued. Called from within a reply, it leaves that to the call under way. */
  turn(): void {
    this.takeAndWrite();
    this.settle();
  }

  /** The first half of a turn, which others wait for: requests are taken, what they append is written and synced. */
  takeAndWrite(): void {
    this.#isTurnAsked = this.#isWorking;
    this.#guarded(this.#takeAllAndWrite);
  }

  /** The second half, which can wait until `persisted` has left: what is durable and decided is applied. */
  settle(): void {
    this.#guarded(this.#goOn);
    if (this.#isTurnAsked) this.turn();
  }

  /** One bounded step each of what can wait: log preparation, flush, compaction. True: there is more to do now. */
  backgroundStep(): boolean {
    this.#owesSteps = false;
    this.#guarded(this.#stepEverything);
    if (this.#isTurnAsked) this.turn();
    return this.#owesSteps && !this.#isStopped;
  }

  #stepEverything(): void {
    const { prepared } = this.#exchange;
    if (prepared !== null) {
      this.#owesSteps = this.#stepSwitch(prepared);
      return;
    }
    const applied = this.#machine.appliedIndex;
    this.#apply();
    const isPreparing = this.#stepLog();
    const isMaintaining = this.#maintenance.step();
    const isClearing = this.#clearing.step();
    const isExchanging = this.#exchange.step();
    const isBehind = isPreparing || isMaintaining || isClearing || isExchanging;
    this.#owesSteps = isBehind || this.#machine.appliedIndex > applied || this.#stepScrub();
    this.#publishRoom();
  }

  #stepLog(): boolean {
    const { log } = this.#parts;
    const { firstIndex } = log;
    try {
      const isMore = log.backgroundStep(this.#commit.busyMs > 0);
      if (log.firstIndex !== firstIndex) {
        this.#replyReleased();
        this.#forgetGone();
      }
      return isMore;
    } catch (cause) {
      if (!this.#parts.quarantine.note(cause)) throw cause;
      return true;
    }
  }

  /** Segments have left the log, damaged ones perhaps. */
  #forgetGone(): void {
    this.#parts.quarantine.sweep();
    this.#countDamage();
  }

  #countDamage(): void {
    this.#parts.state.setQuarantined(damageCount(this.#parts));
  }

  #stepScrub(): boolean {
    this.#parts.quarantine.retry();
    return this.#commit.busyMs === 0 && this.#scrubber.step();
  }

  /** A file has been quarantined. */
  #onDamage(segment: Segment | null): void {
    const { state, store, tree } = this.#parts;
    this.#countDamage();
    state.publishOldestReadable(store.memtables.oldestArena);
    this.#maintenance.abandonReaders();
    // What a damaged segment holds is still in memory: the sooner it is in tables, the better.
    if (segment !== null && segment.entries.lastIndex > tree.flushed.index) this.#maintenance.freeze();
    this.#releaseLog();
  }

  // ---- requests --------------------------------------------------------------------------------------------------

  /** While a switch waits for main's memtables, everything else waits for the switch, but for the wish that the shard stop. */
  #takeAllAndWrite(): void {
    const { prepared } = this.#exchange;
    if (prepared !== null) this.#stepSwitch(prepared);
    if (this.#exchange.prepared !== null) {
      if (this.#queue.some(({ type }) => type === "stop")) this.#isStopping = true;
      return;
    }
    do {
      const requests = this.#queue;
      this.#queue = this.#emptyQueue;
      for (const request of requests) this.#take(request);
      this.#commit.write(requests.length === 0);
      this.#answerEntryReads();
      requests.length = 0;
      this.#emptyQueue = requests;
    } while (this.#queue.length > 0);
    this.#publishRoom();
  }

  /** After every look at the disk: nobody sends anything to a shard that says it has no room. */
  #publishRoom(): void {
    this.#parts.state.setWritable(this.#parts.log.writable && !this.#maintenance.isDiskFull);
  }

  #take(request: ShardRequest): void {
    switch (request.type) {
      case "append":
        return this.#append(request);
      case "commit":
        return this.#machine.committed(request.commitIndex);
      case "saveHardState":
        this.#parts.hardState.save(request.term, request.vote);
        return this.#reply({ type: "hardStateSaved", term: request.term, vote: request.vote });
      case "read":
        if (request.minIndex > this.#machine.appliedIndex) return this.#reads.add(request);
        return this.#answer(request.requestId, request.read);
      case "readEntries":
        this.#entryReads.push(request);
        return;
      case "release":
        if (request.index > this.#releaseIndex) this.#releaseIndex = request.index;
        this.#retainedBytes = request.retainedBytes;
        return this.#releaseLog();
      case "flush":
      case "compact":
        return this.#maintenance.request(request.type, (result) =>
          this.#reply({ type: "done", requestId: request.requestId, result }),
        );
      case "stats":
        return this.#reply({
          type: "stats",
          requestId: request.requestId,
          stats: statsOf(this.#parts, this.#machine.appliedIndex),
        });
      case "returnArena":
        return this.#parts.store.arenas.returned(request.arena);
      case "stop":
        this.#isStopping = true;
        return;
      default:
        return this.#exchange.take(request);
    }
  }

  #append({ entries, commitIndex, applyThrough, wantResults }: Append): void {
    if (entries.length > 0) {
      this.#commit.stage(entries);
      this.#parts.pending.append(entryIndex(at(entries, 0)), entries, wantResults);
    }
    this.#machine.committed(commitIndex);
    this.#machine.mayApply(applyThrough);
    if (this.#commit.stagedBytes >= this.#options.groupBytesMax) this.#commit.write(false);
  }

  #answer(requestId: number, read: Extract<ShardRequest, { type: "read" }>["read"]): void {
    this.#reply({ type: "readResult", requestId, result: this.#read(read) });
  }

  /** The time of reads: never before that of a command applied, or what it found expired would be there again. */
  get #readingMs(): number {
    const { stampHigh, stampLow } = this.#parts.applier;
    return Math.max(this.#env.clock.wallMs(), stampMilliseconds(stampHigh, stampLow));
  }

  /** What a read comes to. Damage to a table is its answer, and nobody else's business. */
  #read(read: Extract<ShardRequest, { type: "read" }>["read"]): Result {
    try {
      return answerRead(this.#parts.store, read, this.#readingMs);
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
      this.#parts.quarantine.note(cause);
      return errorResult(cause.code, cause.message);
    }
  }

  /** After the write, so that the log has everything that was asked for. */
  #answerEntryReads(): void {
    const reads = this.#entryReads;
    if (reads.length === 0) return;
    this.#entryReads = [];
    for (const { from, bytesMax } of reads) {
      this.#reply({ type: "entriesRead", from, entries: this.#readEntries(from, bytesMax) });
    }
  }

  /** Entries of a segment that is damaged are as good as gone for a follower that is behind. */
  #readEntries(from: LogIndex, bytesMax: number): Uint8Array[] {
    try {
      return this.#parts.log.read(from, bytesMax);
    } catch (cause) {
      if (!this.#parts.quarantine.note(cause)) throw cause;
      return [];
    }
  }

  // ---- applying --------------------------------------------------------------------------------------------------

  #goOn(): void {
    this.#apply();
    this.#stopIfAsked();
  }

  /** Applies what may be applied, a bounded amount at a time: `backgroundStep` goes on with the rest. */
  #apply(): void {
    const { prepared, holdIndex } = this.#exchange;
    if (prepared === null) this.#machine.apply(this.#commit.persistedIndex, holdIndex);
  }

  // ---- files -----------------------------------------------------------------------------------------------------

  /** Entries are on disk, the last of this term: what was lost of the log may be made up for by that. */
  #makeUp(lastTerm: Term): void {
    const { loss, generation } = this.#parts;
    if (!loss.made(lastTerm)) return;
    const { disk, log } = this.#env;
    log.warn("what was lost of the log has come from the others", { shard: this.#options.shard });
    const directory = dataDirectory(this.#options.directory, generation);
    this.#clearing.addFiles(directory, setAsideNames(disk, directory));
    this.#countDamage();
    this.#reply({ type: "logWhole" });
  }

  /** What a flush may claim: tables must not know more than the log on disk. */
  #position(): FlushedPosition {
    this.#parts.log.secure();
    return this.#machine.position;
  }

  /** The damage is gone, and with it what was withheld on its account. */
  #repaired(): void {
    const { state, tree } = this.#parts;
    this.#countDamage();
    if (tree.tableCount > 0) state.noteTables();
    this.#releaseLog();
  }

  #arenaFlushed(arena: number): void {
    const { tree, state } = this.#parts;
    if (tree.tableCount > 0) state.noteTables();
    this.#reply({ type: "arenaRetired", arena });
    this.#releaseLog();
  }

  /**
   * What is not in tables stays in the log, whoever needs it no more. A damaged segment goes, and what is before it, as soon
   * as all of it is in tables that are sound: a member that needs more of the log than is left gets a snapshot.
   */
  #releaseLog(): void {
    const { log, tree } = this.#parts;
    const inTables = (tree.flushed.index + 1) as LogIndex;
    const unneeded = Math.max(this.#releaseIndex, tree.hasDamage ? 0 : log.behindDamage(inTables));
    log.release(Math.min(unneeded, inTables) as LogIndex, inTables, this.#retainedBytes);
  }

  #replyReleased(): void {
    const { firstIndex, previousTerm } = this.#parts.log;
    this.#reply({ type: "logReleased", firstIndex, previousTerm });
  }

  // ---- the switch ------------------------------------------------------------------------------------------------

  /** Waits until nobody reads a memtable any more, then switches; true: there is more to do now. */
  #stepSwitch(prepared: PreparedGeneration): boolean {
    const { state, store } = this.#parts;
    if (!this.#isRecalled) {
      if (this.#maintenance.isFlushingElsewhere) {
        this.#maintenance.step();
        return false;
      }
      this.#exchange.leave();
      this.#maintenance.abort();
      // From here a look-up that main's memory cannot answer comes here.
      state.noteTables();
      store.arenas.recall();
      this.#isRecalled = true;
      this.#reply({ type: "arenasRecalled" });
    }
    if (!store.arenas.isReturned) return false;
    this.#switchTo(prepared);
    return true;
  }

  /** From the rename on the snapshot is what the shard holds, whatever happens: an error ends the shard, and a start goes on. */
  #switchTo(prepared: PreparedGeneration): void {
    const { disk } = this.#env;
    const root = this.#options.directory;
    const { store, tree, log, hardState, loss, generation } = this.#parts;
    switchGeneration(disk, root);
    this.#scrubber.close();
    store.end();
    tree.close();
    log.close();
    const requests = this.#maintenance.takeRequests();
    const firstArena = store.arenas.activeArena + 1;
    const parts = continueWith(this.#env, this.#options, this.#memory, hardState, loss, prepared, firstArena);
    this.#adopt(parts);
    this.#exchange.continueOn(this.#present, prepared);
    this.#isRecalled = false;
    for (const { what, done } of requests) this.#maintenance.request(what, done);
    if (generation > 0) this.#clearing.addDirectory(dataDirectory(root, generation));
    else this.#clearing.addFiles(root, rootDataFiles(disk, root));
    this.#machine.publish();
    this.#releaseIndex = 0 as LogIndex;
    const type = prepared.isEmpty ? "emptied" : "installed";
    this.#reply({ type, requestId: prepared.requestId, boot: bootOf(parts) });
    // What was sent about the log that is gone: the commit index, too, may be about entries that are not here.
    this.#queue = this.#queue.filter(({ type: about }) => !["append", "commit", "release"].includes(about));
    this.#machine.answerReads();
    this.#isTurnAsked = true;
  }

  #adopt(parts: Recovered): void {
    this.#parts = parts;
    this.reader.continueOn(parts.store);
    this.#maintenance = this.#newMaintenance(parts);
    this.#scrubber = this.#newScrubber(parts);
    this.#commit = this.#newCommit(parts);
    this.#machine = this.#newMachine(parts);
    this.#watch();
  }

  // ---- the end ---------------------------------------------------------------------------------------------------

  #stopIfAsked(): void {
    const { log, tree, hardState } = this.#parts;
    if (!this.#isStopping || this.#isStopped || !this.#commit.finish()) return;
    this.#exchange.close();
    this.#maintenance.abort();
    this.#scrubber.close();
    tree.close();
    log.close();
    hardState.close();
    this.#isStopped = true;
    this.#reply({ type: "stopped" });
  }

  /** Runs work of the shard; what disk and contents get wrong in it ends the shard. */
  #guarded(work: (this: Shard) => void): void {
    if (this.#isStopped || this.#isWorking) return;
    this.#isWorking = true;
    try {
      work.call(this);
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
      this.#fail(cause);
    } finally {
      this.#isWorking = false;
    }
  }

  #fail(cause: EnvelopeError): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#parts.state.setWritable(false);
    this.#env.log.error("the shard has failed", {
      shard: this.#options.shard,
      code: cause.code,
      error: cause.message,
    });
    this.#reply({ type: "failed", code: cause.code, message: cause.message });
  }
}
