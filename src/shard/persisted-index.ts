/**
 * Up to which entry the log of this moment is durable. A group in flight may hold entries that a later append has
 * superseded: its sync then proves only what lies before them. Syncs end in the order in which they began.
 * Shard thread.
 */
import type { LogIndex } from "../core/ids.ts";

/** One group between its write and its sync. */
export interface GroupInFlight {
  /** The last entry the sync will prove. */
  throughIndex: LogIndex;
}

export class PersistedIndex {
  index: LogIndex;
  readonly #inFlight: GroupInFlight[] = [];

  constructor(index: LogIndex) {
    this.index = index;
  }

  /** Entries from `firstIndex` on have been staged; those that stood there count no longer. */
  append(firstIndex: LogIndex): void {
    const before = (firstIndex - 1) as LogIndex;
    if (this.index > before) this.index = before;
    for (const group of this.#inFlight) if (group.throughIndex > before) group.throughIndex = before;
  }

  beginGroup(lastIndex: LogIndex): GroupInFlight {
    const group: GroupInFlight = { throughIndex: lastIndex };
    this.#inFlight.push(group);
    return group;
  }

  endGroup(group: GroupInFlight): void {
    this.dropGroup(group);
    if (group.throughIndex > this.index) this.index = group.throughIndex;
  }

  /** The group was not written after all. */
  dropGroup(group: GroupInFlight): void {
    this.#inFlight.splice(this.#inFlight.indexOf(group), 1);
  }
}
