/** Signals that ask a command to end: the first one politely, a second one at once. */

const EXIT_BASE = 128;
const NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
export type StopSignal = keyof typeof NUMBERS;

/**
 * Aborts (with the signal's name as the reason) at the first signal; `again` gets the exit code that the second one
 * stands for. Signals in `ignored` are swallowed.
 */
export function stopSignals(ignored: readonly StopSignal[], again: (exitCode: number) => void): AbortSignal {
  const stop = new AbortController();
  for (const signal of Object.keys(NUMBERS) as StopSignal[]) {
    process.on(signal, () => {
      if (ignored.includes(signal)) return;
      if (stop.signal.aborted) again(EXIT_BASE + NUMBERS[signal]);
      else stop.abort(signal);
    });
  }
  return stop.signal;
}

/** Resolves with the reason once the signal is aborted. */
export function whenAborted(signal: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    const settle = (): void => resolve(String(signal.reason));
    if (signal.aborted) settle();
    else signal.addEventListener("abort", settle, { once: true });
  });
}
