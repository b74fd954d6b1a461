/**
 * Since when a request stands half sent, or a reply half read. The watch starts anew with every request and whenever enough
 * more has moved, so that a large value over a slow line is no offence, and one byte a second is.
 */
import type { Clock } from "../env/clock.ts";

/** Progress that lets a slow sender go on. */
export const FRAME_PROGRESS_BYTES = 4096;

export class FrameWatch {
  /** On the monotonic clock; 0: nothing is half done. */
  sinceMs = 0;
  readonly #clock: Pick<Clock, "monotonicMs">;
  #byteCount = 0;
  #commandCount = 0;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  stop(): void {
    this.sinceMs = 0;
  }

  /** Something is half done: `byteCount` more bytes have moved, after `commandCount` whole requests in all. */
  progress(byteCount: number, commandCount: number): void {
    this.#byteCount += byteCount;
    const isSame = this.sinceMs !== 0 && this.#commandCount === commandCount;
    if (isSame && this.#byteCount < FRAME_PROGRESS_BYTES) return;
    this.sinceMs = this.#clock.monotonicMs();
    this.#commandCount = commandCount;
    this.#byteCount = 0;
  }
}
