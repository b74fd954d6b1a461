/**
 * Who has guessed wrongly, and how long they wait: by address, and by the name that was tried, whether there is a user of
 * that name or not. After a few free mistakes each further one doubles the wait. An attempt during the wait is refused
 * without a look at the password. The tables are bounded: the one who has waited longest is forgotten. Main thread only.
 */
interface Mistakes {
  count: number;
  /** Until then nothing is looked at; monotonic milliseconds. */
  untilMs: number;
  lastMs: number;
}

interface Rule {
  readonly freeCount: number;
  readonly firstWaitMs: number;
  readonly longestWaitMs: number;
}

const BY_ADDRESS: Rule = { freeCount: 5, firstWaitMs: 1_000, longestWaitMs: 300_000 };
/** Milder: otherwise anybody could keep a user out by guessing at their name. */
const BY_USER: Rule = { freeCount: 10, firstWaitMs: 500, longestWaitMs: 30_000 };
/** So long after the last mistake they are forgotten. */
const MEMORY_MS = 900_000;
const ENTRIES_MAX = 4_096;

export class LoginThrottle {
  readonly #addresses = new Map<string, Mistakes>();
  readonly #users = new Map<string, Mistakes>();

  /** How long an attempt has to wait from now on; 0: it may be made. */
  waitMs(user: string, host: string, nowMs: number): number {
    return Math.max(waitOf(this.#addresses.get(host), nowMs), waitOf(this.#users.get(user), nowMs));
  }

  failed(user: string, host: string, nowMs: number): void {
    strike(this.#addresses, host, BY_ADDRESS, nowMs);
    strike(this.#users, user, BY_USER, nowMs);
  }

  /** The mistakes at this name are forgiven; those of the address are not, which may hold one good password and guess at others. */
  succeeded(user: string): void {
    this.#users.delete(user);
  }
}

function waitOf(mistakes: Mistakes | undefined, nowMs: number): number {
  return mistakes === undefined ? 0 : Math.max(0, mistakes.untilMs - nowMs);
}

function strike(table: Map<string, Mistakes>, key: string, rule: Rule, nowMs: number): void {
  const known = table.get(key);
  const count = known === undefined || nowMs - known.lastMs > MEMORY_MS ? 1 : known.count + 1;
  const beyond = count - rule.freeCount;
  const waitMs = beyond < 0 ? 0 : Math.min(rule.longestWaitMs, rule.firstWaitMs * 2 ** Math.min(beyond, 30));
  // Taken out first, so that the order of the table is that of the last mistakes.
  table.delete(key);
  const [oldest] = table.keys();
  if (table.size >= ENTRIES_MAX && oldest !== undefined) table.delete(oldest);
  table.set(key, { count, untilMs: nowMs + waitMs, lastMs: nowMs });
}
