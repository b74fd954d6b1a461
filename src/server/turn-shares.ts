/**
 * How tenants share the turns of a node. A tenant is a user, or, of connections without a login, a bucket. What a tenant's
 * commands cost is counted, roughly in microseconds of this thread; while several tenants are active, each may spend
 * `allowance` in a turn, and what is beyond waits for the next one: deficit round robin (Shreedhar and Varghese, 1995) with the
 * turn for a round. A cost that is known only afterwards is a debt, paid by turns without a share. Whoever is alone is held
 * up only by what would keep the node from its heartbeats, and a turn without work is short, so nothing is lost but the
 * batches that would have been larger.
 *
 *   connection ──charge(tenant, cost)──▶ spent ─┬─ < allowance: goes on
 *                                               └─ otherwise: wait(tenant, taker) ──turn──▶ taker.takeTurn()
 *
 * A tenant may have a rate as well: commands a second, with a second's worth at once (the virtual scheduling algorithm of
 * ITU-T I.371). Beyond it connections wait; when so many wait that the last would do so for too long, commands are refused.
 *
 * A turn is the node's: shares are given anew when the one before has ended, or, while there is none ahead, at once.
 * Main thread only.
 */
import { assert } from "../core/assert.ts";
import type { Clock, Timer } from "../env/clock.ts";

/** What all tenants together may spend in a turn, while there are several. */
const TURN_COST = 240;
const ALLOWANCE_MIN = 40;
/** What a tenant may spend in a turn when no other is active: far more than usual commands come to in one. */
const ALONE_COST = 20_000;
/** A tenant counts as active so long after its last command. */
const ACTIVE_MS = 1_000;
const LOOK_MS = 50;
/** Commands a second that may come at once. */
const BURST_MS = 1_000;

const BUCKET_PREFIX = "bucket ";
const USER_PREFIX = "user ";

/** Somebody who waits for a share. */
export interface TurnTaker {
  takeTurn(): void;
}

/** What shares depend on. */
export interface ShareSource {
  isTurnAhead(): boolean;
  /** Commands a second of a tenant; 0: any. */
  rateOf(name: string): number;
}

/** Whose share is used by work that goes on behind a command. */
export interface Pace {
  readonly shares: TurnShares;
  readonly tenant: Tenant;
}

export class Tenant {
  readonly name: string;
  connectionCount = 0;
  /** In this turn, and debts. */
  spent = 0;
  /** Milliseconds from one command to the next by its rate; 0: it has none. */
  intervalMs = 0;
  /** When the next command would come if all came at the rate. */
  nextMs = 0;
  /** Bytes that a read is expected to bring: what they brought lately. */
  readBytes = 0;
  /** Commands that were refused because of the rate. */
  refusedCount = 0;
  isCharged = false;
  activeMs = Number.NEGATIVE_INFINITY;
  /** In the order in which they came. */
  readonly waiting = new Set<TurnTaker>();

  constructor(name: string) {
    this.name = name;
  }
}

/** The tenant of connections on a bucket without a login. */
export function tenantOf(bucket: string): string {
  return BUCKET_PREFIX + bucket;
}

export function userTenant(user: string): string {
  return USER_PREFIX + user;
}

export function parseTenant(tenant: string): { readonly kind: "user" | "bucket"; readonly name: string } {
  if (tenant.startsWith(USER_PREFIX)) return { kind: "user", name: tenant.slice(USER_PREFIX.length) };
  return { kind: "bucket", name: tenant.slice(BUCKET_PREFIX.length) };
}

