/**
 * The requests of one binary client that have no answer yet. Each has a number of its own, the tag under which its operation
 * is submitted; ids are the client's. A request may be answered before its operation comes back (cancelled, or its deadline
 * has passed): then the number stays taken until it does, and what comes is dropped.
 *
 * One timer serves all deadlines of the client. Main thread only.
 */
import { assert } from "../../core/assert.ts";
import type { Clock, Timer } from "../../env/clock.ts";
import type { ReplyForm } from "./replies.ts";

/** Deadlines that lie closer together than this are looked at together. */
const DEADLINE_GRAIN_MS = 5;

export interface PendingRequest {
  readonly tag: number;
  readonly id: number;
  /** On the monotonic clock; infinite: none. */
  readonly deadlineMs: number;
  /** How its results are worded: one for each operation; none where it is worded by whoever waits for it. */
  readonly forms: readonly ReplyForm[];
  readonly kind: "operation" | "batch" | "other";
  /** Something may have been changed by it. */
  readonly mayWrite: boolean;
  isAnswered: boolean;
  /** Lets go of what it holds; called once, when it is answered. */
  stop: (() => void) | null;
}

const NO_FORMS: readonly ReplyForm[] = [];

export class PendingRequests {
  readonly #clock: Clock;
  readonly #expired: (pending: PendingRequest) => void;
  readonly #byTag: (PendingRequest | null)[] = [];
  readonly #freeTags: number[] = [];
  readonly #byId = new Map<number, PendingRequest>();
  #weight = 0;
  #timer: Timer | null = null;
  #timerMs = Number.POSITIVE_INFINITY;

  /** `expired` is called for a request whose deadline has passed; it answers it. */
  constructor(clock: Clock, expired: (pending: PendingRequest) => void) {
    this.#clock = clock;
    this.#expired = expired;
  }

  /** Operations under way, those included whose requests were answered before. */
  get weight(): number {
    return this.#weight;
  }

  /** Requests without an answer. */
  get count(): number {
    return this.#byId.size;
  }

  find(id: number): PendingRequest | null {
    return this.#byId.get(id) ?? null;
  }

  /** A request whose operations come back under its tag, or are gathered by somebody. */
  begin(id: number, deadlineMs: number, kind: "operation" | "batch", forms: readonly ReplyForm[]): PendingRequest {
    const mayWrite = kind === "operation" ? forms[0]!.isWrite : forms.some(({ isWrite }) => isWrite);
    return this.#add(id, deadlineMs, kind, forms, mayWrite);
  }

  /** One that is worded by whoever waits for it. */
  beginOther(id: number, deadlineMs: number, mayWrite: boolean): PendingRequest {
    return this.#add(id, deadlineMs, "other", NO_FORMS, mayWrite);
  }

  #add(
    id: number,
    deadlineMs: number,
    kind: PendingRequest["kind"],
    forms: readonly ReplyForm[],
    mayWrite: boolean,
  ): PendingRequest {
    const tag = this.#freeTags.pop() ?? this.#byTag.length;
    const pending: PendingRequest = { tag, id, deadlineMs, forms, kind, mayWrite, isAnswered: false, stop: null };
    this.#byTag[tag] = pending;
    this.#byId.set(id, pending);
    this.#weight += weightOf(pending);
    if (deadlineMs < this.#timerMs) this.#arm(deadlineMs);
    return pending;
  }

  /** Its operations have come back. */
  end(tag: number): PendingRequest {
    const pending = this.#byTag[tag] ?? null;
    assert(pending !== null, "an operation comes back once");
    this.#byTag[tag] = null;
    this.#freeTags.push(tag);
    this.#weight -= weightOf(pending);
    return pending;
  }

  /** It is answered now, whatever becomes of its operations; false: it has been before. */
  answer(pending: PendingRequest): boolean {
    if (pending.isAnswered) return false;
    pending.isAnswered = true;
    this.#byId.delete(pending.id);
    pending.stop?.();
    pending.stop = null;
    return true;
  }

  /** The client has gone: nothing is answered any more. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = null;
    for (const pending of [...this.#byId.values()]) this.answer(pending);
  }

  #arm(deadlineMs: number): void {
    this.#timer?.cancel();
    this.#timerMs = deadlineMs;
    const delayMs = Math.max(DEADLINE_GRAIN_MS, deadlineMs - this.#clock.monotonicMs());
    this.#timer = this.#clock.after(delayMs, () => this.#sweep());
  }

  #sweep(): void {
    this.#timer = null;
    this.#timerMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.monotonicMs();
    const due: PendingRequest[] = [];
    let nextMs = Number.POSITIVE_INFINITY;
    for (const pending of this.#byId.values()) {
      if (pending.deadlineMs <= nowMs) due.push(pending);
      else if (pending.deadlineMs < nextMs) nextMs = pending.deadlineMs;
    }
    if (nextMs !== Number.POSITIVE_INFINITY) this.#arm(nextMs);
    for (const pending of due) this.#expired(pending);
  }
}

function weightOf({ forms }: PendingRequest): number {
  return Math.max(1, forms.length);
}
