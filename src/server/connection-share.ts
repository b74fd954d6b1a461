/**
 * What one connection takes of its tenant's share (turn-shares.ts), and what each thing it does costs: about microseconds, as
 * measured on one machine. That they are in proportion matters, not that they are right. Main thread only.
 */
import type { Pace, Tenant, TurnShares, TurnTaker } from "./turn-shares.ts";

/** A chunk from the socket, and a write to it. */
const RECEIVE_COST = 3;
const SEND_COST = 5;
const COMMAND_COST = 1;
const ARGUMENT_COST = 0.25;
/** Bytes that are parsed, found or copied in a microsecond. */
const BYTES_PER_COST = 2048;
/** What is sent at once while others are active. */
const SEND_SHARED_BYTES_MAX = 64 * 1024;

export class ConnectionShare implements Pace {
  readonly shares: TurnShares;
  tenant: Tenant;
  readonly #taker: TurnTaker;
  #hasEnded = false;

  constructor(shares: TurnShares, taker: TurnTaker, name: string) {
    this.shares = shares;
    this.tenant = shares.enter(name);
    this.#taker = taker;
  }

  /** From now on it is one of this tenant. What comes when the connection has gone changes nothing. */
  become(name: string): void {
    if (name === this.tenant.name || this.#hasEnded) return;
    this.shares.leave(this.tenant, this.#taker);
    this.tenant = this.shares.enter(name);
  }

  /** The connection has gone, or another speaks in its place. */
  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.shares.leave(this.tenant, this.#taker);
  }

  received(): void {
    this.shares.charge(this.tenant, RECEIVE_COST);
  }

  /** A command has come; false: it is over the rate and to be refused. */
  command(argumentCount: number, byteCount: number): boolean {
    this.shares.charge(this.tenant, COMMAND_COST + argumentCount * ARGUMENT_COST + byteCount / BYTES_PER_COST);
    return this.shares.counts(this.tenant);
  }

  /** A value is going to be read, as large as those before it. */
  willRead(): void {
    const { readBytes } = this.tenant;
    if (readBytes >= BYTES_PER_COST) this.shares.charge(this.tenant, readBytes / BYTES_PER_COST);
  }

  hasRead(byteCount: number): void {
    const { tenant } = this;
    if (byteCount >= tenant.readBytes) tenant.readBytes = byteCount;
    else tenant.readBytes -= (tenant.readBytes - byteCount) >> 3;
  }

  /** A command was much work by itself. */
  worked(cost: number): void {
    this.shares.charge(this.tenant, cost);
  }

  sent(byteCount: number): void {
    this.shares.charge(this.tenant, SEND_COST + byteCount / BYTES_PER_COST);
  }

  /** Bytes that may be sent at once. */
  get sendBytesMax(): number {
    return this.shares.isContended ? SEND_SHARED_BYTES_MAX : Number.POSITIVE_INFINITY;
  }

  /** So much is to be sent that it must wait for a share. */
  mustWaitToSend(byteCount: number): boolean {
    return byteCount > this.sendBytesMax && !this.shares.hasShare(this.tenant);
  }

  /** Whether the next command must wait. */
  get isUsedUp(): boolean {
    return !this.shares.admits(this.tenant);
  }

  wait(): void {
    this.shares.wait(this.tenant, this.#taker);
  }
}
