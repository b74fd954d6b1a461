/** Where each shard's replicas should be, as long as the list of members is the same. Main thread only. */
import type { NodeId } from "../core/ids.ts";
import type { Members } from "./members.ts";
import { placement } from "./placement.ts";
import type { Aim } from "./reconciler.ts";

export class GroupAims {
  readonly #members: Members;
  readonly #factor: number;
  readonly #shardCount: number;
  #aims: readonly Aim[] | null = null;

  constructor(members: Members, factor: number, shardCount: number) {
    this.#members = members;
    this.#factor = factor;
    this.#shardCount = shardCount;
    members.onChange(() => {
      this.#aims = null;
    });
  }

  of(shard: number): Aim {
    this.#aims ??= this.#drawn();
    return this.#aims[shard]!;
  }

  /** Before the catalog has the members, nobody knows their racks, and nobody is moved. */
  #drawn(): readonly Aim[] {
    const members = this.#members.version === 0 ? [] : this.#members.list();
    const forced: NodeId[] = members.filter((member) => member.forced === true).map(({ id }) => id);
    return placement(members, this.#factor, this.#shardCount).map((placed) => ({ placed, forced }));
  }
}
