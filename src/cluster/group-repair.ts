/**
 * Repair between the members of one group: the ranges that this node has lost and fetches (range-fetch.ts), and those that it
 * gives to others, for which it only carries questions to its shard and answers back. Main thread only.
 */
import { NO_NODE, type NodeId } from "../core/ids.ts";
import type { Clock } from "../env/clock.ts";
import type { Logger } from "../env/environment.ts";
import type { Raft } from "../raft/raft.ts";
import type { ShardLink } from "../bridge/shard-protocol.ts";
import { FrameType } from "../wire/peer-frame-format.ts";
import type { GroupEvents, GroupOptions } from "./group-events.ts";
import { RangeFetch } from "./range-fetch.ts";
import { encodeRepairAsk, encodeRepairGiven, type RepairAsk, type RepairGiven } from "./repair-frame-format.ts";
import { type Answer, type ShardQuestions, whyNot } from "./shard-questions.ts";

export class GroupRepair {
  readonly #shard: number;
  readonly #events: GroupEvents;
  readonly #questions: ShardQuestions;
  readonly #link: ShardLink;
  readonly #fetch: RangeFetch;

  /** `handTo`: this node leads, and that one had better, if it is a voter. */
  constructor(
    raft: Raft,
    { shard, id }: GroupOptions,
    questions: ShardQuestions,
    link: ShardLink,
    clock: Clock,
    log: Logger,
    events: GroupEvents,
    handTo: (node: NodeId) => void,
  ) {
    this.#shard = shard;
    this.#events = events;
    this.#questions = questions;
    this.#link = link;
    this.#fetch = new RangeFetch(shard, clock, log, {
      ask: (question, done) => questions.ask(question, done),
      tell: (request) => {
        link.send(request);
        events.wake();
      },
      request: (to, ask) => {
        events.frame(to, FrameType.repairAsk, shard, (writer) => encodeRepairAsk(ask, writer));
        events.wake();
      },
      others: () => othersOf(raft, id),
      isLeading: () => raft.role === "leader",
      handTo,
    });
  }

  tick(isDamaged: boolean): void {
    this.#fetch.tick(isDamaged);
  }

  given(from: NodeId, given: RepairGiven): void {
    this.#fetch.given(from, given);
  }

  asked(from: NodeId, ask: RepairAsk): void {
    const { number } = ask;
    switch (ask.kind) {
      case "open": {
        const ranges = ask.ranges.map(({ smallest, largest }) => ({
          smallest: smallest.slice(),
          largest: largest.slice(),
        }));
        this.#questions.ask({ type: "rangeOpen", minIndex: ask.minIndex, ranges }, (answer) => {
          if (answer.type !== "rangeOpened") return this.#refuse(from, number, answer);
          const { id, index, isWhole } = answer;
          this.#give(from, { kind: "opened", number, id, index, isWhole });
        });
        break;
      }
      case "read":
        this.#questions.ask({ type: "rangeRead", id: ask.id, ordinal: ask.ordinal }, (answer) => {
          if (answer.type !== "rangePiece") return this.#refuse(from, number, answer);
          this.#give(from, { kind: "piece", number, bytes: answer.bytes });
        });
        break;
      case "close":
        this.#link.send({ type: "rangeClose", id: ask.id });
        this.#events.wake();
        break;
    }
  }

  #refuse(to: NodeId, number: number, answer: Answer): void {
    this.#give(to, { kind: "refused", number, why: whyNot(answer) });
  }

  #give(to: NodeId, given: RepairGiven): void {
    this.#events.frame(to, FrameType.repairGiven, this.#shard, (writer) => encodeRepairGiven(given, writer));
    this.#events.wake();
  }
}

/** The other members, the leader first. */
function othersOf(raft: Raft, self: NodeId): readonly NodeId[] {
  const { voters, learners } = raft.configuration;
  const { leader } = raft;
  const others = [...voters, ...learners].filter((member) => member !== self && member !== leader);
  return leader === NO_NODE || leader === self ? others : [leader, ...others];
}
