/**
 * The nodes that a client knows: those it was told, and those they told it of. Gives the channel for a request: to the node
 * that is wanted, or, while that one cannot be reached, to any other, which forwards.
 *
 * A node is one however it is addressed: what a client was told may not be what the cluster says (localhost, a gateway). The
 * address that worked stays.
 */
import type { EnvelopeError } from "../core/errors.ts";
import { Random } from "../core/random.ts";
import type { Topology } from "../wire/binary-messages.ts";
import type { Channel, OpenChannel } from "./channel.ts";
import { ShuttingDownError, UnavailableError } from "./errors.ts";
import { NodePool, type PoolEvents } from "./node-pool.ts";
import type { Patience } from "./patience.ts";
import type { Settings } from "./settings.ts";

type Found = Channel | EnvelopeError;

interface Waiter {
  readonly settle: (found: Found) => void;
  /** It does not wait for nodes to be tried a second time. */
  readonly isHasty: boolean;
}

export class Nodes {
  readonly #settings: Settings;
  readonly #open: OpenChannel;
  readonly #events: PoolEvents;
  readonly #random = new Random(crypto.getRandomValues(new Uint32Array(1))[0] ?? 1);
  #pools: NodePool[] = [];
  #waiters = new Set<Waiter>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  #turn = 0;
  #isClosed = false;

  constructor(settings: Settings, open: OpenChannel, learned: (topology: Topology) => void) {
    this.#settings = settings;
    this.#open = open;
    this.#events = {
      learned: (topology) => {
        this.#learn(topology);
        learned(topology);
      },
      opened: (pool, channel) => this.#opened(pool, channel),
      failed: () => this.#failed(),
    };
    for (const address of settings.nodes) this.#add(address, null);
  }

  /** A moment to wait before the next attempt: the longer, the more there were. */
  pauseMs(attempt: number): number {
    return this.#random.fraction() * Math.min(1_000, 25 * 2 ** attempt);
  }

  /** An open channel: to the node of that name if there is one, else to some other, rather not `avoided`. Null: there is none. */
  channelTo(name: string | null, avoided: Channel | null): Channel | null {
    const wanted = name === null ? undefined : this.#pools.find((pool) => pool.name === name);
    const channel = wanted?.pick() ?? null;
    if (channel !== null && channel !== avoided) return channel;
    const other = this.#anyBut(avoided);
    if (other !== null || avoided === null) return other;
    return this.#pools.some((pool) => pool.has(avoided)) ? avoided : null;
  }

  /**
   * Waits until any channel is open; null: patience was over. An error: every node refuses the client (its password, say),
   * or `isHasty` and no node could be reached when all had been tried.
   */
  wait(patience: Patience, isHasty: boolean): Promise<Found | null> {
    if (this.#isClosed) return Promise.resolve(new ShuttingDownError("the database was closed"));
    let waiter: Waiter | null = null;
    const found = patience.until<Found>((settle) => {
      waiter = { settle, isHasty };
      this.#waiters.add(waiter);
      this.#tryAll();
    });
    return found.finally(() => {
      if (waiter !== null) this.#waiters.delete(waiter);
    });
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const pool of this.#pools) pool.close("the database was closed");
    this.#settle(new ShuttingDownError("the database was closed"), () => true);
  }

  #anyBut(avoided: Channel | null): Channel | null {
    this.#turn += 1;
    for (let i = 0; i < this.#pools.length; i++) {
      const channel = this.#pools[(this.#turn + i) % this.#pools.length]?.pick() ?? null;
      if (channel !== null && channel !== avoided) return channel;
    }
    return null;
  }

  #add(address: string, name: string | null): void {
    const { connectionsPerNode } = this.#settings;
    this.#pools.push(new NodePool(address, name, this.#open, this.#events, this.#random, connectionsPerNode));
  }

  #learn({ members }: Topology): void {
    for (const { name, clientAddress } of members) {
      if (clientAddress === "" || this.#pools.some((pool) => pool.name === name)) continue;
      const sameAddress = this.#pools.find((pool) => pool.address === clientAddress);
      if (sameAddress === undefined) this.#add(clientAddress, name);
      else sameAddress.name = name;
    }
    const isMember = (pool: NodePool): boolean => members.some(({ name }) => name === pool.name);
    this.#pools = this.#pools.filter(
      (pool) => pool.isOpen || pool.isOpening || this.#settings.nodes.includes(pool.address) || isMember(pool),
    );
  }

  #opened(pool: NodePool, channel: Channel): void {
    this.#pools = this.#pools.filter(
      (other) => other === pool || other.name !== pool.name || other.isOpen || other.isOpening,
    );
    this.#settle(channel, () => true);
  }

  #failed(): void {
    if (this.#waiters.size === 0 || this.#pools.some((pool) => pool.isOpening || pool.isOpen)) return;
    const failures = this.#pools.map((pool) => pool.failure).filter((failure) => failure !== null);
    const refusal = failures.find((failure) => failure.retry === "never");
    if (refusal !== undefined) {
      this.#settle(refusal, () => true);
      return;
    }
    const reasons = failures.map((failure) => failure.message).join("; ");
    this.#settle(new UnavailableError(`no node can be reached: ${reasons}`), (waiter) => waiter.isHasty);
    this.#tryLater();
  }

  #tryAll(): void {
    for (const pool of this.#pools) pool.tryToOpen();
    if (!this.#pools.some((pool) => pool.isOpening)) this.#tryLater();
  }

  /** When the first of those that are left alone may be tried again. */
  #tryLater(): void {
    if (this.#timer !== null || this.#isClosed || this.#waiters.size === 0) return;
    const soonest = Math.min(...this.#pools.map((pool) => pool.retryAt));
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        if (this.#waiters.size > 0) this.#tryAll();
      },
      Math.max(1, soonest - performance.now() + 1),
    );
  }

  #settle(found: Found, isMeant: (waiter: Waiter) => boolean): void {
    for (const waiter of [...this.#waiters].filter(isMeant)) {
      this.#waiters.delete(waiter);
      waiter.settle(found);
    }
  }
}
