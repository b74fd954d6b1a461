/**
 * A whole group under a seeded scheduler: messages are lost, repeated, delayed and reordered, members partitioned and
 * crashed with writes pending. After every step the judge compares the members with each other and with what it has
 * seen committed; it knows the rules of Raft, not the code.
 */
import { Random } from "../../../src/core/random.ts";
import type { RaftMessage } from "../../../src/raft/messages.ts";
import type { RaftOptions } from "../../../src/raft/ready.ts";
import { Durable, Member, proposal } from "./member.ts";

const MESSAGES_MAX = 400;
/** Elections are what is dangerous: there are to be many. */
const QUICK: Partial<RaftOptions> = { electionTicks: 4, heartbeatTicks: 1 };

function demand(condition: boolean, promise: string): void {
  if (!condition) throw new Error(promise);
}

export class Chaos {
  readonly random: Random;
  readonly members: Member[] = [];
  messages: RaftMessage[] = [];
  /** Members whom nobody hears, and members who hear nobody. */
  readonly muted = new Set<number>();
  readonly deaf = new Set<number>();
  /** Term of every entry any member has committed, by index; [0] is the start of time. */
  readonly committed: number[] = [0];
  readonly #payloads = new Map<string, Uint8Array>();
  readonly #leaders = new Map<number, number>();
  readonly #commitOf = new Map<number, number>();
  readonly #releaseOf = new Map<number, number>();
  /** Last entry of each member's log when it was last compared with the others. */
  readonly #endOf = new Map<number, string>();
  readonly #readFloors = new Map<number, number>();
  readsConfirmed = 0;
  #contexts = 0;
  #proposals = 0;

  constructor(seed: number, size: number, options: Partial<RaftOptions>) {
    this.random = new Random(seed);
    const voters = Array.from({ length: size }, (_, i) => i + 1);
    for (const id of voters)
      this.members.push(new Member(id, voters, { ...QUICK, ...options }, new Durable(), new Random(seed + id)));
  }

  /** One event of any kind. */
  step(hostile: boolean): void {
    const member = this.members[this.random.below(this.members.length)]!;
    const dice = this.random.below(1000);
    if (dice < 550) this.#network(hostile);
    else if (dice < 690) member.persist(this.random.between(1, 3));
    else if (dice < 800) member.raft.tick();
    else if (dice < 880) this.propose(member);
    else if (dice < 920) this.#read(member);
    else if (dice < 955) member.answerRead();
    else if (dice < 965) member.trim();
    else if (hostile) this.#disturb(member);
    this.settle(member);
    this.judge(member);
  }

  propose(member: Member): void {
    this.#proposals += 1;
    proposal(member, `p${this.#proposals}`);
  }

  #read(member: Member): void {
    this.#contexts += 1;
    if (member.raft.readIndex(this.#contexts) === true) this.#readFloors.set(this.#contexts, this.committed.length - 1);
  }

  #network(hostile: boolean): void {
    if (this.messages.length === 0) return;
    const window = this.random.chance(0.1) ? MESSAGES_MAX : 8;
    const slot = this.random.below(Math.min(this.messages.length, window));
    const message = this.messages[slot]!;
    if (!hostile || !this.random.chance(0.06)) this.messages.splice(slot, 1);
    if (hostile && this.random.chance(0.08)) return;
    if (this.muted.has(message.from) || this.deaf.has(message.to)) return;
    const target = this.members[message.to - 1]!;
    target.raft.step(message);
    this.settle(target);
    this.judge(target);
  }

