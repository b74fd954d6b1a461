/**
 * Says in the log who was not let in through a port, and why: the first few of a minute each with a line, the others
 * together with one, so that somebody who knocks without end does not fill the disk. Whoever else wants to know is told of each.
 * Main thread only.
 */
import type { Clock } from "../env/clock.ts";
import type { Logger } from "../env/environment.ts";

const LINES_MAX = 5;
const PERIOD_MS = 60_000;

export type Refused = (from: string, why: string) => void;

export class RefusalLog {
  onRefused: Refused = () => undefined;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #port: string;
  #count = 0;

  /** `port` as operators call it. */
  constructor(clock: Clock, log: Logger, port: string) {
    this.#clock = clock;
    this.#log = log;
    this.#port = port;
  }

  note(from: string, why: string): void {
    this.#count += 1;
    if (this.#count === 1) this.#clock.after(PERIOD_MS, () => this.#sum());
    this.onRefused(from, why);
    if (this.#count <= LINES_MAX) this.#log.warn("connection refused", { port: this.#port, from, why });
  }

  #sum(): void {
    const unsaid = this.#count - LINES_MAX;
    this.#count = 0;
    if (unsaid > 0) this.#log.warn("more connections refused", { port: this.#port, count: unsaid });
  }
}
