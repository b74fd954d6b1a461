/**
 * The memory that clients make the node hold, all of them together: requests that are half received or wait for their turn,
 * commands queued since MULTI, and replies that have not been read. Each connection has bounds of its own; this one is for
 * thousands that stay within theirs. Beyond it those who hold most are cut off, until the rest fits. Main thread only.
 */
import type { Clock } from "../env/clock.ts";

export interface MemoryHolder {
  /** Bytes it holds now. */
  readonly heldBytes: number;
  /** Bytes it was last counted with. */
  countedBytes: number;
  abort(reason: string): void;
}

export class ClientMemory {
  /** Of all holders, as last counted. */
  bytes = 0;
  /** Holders cut off so far. */
  cutOffCount = 0;
  bytesMax: number;
  readonly #holders: () => Iterable<MemoryHolder>;
  readonly #clock: Clock;
  #isRelieving = false;

  constructor(bytesMax: number, holders: () => Iterable<MemoryHolder>, clock: Clock) {
    this.bytesMax = bytesMax;
    this.#holders = holders;
    this.#clock = clock;
  }

  /** To be called whenever a holder has taken or let go of memory, and is at rest. */
  count(holder: MemoryHolder): void {
    const held = holder.heldBytes;
    this.bytes += held - holder.countedBytes;
    holder.countedBytes = held;
    if (this.bytes <= this.bytesMax || this.#isRelieving) return;
    this.#isRelieving = true;
    this.#clock.soon(() => {
      this.#isRelieving = false;
      this.#relieve();
    });
  }

  forget(holder: MemoryHolder): void {
    this.bytes -= holder.countedBytes;
    holder.countedBytes = 0;
  }

  #relieve(): void {
    if (this.bytes <= this.bytesMax) return;
    const largestFirst = [...this.#holders()].sort((a, b) => b.countedBytes - a.countedBytes);
    for (const holder of largestFirst) {
      if (this.bytes <= this.bytesMax) return;
      this.cutOffCount += 1;
      holder.abort(`clients hold ${this.bytes} bytes, the limit is ${this.bytesMax}, and this one most`);
    }
  }
}
