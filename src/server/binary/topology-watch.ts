/**
 * Who leads which shard and where the members are, for the clients of this node; and who wants to be told when that changes.
 * While somebody does, it is looked at again every few milliseconds: what it is made of changes in many places and is small.
 * Main thread only.
 */
import type { Coordinator } from "../../cluster/coordinator.ts";
import { POINTS_PER_SHARD } from "../../core/token-table.ts";
import type { Clock, Timer } from "../../env/clock.ts";
import type { Topology } from "../../wire/binary-messages.ts";

const LOOK_MS = 50;

type Listener = (topology: Topology) => void;

export class TopologyWatch {
  readonly #coordinator: Coordinator;
  readonly #clock: Clock;
  readonly #listeners = new Set<Listener>();
  #topology: Topology;
  #timer: Timer | null = null;

  constructor(coordinator: Coordinator, clock: Clock) {
    this.#coordinator = coordinator;
    this.#clock = clock;
    this.#topology = seen(coordinator, 1);
  }

  /** As it is now. */
  current(): Topology {
    const now = seen(this.#coordinator, this.#topology.version);
    if (JSON.stringify(now) !== JSON.stringify(this.#topology)) this.#topology = { ...now, version: now.version + 1 };
    return this.#topology;
  }

  add(listener: Listener): void {
    this.#listeners.add(listener);
    if (this.#timer === null) this.#lookLater();
  }

  remove(listener: Listener): void {
    this.#listeners.delete(listener);
  }

  #lookLater(): void {
    this.#timer = this.#clock.after(LOOK_MS, () => {
      this.#timer = null;
      if (this.#listeners.size === 0) return;
      const before = this.#topology.version;
      const topology = this.current();
      if (topology.version !== before) for (const tell of [...this.#listeners]) tell(topology);
      this.#lookLater();
    });
  }
}

function seen(coordinator: Coordinator, version: number): Topology {
  const members = coordinator.members().map(({ name, rack, state, connected, report }) => ({
    name,
    clientAddress: report?.clientAddress ?? "",
    rack,
    isLeaving: state === "leaving",
    isConnected: connected,
  }));
  const leaders = coordinator.shards().map(({ leader }) => members.findIndex(({ name }) => name === leader));
  return { version, shardCount: coordinator.shardCount, pointsPerShard: POINTS_PER_SHARD, members, leaders };
}
