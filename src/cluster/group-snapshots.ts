/**
 * Snapshots on their way between members of one group: those that this node makes for others while it leads
 * (snapshot-source.ts), and the one it fetches from its leader (snapshot-fetch.ts). Here they meet Raft, the shard and the
 * peers. Main thread only.
 */
import type { ShardBoot } from "../bridge/shard-protocol.ts";
import type { NodeId } from "../core/ids.ts";
import type { Clock } from "../env/clock.ts";
import type { Logger } from "../env/environment.ts";
import type { Configuration } from "../raft/configuration.ts";
import type { Raft } from "../raft/raft.ts";
import type { Ready } from "../raft/ready.ts";
import { FrameType } from "../wire/peer-frame-format.ts";
import type { GroupEvents, GroupOptions } from "./group-events.ts";
import { configurationIn } from "./raft-message-format.ts";
import type { ShardQuestions } from "./shard-questions.ts";
import { SnapshotFetch } from "./snapshot-fetch.ts";
import {
  encodeSnapshotAsk,
  encodeSnapshotGiven,
  type SnapshotAsk,
  type SnapshotGiven,
} from "./snapshot-frame-format.ts";
import { type OfferedSnapshot, SnapshotSource } from "./snapshot-source.ts";

export class GroupSnapshots {
  readonly #raft: Raft;
  readonly #firstMembers: Configuration;
  readonly #source: SnapshotSource;
  readonly #fetch: SnapshotFetch;

  /** `drop`: the shard's snapshot is nobody's any more. `installed`: all that is known of the shard begins anew. */
  constructor(
    raft: Raft,
    { shard, firstMembers }: GroupOptions,
    questions: ShardQuestions,
    clock: Clock,
    log: Logger,
    events: GroupEvents,
    drop: (id: number) => void,
    installed: (boot: ShardBoot) => void,
  ) {
    this.#raft = raft;
    this.#firstMembers = firstMembers;
    const { frame, wake } = events;
    this.#source = new SnapshotSource(shard, clock, log, {
      ask: (question, done) => questions.ask(question, done),
      drop,
      offer: (to, snapshot) => {
        raft.offerSnapshot(to, { ...snapshot, configuration: this.#configurationOf(snapshot) });
        wake();
      },
      failed: (to) => raft.snapshotFailed(to),
      give: (to, given) => {
        frame(to, FrameType.snapshotGiven, shard, (writer) => encodeSnapshotGiven(given, writer));
        wake();
      },
    });
    this.#fetch = new SnapshotFetch(shard, clock, log, {
      ask: (question, done) => questions.ask(question, done),
      request: (to, ask) => {
        frame(to, FrameType.snapshotAsk, shard, (writer) => encodeSnapshotAsk(ask, writer));
        wake();
      },
      startInstall: () => raft.startInstall(),
      installed,
      abandoned: () => raft.installAbandoned(),
    });
  }

  carryOut({ snapshotsWanted, install }: Ready): void {
    for (const to of snapshotsWanted) this.#source.wanted(to, this.#raft.firstIndex);
    if (install !== null) this.#fetch.begin(install);
  }

  asked(from: NodeId, ask: SnapshotAsk): void {
    this.#source.asked(from, ask);
  }

  given(from: NodeId, given: SnapshotGiven): void {
    this.#fetch.given(from, given);
  }

  tick(): void {
    this.#source.tick();
    this.#fetch.tick();
  }

  #configurationOf({ configuration }: OfferedSnapshot): Configuration {
    return configuration.length === 0 ? this.#firstMembers : configurationIn(configuration, "a snapshot");
  }
}
