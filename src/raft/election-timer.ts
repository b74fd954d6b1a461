/**
 * When to campaign, and when to keep still. Counted in ticks; the timeout is drawn anew from [least, 2 × least) for
 * every round, so that two candidates do not meet for ever (Raft §5.2).
 */
import type { Random } from "../core/random.ts";

export class ElectionTimer {
  readonly #random: Random;
  readonly #leastTicks: number;
  #elapsed = 0;
  #timeout = 0;
  #quietTicks: number;

  constructor(random: Random, leastTicks: number, quietTicks: number) {
    this.#random = random;
    this.#leastTicks = leastTicks;
    this.#quietTicks = quietTicks;
    this.restart();
  }

  tick(): void {
    this.#elapsed += 1;
    if (this.#quietTicks > 0) this.#quietTicks -= 1;
  }

  /** A leader has been heard, or a vote given: the time starts again. */
  reset(): void {
    this.#elapsed = 0;
  }

  restart(): void {
    this.#elapsed = 0;
    this.#timeout = this.#random.between(this.#leastTicks, 2 * this.#leastTicks - 1);
  }

  get isExpired(): boolean {
    return this.#elapsed >= this.#timeout;
  }

  /** Whether even the least timeout has passed: until then a leader that was heard is to be left alone. */
  get isLeastPassed(): boolean {
    return this.#elapsed >= this.#leastTicks;
  }

  /** A restarted voter may have forgotten whom it promised, just before, not to disturb: for a while it does not vote. */
  get isQuiet(): boolean {
    return this.#quietTicks > 0;
  }
}
