/**
 * The work behind the scenes of a shard: frozen memtables become tables, tables are compacted. All of it is cut into
 * bounded steps between batches, whose size follows what is written (pace.ts). Flushing goes first, because writers wait
 * for its arenas; while there is a flush, compaction does as much as its debt asks for, and otherwise a step at least.
 *
 * What may be dropped is decided by the flushed position, its stamp and the fences before it, not by the last applied entry:
 * after a crash the log is replayed from there, and a command of that replay must still find what it found the first time.
 *
 * A full disk stops a job and nothing else: it is begun anew after a while. A damaged table stops the compaction that reads
 * it, and later ones leave it alone. Any other failure is the shard's.
 * Shard thread.
 *
 * Length: which work comes next, and with what, is decided in one place; the work itself is in files of its own.
 */
import { assert } from "../core/assert.ts";
import { EnvelopeError } from "../core/errors.ts";
import type { LogPosition } from "../core/ids.ts";
import { stampMilliseconds } from "../core/stamp.ts";
import type { SharedState } from "../bridge/shared-state.ts";
import type { Clock } from "../env/clock.ts";
import type { Logger } from "../env/environment.ts";
import { errorResult, OK, type Result } from "../record/result.ts";
import type { VersionCursor } from "../record/version.ts";
import { type DropRule, dropRule, type FrozenRule } from "../storage/job.ts";
import type { FlushedPosition } from "../storage/manifest-format.ts";
import type { RewriteJob } from "../storage/rewrite-job.ts";
import type { ValueLocator } from "../storage/separating-cursor.ts";
import type { Tree } from "../storage/tree.ts";
import { Compactions } from "./compactions.ts";
import type { Compactors } from "./compactors.ts";
import type { Fences } from "./fences.ts";
import type { MaintenanceEvents } from "./maintenance-events.ts";
import { compactionBudget, flushBudget, type Pressure, writeDelayMicros } from "./pace.ts";
import { type Progress, runHere, type RunningJob } from "./running-job.ts";
import type { ShardEnvironment } from "./shard-environment.ts";
import type { ShardOptions } from "./shard-options.ts";
import type { VersionStore } from "./version-store.ts";

const DISK_FULL_RETRY_MS = 1000;
/** Work on a flush that the writer waits for, before it lets others have their turn: so many steps. */
const STALLED_STEPS = 64;
/** How often a job that is carried out elsewhere is looked at. */
const ELSEWHERE_POLL_MS = 2;

const QUARANTINED = errorResult("CORRUPTION", "a damaged table is quarantined, so not everything can be compacted");

export type MaintenanceLimits = Pick<
  ShardOptions,
  "memtableAgeMs" | "replayBytesMax" | "stepBytes" | "debtBytesMax" | "tree"
>;

interface FrozenArena {
  readonly arena: number;
  /** Of its versions, about. */
  readonly byteCount: number;
  readonly position: FlushedPosition;
  /** So many fences had been applied. */
  readonly fenceCount: number;
}

interface Request {
  /** Called once: it has been carried out, or refused. */
  readonly done: (result: Result) => void;
  readonly isCompaction: boolean;
  /** The last arena that has to be in tables; null until the active one has been frozen for this request. */
  throughArena: number | null;
}

export class Maintenance {
  readonly #store: VersionStore;
  readonly #tree: Tree;
  readonly #state: SharedState;
  readonly #fences: Fences;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #compactors: Compactors | null;
  readonly #events: MaintenanceEvents;
  readonly #ageMs: number;
  readonly #stepBytes: number;
  /** Oldest first. */
  readonly #frozen: FrozenArena[] = [];
  readonly #requests: Request[] = [];
  #flush: RunningJob | null = null;
  readonly #compactions: Compactions;
  /** How far the log has been written, and had been when the active memtable began: a restart reads what lies between. */
  #logPosition = 0;
  #activeFrom = 0;
  readonly #replayBytesMax: number;
  /** When the first version came into the active memtable; null while it is empty. */
  #activeSinceMs: number | null = null;
  #retryAtMs = 0;
  readonly #debtBytesMax: number;
  readonly #level0Tables: number;
  /** Log applied since the last step. */
  #writtenBytes = 0;
  /** Times the writer had to wait for a flush. */
  #stallCount = 0;
  #isStalled = false;

