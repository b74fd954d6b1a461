/**
 * Applies entries, command by command. It may stop in the middle of an entry when the arena is full and no other is
 * free, and goes on later with the very command that found no room: a command writes everything or nothing.
 *
 * Because stamps increase strictly along the log, "up to this stamp" names a place inside an entry. That is how a
 * memtable frozen half-way through an entry is flushed: the flushed position holds the last whole entry and the last
 * stamp, and the replay leaves out the commands that the tables already have. Shard thread.
 */
import { assert } from "../core/assert.ts";
import { EnvelopeError } from "../core/errors.ts";
import { type LogIndex, SESSION_BUCKET, SYSTEM_BUCKET, type Term } from "../core/ids.ts";
import { murmur3 } from "../core/murmur3.ts";
import { compareStamps, type Stamp, ZERO_STAMP } from "../core/stamp.ts";
import { KEYS_AHEAD_MAX, KeysAhead } from "../bridge/keys-ahead.ts";
import type { CommandResult } from "../bridge/shard-protocol.ts";
import { CommandReader, CommandType, FLAG_SESSION } from "../record/command-format.ts";
import { ENTRY_HEADER_BYTES, EntryKind, entryKind, entryIndex, entryTerm } from "../record/entry-format.ts";
import { type LoggedConfiguration, loggedConfiguration, NO_CONFIGURATION } from "../record/logged-configuration.ts";
import { errorResult, type Result } from "../record/result.ts";
import { encodedKeys } from "../record/transaction-format.ts";
import { VersionKind } from "../record/version.ts";
import type { FlushedPosition } from "../storage/manifest-format.ts";
import { applyChangeAccess, applyFoundAccess, applyRemoveAccess } from "./apply-access.ts";
import {
  applyAlterBucket,
  applyCreateBucket,
  applyDropBucket,
  applyFence,
  applyFenceDone,
  applyRenewBucket,
} from "./apply-catalog.ts";
import { applyKeyCommand } from "./apply-key.ts";
import { applyAdmitMember, applyForgetMember, applyFoundCluster, applyRetireMember } from "./apply-members.ts";
import { applyCloseSession, applyOpenSession, hasRoomForOnce, keepOutcome, knownOutcome } from "./apply-session.ts";
import { applyTransaction } from "./apply-transaction.ts";
import type { CommandContext } from "./command-context.ts";
import type { VersionStore } from "./version-store.ts";

const FENCED = errorResult("FENCED", "the bucket was dropped or emptied; use its name again");

const YES = (): boolean => true;

/** A field of the header (entry-format.ts) that is read here without decoding it again. */
const ENTRY_COUNT_OFFSET = 24;

export class Applier {
  readonly #context: CommandContext;
  /** Term of the entry begun last. */
  entryTerm = 0 as Term;
  /** Results since they were last taken, in order. */
  results: CommandResult[] = [];
  /** The largest stamp applied. */
  stampHigh = 0;
  stampLow = 0;
  /** The configuration in force behind what is applied. */
  configuration: LoggedConfiguration = NO_CONFIGURATION;
  #flushedStamp: Stamp = ZERO_STAMP;
  /** The entry in whose middle the flushed memtable was frozen, if it was; 0 later on. */
  #flushedInside = 0;
  /** Whether the current entry is that one. */
  #isSplit = false;
  #offset = 0;
  #ordinal = 0;
  #commandCount = 0;
  #entryBytes = 0;
  #index = 0 as LogIndex;
  #wantResults = false;
  /** Asked when a command could not be decided: true, if the table that it had to read is durably quarantined. */
  onDamage: (cause: EnvelopeError) => boolean = () => false;
  /** A command of a session is refused, and no outcome of it kept: whether that is on disk. */
  onSessionLost: () => boolean = () => false;
  /** A transaction on these keys of a bucket is refused: whether that is on disk. */
  onUndecided: (bucket: number, keys: readonly Uint8Array[]) => boolean = () => false;
  readonly #ahead = new CommandReader();
  /** The keys of the next commands, by their ordinal modulo the most there can be. */
  readonly #keysAhead = new KeysAhead();

