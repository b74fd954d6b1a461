/** The parts of a group that exist once its shard has recovered: the Raft core and what works for it. Main thread only. */
import type { ShardBoot } from "../bridge/shard-protocol.ts";
import { logIndex } from "../core/ids.ts";
import { Random } from "../core/random.ts";
import type { Clock } from "../env/clock.ts";
import { type Configuration, NOBODY } from "../raft/configuration.ts";
import { Raft } from "../raft/raft.ts";
import type { RaftBoot } from "../raft/ready.ts";
import { emptyEntry } from "../record/entry-format.ts";
import { DiskRequests } from "./disk-requests.ts";
import { Gathering } from "./gathering.ts";
import type { GroupEvents, GroupOptions } from "./group-events.ts";
import { LocalReader } from "./local-reader.ts";
import { Proposer } from "./proposer.ts";
import { configurationIn } from "./raft-message-format.ts";
import type { ShardPort } from "./shard-port.ts";
import { WritePace } from "./write-pace.ts";

export interface GroupCore {
  readonly raft: Raft;
  readonly proposer: Proposer;
  readonly reader: LocalReader;
  readonly disk: DiskRequests;
}

/** What a shard has recovered, as the core wants to know it. Throws CORRUPTION. */
export function raftBoot(boot: ShardBoot, firstMembers: Configuration): RaftBoot {
  const logged = boot.configurations.map(({ index, body }) => ({
    index,
    configuration: configurationIn(body, "a configuration of the shard"),
  }));
  // Who has given up its log is a member only where it has become one since.
  const first = boot.votesFrom > 0 ? NOBODY : firstMembers;
  const configurations = [{ index: logIndex(0), configuration: first }, ...logged];
  return { ...boot, term: boot.hardTerm, vote: boot.hardVote, configurations };
}

export function openGroupCore(
  options: GroupOptions,
  boot: ShardBoot,
  port: ShardPort,
  clock: Clock,
  seed: number,
  events: GroupEvents,
): GroupCore {
  const { shard, firstMembers, logRetainBytes, ...limits } = options;
  const raft = new Raft(
    { ...limits, emptyEntry, preVote: true },
    raftBoot(boot, firstMembers),
    new Random(seed + shard),
  );
  const gathering = new Gathering(clock, () => events.wake());
  const pace = new WritePace(port.state, clock, () => events.wake());
  const proposer = new Proposer(raft, limits.id, gathering, pace, () => events.turnWallMs());
  proposer.clock.observe(boot.stampHigh, boot.stampLow);
  const reader = new LocalReader(raft, port, clock, proposer.clock);
  const disk = new DiskRequests(port.link, boot.commitIndex, logRetainBytes);
  return { raft, proposer, reader, disk };
}