  constructor(
    store: VersionStore,
    state: SharedState,
    fences: Fences,
    env: ShardEnvironment,
    limits: MaintenanceLimits,
    events: MaintenanceEvents,
  ) {
    this.#store = store;
    this.#tree = store.tree;
    this.#state = state;
    this.#fences = fences;
    this.#clock = env.clock;
    this.#log = env.log;
    this.#compactors = env.compactors ?? null;
    this.#compactions = new Compactions(store.tree, this.#compactors);
    this.#ageMs = limits.memtableAgeMs;
    this.#replayBytesMax = limits.replayBytesMax;
    this.#stepBytes = limits.stepBytes;
    this.#debtBytesMax = limits.debtBytesMax;
    this.#level0Tables = limits.tree.level0Tables;
    this.#events = events;
  }

  /** Whether a job was stopped by a full disk and waits. */
  get isDiskFull(): boolean {
    return this.#retryAtMs > this.#clock.monotonicMs();
  }

  /** Notes that so many bytes of entries have been applied, and how far the log has been written, padding included. */
  noteWritten(entryBytes: number, logPosition: LogPosition): void {
    this.#writtenBytes += entryBytes;
    if (this.#logPosition === 0) this.#activeFrom = logPosition;
    this.#logPosition = logPosition;
    if (this.#activeSinceMs === null && this.#store.active.entryCount > 0) {
      this.#activeSinceMs = this.#clock.monotonicMs();
    }
  }

  /** Milliseconds until a step has something to do that is not known now: age, or a full disk tried again. */
  get dueInMs(): number {
    if (this.#flush?.isElsewhere === true || this.#compactions.isElsewhere) return ELSEWHERE_POLL_MS;
    const nowMs = this.#clock.monotonicMs();
    return this.#retryAtMs > nowMs ? this.#retryAtMs - nowMs : Math.max(0, this.#ageAtMs - nowMs);
  }

  /** When the active memtable is due by age: never while it is empty, or when age does not count. */
  get #ageAtMs(): number {
    return this.#activeSinceMs === null || this.#ageMs === 0
      ? Number.POSITIVE_INFINITY
      : this.#activeSinceMs + this.#ageMs;
  }

  /** `done` is called when it has been carried out, or refused. */
  request(what: "flush" | "compact", done: (result: Result) => void): void {
    this.#requests.push({ done, isCompaction: what === "compact", throughArena: null });
  }

  /** Whether a memtable is being read on another thread. */
  get isFlushingElsewhere(): boolean {
    return this.#flush?.isElsewhere === true;
  }

  /** What was requested and not carried out; it is somebody else's from now on. */
  takeRequests(): readonly { readonly what: "flush" | "compact"; readonly done: (result: Result) => void }[] {
    return this.#requests
      .splice(0)
      .map(({ isCompaction, done }) => ({ what: isCompaction ? "compact" : "flush", done }));
  }

  /** Freezes the active memtable; false when no arena is free to follow it. */
  freeze(): boolean {
    const arena = this.#store.arenas.activeArena;
    const byteCount = this.#store.active.bytesUsed;
    const position = this.#events.position();
    if (!this.#store.rotate()) return false;
    this.#frozen.push({ arena, byteCount, position, fenceCount: this.#fences.size });
    this.#isStalled = false;
    this.#activeSinceMs = null;
    this.#activeFrom = this.#logPosition;
    return true;
  }

  /** The writer needs an arena now, and none is free: works off as much of the oldest flush as one turn may take. */
  pushFlush(): void {
    if (this.#frozen.length === 0) return;
    this.#noteStall();
    this.#guarded(() => {
      let left = this.#stepBytes * STALLED_STEPS;
      while (left > 0) {
        const before = this.#flush?.doneBytes ?? 0;
        if (this.#stepFlush(left) !== "working") return true;
        left -= Math.max(Math.ceil(this.#stepBytes / STALLED_STEPS), (this.#flush?.doneBytes ?? 0) - before);
      }
      return true;
    });
  }

  /** Puts everything of the active memtable into tables at once and empties it. Only while nobody else reads it. */
  flushInPlace(): void {
    const store = this.#store;
    store.active.link();
    const position = this.#events.position();
    const rule = this.#frozenRule(position, this.#fences.size);
    const cursor = store.memtables.cursorOf(store.arenas.activeArena);
    const job = this.#newFlush(cursor, position, rule, store.places?.active ?? null);
    while (job.step(Number.POSITIVE_INFINITY));
    this.#fences.flushed(this.#fences.size);
    store.active.reset();
    store.places?.reset();
    this.#activeSinceMs = null;
    this.#activeFrom = this.#logPosition;
  }

  /** One bounded step; true: there may be more to do. */
  step(): boolean {
    const isClearing = this.#tree.clearStep();
    if (this.isDiskFull) return isClearing;
    const writtenBytes = this.#writtenBytes;
    this.#writtenBytes = 0;
    const isMore = this.#guarded(() => {
      this.#freezeWhatIsDue();
      const flushing = this.#stepFlush(this.#flushBudget(writtenBytes));
      if (this.#answerFlushes()) return true;
      const isFree = flushing === "idle" || flushing === "waiting";
      const paced = compactionBudget(this.#stepBytes, writtenBytes, this.#store.active.bytesMax, this.#pressure);
      const compaction = isFree ? Math.max(this.#stepBytes, paced) : paced;
      return this.#stepCompaction(compaction) || !isFree;
    });
    this.#publishPressure();
    return isMore || isClearing;
  }

  /**
   * Gives up what is running and may be reading a file that has been quarantined, or, a flush that leaves values in the
   * log, pointing into it. It comes due again by itself.
   */
  abandonReaders(): void {
    this.#compactions.abort();
    if (this.#store.places !== null) this.#abandonFlush();
  }

  /** What a job may drop that begins now. */
  dropRule(): DropRule {
    return dropRule(this.#ruleOfTables());
  }

  /** Gives up what is running. Nothing of it is visible. */
  abort(): void {
    this.#abandonFlush();
    this.#compactions.abort();
  }

  #abandonFlush(): void {
    this.#flush?.abort();
    this.#flush = null;
  }

  #freezeWhatIsDue(): void {
    const isLong = this.#logPosition - this.#activeFrom > this.#replayBytesMax && this.#frozen.length === 0;
    if (isLong || this.#ageAtMs <= this.#clock.monotonicMs()) this.freeze();
    for (const request of this.#requests) {
      if (request.throughArena !== null) continue;
      if (this.#store.active.entryCount > 0 && !this.freeze()) return;
      request.throughArena = this.#store.arenas.activeArena - 1;
    }
  }

  get #pressure(): Pressure {
    const { excessRuns, debtBytes } = this.#tree;
    return { excessRuns, level0Tables: this.#level0Tables, debtBytes, debtBytesMax: this.#debtBytesMax };
  }

  #publishPressure(): void {
    const delayMicros = writeDelayMicros(this.#pressure);
    this.#state.publishPressure(delayMicros, this.#tree.debtBytes, this.#stallCount);
  }

  #flushBudget(writtenBytes: number): number {
    const { bytesMax, bytesUsed } = this.#store.active;
    const room = { leftBytes: bytesMax - bytesUsed, arenaBytes: bytesMax };
    const frozenBytes = this.#frozen[0]?.byteCount ?? 0;
    return flushBudget(this.#stepBytes, writtenBytes, frozenBytes, this.#flush?.doneBytes ?? 0, room);
  }

  #noteStall(): void {
    if (this.#isStalled) return;
    this.#isStalled = true;
    this.#stallCount += 1;
    this.#publishPressure();
    this.#log.debug("the writer waits for a flush", { stallCount: this.#stallCount });
  }

  #stepFlush(budgetBytes: number): "idle" | "working" | "waiting" | "flushed" {
    const frozen = this.#frozen[0];
    if (frozen === undefined) return "idle";
    this.#flush ??= this.#beginFlush(frozen);
    const progress = this.#advance(this.#flush, budgetBytes);
    if (progress === "working" || progress === "waiting") return progress;
    assert(progress !== "outgrown", "a memtable is no smaller than its tables");
    if (progress === "lost") {
      this.#abandonFlush();
      return "working";
    }
    this.#flush = null;
    this.#frozen.shift();
    this.#fences.flushed(frozen.fenceCount);
    this.#store.memtables.retire(frozen.arena);
    this.#store.places?.drop(frozen.arena);
    this.#events.arenaFlushed(frozen.arena);
    return "flushed";
  }

  /** A segment that is found damaged when a flush wants to point into it is quarantined, and the flush lost. */
  #advance(flush: RunningJob, budgetBytes: number): Progress {
    try {
      return flush.step(budgetBytes);
    } catch (cause) {
      if (this.#store.places === null || !this.#events.damaged(cause)) throw cause;
      return "lost";
    }
  }

  /** A flush that leaves values in the log stays here: what it needs to know of them is no other thread's. */
  #beginFlush({ arena, byteCount, position, fenceCount }: FrozenArena): RunningJob {
    const { places, memtables, arenas } = this.#store;
    const rule = this.#frozenRule(position, fenceCount);
    const job = this.#newFlush(memtables.cursorOf(arena), position, rule, places?.of(arena) ?? null);
    if (places !== null) return runHere(job);
    const source = { kind: "memtable", arena: arenas.memoryOf(arena) } as const;
    return this.#compactors?.offer(job, source, byteCount, rule) ?? runHere(job);
  }

  #newFlush(source: VersionCursor, at: FlushedPosition, rule: FrozenRule, locator: ValueLocator | null): RewriteJob {
    const position = { ...at, sequence: this.#tree.flushed.sequence + 1 };
    return this.#tree.beginFlush(source, position, dropRule(rule), locator);
  }

  /** True: a request was answered. */
  #answerFlushes(): boolean {
    const request = this.#requests.findIndex((waiting) => !waiting.isCompaction && this.#isFlushed(waiting));
    if (request < 0) return false;
    const [answered] = this.#requests.splice(request, 1);
    assert(answered !== undefined, "the request was found");
    answered.done(OK);
    return true;
  }

  #isFlushed(request: Request): boolean {
    return request.throughArena !== null && this.#store.memtables.oldestArena > request.throughArena;
  }

  #stepCompaction(budgetBytes: number): boolean {
    if (this.#refuseCompactions()) return true;
    for (const bucket of this.#fences.takeFlushed()) this.#tree.noteFence(bucket);
    const request = this.#requests.find((waiting) => waiting.isCompaction && this.#isFlushed(waiting));
    let progress: boolean | "all";
    try {
      progress = this.#compactions.step(budgetBytes, () => this.#ruleOfTables(), request !== undefined);
    } catch (cause) {
      if (!this.#events.damaged(cause)) throw cause;
      this.#compactions.abort();
      return true;
    }
    if (progress === "all" && request !== undefined) {
      this.#requests.splice(this.#requests.indexOf(request), 1);
      request.done(OK);
    }
    return progress !== false;
  }

  /** Not everything can be compacted while a table is quarantined. True: somebody was told so. */
  #refuseCompactions(): boolean {
    if (!this.#tree.hasDamage) return false;
    const request = this.#requests.findIndex((waiting) => waiting.isCompaction);
    if (request < 0) return false;
    const [refused] = this.#requests.splice(request, 1);
    assert(refused !== undefined, "the request was found");
    refused.done(QUARANTINED);
    return true;
  }

  #ruleOfTables(): FrozenRule {
    return this.#frozenRule(this.#tree.flushed, this.#fences.inTables);
  }

  /** Frozen with the job: what was fenced and had expired at the flushed position, and who read the past. */
  #frozenRule(at: FlushedPosition, fenceCount: number): FrozenRule {
    const { snapshots } = this.#store;
    return {
      fences: this.#fences.first(fenceCount),
      expireBeforeMs: Math.min(stampMilliseconds(at.stampHigh, at.stampLow), snapshots.oldestMoment),
      retention: snapshots.retention(),
    };
  }

  #guarded(run: () => boolean): boolean {
    try {
      return run();
    } catch (cause) {
      if (!(cause instanceof EnvelopeError) || cause.code !== "DISKFULL") throw cause;
      this.#log.warn("no room for tables; trying again", { error: cause.message, retryMs: DISK_FULL_RETRY_MS });
      this.abort();
      this.#retryAtMs = this.#clock.monotonicMs() + DISK_FULL_RETRY_MS;
      return false;
    }
  }
}
