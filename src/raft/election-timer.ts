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
  #promisedTicks = 0;

  constructor(random: Random, leastTicks: number, quietTicks: number) {
    this.#random = random;
    this.#leastTicks = leastTicks;
    this.#quietTicks = quietTicks;
    this.restart();
  }

  tick(): void {
    this.#elapsed += 1;
    if (this.#quietTicks > 0) this.#quietTicks -= 1;
    if (this.#promisedTicks > 0) this.#promisedTicks -= 1;
  }

  /** A leader has been heard: the time starts again, and until the least timeout has passed it is to be left alone. */
  hear(): void {
    this.reset();
    this.#promisedTicks = this.#leastTicks;
  }

  /** A vote has been given: the time starts again. */
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

  get isLeastPassed(): boolean {
    return this.#elapsed >= this.#leastTicks;
  }

  /** A leader has been heard less than the least timeout ago, in this term or an older one. */
  get isPromised(): boolean {
    return this.#promisedTicks > 0;
  }

  /** A restarted voter may have forgotten whom it promised, just before, not to disturb: for a while it does not vote. */
  get isQuiet(): boolean {
    return this.#quietTicks > 0;
  }
}
