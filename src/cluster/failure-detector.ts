/**
 * How much one peer is to be suspected of having failed (Hayashibara and others, "The φ Accrual Failure Detector", 2004).
 * It learns in which intervals signs of life usually come, and says how unlikely the silence since the last one is: φ = 1 is
 * a chance of one in ten that a living peer is silent for so long, φ = 8 one in a hundred million. For display and routing,
 * never for safety: who leads is decided by votes. Main thread only.
 */

/** Intervals that are remembered. */
const WINDOW = 100;
/** Before anything is known, a sign of life is expected about so often as it is sent, give or take half of that. */
const SPREAD_AT_FIRST = 0.5;
/** No peer is so regular that a smaller deviation would mean something. */
const SPREAD_MIN = 0.1;
/** What is not told apart any more. */
const PHI_MAX = 100;

export class FailureDetector {
  readonly #intervals = new Float64Array(WINDOW);
  #count = 0;
  #next = 0;
  #sum = 0;
  #sumOfSquares = 0;
  #lastMs: number;

  /** `expectedMs`: how often signs of life are sent. */
  constructor(expectedMs: number, nowMs: number) {
    this.#lastMs = nowMs;
    this.#add(expectedMs * (1 - SPREAD_AT_FIRST));
    this.#add(expectedMs * (1 + SPREAD_AT_FIRST));
  }

  /** A sign of life. */
  heard(nowMs: number): void {
    this.#add(nowMs - this.#lastMs);
    this.#lastMs = nowMs;
  }

  /** Milliseconds since the last sign of life. */
  silentMs(nowMs: number): number {
    return nowMs - this.#lastMs;
  }

  phi(nowMs: number): number {
    const mean = this.#sum / this.#count;
    const variance = Math.max(0, this.#sumOfSquares / this.#count - mean * mean);
    const deviation = Math.max(Math.sqrt(variance), mean * SPREAD_MIN);
    return Math.min(PHI_MAX, -Math.log10(laterThan((this.silentMs(nowMs) - mean) / deviation)));
  }

  #add(intervalMs: number): void {
    if (this.#count === WINDOW) {
      const oldest = this.#intervals[this.#next]!;
      this.#sum -= oldest;
      this.#sumOfSquares -= oldest * oldest;
    } else this.#count += 1;
    this.#intervals[this.#next] = intervalMs;
    this.#next = (this.#next + 1) % WINDOW;
    this.#sum += intervalMs;
    this.#sumOfSquares += intervalMs * intervalMs;
  }
}

/**
 * The chance that a normal variable lies above so many deviations, by a logistic curve that is off by no more than 0.00014
 * (Bowling and others, "A logistic approximation to the cumulative normal distribution", 2009).
 */
function laterThan(deviations: number): number {
  const exponential = Math.exp(-deviations * (1.5976 + 0.070_566 * deviations * deviations));
  return deviations > 0 ? exponential / (1 + exponential) : 1 - 1 / (1 + exponential);
}
