/**
 * Where the large values of the memtables lie in the log, so that a flush can point to them instead of copying them.
 * Memtables know nothing of it: stamps rise along the log, so the places of one arena are columns in the order in which
 * its commands were applied, 20 bytes a value, and a stamp is found in them by halving. Only plain puts are noted, for
 * what other commands come to lies nowhere in the log. Shard thread.
 */
import type { LogIndex } from "../core/ids.ts";
import { compareStamps } from "../core/stamp.ts";
import type { EntryPlace, Log } from "../log/log.ts";
import type { CommandReader } from "../record/command-format.ts";
import type { ValueLocator } from "../storage/separating-cursor.ts";

const PLACES_MIN = 64;

/** Whether nothing may be left in this segment of the log, because it is damaged. */
type DamageTest = (segmentId: number) => boolean;

export class ValuePlaces {
  readonly #log: Log;
  readonly #thresholdBytes: number;
  readonly #entry: EntryPlace = { segmentId: 0, offset: 0 };
  readonly #frozen = new Map<number, PlaceColumns>();
  readonly #isDamaged: DamageTest;
  #active: PlaceColumns;

  constructor(log: Log, thresholdBytes: number) {
    this.#log = log;
    this.#thresholdBytes = thresholdBytes;
    this.#isDamaged = (segmentId) => log.damagedSegments.some(({ id }) => id === segmentId);
    this.#active = new PlaceColumns(this.#isDamaged);
  }

  /** The entry whose commands are noted from now on. */
  beginEntry(index: LogIndex): void {
    this.#log.locate(index, this.#entry);
  }

  /** A put that went into the active memtable. It begins at `offset` of its entry. */
  note(command: CommandReader, offset: number, commandBytes: number): void {
    if (command.valueEnd - command.valueStart < this.#thresholdBytes) return;
    const { segmentId, offset: entryOffset } = this.#entry;
    this.#active.add(command.stampHigh, command.stampLow, segmentId, entryOffset + offset, commandBytes);
  }

  /** The active arena, whose number this is, has been frozen. */
  freeze(arena: number): void {
    this.#frozen.set(arena, this.#active);
    this.#active = new PlaceColumns(this.#isDamaged);
  }

  /** Of a frozen arena. */
  of(arena: number): ValueLocator | null {
    return this.#frozen.get(arena) ?? null;
  }

  /** Of the active arena. */
  get active(): ValueLocator {
    return this.#active;
  }

  /** A frozen arena is in tables. */
  drop(arena: number): void {
    this.#frozen.delete(arena);
  }

  /** The active arena has been emptied. */
  reset(): void {
    this.#active = new PlaceColumns(this.#isDamaged);
  }
}

class PlaceColumns implements ValueLocator {
  segmentId = 0;
  commandOffset = 0;
  commandBytes = 0;
  readonly #isDamaged: DamageTest;
  #count = 0;
  #stampsHigh = new Uint32Array(PLACES_MIN);
  #stampsLow = new Uint32Array(PLACES_MIN);
  #segmentIds = new Uint32Array(PLACES_MIN);
  #offsets = new Uint32Array(PLACES_MIN);
  #byteCounts = new Uint32Array(PLACES_MIN);

  constructor(isDamaged: DamageTest) {
    this.#isDamaged = isDamaged;
  }

  add(stampHigh: number, stampLow: number, segmentId: number, offset: number, byteCount: number): void {
    const at = this.#count;
    if (at === this.#offsets.length) this.#grow();
    this.#stampsHigh[at] = stampHigh;
    this.#stampsLow[at] = stampLow;
    this.#segmentIds[at] = segmentId;
    this.#offsets[at] = offset;
    this.#byteCounts[at] = byteCount;
    this.#count = at + 1;
  }

  find(stampHigh: number, stampLow: number): boolean {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareStamps(this.#stampsHigh[middle]!, this.#stampsLow[middle]!, stampHigh, stampLow) < 0) low = middle + 1;
      else high = middle;
    }
    if (low === this.#count || this.#stampsHigh[low] !== stampHigh || this.#stampsLow[low] !== stampLow) return false;
    this.segmentId = this.#segmentIds[low]!;
    this.commandOffset = this.#offsets[low]!;
    this.commandBytes = this.#byteCounts[low]!;
    return !this.#isDamaged(this.segmentId);
  }

  #grow(): void {
    this.#stampsHigh = grown(this.#stampsHigh);
    this.#stampsLow = grown(this.#stampsLow);
    this.#segmentIds = grown(this.#segmentIds);
    this.#offsets = grown(this.#offsets);
    this.#byteCounts = grown(this.#byteCounts);
  }
}

function grown(column: Uint32Array): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(column.length * 2);
  larger.set(column);
  return larger;
}
