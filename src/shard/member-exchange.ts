/**
 * What members of a group give each other besides entries, at the shard's end of it: snapshots that others fetch
 * (shard-snapshots.ts), one that takes the place of all there is here (installer.ts), ranges of keys given to a damaged
 * member (range-source.ts), and this one's own repair (range-repair.ts). It outlives the data that it is about: whenever a
 * snapshot has taken their place it is told what there is now (`continueOn`).
 *
 * What is wrong with a request is its answer; what the disk has failed of is the shard's end. While an installation is coming
 * to its end nothing else is begun. Shard thread.
 */
import { unreachable } from "../core/assert.ts";
import { EnvelopeError } from "../core/errors.ts";
import { logIndex } from "../core/ids.ts";
import type { ShardReply, ShardRequest } from "../bridge/shard-protocol.ts";
import { errorResult, OK, type Result } from "../record/result.ts";
import type { FlushedPosition } from "../storage/manifest-format.ts";
import type { FileClearing } from "./file-clearing.ts";
import { Installer, type PreparedGeneration } from "./installer.ts";
import type { Maintenance } from "./maintenance.ts";
import { RangeRepair } from "./range-repair.ts";
import { RangeSources } from "./range-source.ts";
import { damageCount, lookAtTables, type Recovered } from "./recovery.ts";
import type { ShardEnvironment } from "./shard-environment.ts";
import type { ShardOptions } from "./shard-options.ts";
import { ShardSnapshots } from "./shard-snapshots.ts";
import type { StateMachine } from "./state-machine.ts";

type Of<Type extends ShardRequest["type"]> = Extract<ShardRequest, { type: Type }>;
type ExchangeRequest = Of<
  | "snapshot"
  | "snapshotRead"
  | "snapshotDrop"
  | "installBegin"
  | "installPiece"
  | "installEnd"
  | "empty"
  | "repairBegin"
  | "repairAt"
  | "repairPiece"
  | "repairEnd"
  | "repairAbandon"
  | "rangeOpen"
  | "rangeRead"
  | "rangeClose"
>;

/** What the shard has, and what works on it. */
export interface PresentData {
  readonly parts: Recovered;
  readonly maintenance: Maintenance;
  readonly machine: StateMachine;
}

export interface ExchangeEvents {
  reply(reply: ShardReply): void;
  /** What tables may claim to have now. */
  position(): FlushedPosition;
  /** Damage is gone. */
  repaired(): void;
}

export class MemberExchange {
  readonly #env: ShardEnvironment;
  readonly #options: ShardOptions;
  readonly #reply: (reply: ShardReply) => void;
  readonly #snapshots: ShardSnapshots;
  readonly #installer: Installer;
  readonly #repair: RangeRepair;
  readonly #sources: RangeSources;
  #present: PresentData;
  #prepared: PreparedGeneration | null = null;

