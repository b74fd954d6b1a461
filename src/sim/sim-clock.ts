/**
 * The clocks of one simulated node. Both run at a rate of their own (drift); the wall clock can jump as well. Timers
 * follow the monotonic clock and end with the process that set them.
 */
import type { Clock, Timer } from "../env/clock.ts";
import type { Scheduler, SimProcess } from "./scheduler.ts";

/** 2026-01-01, a date that simulated nodes believe in. */
export const EPOCH_MS = 1_767_225_600_000;

export class SimClock implements Clock {
  readonly #scheduler: Scheduler;
  readonly #process: SimProcess;
  /** Clock milliseconds per virtual millisecond. */
  readonly #rate: number;
  #wallOffsetMs: number;

  constructor(scheduler: Scheduler, process: SimProcess, rate: number, wallOffsetMs: number) {
    this.#scheduler = scheduler;
    this.#process = process;
    this.#rate = rate;
    this.#wallOffsetMs = wallOffsetMs;
  }

  wallMs(): number {
    return Math.floor(EPOCH_MS + this.#scheduler.nowMs * this.#rate + this.#wallOffsetMs);
  }

  monotonicMs(): number {
    return this.#scheduler.nowMs * this.#rate;
  }

  after(ms: number, run: () => void): Timer {
    return this.#scheduler.schedule(ms / this.#rate, this.#process, run);
  }

  soon(run: () => void): void {
    this.#scheduler.schedule(0, this.#process, run);
  }

  /** The wall clock is set forwards or backwards. */
  jump(ms: number): void {
    this.#wallOffsetMs += ms;
  }
}
