/**
 * Who belongs to one group, seen to by the node that hosts a replica of it:
 *
 *   who leads           takes the group one step nearer to its placement at a time (reconciler.ts), and says farewell to a
 *                       replica that asks and is none any more
 *   who hears no leader asks the others in turn, and having been told that it is no member gives up all it has
 *
 * Raft decides whether either may be (`proposeConfiguration`, `startGivingUp`). Main thread only.
 */
import type { ShardBoot } from "../bridge/shard-protocol.ts";
import { type LogIndex, NO_NODE, type NodeId } from "../core/ids.ts";
import type { Logger } from "../env/environment.ts";
import { type Configuration, isMember } from "../raft/configuration.ts";
import type { Raft } from "../raft/raft.ts";
import { type ConfigurationMember, encodeConfiguration } from "../record/configuration-format.ts";
import { configurationEntry } from "../record/entry-format.ts";
import type { MemberRecord } from "../record/member-format.ts";
import { FrameType } from "../wire/peer-frame-format.ts";
import { encodeFarewell, type Farewell } from "./farewell-format.ts";
import type { GroupEvents, GroupOptions } from "./group-events.ts";
import { type Aim, nextStep, type Standing } from "./reconciler.ts";
import type { ShardQuestions } from "./shard-questions.ts";

/** A learner that lacks no more than this has caught up: what is on its way to a follower is about as much. */
const CAUGHT_UP_ENTRIES = 256;
/** How often a leader looks whether the shard's replicas are where they should be. */
const RECONCILE_TICKS = 5;
/** A replica that hears no leader asks whether it is one so often, in least election timeouts. */
const ASK_ELECTIONS = 8;

/** What a node knows of the others. */
export interface Neighbours {
  readonly members: readonly MemberRecord[];
  isConnected(id: NodeId): boolean;
}

export class GroupMembers {
  readonly #raft: Raft;
  readonly #options: GroupOptions;
  readonly #questions: ShardQuestions;
  readonly #log: Logger;
  readonly #events: GroupEvents;
  readonly #closesEntry: () => boolean;
  readonly #emptied: (boot: ShardBoot) => void;
  #ledTicks = 0;
  #unledTicks = 0;
  /** The member that was asked last. */
  #asked = 0;
  /** Whose answer to the last question has not come; NO_NODE: nothing was asked since somebody led. */
  #awaited: NodeId = NO_NODE;
  /** What a vote is to wait for, once the shard may be emptied; null: it may not. */
  #votesFrom: LogIndex | null = null;

  /**
   * `closesEntry`: gives Raft the entry that is being filled, whose writers have been told where it will stand; false: Raft
   * does not take it. `emptied`: the shard holds nothing any more.
   */
  constructor(
    raft: Raft,
    options: GroupOptions,
    questions: ShardQuestions,
    log: Logger,
    events: GroupEvents,
    closesEntry: () => boolean,
    emptied: (boot: ShardBoot) => void,
  ) {
    this.#raft = raft;
    this.#options = options;
    this.#questions = questions;
    this.#log = log;
    this.#events = events;
    this.#closesEntry = closesEntry;
    this.#emptied = emptied;
  }

  /** Called at every tick; `leads`: this node carries out the shard's operations. Returns whom it is to hand over to, or NO_NODE. */
  tick(leads: boolean, aim: Aim, neighbours: Neighbours): NodeId {
    this.#ask(neighbours);
    this.#ledTicks = leads ? this.#ledTicks + 1 : 0;
    // Not at once after an election, when only those are known who have just voted.
    const isDue = this.#ledTicks >= 2 * this.#options.electionTicks && this.#ledTicks % RECONCILE_TICKS === 0;
    return isDue ? this.#reconcile(aim, neighbours) : NO_NODE;
  }

