/**
 * A stamp orders every version in the database: a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks",
 * 2014) of 48 bits of milliseconds and a 16-bit counter, kept as two u32 so that hot paths allocate nothing.
 *
 *   high: milliseconds >>> 16          low: (milliseconds & 0xffff) << 16 | counter
 */
import { assert } from "./assert.ts";

export interface Stamp {
  readonly high: number;
  readonly low: number;
}

export const ZERO_STAMP: Stamp = { high: 0, low: 0 };
export const MAX_STAMP: Stamp = { high: 0xffffffff, low: 0xffffffff };

export function compareStamps(aHigh: number, aLow: number, bHigh: number, bLow: number): number {
  return aHigh === bHigh ? aLow - bLow : aHigh - bHigh;
}

/** The wall-clock milliseconds inside a stamp. */
export function stampMilliseconds(high: number, low: number): number {
  return high * 0x10000 + (low >>> 16);
}

/** The leader's clock. `next` is strictly increasing, whatever the wall clock does; `high` and `low` hold the last stamp. */
export class HybridClock {
  high = 0;
  low = 0;

  /** Never again gives a stamp at or below this one. */
  observe(high: number, low: number): void {
    if (compareStamps(high, low, this.high, this.low) > 0) {
      this.high = high;
      this.low = low;
    }
  }

  /** Advances to the next stamp; read it from `high` and `low`. A full counter borrows from the next millisecond. */
  next(wallMilliseconds: number): void {
    const high = Math.floor(wallMilliseconds / 0x10000);
    const low = ((wallMilliseconds % 0x10000) << 16) >>> 0;
    if (compareStamps(high, low, this.high, this.low) > 0) {
      this.high = high;
      this.low = low;
      return;
    }
    if (this.low === 0xffffffff) {
      assert(this.high < 0xffffffff, "the clock never reaches the end of time");
      this.high += 1;
      this.low = 0;
      return;
    }
    this.low += 1;
  }
}
