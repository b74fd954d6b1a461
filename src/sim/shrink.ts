/**
 * The least that still goes wrong: a failing run is tried again over a shorter time, without some of its misfortunes, with
 * fewer clients, and whatever still fails takes its place. Misfortunes are left out in ever smaller pieces, as in Zeller and
 * Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002). Any violation counts, not just the first one seen.
 */
import type { ClusterRun } from "./cluster-sim.ts";
import type { Shortening } from "./shortening.ts";

const TIME_SHARES = [0.25, 0.5, 0.75, 0.9];

export interface Least {
  readonly shortening: Shortening;
  readonly run: ClusterRun;
  /** Runs that the search took. */
  readonly tryCount: number;
}

/** `run` gives the run in a shorter form; `failed` is what it gave for `shortening`. At most `triesMax` runs are made. */
export function shrink(
  run: (shortening: Shortening) => ClusterRun,
  shortening: Shortening,
  failed: ClusterRun,
  triesMax: number,
): Least {
  return new Shrinking(run, shortening, failed, triesMax).search();
}

class Shrinking {
  readonly #run: (shortening: Shortening) => ClusterRun;
  readonly #triesMax: number;
  #shortening: Shortening;
  #failed: ClusterRun;
  #tryCount = 0;

  constructor(
    run: (shortening: Shortening) => ClusterRun,
    shortening: Shortening,
    failed: ClusterRun,
    triesMax: number,
  ) {
    this.#run = run;
    this.#shortening = shortening;
    this.#failed = failed;
    this.#triesMax = triesMax;
  }

  search(): Least {
    for (let before = -1; before !== this.#size && this.#tryCount < this.#triesMax; ) {
      before = this.#size;
      this.#shortenTime();
      this.#omitMisfortunes();
      this.#omitClients();
    }
    return { shortening: this.#shortening, run: this.#failed, tryCount: this.#tryCount };
  }

  /** Falls with every step forward. */
  get #size(): number {
    return this.#happened.length * 1e6 + this.#failed.clientCount * 1e5 + this.#failed.troubledMs;
  }

  /** The numbers of the misfortunes that are left. */
  get #happened(): number[] {
    const { omitted } = this.#shortening;
    const numbers = Array.from({ length: this.#failed.misfortuneCount }, (_, i) => i + 1);
    return numbers.filter((number) => !omitted.has(number));
  }

  #shortenTime(): void {
    const { troubledMs } = this.#failed;
    for (const share of TIME_SHARES) {
      if (this.#attempt({ ...this.#shortening, troubledMsMax: Math.ceil(troubledMs * share) })) return;
    }
  }

  #omitMisfortunes(): void {
    const happened = this.#happened;
    for (let piece = happened.length; piece >= 1; piece = Math.floor(piece / 2)) {
      for (let start = 0; start < happened.length; start += piece) {
        const left = happened.slice(start, start + piece).filter((number) => !this.#shortening.omitted.has(number));
        if (left.length === 0) continue;
        this.#attempt({ ...this.#shortening, omitted: new Set([...this.#shortening.omitted, ...left]) });
      }
    }
  }

  #omitClients(): void {
    for (let count = 1; count < this.#failed.clientCount; count++) {
      if (this.#attempt({ ...this.#shortening, clientsMax: count })) return;
    }
  }

  #attempt(shortening: Shortening): boolean {
    if (this.#tryCount >= this.#triesMax) return false;
    this.#tryCount += 1;
    const run = this.#run(shortening);
    if (run.violations.length === 0) return false;
    this.#shortening = shortening;
    this.#failed = run;
    return true;
  }
}
