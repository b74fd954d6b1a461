/**
 * Which threads the system prefers when there are more of them than cores. Linux keeps the nice value for each thread, and
 * sets that of the calling one (setpriority(2), "C library/kernel differences").
 */
import { setPriority } from "node:os";

const BEHIND_OTHERS = 10;

/** From now on this thread gives way to those that somebody waits for. Where that is not possible, it does not. */
export function lowerPriority(): void {
  try {
    setPriority(0, BEHIND_OTHERS);
  } catch {
    // Only speed depends on it.
  }
}
