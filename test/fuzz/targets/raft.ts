/**
 * A member of a group that hears everything that a member could say, whether or not it could ever be true: messages of every
 * type, well formed, with terms, indexes and rounds beyond reason. The input is the seed of the whole story. Whatever is
 * said, nothing that was committed is removed or changed, the commit index never falls, and no promise of the core breaks.
 *
 * Two leaders of one term are not among what is said: that is not absurd but a lie that no member can see through.
 */
import { ByteReader } from "../../../src/core/byte-reader.ts";
import { logIndex, type NodeId, nodeId, term } from "../../../src/core/ids.ts";
import { Random } from "../../../src/core/random.ts";
import { Raft } from "../../../src/raft/raft.ts";
import type { Append, RaftEntry, RaftMessage } from "../../../src/raft/messages.ts";
import type { RaftBoot } from "../../../src/raft/ready.ts";
import { OPTIONS } from "../../raft/support/member.ts";
import type { FuzzTarget } from "../target.ts";
import { anyRaftMessage, anySize, FROM, TO } from "./raft-samples.ts";

const VOTERS: readonly NodeId[] = [TO, FROM, nodeId(3)];
const STEPS = 60;
const SEED_BYTES = 4;

export const RAFT: FuzzTarget = {
  name: "raft",
  refusals: ["PROTOCOL"],
  make: (random) => Uint8Array.from({ length: random.chance(0.99) ? SEED_BYTES : 3 }, () => random.below(256)),
  take: (input) => {
    const reader = new ByteReader("PROTOCOL", "a seed").over(input);
    return new Story(new Random(reader.u32())).tell();
  },
};

const NOTHING: RaftBoot = {
  term: term(0),
  vote: nodeId(0),
  firstIndex: logIndex(1),
  lastIndex: logIndex(0),
  lastTerm: term(0),
  previousTerm: term(0),
  termRuns: [],
  commitIndex: logIndex(0),
  appliedIndex: logIndex(0),
  votesFrom: logIndex(0),
  configurations: [{ index: logIndex(0), configuration: { voters: VOTERS, learners: [] } }],
};

class Story {
  readonly #random: Random;
  readonly #raft: Raft;
  /** Terms of what is committed, by index. */
  readonly #committed = new Map<number, number>();
  #commitIndex = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#raft = new Raft({ ...OPTIONS, id: TO }, NOTHING, random);
  }

  tell(): number {
    if (this.#random.chance(0.4)) this.#elect();
    for (let i = 0; i < STEPS; i++) {
      const dice = this.#random.below(10);
      if (dice === 0) for (let ticks = this.#random.below(25); ticks > 0; ticks--) this.#raft.tick();
      else if (dice === 1) this.#raft.propose(1, () => new Uint8Array(1));
      else this.#raft.step(this.#message());
      this.#carryOut();
      this.#check();
    }
    return STEPS;
  }

  /** Two votes of three. */
  #elect(): void {
    const raft = this.#raft;
    for (let ticks = 0; raft.role === "follower" && ticks < 100; ticks++) raft.tick();
    this.#carryOut();
    raft.step({ type: "preVoteReply", from: FROM, to: TO, term: term(raft.term + 1), granted: true });
    this.#carryOut();
    raft.step({ type: "voteReply", from: FROM, to: TO, term: raft.term, granted: true });
    this.#carryOut();
  }

  /** The disk does at once what it is asked for, most of the time. */
  #carryOut(): void {
    const raft = this.#raft;
    for (let ready = raft.ready(0); ready !== null; ready = raft.ready(0)) {
      const last = ready.entries.at(-1);
      if (ready.hardState !== null) raft.hardStateSaved(ready.hardState.term, ready.hardState.vote);
      if (last !== undefined && this.#random.chance(0.9)) raft.persisted(last.index, last.term);
      if (ready.install !== null) {
        if (raft.startInstall() || this.#random.chance(0.5)) raft.installAbandoned();
      }
      for (const { from } of ready.reads) raft.entriesRead(from, []);
      for (const to of ready.snapshotsWanted) raft.snapshotFailed(to);
    }
  }

  #check(): void {
    const raft = this.#raft;
    if (raft.commitIndex < this.#commitIndex) throw new Error("the commit index fell");
    for (const [index, was] of this.#committed) {
      if (raft.termAt(index as never) !== was) throw new Error(`the committed entry ${index} is gone or another one`);
    }
    for (let index = this.#commitIndex + 1; index <= raft.commitIndex; index++) {
      this.#committed.set(index, raft.termAt(logIndex(index)) ?? -1);
    }
    this.#commitIndex = raft.commitIndex;
  }

  #message(): RaftMessage {
    const random = this.#random;
    const { term: ownTerm, leader, role } = this.#raft;
    const message = random.chance(0.3) ? this.#heartbeat() : anyRaftMessage(random, this.#entries());
    // In its own term mostly, or nothing would be listened to.
    const said = { ...message, term: random.chance(0.7) ? near(ownTerm, random) : message.term };
    const spoken = said.type === "append" && random.chance(0.7) ? this.#fitting(said) : said;
    const isFromLeader =
      message.type === "append" || message.type === "heartbeat" || message.type === "installSnapshot";
    if (!isFromLeader || spoken.term !== ownTerm) return spoken;
    if (role === "leader") return { ...spoken, term: term(ownTerm + 1) };
    return leader === 0 ? spoken : { ...spoken, from: leader };
  }

  /** An append that goes on where the log is. */
  #fitting(message: Append): Append {
    const previousTerm = this.#raft.termAt(message.previousIndex) ?? message.previousTerm;
    const entries = message.entries.map((entry) => ({ ...entry, term: term(Math.max(entry.term, previousTerm)) }));
    return { ...message, previousTerm, entries };
  }

  #heartbeat(): RaftMessage {
    const random = this.#random;
    const numbers = { commitIndex: logIndex(anySize(random)), releaseIndex: logIndex(anySize(random)) };
    const rounds = { term: term(0), readRound: anySize(random) };
    if (random.chance(0.5)) return { type: "heartbeat", from: FROM, to: TO, ...rounds, ...numbers };
    return { type: "heartbeatReply", from: FROM, to: TO, ...rounds, lastIndex: logIndex(anySize(random)) };
  }

  /** Consecutive, from somewhere near the end of its log. */
  #entries(): RaftEntry[] {
    const random = this.#random;
    const first = Math.max(1, this.#raft.lastIndex + 2 - random.below(5));
    let entryTerm = Math.max(0, this.#raft.term - random.below(3));
    return Array.from({ length: random.below(4) }, (_, i) => {
      entryTerm += random.chance(0.2) ? 1 : 0;
      return { index: logIndex(first + i), term: term(entryTerm), bytes: new Uint8Array(8), configuration: null };
    });
  }
}

function near(ownTerm: number, random: Random): ReturnType<typeof term> {
  return term(Math.max(0, ownTerm + random.below(4) - 1));
}
