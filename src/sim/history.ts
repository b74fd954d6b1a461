/**
 * What the clients of a run asked and were told. Calls and returns are numbered in the order in which they happened,
 * which in one thread is the real-time order that linearizability speaks of.
 *
 * A *session* is one connection. Its operations on one key take effect in the order in which they were sent, even
 * while several are under way: a read sees the writes its connection sent before it, answered or not, or something
 * newer, and never one that was sent after it. A write whose fate nobody knows any more is bound only while it was
 * waited for: it may not come after an operation sent later that has been answered meanwhile.
 *
 * A read that may show what was current for some time before it is an ordinary one that was called so much earlier (see
 * moments.ts), in a session of its own.
 *
 * A command of a client session (client-session.ts) is one call, however often it was sent: it takes effect once, between
 * its first call and the answer that one of its attempts was given. Once it is sent again, what its connection sent later may
 * come before it. If its session ends first, nobody knows its fate, but from then on it does not happen any more.
 */
import type { OrderedPair } from "./linearizability.ts";
import { isRead, type KeyInput } from "./key-model.ts";
import { Moments } from "./moments.ts";

export interface Call {
  readonly bucket: string;
  readonly key: string;
  readonly input: KeyInput;
  readonly session: number;
  readonly calledAt: number;
  /** Null: unknown. */
  outcome: { readonly output: string; readonly returnedAt: number } | null;
  /** When it turned out that the outcome would stay unknown. */
  forsakenAt: number;
  /** It is a command of a client session, and more than one attempt was made at it. */
  wasSentAgain: boolean;
  /** From then on it cannot take effect any more. */
  goneAt: number;
  /** It certainly did not happen, or it was a read that told nothing. */
  void: boolean;
}

/** A bucket was emptied, or maybe was. */
export interface Renewal {
  readonly bucket: string;
  readonly calledAt: number;
  /** Null: nobody knows whether, and when. */
  returnedAt: number | null;
  void: boolean;
}

export class History {
  readonly #calls: Call[] = [];
  readonly #renewals: Renewal[] = [];
  readonly #moments: Moments;
  #sessionCount = 0;
  #answeredCount = 0;

  /** `nowMs`: the time that the age of what is read is measured in. */
  constructor(nowMs: () => number) {
    this.#moments = new Moments(nowMs);
  }

  get callCount(): number {
    return this.#calls.length;
  }

  /** Calls with a known outcome. */
  get answeredCount(): number {
    return this.#answeredCount;
  }

  /** Buckets certainly emptied. */
  get renewalCount(): number {
    return this.#renewals.filter(({ returnedAt }) => returnedAt !== null).length;
  }

  newSession(): number {
    return ++this.#sessionCount;
  }

  /** Until it is settled its outcome is unknown. */
  call(bucket: string, key: string, input: KeyInput, session: number): Call {
    return this.#called(bucket, key, input, session, this.#moments.next());
  }

  /** A read that may show whatever was current at some time in the last `staleMs`. */
  staleRead(bucket: string, key: string, input: KeyInput, staleMs: number): Call {
    this.#moments.next();
    return this.#called(bucket, key, input, this.newSession(), this.#moments.firstWithin(staleMs));
  }

  #called(bucket: string, key: string, input: KeyInput, session: number, calledAt: number): Call {
    const fate = { outcome: null, forsakenAt: Infinity, wasSentAgain: false, goneAt: Infinity, void: false };
    const call = { bucket, key, input, session, calledAt, ...fate };
    this.#calls.push(call);
    return call;
  }

  returned(call: Call, output: string): void {
    call.outcome = { output, returnedAt: this.#moments.next() };
    this.#answeredCount += 1;
  }

  notExecuted(call: Call): void {
    call.void = true;
  }

  /** Nothing will be heard of it any more. */
  forsaken(call: Call): void {
    call.forsakenAt = this.#moments.next();
  }

  sentAgain(call: Call): void {
    call.wasSentAgain = true;
  }

  /** It has happened, or never will. */
  gone(call: Call): void {
    this.forsaken(call);
    call.goneAt = call.forsakenAt;
  }

  renew(bucket: string): Renewal {
    const renewal = { bucket, calledAt: this.#moments.next(), returnedAt: null, void: false };
    this.#renewals.push(renewal);
    return renewal;
  }

  renewed(renewal: Renewal): void {
    renewal.returnedAt = this.#moments.next();
  }

  /** Everything that happened, or may have happened, by key. */
  keys(): readonly KeyHistory[] {
    const byName = new Map<string, KeyHistory & { readonly calls: Call[] }>();
    for (const call of this.#calls) {
      if (call.void || (call.outcome === null && isRead(call.input))) continue;
      const { bucket, key } = call;
      const name = `${bucket}/${key}`;
      const renewals = this.#renewals.filter((renewal) => renewal.bucket === bucket && !renewal.void);
      const known = byName.get(name) ?? { bucket, key, renewals, calls: [] };
      byName.set(name, known);
      known.calls.push(call);
    }
    return [...byName.values()];
  }
}

/** What happened to one key, or one set of keys, and to its bucket. */
export interface KeyHistory {
  readonly bucket: string;
  readonly key: string;
  readonly calls: readonly Call[];
  readonly renewals: readonly Renewal[];
}

/**
 * The order in which these calls, on one key, have to take effect because a connection sent them so, or because one of them
 * was known to be over when the other one was sent.
 */
export function sessionOrder(
  calls: readonly Pick<Call, "session" | "outcome" | "calledAt" | "forsakenAt" | "wasSentAgain" | "goneAt">[],
): OrderedPair[] {
  const pairs: OrderedPair[] = [];
  for (const [second, later] of calls.entries()) {
    const { outcome } = later;
    for (const [first, earlier] of calls.entries()) if (earlier.goneAt < later.calledAt) pairs.push([first, second]);
    if (outcome === null) continue;
    let chained = false;
    for (let first = second - 1; first >= 0; first--) {
      const earlier = calls[first]!;
      if (earlier.session !== later.session || earlier.wasSentAgain) continue;
      if (earlier.outcome === null) {
        if (earlier.forsakenAt > outcome.returnedAt) pairs.push([first, second]);
      } else if (!chained) {
        chained = true;
        // Otherwise real time orders them.
        if (earlier.outcome.returnedAt > later.calledAt) pairs.push([first, second]);
      }
    }
  }
  return pairs;
}
