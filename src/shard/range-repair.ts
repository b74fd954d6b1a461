/**
 * Repair of what a damaged table or value file held, from what another member has in the same ranges of keys
 * (range-source.ts). Behind a damaged file this replica has refused commands, so there it lacks not only what the file held;
 * what is true of the ranges is what somebody whole has applied at some index, all of it and nothing else. So:
 *
 *   begin      nothing more is applied until somebody is found who gives the ranges as of an index that is not behind
 *   holdAt     the member gives them as of this index: entries are applied up to it, and none behind
 *   take       pieces become tables, part of no state yet
 *   end        when exactly that index is applied, all memtables are flushed; then one edit of the manifest takes the place
 *              of everything in the ranges (range-replacement.ts), the damaged file's among it, and says that all is in tables
 *              up to there. The record of the quarantine goes, and applying goes on
 *
 * Until that edit nothing has changed but that applying waits, and giving up only ends the wait. A start begins anew: it has
 * applied who knows what. Moments of the past are not kept over it, because nobody gives them.
 *
 * Another member may be damaged elsewhere and repair itself from here at the same time. Shard thread.
 */
import { EnvelopeError } from "../core/errors.ts";
import type { LogIndex } from "../core/ids.ts";
import type { ShardReply } from "../bridge/shard-protocol.ts";
import type { Logger } from "../env/environment.ts";
import { decodeRangePiece } from "../record/range-piece-format.ts";
import { errorResult, OK, type Result } from "../record/result.ts";
import type { ArrivingTables } from "../storage/arriving-tables.ts";
import { coversRange, SESSION_RANGE } from "../storage/key-ranges.ts";
import type { FlushedPosition } from "../storage/manifest-format.ts";
import type { KeyRange } from "../storage/older-ranges.ts";
import type { RangeReplacement } from "../storage/range-replacement.ts";
import type { Maintenance } from "./maintenance.ts";
import type { Quarantine } from "./quarantine.ts";
import type { VersionStore } from "./version-store.ts";

/** What it is about: they are replaced when a snapshot is installed. */
export interface RepairedParts {
  readonly store: VersionStore;
  readonly quarantine: Quarantine;
  readonly maintenance: Maintenance;
}

export interface RangeRepairPorts {
  reply(reply: ShardReply): void;
  /** The last entry applied, and where tables would say that they end if everything were flushed. */
  position(): FlushedPosition;
  /** The ranges are as they should be. */
  repaired(): void;
}

interface Repair {
  readonly parts: RepairedParts;
  readonly ranges: readonly KeyRange[];
  /** Nothing behind this entry is applied. */
  holdIndex: LogIndex;
  /** The ranges come as of this entry; null: nobody has been found yet. */
  index: LogIndex | null;
  arriving: ArrivingTables | null;
  nextOrdinal: number;
  isComplete: boolean;
  /** Answered when what it has brought is written. */
  pieceRequest: number | null;
  /** Answered at the end. */
  endRequest: number | null;
  flush: "due" | "asked" | "done";
  replacement: RangeReplacement | null;
}

export class RangeRepair {
  readonly #stepBytes: number;
  readonly #log: Logger;
  readonly #ports: RangeRepairPorts;
  #repair: Repair | null = null;

  constructor(stepBytes: number, log: Logger, ports: RangeRepairPorts) {
    this.#stepBytes = stepBytes;
    this.#log = log;
    this.#ports = ports;
  }

  /** Nothing behind this entry may be applied now. */
  get holdIndex(): number {
    return this.#repair?.holdIndex ?? Number.POSITIVE_INFINITY;
  }

