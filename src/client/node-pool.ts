/**
 * The channels to one node. A node that cannot be reached is left alone for a while, longer each time, by chance more or
 * less (exponential backoff with full jitter), so that many clients do not come back at the same moment.
 */
import type { EnvelopeError } from "../core/errors.ts";
import type { Random } from "../core/random.ts";
import type { Topology } from "../wire/binary-messages.ts";
import type { Channel, OpenChannel } from "./channel.ts";
import { UnavailableError } from "./errors.ts";

const BACKOFF_MS_MIN = 25;
const BACKOFF_MS_MAX = 2_000;

export interface PoolEvents {
  learned(topology: Topology): void;
  opened(pool: NodePool, channel: Channel): void;
  failed(pool: NodePool): void;
}

export class NodePool {
  readonly address: string;
  /** As the topology has it, or as the node said itself. */
  name: string | null;
  /** Why it could not be reached when it was tried last; null: it was, or was not tried. */
  failure: EnvelopeError | null = null;
  /** On the monotonic clock: before that it is not tried again. */
  retryAt = 0;
  readonly #open: OpenChannel;
  readonly #events: PoolEvents;
  readonly #random: Random;
  readonly #channelsMax: number;
  readonly #channels: Channel[] = [];
  #opening = 0;
  #failures = 0;
  #isClosed = false;

  constructor(
    address: string,
    name: string | null,
    open: OpenChannel,
    events: PoolEvents,
    random: Random,
    channelsMax: number,
  ) {
    this.address = address;
    this.name = name;
    this.#open = open;
    this.#events = events;
    this.#random = random;
    this.#channelsMax = channelsMax;
  }

  get isOpen(): boolean {
    return this.#channels.length > 0;
  }

  get isOpening(): boolean {
    return this.#opening > 0;
  }

  /** Whether this is one of its open channels. */
  has(channel: Channel): boolean {
    return this.#channels.includes(channel);
  }

  /** The channel with the least to do; another one is opened behind it while there may be more. Null: none is open. */
  pick(): Channel | null {
    if (this.#channels.length < this.#channelsMax) this.tryToOpen();
    let best: Channel | null = null;
    for (const channel of this.#channels) {
      if (best === null || channel.underway < best.underway) best = channel;
    }
    return best;
  }

  /** Unless it has just failed, or is being tried. */
  tryToOpen(): void {
    if (this.#isClosed || this.#opening > 0 || performance.now() < this.retryAt) return;
    void this.#openOne();
  }

  close(reason: string): void {
    this.#isClosed = true;
    for (const channel of [...this.#channels]) channel.close(reason);
  }

  async #openOne(): Promise<void> {
    this.#opening += 1;
    let opened: Channel | null = null;
    let hasEnded = false;
    try {
      opened = await this.#open(this.address, {
        learned: (topology) => this.#events.learned(topology),
        closed: (reason) => {
          hasEnded = true;
          this.failure = new UnavailableError(reason);
          this.#ended(opened);
        },
      });
    } catch (cause) {
      this.#opening -= 1;
      this.#failed(cause as EnvelopeError);
      return;
    }
    this.#opening -= 1;
    if (this.#isClosed) opened.close("the database was closed");
    // It may end in the moment in which it is opened.
    if (this.#isClosed || hasEnded) {
      this.#events.failed(this);
      return;
    }
    this.#failures = 0;
    this.failure = null;
    this.name = opened.node;
    this.#channels.push(opened);
    this.#events.opened(this, opened);
  }

  #failed(error: EnvelopeError): void {
    this.failure = error;
    this.#leaveAlone();
    this.#events.failed(this);
  }

  #ended(channel: Channel | null): void {
    const place = channel === null ? -1 : this.#channels.indexOf(channel);
    if (place >= 0) this.#channels.splice(place, 1);
    this.#leaveAlone();
  }

  #leaveAlone(): void {
    const most = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** this.#failures);
    this.#failures += 1;
    this.retryAt = performance.now() + most * this.#random.fraction();
  }
}
