/**
 * Who comes to a simulated cluster and who goes, in the season of members. New nodes join through whoever is up. A node that
 * is to leave is told so by its operator, and gives away what it has by itself. A node may also lose its disk for good; then
 * its operator lets it go and brings another one. Only so many are lost as a cluster has to endure: one at a time, until
 * the cluster has forgotten it, and none whose loss would leave no majority of any group as anybody's log has it.
 */
import type { Random } from "../core/random.ts";
import type { MemberRecord } from "../record/member-format.ts";
import { censusOf } from "./rest.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SimNode } from "./sim-node.ts";
import type { Trace } from "./trace.ts";

/** Nodes there are at once. */
const NODES_MAX = 6;
/** As many stay at least as a shard has replicas. */
const STAYING_MIN = 3;
/** How often an operator tries to let a node go, until the cluster knows. */
const OPERATOR_MS = 150;

export class Turnover {
  readonly #scheduler: Scheduler;
  readonly #trace: Trace;
  readonly #nodes: readonly SimNode[];
  readonly #recruit: (name: string) => SimNode;
  readonly #leaving = new Set<string>();
  #lost: SimNode | null = null;

  /** `recruit`: makes another node, one of `nodes` from then on. */
  constructor(scheduler: Scheduler, trace: Trace, nodes: readonly SimNode[], recruit: (name: string) => SimNode) {
    this.#scheduler = scheduler;
    this.#trace = trace;
    this.#nodes = nodes;
    this.#recruit = recruit;
  }

  join(random: Random): void {
    if (this.#nodes.filter((node) => !node.isRetired).length >= NODES_MAX) return;
    const node = this.#recruit(`n${this.#nodes.length + 1}`);
    const { random: chance } = this.#scheduler;
    node.seedName = () => {
      const members = this.#nodes.filter((one) => one.isUp && one !== node && one.members.length > 0);
      return (members[chance.below(Math.max(1, members.length))] ?? this.#nodes[0] ?? node).name;
    };
    this.#scheduler.schedule(random.below(100), null, () => {
      if (!node.isUp && !node.isRetired) node.start();
    });
  }

  leave(victim: SimNode): void {
    const staying = this.#census.filter(({ name, state }) => state === "member" && !this.#leaving.has(name));
    if (staying.length > STAYING_MIN && staying.some(({ name }) => name === victim.name)) this.#letGo(victim.name);
  }

  replace(victim: SimNode, random: Random): void {
    const census = this.#census;
    const isKnown = (node: SimNode): boolean => census.some(({ name }) => name === node.name);
    if ((this.#lost !== null && isKnown(this.#lost)) || !isKnown(victim) || !this.#isSpare(victim)) return;
    this.#trace.note(`${victim.name} loses its disk for good`);
    this.#lost = victim;
    victim.retire();
    this.#letGo(victim.name);
    this.join(random);
  }

  get #census(): readonly MemberRecord[] {
    return censusOf(this.#nodes);
  }

  /** By every log, those of nodes that are down, too. */
  #isSpare(victim: SimNode): boolean {
    const isGone = (name: string): boolean =>
      name === victim.name || this.#nodes.some((node) => node.name === name && node.isRetired);
    return this.#nodes.every(
      (node) =>
        node.isRetired ||
        node.votersKnown.every((voters) => voters.filter((name) => !isGone(name)).length * 2 > voters.length),
    );
  }

  #letGo(name: string): void {
    this.#leaving.add(name);
    const again = (): void => {
      const record = this.#census.find((member) => member.name === name);
      if (record?.state === "leaving") return;
      const up = this.#nodes.filter((node) => node.memberAdmin !== null);
      const node = up[this.#scheduler.random.below(Math.max(1, up.length))];
      // Its process may end at any time, and its answer never come: that is why it is asked again.
      if (record !== undefined && node?.process?.alive === true)
        node.memberAdmin?.retire(record, false, () => undefined);
      this.#scheduler.schedule(OPERATOR_MS, null, again);
    };
    this.#trace.note(`${name} is to leave the cluster`);
    again();
  }
}
