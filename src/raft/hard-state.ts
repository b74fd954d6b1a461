/**
 * Term and vote: what a voter must never forget. A change takes effect at once in memory, but it is `settled` only when
 * the disk has said so, and until then nothing that depends on it may leave the node. Term and vote only ever go
 * forward, (term, nobody) → (term, someone) → (higher term, …), so a report names one state without ambiguity.
 */
import { assert } from "../core/assert.ts";
import { NO_NODE, type NodeId, type Term } from "../core/ids.ts";
import type { HardStateRecord } from "./ready.ts";

export class HardState {
  #term: Term;
  #vote: NodeId;
  #settled = true;
  #handed = true;

  constructor(term: Term, vote: NodeId) {
    this.#term = term;
    this.#vote = vote;
  }

  get term(): Term {
    return this.#term;
  }
  get vote(): NodeId {
    return this.#vote;
  }
  /** Whether the disk has what memory has. */
  get settled(): boolean {
    return this.#settled;
  }

  enterTerm(term: Term, vote: NodeId): void {
    assert(term > this.#term, "the term never falls");
    this.#term = term;
    this.#change(vote);
  }

  voteFor(candidate: NodeId): void {
    assert(this.#vote === NO_NODE || this.#vote === candidate, "one vote a term");
    if (this.#vote !== candidate) this.#change(candidate);
  }

  /** What has to be saved since the last call, or null. */
  take(): HardStateRecord | null {
    if (this.#handed) return null;
    this.#handed = true;
    return { term: this.#term, vote: this.#vote };
  }

  /** The disk's word. True when nothing is left to wait for. */
  saved(term: Term, vote: NodeId): boolean {
    if (term === this.#term && vote === this.#vote) this.#settled = true;
    return this.#settled;
  }

  #change(vote: NodeId): void {
    this.#vote = vote;
    this.#settled = false;
    this.#handed = false;
  }
}
