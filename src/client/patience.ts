/**
 * How long one call may still take, and whether its caller has lost interest: one timer and one listener for all that
 * the call waits for on its way, one after the other.
 */

export type Impatience = "timeout" | "abort";

export class Patience {
  /** Why it is over, or null. */
  over: Impatience | null = null;
  readonly signal: AbortSignal | null;
  readonly timeoutMs: number;
  readonly #endsAt: number;
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #abort = (): void => this.#end("abort");
  #onEnd: (() => void) | null = null;

  constructor(timeoutMs: number, signal: AbortSignal | null) {
    this.signal = signal;
    this.timeoutMs = timeoutMs;
    this.#endsAt = performance.now() + timeoutMs;
    this.#timer = setTimeout(() => this.#end("timeout"), timeoutMs);
    signal?.addEventListener("abort", this.#abort);
    if (signal?.aborted === true) this.#end("abort");
  }

  /** At least 1. */
  get remainingMs(): number {
    return Math.max(1, Math.ceil(this.#endsAt - performance.now()));
  }

  /** What `start` settles with; null once patience is over. */
  until<T>(start: (settle: (value: T) => void) => void): Promise<T | null> {
    if (this.over !== null) return Promise.resolve(null);
    return new Promise((resolve) => {
      this.#onEnd = () => resolve(null);
      start((value) => {
        this.#onEnd = null;
        resolve(value);
      });
    });
  }

  async sleep(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await this.until<true>((settle) => {
      timer = setTimeout(() => settle(true), ms);
    });
    clearTimeout(timer);
  }

  /** The call has ended. */
  release(): void {
    clearTimeout(this.#timer);
    this.signal?.removeEventListener("abort", this.#abort);
  }

  #end(why: Impatience): void {
    if (this.over !== null) return;
    this.over = why;
    const run = this.#onEnd;
    this.#onEnd = null;
    run?.();
  }
}
