/**
 * The clocks of one simulated node. Both run at a rate of their own (drift); the wall clock can jump as well. Timers
 * follow the monotonic clock and end with the process that set them. A process can be stopped right after it has read a
 * clock, which is where it hurts: what it knows of the time is old when it acts upon it.
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
  #stall: { readingsAhead: number; readonly ms: number } | null = null;

  constructor(scheduler: Scheduler, process: SimProcess, rate: number, wallOffsetMs: number) {
    this.#scheduler = scheduler;
    this.#process = process;
    this.#rate = rate;
    this.#wallOffsetMs = wallOffsetMs;
  }

  wallMs(): number {
    const ms = Math.floor(EPOCH_MS + this.#scheduler.nowMs * this.#rate + this.#wallOffsetMs);
    this.#noteReading();
    return ms;
  }

  monotonicMs(): number {
    const ms = this.#scheduler.nowMs * this.#rate;
    this.#noteReading();
    return ms;
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

  /** Behind the n-th reading from now on (from 1) the process is stopped for so long. */
  planStall(readingsAhead: number, ms: number): void {
    this.#stall = { readingsAhead, ms };
  }

  #noteReading(): void {
    const stall = this.#stall;
    if (stall === null || this.#scheduler.running !== this.#process) return;
    stall.readingsAhead -= 1;
    if (stall.readingsAhead > 0) return;
    this.#stall = null;
    this.#scheduler.stall(stall.ms);
  }
}
