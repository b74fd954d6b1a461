/**
 * The arithmetic of majorities, and nothing else. A group without voters decides everything: that makes the empty half
 * of a joint configuration neutral.
 */
import type { NodeId } from "../core/ids.ts";

export type VoteOutcome = "won" | "lost" | "pending";

export function majorityOf(voterCount: number): number {
  return Math.floor(voterCount / 2) + 1;
}

/**
 * The largest value that a majority of voters has reached; `reached` holds one value a voter and is sorted in place.
 * Infinity for no voters. Hot path: groups are small, so an insertion sort beats everything.
 */
export function majorityReached(reached: Float64Array): number {
  const voterCount = reached.length;
  if (voterCount === 0) return Infinity;
  for (let i = 1; i < voterCount; i++) {
    const value = reached[i]!;
    let slot = i;
    while (slot > 0 && reached[slot - 1]! > value) {
      reached[slot] = reached[slot - 1]!;
      slot--;
    }
    reached[slot] = value;
  }
  return reached[voterCount - majorityOf(voterCount)]!;
}

export function voteOutcome(voterCount: number, granted: number, refused: number): VoteOutcome {
  if (voterCount === 0 || granted >= majorityOf(voterCount)) return "won";
  return voterCount - refused < majorityOf(voterCount) ? "lost" : "pending";
}

/**
 * The votes of one campaign. The first answer of a voter is the one that counts, however often it arrives; what anybody
 * else says counts for nothing, and that may be the candidate itself.
 */
export class VoteTally {
  #voters: readonly NodeId[] = [];
  readonly #answered = new Set<NodeId>();
  #granted = 0;

  /** A campaign begins in which these vote. */
  reset(voters: readonly NodeId[]): void {
    this.#voters = voters;
    this.#answered.clear();
    this.#granted = 0;
  }

  record(voter: NodeId, granted: boolean): VoteOutcome {
    if (this.#voters.includes(voter) && !this.#answered.has(voter)) {
      this.#answered.add(voter);
      if (granted) this.#granted += 1;
    }
    return voteOutcome(this.#voters.length, this.#granted, this.#answered.size - this.#granted);
  }
}
