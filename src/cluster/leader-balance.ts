/** Spreading leaders over the nodes: a leader does more than a follower, and fails together with its node. Any thread. */
import type { NodeId } from "../core/ids.ts";

/** How often a node looks whether it leads too much. Reports of others are a second old or two, so not more often. */
export const BALANCE_MS = 5_000;

/** A node that could lead, and how many shards it leads now. */
export interface Standing {
  readonly node: NodeId;
  readonly leading: number;
}

/** A shard that a node leads, and who could lead it. */
export interface Led {
  readonly shard: number;
  readonly voters: readonly NodeId[];
}

/**
 * Which shard a node had better hand over, and to whom: to the one of all its shards' voters that leads least, if that makes the
 * two more equal; null if it does not. A difference of one is left alone, so leaders come to rest.
 */
export function nextHandOver(
  led: readonly Led[],
  others: readonly Standing[],
): { readonly shard: number; readonly to: NodeId } | null {
  const byLoad = [...others].sort((a, b) => a.leading - b.leading || a.node - b.node);
  for (const { node, leading } of byLoad) {
    if (led.length - leading < 2) return null;
    const ledWithIt = led.findLast(({ voters }) => voters.includes(node));
    if (ledWithIt !== undefined) return { shard: ledWithIt.shard, to: node };
  }
  return null;
}
