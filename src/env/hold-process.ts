/**
 * The process goes on as long as there is something that it waits for; timers of the environment and threads are nothing of
 * that kind. Whoever has work that must be finished holds it meanwhile.
 */
const HOLD_MS = 60_000;

/** Until what it returns is called. */
export function holdProcess(): () => void {
  const timer = setInterval(() => undefined, HOLD_MS);
  return () => clearInterval(timer);
}
