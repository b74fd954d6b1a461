/**
 * Linearizable reads without writing (Raft §8; etcd-io/raft `read_only.go`): a leader notes its commit index, proves by
 * a round of messages sent *afterwards* that a quorum still follows it, and only then lets the read go. The reads of
 * one turn share a round. Rounds are numbered from 1 within a term and carried by appends and heartbeats; an answer to
 * round n answers all rounds before it.
 *
 * A round is also what a lease is made of: whoever answers it has heard the leader after the round was sent.
 */
import type { LogIndex } from "../core/ids.ts";
import type { Outbox } from "./outbox.ts";

interface Round {
  readonly number: number;
  readonly index: LogIndex;
  readonly sentMs: number;
  readonly contexts: readonly number[];
}

export class ReadRounds {
  #gathering: number[] = [];
  readonly #open: Round[] = [];
  #number = 1;

  /** The newest round: what every message carries. */
  get number(): number {
    return this.#number;
  }

  get waiting(): boolean {
    return this.#open.length > 0;
  }

  add(context: number): void {
    this.#gathering.push(context);
  }

  /**
   * Closes the gathering and starts its round; false if nobody reads, or if the round before is still on its way: under
   * load the next one then serves all the readers that have come meanwhile. `again`: that one may have been lost.
   * `always`: even if nobody reads. `nowMs`: before any message of the round has left.
   */
  begin(commitIndex: LogIndex, nowMs: number, again: boolean, always: boolean): boolean {
    if ((this.#gathering.length === 0 && !always) || (this.waiting && !again)) return false;
    this.#number += 1;
    this.#open.push({ number: this.#number, index: commitIndex, sentMs: nowMs, contexts: this.#gathering });
    this.#gathering = [];
    return true;
  }

  /** A quorum has answered this round. Returns when the newest one that this confirms was sent, −∞ if it confirms none. */
  confirm(round: number, outbox: Outbox): number {
    let confirmed = 0;
    let newestMs = Number.NEGATIVE_INFINITY;
    for (const { number, index, sentMs, contexts } of this.#open) {
      if (number > round) break;
      for (const context of contexts) outbox.confirmRead(context, index);
      newestMs = sentMs;
      confirmed += 1;
    }
    if (confirmed > 0) this.#open.splice(0, confirmed);
    return newestMs;
  }

  /** The leadership is over: none of these can be confirmed any more. */
  fail(outbox: Outbox): void {
    for (const { contexts } of this.#open) for (const context of contexts) outbox.failRead(context);
    for (const context of this.#gathering) outbox.failRead(context);
    this.#open.length = 0;
    this.#gathering = [];
  }
}
