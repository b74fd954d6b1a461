/** Whether a member may leave: what it would do to the shards it votes in. Any thread. */
import type { NodeId } from "../core/ids.ts";

/** A shard as far as it is known here. */
export interface ShardView {
  readonly shard: number;
  readonly hasLeader: boolean;
  readonly voters: readonly NodeId[];
}

/**
 * Why removing a member would cost a shard its quorum; null: it would not. Those who remain are counted as they are: who is to
 * come in its place may not have what the shard has for a long time. Where nobody else votes the shard moves first.
 */
export function removalObjection(
  leaving: NodeId,
  shards: readonly ShardView[],
  isConnected: (id: NodeId) => boolean,
): string | null {
  for (const { shard, hasLeader, voters } of shards) {
    if (!hasLeader) return `shard ${shard} has no leader that this node knows`;
    const staying = voters.filter((id) => id !== leaving);
    if (staying.length === voters.length || staying.length === 0) continue;
    const connectedCount = staying.filter(isConnected).length;
    if (connectedCount * 2 > staying.length) continue;
    return `shard ${shard} would be left with ${connectedCount} of ${staying.length} voters connected`;
  }
  return null;
}