  constructor(context: CommandContext) {
    this.#context = context;
  }

  /** What the tables hold: all entries up to an index, and of the next one the commands up to a stamp. */
  continueBehind({ index, stampHigh, stampLow, configuration }: FlushedPosition): void {
    this.#flushedInside = index + 1;
    this.#flushedStamp = { high: stampHigh, low: stampLow };
    this.stampHigh = stampHigh;
    this.stampLow = stampLow;
    this.configuration = configuration;
  }

  /** The entry that `run` works on from now. */
  begin(entry: Uint8Array, wantResults: boolean): void {
    const command = this.#context.command.over(entry);
    this.#index = entryIndex(entry);
    this.entryTerm = entryTerm(entry);
    this.#isSplit = this.#index === this.#flushedInside;
    this.#entryBytes = entry.length;
    this.#offset = ENTRY_HEADER_BYTES;
    this.#ordinal = 0;
    this.#wantResults = wantResults;
    this.#context.store.places?.beginEntry(this.#index);
    const kind = entryKind(command.view);
    this.#commandCount = kind === EntryKind.commands ? command.view.getUint32(ENTRY_COUNT_OFFSET, true) : 0;
    if (kind === EntryKind.configuration) this.configuration = loggedConfiguration(entry) ?? this.configuration;
  }

  /** Applies the rest of the entry; false when a command found no room, which is where the next call goes on. */
  run(): boolean {
    const context = this.#context;
    const command = context.command;
    const { store, fences } = context;
    while (this.#ordinal < this.#commandCount) {
      if (this.#ordinal % KEYS_AHEAD_MAX === 0) this.#lookAhead();
      const next = command.read(this.#offset, this.#entryBytes);
      assert(next > 0, "an entry in the log has been verified");
      if (!this.#isSplit || this.#isAheadOfTables()) {
        // The plain put goes straight to the memtable; everything else may look and answers something.
        const isPut =
          command.type === CommandType.put && command.bucket !== SYSTEM_BUCKET && (command.flags & FLAG_SESSION) === 0;
        const hash = this.#keysAhead.hashes[this.#ordinal % KEYS_AHEAD_MAX]!;
        const isDone = isPut ? fences.has(command.bucket) || applyPut(store, command, hash) : this.#applyOne();
        if (!isDone) return false;
        if (isPut) store.places?.note(command, this.#offset, next - this.#offset);
        this.stampHigh = command.stampHigh;
        this.stampLow = command.stampLow;
      }
      this.#offset = next;
      this.#ordinal += 1;
    }
    return true;
  }

  /** Hashes the keys of the next commands and brings what they will touch into the cache. */
  #lookAhead(): void {
    const { command, store } = this.#context;
    const ahead = this.#ahead;
    const keys = this.#keysAhead;
    const count = Math.min(KEYS_AHEAD_MAX, this.#commandCount - this.#ordinal);
    ahead.bytes = command.bytes;
    ahead.view = command.view;
    keys.count = count;
    let offset = this.#offset;
    for (let i = 0; i < count; i++) {
      offset = ahead.read(offset, this.#entryBytes);
      if (i === 0) keys.valueBytes = ahead.valueEnd - ahead.valueStart;
      const { bucket, bytes, keyStart, keyEnd } = ahead;
      keys.hashes[i] = murmur3(bytes, keyStart, keyEnd, bucket);
    }
    store.active.warm(keys);
  }

  #isAheadOfTables(): boolean {
    const { stampHigh, stampLow } = this.#context.command;
    return compareStamps(stampHigh, stampLow, this.#flushedStamp.high, this.#flushedStamp.low) > 0;
  }

  #applyOne(): boolean {
    const context = this.#context;
    const { type, bucket, flags } = context.command;
    const isOnce = (flags & FLAG_SESSION) !== 0 && bucket !== SESSION_BUCKET;
    const result = isOnce ? this.#decideOnce(bucket) : this.#decide(bucket);
    if (result === null) return false;
    if (this.#wantResults && (isOnce || type !== CommandType.put)) {
      this.results.push({ index: this.#index, ordinal: this.#ordinal, result });
    }
    return true;
  }

  /** As `#decide`, for a command that may have come before: then what it came to is what it comes to. */
  #decideOnce(bucket: number): Result | null {
    const context = this.#context;
    // What is remembered of sessions has to be known: without it the fate of any key would be in doubt.
    const known = knownOutcome(context);
    if (known !== null) return known;
    if (context.fences.has(bucket)) return FENCED;
    if (!hasRoomForOnce(context)) return null;
    return this.#withoutDamage(bucket, this.onSessionLost, () => {
      const result = applyCommand(context);
      if (result !== null) keepOutcome(context, result);
      // A transaction knows only now how much room it needs.
      else assert(context.command.type === CommandType.transaction, "there is room for a command that asked for it");
      return result;
    });
  }

  /**
   * What a command comes to; null: it found no room. One that would have to read a quarantined table changes nothing and
   * answers the damage: `quarantine.ts` says why that is safe. The catalog is not, and what is remembered of sessions is
   * not: there every replica must decide.
   */
  #decide(bucket: number): Result | null {
    const context = this.#context;
    if (bucket !== SYSTEM_BUCKET && context.fences.has(bucket)) return FENCED;
    return this.#withoutDamage(bucket, YES, () => applyCommand(context));
  }

  /** `mayForget`: whether what else follows from the refusal is on disk. */
  #withoutDamage(bucket: number, mayForget: () => boolean, decide: () => Result | null): Result | null {
    try {
      return decide();
    } catch (cause) {
      const mayRefuse = bucket !== SYSTEM_BUCKET && bucket !== SESSION_BUCKET;
      if (!(cause instanceof EnvelopeError) || !mayRefuse || !this.onDamage(cause) || !mayForget()) throw cause;
      const { command } = this.#context;
      if (command.type === CommandType.transaction && !this.onUndecided(bucket, encodedKeys(command.value())))
        throw cause;
      return errorResult(cause.code, cause.message);
    }
  }
}

