/**
 * Parts a group when that is worst for who belongs to it: its leader is cut off in the moment in which it has proposed a
 * change, and whoever is elected then, who may not know of it, is left with a few. So two leaders change the same group
 * behind each other's backs, one after the other, which is what Raft's rules for a change are about.
 */
import type { Random } from "../core/random.ts";
import { drawn, type Misfortunes } from "./misfortunes.ts";
import type { Nemesis } from "./nemesis.ts";
import type { Range, Scheduler } from "./scheduler.ts";
import type { Wire } from "./sim-network.ts";
import type { SimNode } from "./sim-node.ts";
import type { Trace } from "./trace.ts";

const PARTED_CHANCE = 0.4;
/** Those who stay with a leader that has proposed a change, and with one that is elected then. */
const FOLLOWED_CHANCE = 0.15;
const ELECTED_WITH_CHANCE = 0.35;
const PATIENCE_MS: Range = { min: 60, max: 300 };

export class Schism {
  readonly #scheduler: Scheduler;
  readonly #wire: Wire;
  readonly #trace: Trace;
  readonly #nodes: readonly SimNode[];
  readonly #nemesis: Nemesis;
  readonly #misfortunes: Misfortunes;
  /** The chance of the one that is on; null: none is. */
  #random: Random | null = null;
  #partedCount = 0;

  constructor(
    scheduler: Scheduler,
    wire: Wire,
    trace: Trace,
    nodes: readonly SimNode[],
    nemesis: Nemesis,
    misfortunes: Misfortunes,
  ) {
    this.#scheduler = scheduler;
    this.#wire = wire;
    this.#trace = trace;
    this.#nodes = nodes;
    this.#nemesis = nemesis;
    this.#misfortunes = misfortunes;
  }

  /** To be called when a leader has proposed a change of members. */
  changed(leaderName: string): void {
    if (this.#nemesis.isOver || this.#random !== null) return;
    const misfortune = this.#misfortunes.next();
    if (misfortune === null || !misfortune.random.chance(PARTED_CHANCE)) return;
    this.#random = misfortune.random;
    this.#part(leaderName, misfortune.random, FOLLOWED_CHANCE);
  }

  /** To be called for every new leader. */
  elected(leaderName: string): void {
    if (this.#nemesis.isOver || this.#random === null) return;
    this.#part(leaderName, this.#random, ELECTED_WITH_CHANCE);
  }

  committed(): void {}

  #part(leaderName: string, random: Random, withChance: number): void {
    const side = this.#nodes.filter(({ name }) => name === leaderName || random.chance(withChance));
    this.#trace.note(`nemesis: ${side.map(({ name }) => name).join(" ")} parted from the others`);
    this.#wire.healAll();
    this.#nemesis.isolate(side);
    const parted = ++this.#partedCount;
    this.#scheduler.schedule(drawn(random, PATIENCE_MS), null, () => {
      if (this.#partedCount !== parted) return;
      this.#random = null;
      this.#wire.healAll();
    });
  }
}