  /**
   * The ranges that the `attempt`-th damage asks for, empty when there is none; from here on nothing behind `index` is
   * applied, unless it is only asked what there is.
   */
  begin(parts: RepairedParts, attempt: number, index: LogIndex, holds: boolean): readonly KeyRange[] {
    this.abandon("another repair has begun");
    const ranges = parts.quarantine.rangesOf(attempt);
    if (!holds || ranges.length === 0 || !parts.quarantine.isDurable) return ranges;
    this.#repair = {
      parts,
      ranges,
      holdIndex: index,
      index: null,
      arriving: null,
      nextOrdinal: 0,
      isComplete: false,
      pieceRequest: null,
      endRequest: null,
      flush: "due",
      replacement: null,
    };
    return ranges;
  }

  /** Somebody gives the ranges as of this entry. Throws INVALID_ARGUMENT. */
  holdAt(index: LogIndex): void {
    const repair = this.#expected();
    if (repair.index !== null || index < repair.holdIndex) {
      throw new EnvelopeError("INVALID_ARGUMENT", `entry ${index} is behind what is applied`);
    }
    repair.index = index;
    repair.holdIndex = index;
    repair.arriving = repair.parts.store.tree.arrivingTables();
  }

  /** The next piece; answered when there is room for another. Throws INVALID_ARGUMENT, PROTOCOL, NEWER_FORMAT. */
  take(requestId: number, bytes: Uint8Array): void {
    const repair = this.#expected();
    const { arriving } = repair;
    const piece = decodeRangePiece(bytes);
    const isNext = piece.ordinal === repair.nextOrdinal && piece.index === repair.index && !repair.isComplete;
    if (arriving === null || !isNext || repair.pieceRequest !== null) {
      throw new EnvelopeError("INVALID_ARGUMENT", `piece ${piece.ordinal} is not the next one`);
    }
    arriving.take(piece.versions);
    repair.nextOrdinal += 1;
    repair.isComplete = piece.isLast;
    repair.pieceRequest = requestId;
    if (!arriving.isWriting) this.#answerPiece(repair, piece.isLast);
  }

  /** All pieces have come. Throws INVALID_ARGUMENT. */
  end(requestId: number): void {
    const repair = this.#expected();
    if (!repair.isComplete) throw new EnvelopeError("INVALID_ARGUMENT", "pieces are missing");
    repair.arriving?.finish();
    repair.endRequest = requestId;
  }

  /** One bounded step; true: there is more to do now. What the disk has no room for, or is damaged, ends this repair. Throws IO. */
  step(): boolean {
    const repair = this.#repair;
    if (repair === null) return false;
    try {
      return this.#stepOne(repair);
    } catch (cause) {
      if (!(cause instanceof EnvelopeError) || cause.code === "IO") throw cause;
      repair.parts.quarantine.note(cause);
      if (this.#repair === repair) this.abandon(cause.message, errorResult(cause.code, cause.message));
      return true;
    }
  }

  /** Nothing comes of it. */
  abandon(why: string, result: Result = errorResult("UNAVAILABLE", why)): void {
    const repair = this.#repair;
    if (repair === null) return;
    this.#repair = null;
    repair.replacement?.abort();
    repair.arriving?.discard();
    for (const requestId of [repair.pieceRequest, repair.endRequest]) {
      if (requestId !== null) this.#ports.reply({ type: "done", requestId, result });
    }
    if (repair.index !== null) this.#log.warn("a repair was given up", { index: repair.index, why });
  }

  #expected(): Repair {
    if (this.#repair === null) throw new EnvelopeError("INVALID_ARGUMENT", "no repair is under way");
    return this.#repair;
  }

  #stepOne(repair: Repair): boolean {
    const { arriving } = repair;
    if (arriving?.isWriting === true) {
      if (arriving.writeStep(this.#stepBytes)) return true;
      if (repair.pieceRequest !== null) this.#answerPiece(repair, repair.isComplete);
      return true;
    }
    if (repair.endRequest === null || repair.index === null || arriving === null) return false;
    if (repair.flush !== "done") return this.#flush(repair, repair.index);
    repair.replacement ??= this.#beginReplacement(repair, arriving);
    if (repair.replacement.step(this.#stepBytes)) return true;
    this.#finish(repair);
    return true;
  }

  /** Everything that is applied has to be in tables, and nothing more is applied. */
  #flush(repair: Repair, index: LogIndex): boolean {
    if (repair.flush === "asked" || this.#ports.position().index < index) return false;
    repair.flush = "asked";
    repair.parts.maintenance.request("flush", () => {
      repair.flush = "done";
    });
    return true;
  }

  #beginReplacement({ parts, ranges }: Repair, arriving: ArrivingTables): RangeReplacement {
    const { maintenance, store } = parts;
    maintenance.abandonReaders();
    return store.tree.beginReplacement(ranges, arriving.records, this.#ports.position(), maintenance.dropRule());
  }

  #finish(repair: Repair): void {
    const { ranges, parts, index, endRequest } = repair;
    const { quarantine, store } = parts;
    this.#repair = null;
    store.snapshots.forgetPast(store.lastStamp);
    if (coversRange(ranges, SESSION_RANGE)) quarantine.sessionsRepaired();
    quarantine.keysRepaired(ranges);
    quarantine.sweep();
    this.#log.info("damage was repaired from another member", { index, quarantined: quarantine.records.length });
    this.#ports.repaired();
    if (endRequest !== null) this.#ports.reply({ type: "done", requestId: endRequest, result: OK });
  }

  #answerPiece(repair: Repair, isLast: boolean): void {
    const { pieceRequest } = repair;
    if (pieceRequest === null) return;
    repair.pieceRequest = null;
    this.#ports.reply({ type: "repairTaken", requestId: pieceRequest, isLast });
  }
}
