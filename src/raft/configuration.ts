/**
 * Who belongs to the group. Voters elect and decide; learners are sent everything and count for nothing. A configuration
 * counts from the moment its entry is appended, committed or not, and goes with that entry when it is truncated (Raft
 * §6; thesis §4.1). Voters change one at a time, so that majorities before and after have a voter in common.
 *
 * A member that is in no configuration, because it is new, has the one without anybody.
 */
import { assert } from "../core/assert.ts";
import type { LogIndex, NodeId } from "../core/ids.ts";

export interface Configuration {
  readonly voters: readonly NodeId[];
  readonly learners: readonly NodeId[];
}

/** A configuration and the index of its entry. */
export interface PlacedConfiguration {
  readonly index: LogIndex;
  readonly configuration: Configuration;
}

export const NOBODY: Configuration = { voters: [], learners: [] };

export function isMember({ voters, learners }: Configuration, id: NodeId): boolean {
  return voters.includes(id) || learners.includes(id);
}

/** Whether `to` may follow `from`: at most one voter comes or goes, one stays, and nobody is named twice. */
export function isSingleChange(from: Configuration, to: Configuration): boolean {
  const members = [...to.voters, ...to.learners];
  if (to.voters.length === 0 || new Set(members).size < members.length) return false;
  const added = to.voters.filter((voter) => !from.voters.includes(voter)).length;
  const removed = from.voters.filter((voter) => !to.voters.includes(voter)).length;
  return added + removed <= 1;
}

/** The configurations of the retained log, ascending, and before them the one in force at its start. */
export class Configurations {
  #placed: PlacedConfiguration[] = [];

  constructor(placed: readonly PlacedConfiguration[]) {
    for (const { index, configuration } of placed) this.push(index, configuration);
  }

  get current(): Configuration {
    return this.#placed.at(-1)?.configuration ?? NOBODY;
  }

  /** Whether nobody else votes. */
  isAlone(id: NodeId): boolean {
    const { voters } = this.current;
    return voters.length === 1 && voters[0] === id;
  }

  /** Whether there is anybody to send entries to. */
  get hasSeveral(): boolean {
    const { voters, learners } = this.current;
    return voters.length + learners.length > 1;
  }

  /** Where the current one stands in the log; 0 for the first members. */
  get currentIndex(): LogIndex {
    return this.#placed.at(-1)?.index ?? (0 as LogIndex);
  }

  /** The one that comes back if the current one is truncated. */
  get previous(): Configuration {
    return this.#placed.at(-2)?.configuration ?? NOBODY;
  }

  push(index: LogIndex, configuration: Configuration): void {
    assert(this.#placed.length === 0 || index > this.currentIndex, "configurations follow each other along the log");
    this.#placed.push({ index, configuration });
  }

  truncateFrom(index: number): void {
    while (this.#placed.length > 0 && this.currentIndex >= index) this.#placed.pop();
  }

  /** The log begins at `firstIndex` now. */
  releaseBelow(firstIndex: number): void {
    while (this.#placed.length > 1 && this.#placed[1]!.index < firstIndex) this.#placed.shift();
  }
}