export class TurnShares {
  /** What a tenant may spend in a turn. */
  allowance = ALONE_COST;
  /** How long a connection may be held up by the rate, in the mean. */
  delayMsMax: number;
  /** Times that somebody had to wait for a share. */
  waitCount = 0;
  readonly #clock: Clock;
  readonly #node: ShareSource;
  readonly #tenants = new Map<string, Tenant>();
  readonly #active = new Set<Tenant>();
  readonly #waiting = new Set<Tenant>();
  /** Without a connection, but ahead of their rate. */
  readonly #left = new Set<Tenant>();
  #charged: Tenant[] = [];
  #isScheduled = false;
  /** Shares have been given since the last turn ended. */
  #isGiven = false;
  #lookedMs = 0;
  #timer: Timer | null = null;
  #timerMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, delayMsMax: number, node: ShareSource) {
    this.#clock = clock;
    this.delayMsMax = delayMsMax;
    this.#node = node;
  }

  /** Several tenants are active. */
  get isContended(): boolean {
    return this.allowance !== ALONE_COST;
  }

  get activeCount(): number {
    return this.#active.size;
  }

  /** A connection becomes one of this tenant. */
  enter(name: string): Tenant {
    let tenant = this.#tenants.get(name);
    if (tenant === undefined) {
      tenant = new Tenant(name);
      tenant.intervalMs = this.#intervalOf(name);
      this.#tenants.set(name, tenant);
    }
    tenant.connectionCount += 1;
    return tenant;
  }

  leave(tenant: Tenant, taker: TurnTaker): void {
    tenant.waiting.delete(taker);
    tenant.connectionCount -= 1;
    assert(tenant.connectionCount >= 0, "a connection leaves a tenant once");
    if (tenant.connectionCount > 0) return;
    this.#active.delete(tenant);
    this.#forgetLater(tenant);
  }

  /** Whoever comes again finds the rate as it was left: no reconnecting brings more. */
  #forgetLater(tenant: Tenant): void {
    const aheadMs = tenant.nextMs - this.#clock.monotonicMs();
    if (aheadMs <= 0) this.#tenants.delete(tenant.name);
    else this.#left.add(tenant);
  }

  #forgetLeft(nowMs: number): void {
    for (const tenant of this.#left) {
      if (tenant.connectionCount === 0 && tenant.nextMs > nowMs) continue;
      this.#left.delete(tenant);
      if (tenant.connectionCount === 0) this.#tenants.delete(tenant.name);
    }
  }

  /** Rates are asked for anew. */
  ratesChanged(): void {
    for (const tenant of this.#tenants.values()) {
      const intervalMs = this.#intervalOf(tenant.name);
      if (intervalMs === tenant.intervalMs) continue;
      tenant.intervalMs = intervalMs;
      tenant.nextMs = 0;
    }
    if (this.#waiting.size > 0) this.#schedule();
  }

  #intervalOf(name: string): number {
    const rate = this.#node.rateOf(name);
    return rate === 0 ? 0 : 1_000 / rate;
  }

  // ── on the hot path ──

  charge(tenant: Tenant, cost: number): void {
    tenant.spent += cost;
    if (tenant.isCharged) return;
    tenant.isCharged = true;
    this.#charged.push(tenant);
    this.#schedule();
  }

  /** Whether the tenant may do more in this turn. */
  hasShare(tenant: Tenant): boolean {
    return tenant.spent < this.allowance;
  }

  /** Whether its next command may be looked at. */
  admits(tenant: Tenant): boolean {
    if (tenant.spent >= this.allowance) return false;
    return this.#isWithinRate(tenant) || this.#isTooLong(tenant);
  }

  /** A command has come; false: it is to be refused, because too many wait already. */
  counts(tenant: Tenant): boolean {
    if (tenant.intervalMs === 0) return true;
    if (!this.#isWithinRate(tenant)) {
      tenant.refusedCount += 1;
      return false;
    }
    tenant.nextMs = Math.max(tenant.nextMs, this.#clock.monotonicMs()) + tenant.intervalMs;
    return true;
  }

  /** `taker` is to be called when the tenant has a share again. */
  wait(tenant: Tenant, taker: TurnTaker): void {
    this.waitCount += 1;
    tenant.waiting.add(taker);
    this.#waiting.add(tenant);
    this.#schedule();
  }

  // ── turns ──

  /** The node has carried out what was asked of it. */
  turnEnded(): void {
    this.#isGiven = false;
    if (this.#charged.length > 0 || this.#waiting.size > 0) this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#clock.soon(this.#give);
  }

  readonly #give = (): void => {
    this.#isScheduled = false;
    // The turn that is ahead has been given its share of work; its end comes back here.
    if (this.#isGiven && this.#node.isTurnAhead()) return;
    this.#isGiven = true;
    this.#settle(this.#clock.monotonicMs());
    for (const tenant of this.#waiting) this.#serve(tenant);
    if (this.#charged.length > 0) this.#schedule();
    this.#wakeForRates();
  };

  /** What was spent is paid from the allowance; whoever has spent more owes the rest. */
  #settle(nowMs: number): void {
    const { allowance } = this;
    let owing = 0;
    for (const tenant of this.#charged) {
      tenant.activeMs = nowMs;
      if (tenant.connectionCount > 0) this.#active.add(tenant);
      tenant.spent = tenant.spent > allowance ? tenant.spent - allowance : 0;
      tenant.isCharged = tenant.spent > 0;
      if (tenant.isCharged) this.#charged[owing++] = tenant;
    }
    this.#charged.length = owing;
    if (nowMs - this.#lookedMs > LOOK_MS) {
      this.#lookedMs = nowMs;
      this.#forgetLeft(nowMs);
      for (const tenant of this.#active) if (nowMs - tenant.activeMs > ACTIVE_MS) this.#active.delete(tenant);
    }
    const count = this.#active.size;
    this.allowance = count < 2 ? ALONE_COST : Math.max(ALLOWANCE_MIN, TURN_COST / count);
  }

  #serve(tenant: Tenant): void {
    for (const taker of tenant.waiting) {
      if (!this.hasShare(tenant) || !this.#isWithinRate(tenant)) return;
      tenant.waiting.delete(taker);
      taker.takeTurn();
    }
    if (tenant.waiting.size === 0) this.#waiting.delete(tenant);
  }

  // ── rates ──

  #isWithinRate(tenant: Tenant): boolean {
    return tenant.intervalMs === 0 || tenant.nextMs <= this.#clock.monotonicMs() + BURST_MS;
  }

  /** Whether one more that waits would wait for too long. */
  #isTooLong(tenant: Tenant): boolean {
    return tenant.waiting.size * tenant.intervalMs > this.delayMsMax;
  }

  /** Nothing may come before those who wait because of their rate may go on. */
  #wakeForRates(): void {
    let dueMs = Number.POSITIVE_INFINITY;
    for (const tenant of this.#waiting) if (tenant.intervalMs > 0) dueMs = Math.min(dueMs, tenant.nextMs - BURST_MS);
    if (dueMs >= this.#timerMs) return;
    this.#timer?.cancel();
    this.#timerMs = dueMs;
    this.#timer = this.#clock.after(Math.max(1, dueMs - this.#clock.monotonicMs()), () => {
      this.#timer = null;
      this.#timerMs = Number.POSITIVE_INFINITY;
      this.#schedule();
    });
  }
}
