/**
 * Time as everything outside this folder sees it. Two implementations: `real-clock.ts` and the simulator's.
 * `wallMs` may jump; `monotonicMs` never goes back and has no meaning but its differences.
 */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since 1970, an integer. */
  wallMs(): number;
  /** Milliseconds with a fraction. */
  monotonicMs(): number;
  /** Runs once, not before `ms` have passed. Does not keep the process alive. */
  after(ms: number, run: () => void): Timer;
  /** Runs once, after the events that are already waiting: the end of a turn of the loop. */
  soon(run: () => void): void;
}