function applyPut(store: VersionStore, command: CommandReader, keyHash: number): boolean {
  const { bucket, bytes, keyStart, keyEnd } = command;
  return store.insert(
    bucket,
    bytes,
    keyStart,
    keyEnd,
    keyHash,
    command.stampHigh,
    command.stampLow,
    command.origin,
    VersionKind.value,
    command.expiryMs,
    bytes,
    command.valueStart,
    command.valueEnd,
  );
}

function applyCommand(context: CommandContext): Result | null {
  switch (context.command.type) {
    case CommandType.fence:
      return applyFence(context);
    case CommandType.createBucket:
      return applyCreateBucket(context);
    case CommandType.dropBucket:
      return applyDropBucket(context);
    case CommandType.renewBucket:
      return applyRenewBucket(context);
    case CommandType.fenceDone:
      return applyFenceDone(context);
    case CommandType.alterBucket:
      return applyAlterBucket(context);
    case CommandType.foundCluster:
      return applyFoundCluster(context);
    case CommandType.admitMember:
      return applyAdmitMember(context);
    case CommandType.retireMember:
      return applyRetireMember(context);
    case CommandType.forgetMember:
      return applyForgetMember(context);
    case CommandType.changeAccess:
      return applyChangeAccess(context);
    case CommandType.removeAccess:
      return applyRemoveAccess(context);
    case CommandType.foundAccess:
      return applyFoundAccess(context);
    case CommandType.openSession:
      return applyOpenSession(context);
    case CommandType.closeSession:
      return applyCloseSession(context);
    case CommandType.transaction:
      return applyTransaction(context);
    default:
      return applyKeyCommand(context);
  }
}
