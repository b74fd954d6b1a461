/**
 * How a shard's members become those that its placement names: one step at a time, decided by its leader from what it sees,
 * so that nothing has to be remembered by whoever leads next. In this order:
 *
 *   1  a learner that should not be here goes; so does, in the end, a voter that is removed by force
 *   2  one that should be here and is connected comes as a learner, which counts for nothing
 *   3  while there are more voters than there should be, one goes that should not be here, those first that are dead
 *   4  a learner that has caught up becomes a voter
 *   5  a leader that is the only one that should not be here hands over, and the next one removes it
 *
 * So a group has never fewer voters because one is moved, not even in the place of a dead one: who seems to live may have died
 * a moment ago, and the dead one come back. And it has at most one more, unless those that should be here are dead. No step is
 * taken after which the voters that are heard of would be no majority, unless it removes a member by force. What a step needs may
 * change before it is committed: Raft takes one change at a time, and safety is its business alone (raft/configuration.ts).
 * Any thread.
 */
import type { NodeId } from "../core/ids.ts";
import type { Configuration } from "../raft/configuration.ts";

/** What the leader of a shard sees of another node. */
export interface Standing {
  /** It is connected and, if it is a member of the group, has been heard of lately. */
  readonly isHeard: boolean;
  /** What it has on disk is so near the end of the log that it would not hold others up. */
  readonly hasCaughtUp: boolean;
}

export type Step =
  | { readonly type: "configure"; readonly configuration: Configuration }
  | { readonly type: "handOver"; readonly to: NodeId };

/** What a leader that reconciles its shard goes by. */
export interface Aim {
  /** Where the shard's replicas should be; nowhere: nobody knows. */
  readonly placed: readonly NodeId[];
  /** Who is to go whatever becomes of the majority. */
  readonly forced: readonly NodeId[];
}

/** The next step of `self`, who leads the shard; null: there is none, or none that may be taken now. */
export function nextStep(
  self: NodeId,
  configuration: Configuration,
  { placed, forced }: Aim,
  standingOf: (id: NodeId) => Standing,
): Step | null {
  const { voters, learners } = configuration;
  const isHeard = (id: NodeId): boolean => id === self || standingOf(id).isHeard;
  const hasQuorum = (of: readonly NodeId[]): boolean => of.filter(isHeard).length * 2 > of.length;
  if (placed.length === 0) return null;

  const stray = learners.find((id) => !placed.includes(id));
  if (stray !== undefined) return configure(voters, without(learners, stray));
  const outcast = voters.find((id) => id !== self && forced.includes(id) && voters.length > 1);
  if (outcast !== undefined) return configure(without(voters, outcast), learners);

  const missing = placed.find((id) => !voters.includes(id) && !learners.includes(id) && isHeard(id));
  if (missing !== undefined) return configure(voters, [...learners, missing]);

  const leftOver = voters.filter((id) => id !== self && !placed.includes(id));
  const dead = leftOver.find((id) => !isHeard(id) && hasQuorum(without(voters, id)));
  const ready = learners.find((id) => isHeard(id) && standingOf(id).hasCaughtUp && hasQuorum([...voters, id]));
  const isSurplus = voters.length > placed.length;
  const spare = dead ?? leftOver.find((id) => hasQuorum(without(voters, id)));
  if (isSurplus && spare !== undefined) return configure(without(voters, spare), learners);
  if (ready !== undefined) return configure([...voters, ready], without(learners, ready));

  if (!isSurplus || placed.includes(self)) return null;
  const successor = voters.find((id) => placed.includes(id) && isHeard(id) && standingOf(id).hasCaughtUp);
  return successor === undefined ? null : { type: "handOver", to: successor };
}

function configure(voters: readonly NodeId[], learners: readonly NodeId[]): Step {
  return { type: "configure", configuration: { voters, learners } };
}

function without(ids: readonly NodeId[], gone: NodeId): NodeId[] {
  return ids.filter((id) => id !== gone);
}
