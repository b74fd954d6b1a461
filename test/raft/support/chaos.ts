/**
 * A whole group under a seeded scheduler: messages are lost, repeated, delayed and reordered, members partitioned and
 * crashed with writes pending; if a run asks for it, members come, go and change their roles, leaders hand over, logs are
 * cut short and replaced by snapshots, and clocks run at different rates. After every step the judge compares the members
 * with each other and with what it has seen committed; it knows the rules of Raft, not the code.
 */
import { Random } from "../../../src/core/random.ts";
import type { RaftMessage } from "../../../src/raft/messages.ts";
import type { RaftOptions } from "../../../src/raft/ready.ts";
import { change, Durable, Member, proposal } from "./member.ts";

const MESSAGES_MAX = 400;
/** Elections are what is dangerous: there are to be many. */
const QUICK: Partial<RaftOptions> = { electionTicks: 4, heartbeatTicks: 1 };

/** What else befalls a group. */
export interface Hazards {
  /** Members that belong to nobody at first; with any, the group changes. */
  readonly joiners: number;
  readonly transfers: boolean;
  readonly snapshots: boolean;
  readonly restraints: boolean;
  /** Who is removed is told, early or late, and gives up its log. Voters come from among learners then, as they should. */
  readonly partings: boolean;
  /** Time passes by clocks that run at different rates, and leases are judged. Otherwise a tick is an event like any other. */
  readonly leases: boolean;
}

interface Farewell {
  readonly to: number;
  readonly index: number;
  readonly term: number;
}

export const CALM: Hazards = {
  joiners: 0,
  transfers: false,
  snapshots: false,
  restraints: false,
  partings: false,
  leases: false,
};

