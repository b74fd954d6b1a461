/** Time of a real node. Timers never keep the process alive: what does is the open ports. */
import type { Clock, Timer } from "./clock.ts";

export class RealClock implements Clock {
  wallMs(): number {
    return Date.now();
  }

  monotonicMs(): number {
    return performance.now();
  }

  after(ms: number, run: () => void): Timer {
    const timer = setTimeout(run, ms);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  }

  soon(run: () => void): void {
    setImmediate(run);
  }
}
