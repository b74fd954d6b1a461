/** How a simulated client wants its reads to be answered. */
import type { ReadMode } from "../cluster/coordinator.ts";
import type { Random } from "../core/random.ts";

export interface ReadChoice {
  readonly mode: ReadMode;
  readonly staleMs: number;
}

export const LINEARIZABLE: ReadChoice = { mode: "linearizable", staleMs: 0 };
export const LEASE: ReadChoice = { mode: "lease", staleMs: 0 };
/** Reads that are not answered as the others of their connection. */
export const OTHER_READS = 0.1;

const SHARES: readonly (readonly [ReadMode, number])[] = [
  ["lease", 0.25],
  ["follower", 0.3],
  ["stale", 0.2],
];
/** From less than a message takes to several election timeouts. */
const STALE_MS: readonly number[] = [0, 5, 20, 60, 150];

export function chooseReadMode(random: Random): ReadChoice {
  let rest = random.fraction();
  for (const [mode, share] of SHARES) {
    rest -= share;
    if (rest >= 0) continue;
    return { mode, staleMs: mode === "stale" ? (STALE_MS[random.below(STALE_MS.length)] ?? 0) : 0 };
  }
  return LINEARIZABLE;
}
