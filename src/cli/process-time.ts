/** Processor time of processes by /proc (Linux): user and system, in microseconds. */
import { readFileSync } from "node:fs";

/** The kernel counts in USER_HZ, which is 100 on every Linux architecture that Bun runs on. */
const MICROS_PER_TICK = 10_000;
const FIELD_USER = 11;
const FIELD_SYSTEM = 12;

/** Null when the process cannot be seen: it has ended, or this is not Linux. */
export function processMicros(pid: number): number | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch (cause) {
    if (cause instanceof Error) return null;
    throw cause;
  }
  // The name in parentheses may hold spaces; the fields are counted behind it, from "state".
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[FIELD_USER]) + Number(fields[FIELD_SYSTEM]);
  return Number.isFinite(ticks) ? ticks * MICROS_PER_TICK : null;
}