const TICK_MS = 10;
/** Clocks run at rates from 1 − this to 1 + this: a fifth and a little more apart. */
const DRIFT = 0.1;
/** As the driver reckons: what is left of the ticks that a promise lasts at least, for clocks a quarter apart. */
const LEASE_MS = (4 - 1) * TICK_MS * 0.8;

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
  /** Configurations by the name of their entry. */
  readonly #configurations = new Map<string, string>();
  /** How fast each member's clock runs, and when its next tick is due by it. */
  readonly #rates: number[] = [];
  readonly #tickDue: number[] = [];
  readonly #hazards: Hazards;
  #nowMs = 0;
  readsConfirmed = 0;
  /** How often these have happened. */
  readonly seen = { leases: 0, installs: 0, changes: 0, transfers: 0, partings: 0 };
  /** What leaders have said to who is not a member, heard or not. */
  readonly #farewells: Farewell[] = [];
  #contexts = 0;
  #proposals = 0;
  #snapshots = 0;

  constructor(seed: number, size: number, options: Partial<RaftOptions>, hazards: Hazards = CALM) {
    this.random = new Random(seed);
    this.#hazards = hazards;
    const voters = Array.from({ length: size }, (_, i) => i + 1);
    const all = { ...QUICK, ...options, ...(hazards.leases && { leaseMs: LEASE_MS }) };
    for (let id = 1; id <= size + hazards.joiners; id++) {
      const first = id <= size ? voters : [];
      this.members.push(new Member(id, first, all, new Durable(), new Random(seed + id)));
      this.#rates.push(1 - DRIFT + 2 * DRIFT * this.random.fraction());
      this.#tickDue.push(0);
    }
  }

  /** One event of any kind. */
  step(hostile: boolean): void {
    const member = this.members[this.random.below(this.members.length)]!;
    const dice = this.random.below(1000);
    if (dice < 550) this.#network(hostile);
    else if (dice < 690) member.persist(this.random.between(1, 3));
    else if (dice < 800) this.#passTime(member);
    else if (dice < 880) this.propose(member);
    else if (dice < 920) this.#read(member);
    else if (dice < 955) member.answerRead();
    else if (dice < 965) this.#trim(member);
    else if (hostile) this.#disturb(member);
    this.settle(member);
    this.judge(member);
    if (hostile && this.#hazards !== CALM && this.random.chance(0.06)) {
      this.#reorganise(member);
      this.settle(member);
      this.judge(member);
    }
    if (hostile && this.#hazards.joiners > 0 && this.random.chance(0.01)) this.#overthrow();
    if (!this.#hazards.leases) return;
    if (hostile && this.random.chance(0.05)) this.#rush(member);
    this.#judgeLeases();
  }

  /**
   * The worst for a lease: this member campaigns as soon as it may, and everybody but those on a lease answers at once, the
   * disks too. Nobody on a lease hears of it.
   */
  #rush(member: Member): void {
    const onLease = this.members.filter(({ raft, nowMs }) => raft.leaseIndex(nowMs) !== null).map(({ id }) => id);
    if (onLease.includes(member.id)) return;
    member.raft.campaign();
    this.#converse(10, onLease);
  }

  /**
   * The worst for changes of the group: one member after the other is wanted by those who happen to be there, behind the
   * back of the rest, and what it changes then reaches only some of them.
   */
  #overthrow(): void {
    for (let times = this.random.between(1, 4); times > 0; times--) {
      this.#promote(this.members[this.random.below(this.members.length)]!);
    }
  }

  #promote(member: Member): void {
    const absent = (): number[] =>
      this.members.filter(({ id }) => id !== member.id && this.random.chance(0.4)).map(({ id }) => id);
    const away = absent();
    for (const other of this.members) {
      if (this.#hazards.leases || away.includes(other.id)) continue;
      for (let ticks = 0; ticks < 8; ticks++) other.raft.tick();
    }
    member.raft.campaign();
    this.#converse(8, away);
    for (let times = this.random.between(1, 2); times > 0; times--) {
      this.#change(member);
      this.#converse(this.random.between(1, 3), absent());
    }
  }

  /** Everybody but the absent hears everybody else at once, and the disks are quick. */
  #converse(rounds: number, absent: readonly number[]): void {
    const isPresent = (id: number): boolean => !absent.includes(id);
    for (let round = 0; round < rounds; round++) {
      for (const member of this.members.filter(({ id }) => isPresent(id))) {
        this.settle(member);
        this.judge(member);
        member.persist();
        this.settle(member);
        this.judge(member);
      }
      const heard = this.messages.filter(({ from, to }) => isPresent(from) && isPresent(to));
      this.messages = this.messages.filter((message) => !heard.includes(message));
      for (const message of heard) {
        const target = this.members[message.to - 1]!;
        target.raft.step(message);
        this.settle(target);
        this.judge(target);
      }
    }
  }

  /** Whoever comes later may need what nobody does now: then a leader must know what is gone. */
  #trim(member: Member): void {
    if (this.#hazards.joiners > 0) member.release(member.raft.releaseIndex);
    else member.trim();
  }

  /** Without leases this member's tick. With them a little time for everybody, and the ticks that are due, if not all. */
  #passTime(member: Member): void {
    if (this.#hazards.leases) this.#advance(this.random.below(2 * TICK_MS), 0.9);
    else member.raft.tick();
  }

  #advance(ms: number, punctuality: number): void {
    this.#nowMs += ms;
    for (const [i, member] of this.members.entries()) {
      member.nowMs = this.#nowMs * this.#rates[i]!;
      if (member.nowMs < this.#tickDue[i]! || !this.random.chance(punctuality)) continue;
      this.#tickDue[i] = member.nowMs + TICK_MS;
      member.raft.tick();
      this.settle(member);
      this.judge(member);
    }
  }

  #reorganise(member: Member): void {
    const { joiners, transfers, snapshots, restraints, partings } = this.#hazards;
    const dice = this.random.below(10);
    if (partings && this.random.chance(0.4)) return this.#part(member);
    if (dice < 3) {
      if (joiners > 0) this.#change(member);
    } else if (dice < 4) {
      const to = this.random.between(1, this.members.length);
      if (transfers && member.raft.transferLeadership(to as never) === true) this.seen.transfers += 1;
    } else if (dice < 5) {
      if (restraints) member.raft.restrain({ mayCampaign: this.random.chance(0.5), mayVote: this.random.chance(0.7) });
    } else if (snapshots) this.#handleSnapshots(member);
  }

  /** Somebody comes, goes, or gets another role; now and then more than that is asked for, in vain. */
  #change(member: Member): void {
    const { voters, learners } = member.raft.configuration;
    const roles = new Map<number, string>();
    for (const id of voters) roles.set(id, "voter");
    for (const id of learners) roles.set(id, "learner");
    for (let times = this.random.chance(0.3) ? 2 : 1; times > 0; times--) {
      const id = this.random.between(1, this.members.length);
      roles.set(id, ["voter", "voter", "learner", "gone"][this.random.below(4)]!);
    }
    if (this.#hazards.partings) this.#ripen(member, roles);
    const having = (role: string): number[] => [...roles].filter(([, its]) => its === role).map(([id]) => id);
    if (change(member, having("voter"), having("learner")).includes("@")) this.seen.changes += 1;
  }

  /** Who has not got the entry that makes it a learner is not made a voter. */
  #ripen({ raft }: Member, roles: Map<number, string>): void {
    for (const [id, role] of roles) {
      const isNew = role === "voter" && !raft.configuration.voters.includes(id as never);
      const isRipe = (raft.progressOf(id as never)?.matchIndex ?? -1) >= raft.configurationIndex;
      const isLearner = raft.configuration.learners.includes(id as never);
      if (isNew && !(isLearner && isRipe)) roles.set(id, "learner");
    }
  }

  /** A leader says who is not a member; who hears that, at any time, gives up its log, at once or a little later. */
  #part(member: Member): void {
    const { raft } = member;
    const isSettled = raft.configurationIndex <= raft.commitIndex && raft.commitIndex >= raft.termStartIndex;
    if (raft.role === "leader" && isSettled) {
      const { voters, learners } = raft.configuration;
      for (const { id } of this.members) {
        if (voters.includes(id as never) || learners.includes(id as never)) continue;
        this.#farewells.push({ to: id, index: raft.configurationIndex, term: raft.term });
      }
    }
    for (let times = this.random.between(1, 6); times > 0 && this.#farewells.length > 0; times--) {
      const [{ to, index, term }] = this.#farewells.splice(this.random.below(this.#farewells.length), 1) as [Farewell];
      const hearer = this.members[to - 1]!;
      if (!hearer.isInstalling && hearer.givingUp === null) hearer.startGivingUp(index, term);
      this.settle(hearer);
      if (hearer.givingUp !== null && this.random.chance(0.7)) this.#finishGivingUp(hearer);
    }
  }

  #finishGivingUp(member: Member): void {
    member.finishGivingUp();
    this.seen.partings += 1;
    this.#commitOf.delete(member.id);
    this.#releaseOf.delete(member.id);
    this.#endOf.delete(member.id);
    this.settle(member);
    this.judge(member);
  }

  #handleSnapshots(member: Member): void {
    const dice = this.random.below(10);
    if (dice < 4) member.release(this.random.between(member.durable.firstIndex, member.durable.commitIndex + 1));
    else if (dice < 6) member.offerSnapshots(++this.#snapshots);
    else if (dice < 7 && member.wanting.length > 0) member.raft.snapshotFailed(member.wanting.shift() as never);
    else if (dice < 8 && member.isInstalling && this.random.chance(0.2)) member.abandonInstall();
    else if (!member.isInstalling) this.#startInstall(member);
    else this.#finishInstall(member);
  }

  #startInstall(member: Member): void {
    const { offer } = member;
    if (!member.startInstall() || offer === null) return;
    demand(this.committed[offer.index] === offer.term, "a snapshot holds what is committed");
    demand(member.raft.termAt(offer.index) !== offer.term, "nothing is installed over a log that has it");
  }

  #finishInstall(member: Member): void {
    member.finishInstall();
    this.seen.installs += 1;
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
    else if (!this.#hazards.leases) for (let ticks = this.random.below(25); ticks > 0; ticks--) member.raft.tick();
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
      if (entry.configuration !== null) this.#configurations.set(name, JSON.stringify(entry.configuration));
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
    // Whoever came later may lack what was released before it came.
    for (const other of this.#hazards.joiners > 0 ? [] : this.members) {
      demand(other.durable.lastIndex >= raft.releaseIndex - 1, "what is released is on every disk");
    }
    const end = `${raft.lastIndex}@${raft.termAt(raft.lastIndex)}`;
    if (this.#endOf.get(id) === end) return;
    this.#endOf.set(id, end);
    this.#judgeConfiguration(member);
    for (const other of this.members) if (other !== member) judgeMatching(member, other);
  }

  #judgeConfiguration({ raft, durable }: Member): void {
    for (let index = raft.lastIndex as number; index >= durable.firstIndex; index--) {
      const said = this.#configurations.get(`${index}@${raft.termAt(index as never)}`);
      if (said === undefined) continue;
      demand(said === JSON.stringify(raft.configuration), "the log's last configuration is in force");
      return;
    }
  }

  /** Whoever reads on a lease sees everything that anybody has committed. */
  #judgeLeases(): void {
    for (const { raft, nowMs } of this.members) {
      const index = raft.leaseIndex(nowMs);
      if (index === null) continue;
      this.seen.leases += 1;
      demand(index >= this.committed.length - 1, "nobody else commits while a lease holds");
    }
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
    const { voters } = member.raft.configuration;
    const holders = voters.filter((id) => {
      const { durable } = this.members[id - 1]!;
      return index < durable.firstIndex || durable.termAt(index) === term;
    });
    const isAlone = this.#votersAt(member, index).join() === String(member.id) && member.durable.termAt(index) === term;
    demand(isAlone || holders.length > voters.length / 2, "what is committed is on the disks of a majority");
  }

  /** Who voted as of an entry of a member's log. */
  #votersAt({ raft, durable }: Member, index: number): readonly number[] {
    for (let at = index; at >= durable.firstIndex; at--) {
      const said = this.#configurations.get(`${at}@${raft.termAt(at as never)}`);
      if (said !== undefined) return (JSON.parse(said) as { voters: number[] }).voters;
    }
    return durable.base.configuration.voters;
  }

  /** Peace: no loss, no crash, time goes on until everybody has the same log. */
  heal(): void {
    this.#reconnect();
    for (const member of this.members) member.raft.restrain({ mayCampaign: true, mayVote: true });
    for (let round = 0; round < 400; round++) {
      if (this.#hazards.leases) this.#advance(TICK_MS * 1.2, 1);
      else for (const member of this.members) member.raft.tick();
      for (const member of this.members) this.#run(member);
      if (round > 100 && round % 40 === 0) for (const member of this.members) this.propose(member);
    }
    const leaders = this.members.filter(({ raft }) => raft.role === "leader");
    demand(leaders.length === 1, "a healthy group has a leader");
    const [leader] = leaders;
    demand(leader!.raft.commitIndex === this.committed.length - 1, "a healthy group commits what it knows");
    const { voters, learners } = leader!.raft.configuration;
    for (const id of [...voters, ...learners]) {
      const { raft } = this.members[id - 1]!;
      demand(raft.lastIndex === leader!.raft.lastIndex, "logs become equal");
      demand(raft.commitIndex === leader!.raft.commitIndex, "commit indexes become equal");
    }
  }

  #run(member: Member): void {
    if (member.givingUp !== null) this.#finishGivingUp(member);
    for (let i = 0; i < 4; i++) {
      member.answerRead();
      member.offerSnapshots(++this.#snapshots);
      this.#startInstall(member);
      if (member.isInstalling) this.#finishInstall(member);
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
