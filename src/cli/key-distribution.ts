/**
 * Which key comes next. `zipfian` is the generator of Gray et al., "Quickly Generating Billion-Record Synthetic
 * Databases" (SIGMOD 1994), as YCSB uses it (theta 0.99), with the ranks spread over the key space by a hash, so that
 * hot keys are not neighbours.
 */
import type { Random } from "../core/random.ts";

const THETA = 0.99;
const SPREAD = 0x9e3779b1;

export type Distribution = "uniform" | "zipfian";

/** A function that gives the next key number in [0, keyCount). */
export function keyDistribution(kind: Distribution, keyCount: number, random: Random): () => number {
  return kind === "uniform" ? () => random.below(keyCount) : zipfian(keyCount, random);
}

function zipfian(keyCount: number, random: Random): () => number {
  let zeta = 0;
  for (let rank = 1; rank <= keyCount; rank++) zeta += 1 / rank ** THETA;
  const zetaOfTwo = 1 + 0.5 ** THETA;
  const alpha = 1 / (1 - THETA);
  const eta = (1 - (2 / keyCount) ** (1 - THETA)) / (1 - zetaOfTwo / zeta);
  const rankOf = (fraction: number): number => {
    const scaled = fraction * zeta;
    if (scaled < 1) return 0;
    if (scaled < zetaOfTwo) return 1;
    return Math.min(keyCount - 1, Math.floor(keyCount * (eta * fraction - eta + 1) ** alpha));
  };
  return () => (Math.imul(rankOf(random.fraction()), SPREAD) >>> 0) % keyCount;
}
