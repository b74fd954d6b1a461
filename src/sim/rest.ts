/**
 * When a simulated cluster is at rest: everybody who has not been taken away is up, every shard has a leader, and whoever has
 * a replica has applied all that is committed. Where members change, it is at rest only when every shard's replicas are where
 * the members say, who was to leave has left, and a replica that was removed holds nothing.
 */
import { placement } from "../cluster/placement.ts";
import type { ShardStatus } from "../cluster/coordinator.ts";
import type { MemberRecord } from "../record/member-format.ts";
import type { SimClusterShape, SimNode } from "./sim-node.ts";

/** The newest list of members that a node knows. */
export function censusOf(nodes: readonly SimNode[]): readonly MemberRecord[] {
  return nodes.reduce((one, other) => (other.membersVersion > one.membersVersion ? other : one)).members;
}

/** `isPlaced`: members change. */
export function isAtRest(nodes: readonly SimNode[], shape: SimClusterShape, isPlaced: boolean): boolean {
  const { shardCount, replicationFactor } = shape;
  const staying = nodes.filter((node) => !node.isRetired);
  const statuses = staying.map((node) => node.coordinator?.shards() ?? null);
  if (statuses.includes(null)) return false;
  for (let shard = 0; shard < shardCount; shard++) {
    const views = statuses.map((shards) => shards?.[shard]);
    const leader = leaderOf(views);
    if (leader === undefined || leader.commitIndex === 0) return false;
    for (const [i, view] of views.entries()) {
      const isMember = !isPlaced || leader.voters.includes(staying[i]!.name);
      const { appliedIndex = -1, term = -1 } = view ?? {};
      if (isMember ? appliedIndex !== leader.commitIndex || term !== leader.term : appliedIndex !== 0) return false;
    }
  }
  if (!isPlaced) return true;
  const census = censusOf(staying);
  if (census.some(({ state }) => state !== "member")) return false;
  return placement(census, replicationFactor, shardCount).every((ids, shard) => {
    const { voters = [], learners = [] } = leaderOf(statuses.map((shards) => shards?.[shard])) ?? {};
    const names = census.filter(({ id }) => ids.includes(id)).map(({ name }) => name);
    return learners.length === 0 && [...voters].sort().join() === names.sort().join();
  });
}

function leaderOf(views: readonly (ShardStatus | undefined)[]): ShardStatus | undefined {
  const leaders = views.filter((view) => view?.role === "leader");
  return leaders.sort((a, b) => (b?.term ?? 0) - (a?.term ?? 0))[0];
}
