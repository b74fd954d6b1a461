/**
 * How long the open entry of a group with several voters gathers before it is proposed. An entry costs a frame and a sync
 * on every voter whatever is in it, so fewer and larger ones are both faster and cheaper, as long as nobody waits in vain:
 *
 *   an entry is under way    the next one gathers: a majority's answer takes longer than that takes to fill
 *   it has committed         whoever it answered will most likely write again at once, so the open entry waits until about
 *                            as many commands are together as before, at most as long as that commit took
 *   that was in vain         the next times it does not wait, each time twice as often as before
 *
 * Without the second rule the writers fall into two halves, of which one always waits for the other's entry.
 */
import type { Clock } from "../env/clock.ts";

/** Entries on their way to a majority, beyond which a new one gathers. */
const ENTRIES_UNDERWAY = 1;
const HOLD_MS_MAX = 2;
const LOOK_MS = 1;
/** Part of the commands that are expected with which an entry goes. */
const EXPECTED_SHARE = 0.9;
/** Part of the answered writers that has to come back for a wait to have been worth it. */
const WORTHWHILE_SHARE = 0.25;
const SKIPS_MAX = 64;

export class Gathering {
  #expected = 0;
  /** Commands with which the wait was worth it. */
  #worthwhile = 0;
  #untilMs = 0;
  #hasWaited = false;
  /** Commits after which there is no waiting. */
  #skips = 0;
  #skipsNext = 1;
  #isLookSet = false;
  readonly #clock: Clock;
  readonly #wake: () => void;

  /** `wake` brings a turn, in which `waits` is asked again. */
  constructor(clock: Clock, wake: () => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  /** An entry that was proposed at `proposedMs` has answered so many commands; `open` have gathered meanwhile. */
  committed(answered: number, open: number, proposedMs: number): void {
    this.#untilMs = 0;
    this.#hasWaited = false;
    if (this.#skips > 0) {
      this.#skips -= 1;
      return;
    }
    this.#expected = (answered + open) * EXPECTED_SHARE;
    this.#worthwhile = open + answered * WORTHWHILE_SHARE;
    const nowMs = this.#clock.monotonicMs();
    this.#untilMs = nowMs + Math.min(nowMs - proposedMs, HOLD_MS_MAX);
  }

  /** The open entry has gone. */
  proposed(): void {
    this.#untilMs = 0;
  }

  /** Whether the open entry of so many commands waits for more. */
  waits(open: number, underway: number): boolean {
    if (underway >= ENTRIES_UNDERWAY) return true;
    if (this.#untilMs === 0 || open === 0) return false;
    if (open < this.#expected && this.#clock.monotonicMs() < this.#untilMs) {
      this.#hasWaited = true;
      this.#lookAgain();
      return true;
    }
    this.#untilMs = 0;
    if (!this.#hasWaited) return false;
    if (open >= this.#worthwhile) this.#skipsNext = 1;
    else {
      this.#skips = this.#skipsNext;
      this.#skipsNext = Math.min(this.#skipsNext * 2, SKIPS_MAX);
    }
    return false;
  }

  /** Nothing but time may end the wait. */
  #lookAgain(): void {
    if (this.#isLookSet) return;
    this.#isLookSet = true;
    this.#clock.after(LOOK_MS, () => {
      this.#isLookSet = false;
      this.#wake();
    });
  }
}
