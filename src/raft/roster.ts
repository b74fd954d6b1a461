/**
 * The other members of the group as their leader sees them, and the arithmetic of majorities over the voters among them. The
 * leader counts as one of these only if it is a voter itself: one that removes itself is none from the append of that on.
 */
import type { NodeId } from "../core/ids.ts";
import type { Configuration } from "./configuration.ts";
import { Inflight } from "./inflight.ts";
import { Progress } from "./progress.ts";
import { majorityReached } from "./quorum.ts";
import type { RaftOptions } from "./ready.ts";

export class Roster {
  readonly #options: RaftOptions;
  #peers: readonly Progress[] = [];
  #voters: readonly Progress[] = [];
  #isVoter = false;
  /** Room for a number from each voter; the leader's comes last, if it is one. */
  #reached = new Float64Array(0);

  constructor(options: RaftOptions) {
    this.#options = options;
  }

  /** All other members. */
  get peers(): readonly Progress[] {
    return this.#peers;
  }

  get isVoter(): boolean {
    return this.#isVoter;
  }

  /** Whether nobody else votes. */
  get isAlone(): boolean {
    return this.#isVoter && this.#voters.length === 0;
  }

  /** Members that stay go on as they were; of new ones nothing is known, and they are asked about `nextIndex` first. */
  configure({ voters, learners }: Configuration, nextIndex: number): void {
    const { id: self, inflightCountMax, inflightBytesMax } = this.#options;
    const isOther = (id: NodeId): boolean => id !== self;
    const progressOf = (id: NodeId): Progress =>
      this.find(id) ?? new Progress(id, nextIndex, new Inflight(inflightCountMax, inflightBytesMax));
    const others = voters.filter(isOther).map(progressOf);
    this.#peers = [...others, ...learners.filter(isOther).map(progressOf)];
    this.#voters = others;
    this.#isVoter = voters.includes(self);
    this.#reached = new Float64Array(voters.length);
  }

  find(id: NodeId): Progress | undefined {
    return this.#peers.find((peer) => peer.id === id);
  }

  isOtherVoter(id: NodeId): boolean {
    return this.#voters.some((voter) => voter.id === id);
  }

  /** What every other member has on disk. */
  get leastMatch(): number {
    let least = Number.POSITIVE_INFINITY;
    for (const peer of this.#peers) least = Math.min(least, peer.matchIndex);
    return least;
  }

  /** What a majority has on disk. */
  matchReached(own: number): number {
    const reached = this.#reached;
    for (let i = 0; i < this.#voters.length; i++) reached[i] = this.#voters[i]!.matchIndex;
    if (this.#isVoter) reached[this.#voters.length] = own;
    return majorityReached(reached);
  }

  /** The read round that a majority has answered. */
  roundReached(own: number): number {
    const reached = this.#reached;
    for (let i = 0; i < this.#voters.length; i++) reached[i] = this.#voters[i]!.readRound;
    if (this.#isVoter) reached[this.#voters.length] = own;
    return majorityReached(reached);
  }

  /** Whether a majority has been heard of since the last call. */
  checkQuorum(): boolean {
    this.#reached.fill(1);
    for (let i = 0; i < this.#voters.length; i++) if (!this.#voters[i]!.active) this.#reached[i] = 0;
    for (const peer of this.#peers) peer.active = false;
    return majorityReached(this.#reached) === 1;
  }

  /** The voter among the eligible whose disk has most of the log; null if there is none. */
  successor(isEligible: (voter: NodeId) => boolean): NodeId | null {
    let best: Progress | null = null;
    for (const voter of this.#voters) {
      if (isEligible(voter.id) && (best === null || voter.matchIndex > best.matchIndex)) best = voter;
    }
    return best?.id ?? null;
  }
}
