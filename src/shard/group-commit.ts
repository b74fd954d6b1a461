/**
 * How entries become durable. Those of all requests that have gathered are staged and go to the log as one group, synced if
 * anything in it is to be answered only then; what was not synced is secured in time, and when all has been quiet for a while
 * an empty group proves the last one durable. It belongs to one log: with a snapshot that takes the log's place comes
 * another one, and of syncs under way nothing more is heard. Shard thread.
 */
import { at } from "../core/assert.ts";
import { EnvelopeError } from "../core/errors.ts";
import type { LogIndex, Term } from "../core/ids.ts";
import type { Clock } from "../env/clock.ts";
import type { Logger } from "../env/environment.ts";
import type { Log } from "../log/log.ts";
import { OS_DECIDES, SYNC } from "../record/durability.ts";
import { entryDurability, entryIndex } from "../record/entry-format.ts";
import { PersistedIndex } from "./persisted-index.ts";

/** How often a full disk is looked at again. */
const ROOM_RETRY_MS = 500;
/** After the last request: time in which the next one is likely to come, and what can wait does. */
const BUSY_MS = 20;

export interface GroupCommitEvents {
  /** What is known to be committed, for the header of a group. */
  provenCommit(): LogIndex;
  /** A group is durable, or written where no more was promised; what it ends with, and whether it has any entries. */
  written(lastIndex: LogIndex, lastTerm: Term, hasEntries: boolean): void;
  /** A write or a sync has failed: nothing is acknowledged any more. */
  failed(failure: EnvelopeError): void;
}

export class GroupCommit {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #idleProofMs: number;
  readonly #events: GroupCommitEvents;
  readonly #persisted: PersistedIndex;
  #stagedBytes = 0;
  /** The strongest promise among the staged entries (record/durability.ts). */
  #stagedDurability = OS_DECIDES;
  /** When what was written without a sync has to be durable. */
  #secureByMs = Number.POSITIVE_INFINITY;
  /** When a request last came. */
  #lastWorkMs: number;

  constructor(log: Log, clock: Clock, logger: Logger, idleProofMs: number, events: GroupCommitEvents) {
    this.#log = log;
    this.#clock = clock;
    this.#logger = logger;
    this.#idleProofMs = idleProofMs;
    this.#events = events;
    this.#persisted = new PersistedIndex(log.lastIndex);
    this.#lastWorkMs = clock.monotonicMs();
  }

  /** Up to which entry the log of this moment is durable, or written where no more was promised. */
  get persistedIndex(): LogIndex {
    return this.#persisted.index;
  }

  /** Bytes that wait for the next write. */
  get stagedBytes(): number {
    return this.#stagedBytes;
  }

  /** Milliseconds for which the next request is still likely to come. */
  get busyMs(): number {
    return Math.max(0, this.#lastWorkMs + BUSY_MS - this.#clock.monotonicMs());
  }

  /** Milliseconds for which there is nothing to write if nothing comes. */
  get dueInMs(): number {
    const untilProof = this.#log.idleProofDue ? this.#idleProofMs : Number.POSITIVE_INFINITY;
    // What is still staged after a turn has found no room.
    const untilRoom = this.#log.writable && !this.#log.hasStaged ? Number.POSITIVE_INFINITY : ROOM_RETRY_MS;
    return Math.min(untilProof, untilRoom, this.#untilSecureMs);
  }

  get #untilSecureMs(): number {
    if (!this.#log.isInsecure) return Number.POSITIVE_INFINITY;
    const dueMs = Math.min(this.#secureByMs, this.#lastWorkMs + this.#idleProofMs);
    return Math.max(0, dueMs - this.#clock.monotonicMs());
  }

  /** Adds entries, at least one, to the next group; those that stood in their places count no longer. */
  stage(entries: readonly Uint8Array[]): void {
    this.#log.stage(entries);
    this.#persisted.append(entryIndex(at(entries, 0)));
    for (const entry of entries) {
      this.#stagedBytes += entry.length;
      this.#stagedDurability = Math.min(this.#stagedDurability, entryDurability(entry));
    }
  }

  /** Writes what is due. `isIdle`: no request has come. Throws IO. */
  write(isIdle: boolean): void {
    const log = this.#log;
    const nowMs = this.#clock.monotonicMs();
    if (!isIdle) this.#lastWorkMs = nowMs;
    const isQuiet = isIdle && nowMs - this.#lastWorkMs >= this.#idleProofMs;
    const isSecuringDue = log.isInsecure && (isQuiet || nowMs >= this.#secureByMs);
    if (!log.hasStaged && !isSecuringDue && !(isQuiet && log.idleProofDue)) return;
    const hasEntries = log.hasStaged;
    const isSync = !hasEntries || isSecuringDue || this.#stagedDurability === SYNC;
    const group = this.#persisted.beginGroup(log.lastIndex);
    try {
      log.write(
        this.#events.provenCommit(),
        (failure, lastIndex, lastTerm) => {
          if (failure !== null) return this.#events.failed(failure);
          this.#persisted.endGroup(group);
          this.#events.written(lastIndex, lastTerm, hasEntries);
        },
        isSync,
      );
      this.#noteGroup(isSync, nowMs);
    } catch (cause) {
      if (!(cause instanceof EnvelopeError) || cause.code !== "DISKFULL") throw cause;
      // The entries stay staged. No turn loses them, and each one tries again.
      this.#stagedBytes = 0;
      this.#persisted.dropGroup(group);
      this.#logger.warn("no room for the log; trying again", { error: cause.message });
    }
  }

  /**
   * Before the end: secures everything, and proves it, which is what tells the next start that nothing behind it was torn.
   * False: a sync is under way, and it has to be called again when that has ended. Throws IO.
   */
  finish(): boolean {
    const log = this.#log;
    if (log.unsyncedGroups > 0) return false;
    log.secure();
    if (!log.idleProofDue || !log.writable) return true;
    log.write(this.#events.provenCommit(), (failure, lastIndex, lastTerm) => {
      if (failure !== null) this.#events.failed(failure);
      else this.#events.written(lastIndex, lastTerm, false);
    });
    return log.unsyncedGroups === 0;
  }

  #noteGroup(isSync: boolean, nowMs: number): void {
    const durability = this.#stagedDurability;
    this.#stagedBytes = 0;
    this.#stagedDurability = OS_DECIDES;
    if (isSync) this.#secureByMs = Number.POSITIVE_INFINITY;
    else if (durability !== OS_DECIDES) this.#secureByMs = Math.min(this.#secureByMs, nowMs + durability);
  }
}
