/**
 * How fast the work behind the scenes has to go so that writers never wait for it at once, and how much writers are
 * slowed when it falls behind all the same. Work is paced by what is written: of what is left, each step does the share
 * that was written of the room that is left, so both come to their ends together. Pure functions; bytes are those of keys
 * and values, about.
 */

/** Of an arena: kept free for what main is late to return, and for all that estimates leave out. */
const ARENA_RESERVE = 0.25;
/** A job reads each byte and writes it again. */
const PASSES = 2;
/** At most so many steps' worth of work at once, however far behind. */
const STEPS_MAX = 32;
/** Where writers are slowed the most: 4 MiB a second. */
const DELAY_MICROS_MAX = 250_000;
/** The most delay comes at so many times the amount at which it begins. */
const STEEPNESS = 4;

export interface Pressure {
  /** Runs beyond those at which a compaction becomes due. */
  readonly excessRuns: number;
  readonly level0Tables: number;
  readonly debtBytes: number;
  /** The debt from which writers are slowed. */
  readonly debtBytesMax: number;
}

/** Bytes of a flush to work off now, so that it ends before the active arena is full. */
export function flushBudget(
  stepBytes: number,
  writtenBytes: number,
  frozenBytes: number,
  doneBytes: number,
  room: { readonly leftBytes: number; readonly arenaBytes: number },
): number {
  const left = Math.max(0, frozenBytes * PASSES - doneBytes);
  const roomLeft = Math.max(stepBytes, room.leftBytes - room.arenaBytes * ARENA_RESERVE);
  return bounded(stepBytes, (writtenBytes * left) / roomLeft);
}

/**
 * Bytes of compaction to work off now beside a flush: the debt is gone before so many runs have come as are needed to
 * slow the writers. 0 while nothing is due.
 */
export function compactionBudget(
  stepBytes: number,
  writtenBytes: number,
  arenaBytes: number,
  pressure: Pressure,
): number {
  const runsLeft = Math.max(0.5, pressure.level0Tables - pressure.excessRuns);
  const wanted = (writtenBytes * pressure.debtBytes * PASSES) / (runsLeft * arenaBytes);
  return Math.ceil(Math.min(wanted, stepBytes * STEPS_MAX));
}

/** Microseconds that a MiB of writes is to wait: none at first, then growing with the square of what is too much. */
export function writeDelayMicros(pressure: Pressure): number {
  const byRuns = excess(pressure.excessRuns, pressure.level0Tables);
  const byDebt = excess(pressure.debtBytes, pressure.debtBytesMax);
  const share = Math.min(1, Math.max(byRuns, byDebt));
  return Math.round(share * share * DELAY_MICROS_MAX);
}

/** 0 up to the limit, 1 at STEEPNESS times it. */
function excess(amount: number, limit: number): number {
  return Math.max(0, (amount - limit) / (limit * (STEEPNESS - 1)));
}

function bounded(stepBytes: number, wanted: number): number {
  return Math.ceil(Math.min(Math.max(stepBytes, wanted), stepBytes * STEPS_MAX));
}
