/**
 * Slows the writes of a shard whose compactions are behind: after each entry the next one waits for as long as the shard
 * says that so many bytes are to wait. The open entry gathers more meanwhile, and only once it is full its clients are
 * paused. So writers are slowed by what the shard cannot take, long before it could take nothing. Main thread only.
 */
import type { SharedState } from "../bridge/shared-state.ts";
import type { Clock } from "../env/clock.ts";

const MIB = 1024 * 1024;
/** Shorter waits than a timer can tell are saved up. */
const WAIT_MS_MIN = 1;

export class WritePace {
  readonly #state: SharedState;
  readonly #clock: Clock;
  readonly #wake: () => void;
  #openAtMs = 0;
  #isWaking = false;

  /** `wake` is called when the next entry may go after it was held back. */
  constructor(state: SharedState, clock: Clock, wake: () => void) {
    this.#state = state;
    this.#clock = clock;
    this.#wake = wake;
  }

  /** Whether the next entry has to wait. */
  get isHolding(): boolean {
    const waitMs = this.#openAtMs - this.#clock.monotonicMs();
    if (waitMs < WAIT_MS_MIN) return false;
    this.#wakeAfter(waitMs);
    return true;
  }

  /** An entry of so many bytes has been proposed. */
  proposed(byteCount: number): void {
    const micros = this.#state.writeDelayMicros;
    if (micros === 0) return;
    const nowMs = this.#clock.monotonicMs();
    this.#openAtMs = Math.max(nowMs, this.#openAtMs) + ((byteCount / MIB) * micros) / 1000;
  }

  #wakeAfter(waitMs: number): void {
    if (this.#isWaking) return;
    this.#isWaking = true;
    this.#clock.after(waitMs, () => {
      this.#isWaking = false;
      this.#wake();
    });
  }
}