  #disturb(member: Member): void {
    const dice = this.random.below(10);
    if (dice < 4) {
      member.restart(this.random.below(member.pending.length + 1));
      this.#commitOf.delete(member.id);
      this.#releaseOf.delete(member.id);
    } else if (dice < 5) this.muted.add(member.id);
    else if (dice < 6) this.deaf.add(member.id);
    else if (dice < 8) this.#reconnect();
    else if (dice < 9) member.raft.campaign();
    else for (let ticks = this.random.below(25); ticks > 0; ticks--) member.raft.tick();
  }

  #reconnect(): void {
    this.muted.clear();
    this.deaf.clear();
  }

  /** Takes the member's work and checks what it says against what its disk has. */
  settle(member: Member): void {
    const ready = member.collect();
    if (ready === null) return;
    for (const message of ready.messages) this.#judgeMessage(member, message);
    this.messages.push(...ready.messages);
    if (this.messages.length > MESSAGES_MAX) this.messages.splice(0, this.messages.length - MESSAGES_MAX);
    for (const { context, index } of ready.readStates) {
      demand(index >= this.#readFloors.get(context)!, "a read sees everything committed before it was asked");
      this.#readFloors.delete(context);
      this.readsConfirmed += 1;
    }
    for (const context of ready.readFailures) demand(this.#readFloors.delete(context), "a read ends once");
    for (const entry of ready.entries) {
      const name = `${entry.index}@${entry.term}`;
      const known = this.#payloads.get(name) ?? entry.bytes;
      demand(known === entry.bytes, "two entries with one index and term are the same");
      this.#payloads.set(name, entry.bytes);
    }
  }

  #judgeMessage(member: Member, message: RaftMessage): void {
    const { durable } = member;
    if (message.type === "preVote" || message.type === "preVoteReply") return;
    demand(durable.term >= message.term, "a term is on disk before anybody hears of it");
    if (message.type === "voteReply" && message.granted && durable.term === message.term) {
      demand(durable.vote === message.to, "a vote is on disk before it is given");
    }
    if (message.type === "appendReply" && !message.rejected && message.term === member.raft.term) {
      for (let index = durable.firstIndex; index <= message.matchIndex; index++) {
        demand(durable.termAt(index) === member.raft.termAt(index as never), "what is acknowledged is on disk");
      }
    }
  }

  judge(member: Member): void {
    const { raft, id } = member;
    if (raft.role === "leader") {
      demand((this.#leaders.get(raft.term) ?? id) === id, "one leader a term");
      this.#leaders.set(raft.term, id);
      this.#judgeCompleteness(member);
    }
    const commitBefore = this.#commitOf.get(id) ?? 0;
    demand(raft.commitIndex >= commitBefore, "the commit index never falls");
    for (let index = commitBefore + 1; index <= raft.commitIndex; index++) this.#judgeCommit(member, index);
    this.#commitOf.set(id, raft.commitIndex);
    demand(raft.releaseIndex >= (this.#releaseOf.get(id) ?? 0), "the release index never falls");
    demand(raft.releaseIndex <= raft.commitIndex + 1, "only what is committed is released");
    this.#releaseOf.set(id, raft.releaseIndex);
    for (const other of this.members) {
      demand(other.durable.lastIndex >= raft.releaseIndex - 1, "what is released is on every disk");
    }
    const end = `${raft.lastIndex}@${raft.termAt(raft.lastIndex)}`;
    if (this.#endOf.get(id) === end) return;
    this.#endOf.set(id, end);
    for (const other of this.members) if (other !== member) judgeMatching(member, other);
  }

  #judgeCompleteness(leader: Member): void {
    // Only the newest leader counts: an old one may not know yet that it is none.
    if (this.members.some((other) => other.raft.term > leader.raft.term)) return;
    for (let index = leader.durable.firstIndex; index < this.committed.length; index++) {
      demand(leader.raft.termAt(index as never) === this.committed[index], "a leader has everything committed");
    }
  }

  #judgeCommit(member: Member, index: number): void {
    if (index < member.durable.firstIndex) return;
    const term = member.raft.termAt(index as never);
    demand(term !== undefined, "what is committed is in the log");
    if (index < this.committed.length) {
      demand(this.committed[index] === term, "no two members commit different entries at one index");
      return;
    }
    demand(index === this.committed.length, "entries are committed in order");
    this.committed.push(term as number);
    const holders = this.members.filter(
      ({ durable }) => index < durable.firstIndex || durable.termAt(index) === term,
    ).length;
    demand(holders > this.members.length / 2, "what is committed is on the disks of a majority");
  }

  /** Peace: no loss, no crash, time goes on until everybody has the same log. */
  heal(): void {
    this.#reconnect();
    for (let round = 0; round < 400; round++) {
      for (const member of this.members) {
        member.raft.tick();
        this.#run(member);
      }
      if (round > 100 && round % 40 === 0) for (const member of this.members) this.propose(member);
    }
    const [first, ...others] = this.members;
    demand(
      this.members.some(({ raft }) => raft.role === "leader"),
      "a healthy group has a leader",
    );
    demand(first!.raft.commitIndex === this.committed.length - 1, "a healthy group commits what it knows");
    for (const other of others) {
      demand(other.raft.lastIndex === first!.raft.lastIndex, "logs become equal");
      demand(other.raft.commitIndex === first!.raft.commitIndex, "commit indexes become equal");
    }
  }

  #run(member: Member): void {
    for (let i = 0; i < 4; i++) {
      member.answerRead();
      this.settle(member);
      member.persist();
      this.settle(member);
    }
    this.judge(member);
    for (const message of this.messages.splice(0)) {
      const target = this.members[message.to - 1]!;
      target.raft.step(message);
      this.settle(target);
      this.judge(target);
    }
  }
}

/** If two logs have the same term at an index, they are equal up to it. */
function judgeMatching(a: Member, b: Member): void {
  const low = Math.max(a.durable.firstIndex, b.durable.firstIndex);
  let matching = false;
  for (let index = Math.min(a.raft.lastIndex, b.raft.lastIndex); index >= low; index--) {
    const same = a.raft.termAt(index as never) === b.raft.termAt(index as never);
    demand(same || !matching, "logs that match at an index match below it");
    matching = same;
  }
}
