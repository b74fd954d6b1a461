/**
 * How sure a write is when it is answered, as one number: the milliseconds after which it is on disk at the latest.
 *
 *   0           sync              on disk before the answer
 *   1 … 60,000  interval:<ms>     with the operating system before the answer, on disk so many milliseconds later
 *   65,535      os                with the operating system, which decides
 *
 * What the operating system has survives the process, not a power cut. The smaller number is the stronger promise, so
 * the promise of several writes together is the minimum of theirs. Persisted in entry headers.
 */
export const SYNC = 0;
export const OS_DECIDES = 0xffff;
const INTERVAL_MS_MAX = 60_000;

export type DurabilityLevel = "sync" | "interval" | "os";

export function durabilityLevel(durability: number): DurabilityLevel {
  if (durability === SYNC) return "sync";
  return durability === OS_DECIDES ? "os" : "interval";
}

/** The setting as text: `sync`, `os` or `interval:<ms>`. */
export function durabilityText(durability: number): string {
  const level = durabilityLevel(durability);
  return level === "interval" ? `interval:${durability}` : level;
}

/** The number for a setting, or null when it is none. */
export function parseDurability(text: string): number | null {
  if (text === "sync") return SYNC;
  if (text === "os") return OS_DECIDES;
  const digits = /^interval:([1-9][0-9]{0,4})$/.exec(text)?.[1];
  const ms = Number(digits ?? Number.NaN);
  return ms <= INTERVAL_MS_MAX ? ms : null;
}