  /** Files that nobody needs any more are handed to `clearing`. */
  constructor(
    env: ShardEnvironment,
    options: ShardOptions,
    present: PresentData,
    clearing: FileClearing,
    events: ExchangeEvents,
  ) {
    const { disk, clock, log } = env;
    const { directory, log: identity, stepBytes } = options;
    const { generation, appliedIndex } = present.parts;
    this.#env = env;
    this.#options = options;
    this.#present = present;
    this.#reply = events.reply;
    this.#snapshots = new ShardSnapshots(disk, directory, stepBytes, clearing, events.reply, (cause) =>
      this.#present.parts.quarantine.note(cause),
    );
    this.#installer = new Installer(disk, directory, identity, stepBytes, clearing, generation, appliedIndex);
    this.#repair = new RangeRepair(stepBytes, log, events);
    this.#sources = new RangeSources(clock);
  }

  /** What takes the place of all there is as soon as nobody reads that any more; null: nothing does. */
  get prepared(): PreparedGeneration | null {
    return this.#prepared;
  }

  /** Nothing behind this entry may be applied now. */
  get holdIndex(): number {
    return this.#repair.holdIndex;
  }

  take(request: ExchangeRequest): void {
    switch (request.type) {
      case "snapshot":
        return this.#snapshot(request);
      case "snapshotRead":
        return this.#readSnapshot(request);
      case "snapshotDrop":
        return this.#snapshots.drop(request.id);
      case "installBegin":
        return this.#beginInstall(request);
      case "installPiece":
        return this.#answered(request.requestId, () => {
          this.#installer.write(request.file, request.offset, request.bytes);
          this.#done(request.requestId, OK);
        });
      case "installEnd":
        return this.#answered(request.requestId, () => this.#installer.end(request.requestId));
      case "empty":
        return this.#answered(request.requestId, () => {
          this.#present.parts.hardState.saveVotesFrom(request.votesFrom);
          this.#installer.empty(request.requestId);
        });
      case "repairBegin":
        return this.#beginRepair(request);
      case "repairAt":
        return this.#answered(request.requestId, () => {
          this.#repair.holdAt(request.index);
          this.#done(request.requestId, OK);
        });
      case "repairPiece":
        return this.#answered(request.requestId, () => this.#repair.take(request.requestId, request.bytes));
      case "repairEnd":
        return this.#answered(request.requestId, () => this.#repair.end(request.requestId));
      case "repairAbandon":
        return this.#repair.abandon("it was told to");
      case "rangeOpen":
        return this.#openRange(request);
      case "rangeRead":
        return this.#readRange(request);
      case "rangeClose":
        return this.#sources.close(request.id);
      default:
        return unreachable(request);
    }
  }

  /** A bounded step each of what is going on; true: there is more. */
  step(): boolean {
    const isReading = this.#snapshots.step();
    const isInstalling = this.#stepInstall();
    const isRepairing = this.#repair.step();
    return isReading || isInstalling || isRepairing;
  }

  /** What is here is about to be replaced: nothing of it is given or repaired any more. */
  leave(): void {
    this.#repair.abandon("a snapshot takes the place of everything");
    this.#sources.closeAll();
  }

  /** What was prepared is what there is. */
  continueOn(present: PresentData, prepared: PreparedGeneration): void {
    this.#present = present;
    this.#installer.installed(prepared);
    this.#prepared = null;
  }

  /** The shard stops. */
  close(): void {
    this.#repair.abandon("the shard stops");
    this.#snapshots.close();
    this.#installer.close();
    this.#prepared?.tables.close();
  }

  #done(requestId: number, result: Result): void {
    this.#reply({ type: "done", requestId, result });
  }

  #answered(requestId: number, run: () => void): void {
    try {
      if (this.#installer.isEnding) throw new EnvelopeError("OVERLOADED", "an installation is coming to its end");
      run();
    } catch (cause) {
      if (!(cause instanceof EnvelopeError) || cause.code === "IO") throw cause;
      this.#done(requestId, errorResult(cause.code, cause.message));
    }
  }

  // ---- snapshots for others --------------------------------------------------------------------------------------

  /** Everything applied goes to tables first, unless it would be in vain. */
  #snapshot({ requestId }: Of<"snapshot">): void {
    this.#answered(requestId, () => {
      const { store, tree } = this.#present.parts;
      store.undecided.checkAll();
      this.#snapshots.reserve(tree);
      this.#present.maintenance.request("flush", () => {
        const { tree, log } = this.#present.parts;
        this.#snapshots.make(requestId, tree, log);
      });
    });
  }

  /** Whatever is wrong with a snapshot, its files unreadable even, is the business of who reads it, and of nobody else. */
  #readSnapshot({ requestId, id, file, offset, byteCount }: Of<"snapshotRead">): void {
    try {
      const bytes = this.#snapshots.read(id, file, offset, byteCount);
      this.#reply({ type: "snapshotPiece", requestId, bytes });
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
      this.#done(requestId, errorResult(cause.code, cause.message));
    }
  }

  // ---- an installation -------------------------------------------------------------------------------------------

  #beginInstall({ requestId, description }: Of<"installBegin">): void {
    this.#answered(requestId, () => {
      const held = this.#installer.begin(description, (position) => this.#refuseKnown(position));
      const files = held.map(({ byteCount, heldBytes }) => ({ byteCount, heldBytes }));
      this.#reply({ type: "installBegun", requestId, files });
    });
  }

  /**
   * A snapshot that is behind what is applied, or whose last entry the log has: then all it holds is here, and behind that
   * entry there may be others that this member has acknowledged and must not lose.
   */
  #refuseKnown({ index, term }: FlushedPosition): void {
    const { machine, parts } = this.#present;
    const isHere = index <= machine.appliedIndex || parts.log.termAt(index) === term;
    if (isHere) throw new EnvelopeError("INVALID_ARGUMENT", `everything up to entry ${index} is here already`);
  }

  /** One step towards the end of an installation; true: there is more. */
  #stepInstall(): boolean {
    const installer = this.#installer;
    if (!installer.isEnding) return false;
    const { position } = installer;
    try {
      if (installer.step() === "working") return true;
      if (position !== null) this.#refuseKnown(position);
      this.#prepared = installer.prepare((directory) => lookAtTables(this.#env, this.#options, directory));
    } catch (cause) {
      if (!(cause instanceof EnvelopeError) || cause.code === "IO") throw cause;
      this.#done(installer.takeEnd(), errorResult(cause.code, cause.message));
      if (cause.code === "INVALID_ARGUMENT") installer.abandon();
    }
    return true;
  }

  // ---- repair ----------------------------------------------------------------------------------------------------

  #beginRepair({ requestId, attempt, holds }: Of<"repairBegin">): void {
    const { parts, maintenance, machine } = this.#present;
    const { store, quarantine } = parts;
    const minIndex = logIndex(machine.appliedIndex + (machine.isBetweenEntries ? 0 : 1));
    const ranges = this.#repair.begin({ store, quarantine, maintenance }, attempt, minIndex, holds);
    this.#reply({ type: "repairWanted", requestId, minIndex, ranges });
  }

  #openRange({ requestId, minIndex, ranges }: Of<"rangeOpen">): void {
    const { parts, machine } = this.#present;
    const { appliedIndex: index } = machine;
    this.#answered(requestId, () => {
      const isReady = index >= minIndex && machine.isBetweenEntries;
      if (!isReady) throw new EnvelopeError("UNAVAILABLE", `entry ${minIndex} is not applied here yet`);
      const id = this.#sources.open(parts.store, parts.quarantine, ranges, index);
      this.#reply({ type: "rangeOpened", requestId, id, index, isWhole: damageCount(parts) === 0 });
    });
  }

  #readRange({ requestId, id, ordinal }: Of<"rangeRead">): void {
    const { store, quarantine } = this.#present.parts;
    this.#answered(requestId, () => {
      try {
        const bytes = this.#sources.read(store, quarantine, id, ordinal);
        this.#reply({ type: "rangePiece", requestId, bytes });
      } catch (cause) {
        quarantine.note(cause);
        throw cause;
      }
    });
  }
}
