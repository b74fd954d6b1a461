/**
 * Sessions and sequences for writes that are to be carried out once. A session has room for SESSION_WINDOW writes without an
 * answer, and a sequence is used only when the one so much lower is through with; so there are several sessions, opened
 * when those before are full.
 *
 * A session is given up long before the cluster could forget it: it takes no new writes once half of its time has passed since
 * it was opened, and a write is not sent again when all of it has. Another one takes its place.
 */
import { SESSION_WINDOW } from "../core/session-window.ts";
import type { EnvelopeError } from "../core/errors.ts";
import type { Once } from "../wire/binary-messages.ts";
import type { Patience } from "./patience.ts";

const SESSIONS_MAX = 16;

export interface SessionCalls {
  open(): Promise<number>;
  close(session: number): Promise<void>;
}

interface Waiter {
  readonly settle: (granted: Grant | EnvelopeError) => void;
}

/** The right to send one write, any number of times until `endsAt` (on the monotonic clock). */
export interface Grant {
  readonly session: OpenSession;
  readonly once: Once;
}

export interface OpenSession {
  readonly number: number;
  readonly openedAt: number;
  /** When its writes are not sent again any more. */
  readonly endsAt: number;
  nextSequence: number;
  readonly busy: Uint8Array;
  busyCount: number;
}

export class Sessions {
  readonly #calls: SessionCalls;
  readonly #ttlMs: number;
  /** Those that take writes. */
  #sessions: OpenSession[] = [];
  /** Those that do not any more, until their last write is through with. */
  readonly #retired = new Set<OpenSession>();
  readonly #waiters: Waiter[] = [];
  #isOpening = false;

  constructor(calls: SessionCalls, ttlMs: number) {
    this.#calls = calls;
    this.#ttlMs = ttlMs;
  }

  /** Null: patience was over. An error: no session could be opened. */
  async acquire(patience: Patience): Promise<Grant | EnvelopeError | null> {
    const granted = this.#grant();
    if (granted !== null) return granted;
    let waiter: Waiter | null = null;
    const outcome = await patience.until<Grant | EnvelopeError>((settle) => {
      waiter = { settle };
      this.#waiters.push(waiter);
      this.#openAnother();
    });
    const place = waiter === null ? -1 : this.#waiters.indexOf(waiter);
    if (place >= 0) this.#waiters.splice(place, 1);
    return outcome;
  }

  /** Its write is through with, or will not be asked about again. */
  release({ session, once }: Grant): void {
    session.busy[once.sequence % SESSION_WINDOW] = 0;
    session.busyCount -= 1;
    if (this.#retired.has(session)) this.#closeIfDone(session);
    this.#serve();
  }

  /** The cluster does not know it any more. */
  gone(session: OpenSession): void {
    this.#sessions = this.#sessions.filter((other) => other !== session);
  }

  /** Ends all of them; nothing is acquired afterwards. */
  async close(): Promise<void> {
    const sessions = [...this.#sessions, ...this.#retired];
    this.#sessions = [];
    this.#retired.clear();
    await Promise.all(sessions.map((session) => this.#calls.close(session.number)));
  }

  #grant(): Grant | null {
    this.#retireOld();
    for (const session of this.#sessions) {
      const sequence = session.nextSequence;
      const place = sequence % SESSION_WINDOW;
      if (session.busy[place] !== 0) continue;
      session.busy[place] = 1;
      session.busyCount += 1;
      session.nextSequence += 1;
      return { session, once: { session: session.number, sequence } };
    }
    return null;
  }

  #retireOld(): void {
    const oldest = performance.now() - this.#ttlMs / 2;
    if (!this.#sessions.some((session) => session.openedAt < oldest)) return;
    const old = this.#sessions.filter((session) => session.openedAt < oldest);
    this.#sessions = this.#sessions.filter((session) => session.openedAt >= oldest);
    for (const session of old) {
      this.#retired.add(session);
      this.#closeIfDone(session);
    }
  }

  #closeIfDone(session: OpenSession): void {
    if (session.busyCount > 0) return;
    this.#retired.delete(session);
    void this.#calls.close(session.number);
  }

  #serve(): void {
    while (this.#waiters.length > 0) {
      const granted = this.#grant();
      if (granted === null) {
        this.#openAnother();
        return;
      }
      this.#waiters.shift()?.settle(granted);
    }
  }

  #openAnother(): void {
    if (this.#isOpening || this.#sessions.length >= SESSIONS_MAX) return;
    this.#isOpening = true;
    const openedAt = performance.now();
    this.#calls.open().then(
      (number) => {
        this.#isOpening = false;
        const endsAt = openedAt + this.#ttlMs;
        const busy = new Uint8Array(SESSION_WINDOW);
        this.#sessions.push({ number, openedAt, endsAt, nextSequence: 1, busy, busyCount: 0 });
        this.#serve();
      },
      (error: EnvelopeError) => {
        this.#isOpening = false;
        for (const waiter of this.#waiters.splice(0)) waiter.settle(error);
      },
    );
  }
}
