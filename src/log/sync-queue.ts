/**
 * Syncs under way. They may end in any order, but the word is passed on in the order of the writes, because a group is
 * durable only when everything before it is too, and the groups before it may lie in another file. The first failure
 * fails everything that is waiting and everything after it. The shard's thread only.
 */
import type { EnvelopeError } from "../core/errors.ts";
import type { LogIndex, LogPosition, Term } from "../core/ids.ts";
import type { Segment } from "./segment.ts";

export type SyncedCallback = (failure: EnvelopeError | null, lastIndex: LogIndex, lastTerm: Term) => void;

/** A group that was written: what to say, and to whom, once it is durable. */
export interface SyncTicket {
  readonly segment: Segment;
  /** Behind the group. */
  readonly endPosition: LogPosition;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  readonly synced: SyncedCallback;
  /** Whether the word is that it is durable, or only that it is written. */
  readonly isSync: boolean;
  done: boolean;
}

export class SyncQueue {
  readonly #waiting: SyncTicket[] = [];
  readonly #delivered: (ticket: SyncTicket) => void;

  /** `delivered` hears of each ticket just before its owner does. */
  constructor(delivered: (ticket: SyncTicket) => void) {
    this.#delivered = delivered;
  }

  get length(): number {
    return this.#waiting.length;
  }

  add(ticket: SyncTicket): void {
    this.#waiting.push(ticket);
  }

  /** Whether a write into this segment is still waiting for its sync. */
  holds(segment: Segment): boolean {
    return this.#waiting.some((ticket) => ticket.segment === segment);
  }

  /** The sync of this ticket succeeded. */
  complete(ticket: SyncTicket): void {
    ticket.done = true;
    for (let first = this.#waiting[0]; first?.done; first = this.#waiting[0]) {
      this.#waiting.shift();
      this.#delivered(first);
      first.synced(null, first.lastIndex, first.lastTerm);
    }
  }

  /** Tells everybody who waits. */
  fail(failure: EnvelopeError): void {
    for (const ticket of this.#waiting.splice(0)) ticket.synced(failure, ticket.lastIndex, ticket.lastTerm);
  }
}
