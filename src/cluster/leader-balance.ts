/** Spreading leaders over the nodes: a leader does more than a follower, and fails together with its node. Any thread. */
import { NO_NODE, type NodeId } from "../core/ids.ts";

/** How often a node looks whether it leads too much. Reports of others are a second old or two, so not more often. */
export const BALANCE_MS = 5_000;

/** A node that could lead, and how many shards it leads now. */
export interface Standing {
  readonly node: NodeId;
  readonly leading: number;
}

/**
 * Who is to take over one shard from a node that leads `ownLeading`: the one that leads least, if that makes the two more
 * equal; NO_NODE if nobody is. A difference of one is left alone, so leaders come to rest.
 */
export function lighterNode(ownLeading: number, others: readonly Standing[]): NodeId {
  let lightest: Standing | null = null;
  for (const standing of others) if (lightest === null || standing.leading < lightest.leading) lightest = standing;
  return lightest !== null && ownLeading - lightest.leading >= 2 ? lightest.node : NO_NODE;
}