  #ask({ members, isConnected }: Neighbours): void {
    const { id: self, shard, electionTicks } = this.#options;
    const isServed = this.#raft.isLed || this.#raft.lastIndex === 0;
    if (isServed) this.#awaited = NO_NODE;
    this.#unledTicks = isServed ? 0 : this.#unledTicks + 1;
    if (this.#unledTicks < ASK_ELECTIONS * electionTicks) return;
    this.#unledTicks = 0;
    const others = members.map(({ id }) => id).filter((id) => id !== self && isConnected(id));
    const next = others.find((id) => id > this.#asked) ?? others[0];
    if (next === undefined) return;
    this.#asked = next;
    this.#awaited = next;
    this.#events.frame(next, FrameType.membershipAsk, shard, () => undefined);
  }

  // ---- who leads

  #reconcile(aim: Aim, { members, isConnected }: Neighbours): NodeId {
    const raft = this.#raft;
    const { id: self, electionTicks } = this.#options;
    if (raft.configurationIndex > raft.commitIndex) return NO_NODE;
    const standingOf = (id: NodeId): Standing => {
      const progress = raft.progressOf(id);
      const { matchIndex, silentTicks } = progress ?? { matchIndex: -1, silentTicks: 0 };
      const isNear = matchIndex + CAUGHT_UP_ENTRIES >= raft.lastIndex;
      return {
        isHeard: isConnected(id) && silentTicks < electionTicks,
        // What it had before it was made a learner it may have given up since (Raft.startGivingUp).
        hasCaughtUp: isNear && matchIndex >= raft.configurationIndex,
      };
    };
    const step = nextStep(self, raft.configuration, aim, standingOf);
    if (step?.type === "configure") this.#configure(step.configuration, members);
    return step?.type === "handOver" ? step.to : NO_NODE;
  }

  #configure(configuration: Configuration, members: readonly MemberRecord[]): void {
    if (!this.#closesEntry()) return;
    const body = encodeConfiguration([
      ...configuration.voters.map((id) => memberOf(id, "voter", members)),
      ...configuration.learners.map((id) => memberOf(id, "learner", members)),
    ]);
    const proposed = this.#raft.proposeConfiguration(configuration, (index, term) =>
      configurationEntry(index, term, body),
    );
    if (typeof proposed === "string") return;
    const { shard } = this.#options;
    this.#log.info("the shard's members change", { shard, index: proposed.index, ...configuration });
    this.#events.wake();
  }

  /** A replica has asked whether it is one. Only what is committed is an answer, and only who leads knows that it is. */
  asked(from: NodeId): void {
    const raft = this.#raft;
    const { configuration, configurationIndex: index } = raft;
    const isSure = raft.role === "leader" && raft.commitIndex >= Math.max(raft.termStartIndex, index) && index > 0;
    if (!isSure || isMember(configuration, from)) return;
    this.#events.frame(from, FrameType.farewell, this.#options.shard, (writer) =>
      encodeFarewell({ index, term: raft.term }, writer),
    );
    this.#events.wake();
  }

  // ---- who is no member any more

  /** Nobody gives up what it has on a word that it has not asked for. */
  dismissed(from: NodeId, { index, term }: Farewell): void {
    if (from !== this.#awaited || !this.#raft.startGivingUp(index, term)) return;
    this.#awaited = NO_NODE;
    this.#votesFrom = index;
    this.#events.wake();
  }

  /** Raft's work has gone to the shard, and with it the term that a farewell was of. */
  driven(): void {
    const votesFrom = this.#votesFrom;
    if (votesFrom === null) return;
    this.#votesFrom = null;
    const { shard } = this.#options;
    this.#log.info("the shard is no longer here and gives back its space", { shard, configuration: votesFrom });
    this.#questions.ask({ type: "empty", votesFrom }, (answer) => {
      if (answer.type === "emptied") return this.#emptied(answer.boot);
      this.#raft.installAbandoned();
    });
  }
}

/** A member that was forgotten in the meantime is a number. */
function memberOf(id: NodeId, role: ConfigurationMember["role"], members: readonly MemberRecord[]) {
  const { name, incarnation, peerAddress } = members.find((member) => member.id === id) ?? UNKNOWN;
  return { id, name, incarnation, peerAddress, role };
}

const UNKNOWN = { name: "", incarnation: "", peerAddress: "" };
